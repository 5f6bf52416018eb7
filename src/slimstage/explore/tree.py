"""The files of an analysis as a tree of directories with their bytes, as far as a filter lets them through. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.analyze.analysis import Analysis
from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class Filter:
    """Which files are shown. layer: only what that layer holds; None: all. purpose, owner: only those; owner is a position in
    `Analysis.owners`. text: a part of the path, whatever its case. shows_hidden: also what later layers overwrote or deleted.
    """

    layer: int | None = None
    purpose: str | None = None
    owner: int | None = None
    text: str = ""
    shows_hidden: bool = False


ALL = Filter()


class Directory:
    """What is below one directory. `files`: positions in the analysis of those directly in it. Both largest first."""

    __slots__ = ("count", "directories", "files", "name", "path", "size_bytes")

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = path.rpartition("/")[2]
        self.size_bytes = 0
        self.count = 0
        self.directories: dict[str, Directory] = {}
        self.files: list[int] = []

    def sorted_directories(self, *, by_name: bool = False) -> list[Directory]:
        if by_name:
            return sorted(self.directories.values(), key=lambda each: each.name)
        return sorted(self.directories.values(), key=lambda each: (-each.size_bytes, each.name))

    def find(self, path: str) -> Directory | None:
        """The directory at a path below the root that this is."""
        here: Directory | None = self
        for name in path.split("/") if path else ():
            here = here.directories.get(name) if here is not None else None
        return here


def tree_of(analysis: Analysis, chosen: Filter = ALL) -> Directory:
    """The root. A further name of a file is in the tree and has no bytes."""
    root = Directory("")
    files = analysis.files
    known: dict[str, Directory] = {"": root}
    for position in _chosen(analysis, chosen):
        path = files.paths[position]
        directory = _directory(known, path.rpartition("/")[0])
        directory.files.append(position)
        directory.size_bytes += files.sizes[position]
        directory.count += 1
    _add_up(root)
    return root


def _chosen(analysis: Analysis, chosen: Filter) -> Iterator[int]:
    files, text = analysis.files, chosen.text.casefold()
    purpose = -1
    if chosen.purpose is not None:
        if chosen.purpose not in files.purpose_names:
            return
        purpose = files.purpose_names.index(chosen.purpose)
    for position, path in enumerate(files.paths):
        if files.states[position] and not chosen.shows_hidden:
            continue
        if chosen.layer is not None and files.layers[position] != chosen.layer:
            continue
        if purpose >= 0 and files.purposes[position] != purpose:
            continue
        if chosen.owner is not None and files.owners[position] != chosen.owner:
            continue
        if text and text not in path.casefold():
            continue
        yield position


def _directory(known: dict[str, Directory], path: str) -> Directory:
    found = known.get(path)
    if found is not None:
        return found
    missing = []
    while path not in known:
        missing.append(path)
        path = path.rpartition("/")[0]
    here = known[path]
    for each in reversed(missing):
        child = known[each] = Directory(each)
        here.directories[child.name] = child
        here = child
    return here


def _add_up(root: Directory) -> None:
    """Sums from the leaves up; no recursion, since an image's directories may be thousands deep."""
    order = [root]
    for directory in order:
        order += directory.directories.values()
    for directory in reversed(order):
        for child in directory.directories.values():
            directory.size_bytes += child.size_bytes
            directory.count += child.count


def order_of_files(analysis: Analysis, directory: Directory, *, by_name: bool = False) -> list[int]:
    """The files directly in a directory, as they are shown."""
    files = analysis.files
    if by_name:
        return sorted(directory.files, key=lambda each: files.paths[each])
    return sorted(directory.files, key=lambda each: (-files.sizes[each], files.paths[each]))
