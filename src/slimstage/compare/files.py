"""Which files of two trees differ. Content is read only where nothing else tells: two names of one layer are the same file.

A file counts as it is seen in the tree; names of one file are looked at one by one, each with the size of its content.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from slimstage.analyze.analysis import Analysis
from slimstage.analyze.layers import ImageLayers
from slimstage.compare.comparison import FileChange, FileChanges
from slimstage.errors import FormatError
from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class Opened:
    """An image whose analysis is done and whose layers can still be read."""

    layers: ImageLayers
    analysis: Analysis


def changed_files(old: Opened, new: Opened) -> FileChanges:
    """Raises FormatError when the content of two files that might be equal cannot be had, and what layers raise."""
    before, after = _seen(old.analysis), _seen(new.analysis)
    found: list[FileChange] = []
    for path, position in after.items():
        there = before.get(path)
        if there is None:
            found.append(FileChange(path, "added", 0, new.analysis.files.sizes[position]))
        elif (change := _compared(old, there, new, position)) is not None:
            found.append(change)
    gone = (path for path in before if path not in after)
    found += (FileChange(path, "removed", old.analysis.files.sizes[before[path]], 0) for path in gone)
    found.sort(key=lambda each: (-abs(each.new_bytes - each.old_bytes), -each.new_bytes, each.path))
    links = set(old.analysis.symlinks.items()) ^ set(new.analysis.symlinks.items())
    return FileChanges(tuple(found), len({path for path, _ in links}))


def _seen(analysis: Analysis) -> dict[str, int]:
    files = analysis.files
    return {files.paths[position]: position for position in files.seen()}


def _compared(old: Opened, before: int, new: Opened, after: int) -> FileChange | None:
    """None: the same. A further name has no bytes of its own here, so its size says nothing: its content does."""
    files, others = old.analysis.files, new.analysis.files
    path = others.paths[after]
    sizes = (files.sizes[before], others.sizes[after])
    is_link = files.flags[before] & 2 or others.flags[after] & 2
    if not is_link and sizes[0] != sizes[1]:
        return FileChange(path, "content", *sizes)
    is_empty = not is_link and not sizes[0]
    if not is_empty and not _is_one_layer(old, files.layers[before], new, others.layers[after]):
        mine, theirs = _digest(old, files.layers[before], path), _digest(new, others.layers[after], path)
        if mine != theirs:
            return FileChange(path, "content", *sizes)
    if _rights(files.modes, files.uids, files.gids, before) != _rights(others.modes, others.uids, others.gids, after):
        return FileChange(path, "attributes", *sizes)
    return None


def _rights(modes: array[int], uids: array[int], gids: array[int], position: int) -> tuple[int, int, int]:
    return modes[position], uids[position], gids[position]


def _is_one_layer(old: Opened, before: int, new: Opened, after: int) -> bool:
    mine = old.analysis.layers[before].diff_id
    return mine is not None and mine == new.analysis.layers[after].diff_id


def _digest(side: Opened, layer: int, path: str) -> bytes:
    found = side.layers.layers[layer].digest(path)
    if found is None:
        raise FormatError(f'the content of "{path}" of "{side.analysis.image.name}" cannot be read', code="file-unread")
    return found


def changed_bytes(changes: FileChanges) -> Iterator[tuple[str, int]]:
    """(kind of change, difference in bytes) of each file."""
    return ((each.change, each.new_bytes - each.old_bytes) for each in changes.files)
