"""How much of an image's layers is of use, as dive counts it. Pure.

A path that several layers have is waste from its second appearance on: of what its appearances cost together, the smallest
would have done. A deletion costs nothing itself if it is of a file, and as much as all below it if it is of a directory. So
a directory of 100 MB that is deleted in the next layer counts twice: where its files are and where it is deleted. dive's
"wasted bytes" are all that is stored under paths that appear more than once.

Source: dive 0.13, filetree/efficiency.go and file_tree.go, whose rules are followed where they are odd, too: opaque
directories hide nothing, a file that replaces a directory leaves its children there, and a hard link has no size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class Efficiency:
    """score: 1.0 is no waste. wasted_bytes: as above."""

    score: float
    wasted_bytes: int


class _Node:
    __slots__ = ("children", "is_whiteout", "size")

    def __init__(self) -> None:
        self.children: dict[str, _Node] | None = None
        self.size = 0
        self.is_whiteout = False


class EfficiencyCount:
    """Counts layer by layer, base first."""

    def __init__(self) -> None:
        self._stack = _Node()
        self._paths: dict[str, list[int]] = {}
        """Path → [bytes together, the smallest, appearances]."""

    def add(self, layer: Iterable[tuple[str, int, bool]]) -> None:
        """One layer: (path, size, is a deletion) of all entries but opaque marks; directories have size 0."""
        tree = _Node()
        for path, size, is_whiteout in layer:
            node = _place(tree, path)
            node.size, node.is_whiteout = size, is_whiteout
        for path, node in _leaves(tree):
            size = node.size
            if node.is_whiteout:
                below = _find(self._stack, path)
                if below is None:
                    break  # dive gives up this layer where a deletion is of nothing
                size = _total(below) if below.children is not None else 0
            found = self._paths.setdefault(path, [0, size, 0])
            found[0] += size
            found[1] = min(found[1], size)
            found[2] += 1
        _merge(self._stack, tree)

    def result(self) -> Efficiency:
        stored = needed = wasted = 0
        for together, smallest, appearances in self._paths.values():
            stored += together
            needed += smallest
            if appearances > 1:
                wasted += together
        return Efficiency(needed / stored if stored else 1.0, wasted)


def _place(tree: _Node, path: str) -> _Node:
    node = tree
    for part in path.split("/"):
        if node.children is None:
            node.children = {}
        child = node.children.get(part)
        if child is None:
            child = node.children[part] = _Node()
        node = child
    return node


def _find(tree: _Node, path: str) -> _Node | None:
    node: _Node | None = tree
    for part in path.split("/"):
        if node is None or node.children is None:
            return None
        node = node.children.get(part)
    return node


def _leaves(tree: _Node) -> Iterator[tuple[str, _Node]]:
    """(path, node) of all without children, by name."""
    todo = [("", tree)]
    while todo:
        path, node = todo.pop()
        if node.children:
            prefix = f"{path}/" if path else ""
            todo += [(prefix + name, node.children[name]) for name in sorted(node.children, reverse=True)]
        elif path:
            yield path, node


def _total(tree: _Node) -> int:
    total, todo = 0, [tree]
    while todo:
        node = todo.pop()
        total += node.size
        if node.children:
            todo += node.children.values()
    return total


def _merge(stack: _Node, layer: _Node) -> None:
    todo = [(stack, layer)]
    while todo:
        below, above = todo.pop()
        for name, node in (above.children or {}).items():
            if node.is_whiteout:
                if below.children is not None:
                    below.children.pop(name, None)
                continue
            if below.children is None:
                below.children = {}
            there = below.children.get(name)
            if there is None:
                there = below.children[name] = _Node()
            there.size = node.size
            if node.children is not None:
                todo.append((there, node))
