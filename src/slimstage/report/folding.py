"""The files of an image as a tree of bounded size: what is large is told by name, the rest of a directory as a sum. Pure.

Nothing is lost on the way: the bytes and the number of files of the tree, of every directory, purpose and owner are exactly
those of the files that went in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import nlargest

from slimstage.report.record import FoldedTree, NodeKind, TreeNode

MOST_NODES = 20_000

FoldedFile = tuple[str, int, int, int, int]
"""Path without a leading slash, bytes, purpose, owner (as `TreeNode` has them), and how many files it is (0: part of one)."""


def fold(files: Sequence[FoldedFile], most: int = MOST_NODES) -> FoldedTree:
    """The tree of at most `most` nodes, at least two, whatever there is.

    The largest directories and files are kept, each with the directories above it. All else is summed up where it is below
    a directory that was kept: one node of kind "rest" for each pair of purpose and owner, so that bytes by purpose and by
    owner stay exact; where even those are too many, the smallest become one of several (-1, -1). A rest of one file keeps
    its name. Children are ordered by size, the largest first.
    """
    all_files = _Directories(files)
    keep = most
    while True:
        kept = all_files.keep(keep)
        rests = all_files.rests(kept)
        count = len(kept.directories) + len(kept.files) + len(rests)
        if count <= most or keep == 0:
            break
        keep = min(keep * most // count, keep - 1) * 9 // 10
    if count > most:
        rests = _merged(rests, max(0, most - len(kept.directories) - 1))
    return FoldedTree(tuple(_nodes(all_files, kept, rests)))


class _Kept:
    """directories: positions, the root among them; files: positions."""

    def __init__(self, directories: set[int], files: set[int]) -> None:
        self.directories, self.files = directories, files


class _Rest:
    """Files of one purpose and owner that are not told one by one. only: the position of the one, -1 of several."""

    __slots__ = ("added", "bytes", "count", "directory", "only", "owner", "purpose")

    def __init__(self, directory: int, purpose: int, owner: int, only: int) -> None:
        self.directory, self.purpose, self.owner, self.only = directory, purpose, owner, only
        self.bytes = self.count = self.added = 0

    def add(self, size_bytes: int, count: int) -> None:
        self.bytes += size_bytes
        self.count += count
        self.added += 1
        if self.added > 1:
            self.only = -1


class _Directories:
    """All directories of the files, in columns; a directory's position is above that of the one it is in."""

    def __init__(self, files: Sequence[FoldedFile]) -> None:
        self.files = files
        self.names: list[str] = [""]
        self.parents: list[int] = [-1]
        self.depths: list[int] = [0]
        self.of_file: list[int] = []
        known = {"": 0}
        for path, *_ in files:
            above = path.rpartition("/")[0]
            at = known.get(above)
            self.of_file.append(self._make(above, known) if at is None else at)
        self.bytes = [0] * len(self.names)
        self.counts = [0] * len(self.names)
        for (_, size, _, _, count), directory in zip(files, self.of_file, strict=True):
            self.bytes[directory] += size
            self.counts[directory] += count
        for position in range(len(self.names) - 1, 0, -1):
            self.bytes[self.parents[position]] += self.bytes[position]
            self.counts[self.parents[position]] += self.counts[position]

    def _make(self, path: str, known: dict[str, int]) -> int:
        """The position of a directory that is not known yet; those above it are made as well."""
        missing = []
        while path not in known:
            missing.append(path)
            path = path.rpartition("/")[0]
        at = known[path]
        for each in reversed(missing):
            self.names.append(each.rpartition("/")[2])
            self.parents.append(at)
            self.depths.append(self.depths[at] + 1)
            at = known[each] = len(self.names) - 1
        return at

    def keep(self, most: int) -> _Kept:
        """The largest `most` directories and files, and the root. What has no bytes is never kept."""

        def candidates() -> Iterable[tuple[int, int, int]]:
            # Of equal size the one nearer to the root is first, so none is kept without what it is in.
            for position in range(1, len(self.names)):
                if self.bytes[position]:
                    yield self.bytes[position], -self.depths[position], -position - 1
            for position, (_, size, *_) in enumerate(self.files):
                if size:
                    yield size, -self.depths[self.of_file[position]] - 1, position

        largest = nlargest(most, candidates())
        directories = {-each - 1 for _, _, each in largest if each < 0}
        return _Kept({0, *directories}, {each for _, _, each in largest if each >= 0})

    def rests(self, kept: _Kept) -> list[_Rest]:
        """What the kept ones leave, each at the nearest directory above that is kept."""
        nearest = [0] * len(self.names)
        for position in range(1, len(self.names)):
            nearest[position] = position if position in kept.directories else nearest[self.parents[position]]
        found: dict[tuple[int, int, int], _Rest] = {}
        for position, (_, size, purpose, owner, count) in enumerate(self.files):
            if position in kept.files:
                continue
            key = (nearest[self.of_file[position]], purpose, owner)
            rest = found.get(key)
            if rest is None:
                rest = found[key] = _Rest(*key, position)
            rest.add(size, count)
        return list(found.values())

    def path_below(self, file: int, directory: int) -> str:
        """The file's path as seen from a directory above it."""
        path, at, levels = self.files[file][0], self.of_file[file], 1
        while at != directory:
            at, levels = self.parents[at], levels + 1
        return "/".join(path.split("/")[-levels:])


def _merged(rests: list[_Rest], most: int) -> list[_Rest]:
    """The largest, and the others as one at the root."""
    ordered = sorted(rests, key=lambda each: -each.bytes)
    several = _Rest(0, -1, -1, -1)
    for each in ordered[most:]:
        several.add(each.bytes, each.count)
    return [*ordered[:most], several]


def _nodes(tree: _Directories, kept: _Kept, rests: list[_Rest]) -> list[TreeNode]:
    """In the order of the document: breadth first, children by size, then by name."""
    children: dict[int, list[tuple[int, str, NodeKind, int, int, int, int]]] = {}

    def put(
        directory: int, size: int, name: str, kind: NodeKind, files: int, purpose: int, owner: int, own: int
    ) -> None:
        children.setdefault(directory, []).append((-size, name, kind, files, purpose, owner, own))

    for position in kept.directories - {0}:
        size, files = tree.bytes[position], tree.counts[position]
        put(tree.parents[position], size, tree.names[position], "dir", files, -1, -1, position)
    for position in kept.files:
        path, size, purpose, owner, files = tree.files[position]
        put(tree.of_file[position], size, path.rpartition("/")[2], "file", files, purpose, owner, -1)
    for rest in rests:
        name = "" if rest.only < 0 else tree.path_below(rest.only, rest.directory)
        kind: NodeKind = "rest" if rest.only < 0 else "file"
        put(rest.directory, rest.bytes, name, kind, rest.count, rest.purpose, rest.owner, -1)
    nodes = [TreeNode("", -1, tree.bytes[0], tree.counts[0], "dir")]
    todo = [(0, 0)]
    for directory, parent in todo:  # grows while it is gone through
        for size, name, kind, files, purpose, owner, own in sorted(children.get(directory, ())):
            if kind == "dir":
                todo.append((own, len(nodes)))
            nodes.append(TreeNode(name, parent, -size, files, kind, purpose, owner))
    return nodes
