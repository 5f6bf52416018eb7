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

from slimstage.analyze.layers import LayerEntry
from slimstage.tree.pack import WHITEOUT
from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class Efficiency:
    """score: 1.0 is no waste. wasted_bytes: as above."""

    score: float
    wasted_bytes: int


class _Node:
    __slots__ = ("children", "is_dir", "size")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.size = 0
        self.is_dir = False


class EfficiencyCount:
    """Counts layer by layer, base first."""

    def __init__(self) -> None:
        self._stack = _Node()
        self._paths: dict[str, list[int]] = {}
        """Path → [bytes together, the smallest, appearances]."""

    def add(self, layer: Iterable[LayerEntry]) -> None:
        """One layer's entries. Of a file with several names the first has its bytes."""
        tree = _Node()
        links: set[int] = set()
        for entry in layer:
            if entry.kind == "opaque" or not entry.path:
                continue
            node = _place(tree, entry.path, entry.kind == "whiteout")
            node.is_dir = entry.kind == "dir"
            node.size = 0 if entry.link in links else entry.size
            if entry.link:
                links.add(entry.link)
        for path, is_whiteout, node in _leaves(tree):
            size = node.size
            if is_whiteout:
                below = _find(self._stack, path)
                if below is None:
                    break  # dive gives up this layer where a deletion is of nothing
                size = _total(below) if below.is_dir else 0
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


def _place(tree: _Node, path: str, is_whiteout: bool) -> _Node:
    """The node of a path; a deletion is a name of its own, beside a file of the name that it deletes."""
    node = tree
    *above, name = path.split("/")
    for part in (*above, WHITEOUT + name if is_whiteout else name):
        child = node.children.get(part)
        if child is None:
            child = node.children[part] = _Node()
        node = child
    return node


def _find(tree: _Node, path: str) -> _Node | None:
    node: _Node | None = tree
    for part in path.split("/"):
        node = None if node is None else node.children.get(part)
    return node


def _leaves(tree: _Node) -> Iterator[tuple[str, bool, _Node]]:
    """(path, is a deletion, node) of all without children, by name."""
    todo = [("", "", tree)]
    while todo:
        above, name, node = todo.pop()
        if node.children:
            prefix = f"{above}{name}/" if name else above
            todo += [(prefix, each, node.children[each]) for each in sorted(node.children, reverse=True)]
        elif name:
            yield above + name.removeprefix(WHITEOUT), name.startswith(WHITEOUT), node


def _total(tree: _Node) -> int:
    total, todo = 0, [tree]
    while todo:
        node = todo.pop()
        total += node.size
        todo += node.children.values()
    return total


def _merge(stack: _Node, layer: _Node) -> None:
    todo = [(stack, layer)]
    while todo:
        below, above = todo.pop()
        for name in sorted(above.children):
            node = above.children[name]
            if name.startswith(WHITEOUT):
                below.children.pop(name.removeprefix(WHITEOUT), None)
                continue
            there = below.children.get(name)
            if there is None:
                there = below.children[name] = _Node()
            there.size, there.is_dir = node.size, node.is_dir
            if node.children:
                todo.append((there, node))
