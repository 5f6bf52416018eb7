"""One layer directory as several that are the same together: each holds some of its files, and the directories above.

Files are further names of those in the layer, so no byte is copied. A directory that only one part has files in is there as
it is. One that several parts share is in each of them with the right owner and mode, as whoever unpacks a layer would
otherwise make it up, but with a time that comes from the part's own files: what changes in one part changes no other. The
last part has the shared directories once more, as they are. Marks of deletion are the first part's.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from slimstage.tree.entry import Entry
from slimstage.tree.paths import DIRECTORY, open_real
from slimstage.tree.scan import root_entry, scan_at
from slimstage.tree.writer import TreeWriter
from slimstage.tree.xattrs import read_xattrs
from slimstage.values import dataclass, replace

SHARED = -1
"""The part of a directory that several parts have files in."""
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class Listing:
    """A layer directory as it is packed: its root, and all below in the order of a scan."""

    root: Entry
    entries: tuple[Entry, ...]


def read_listing(layer_path: str) -> Listing:
    """What the layer holds; of files without xattrs. Raises OSError."""
    fd = os.open(layer_path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return Listing(root_entry(fd), tuple(entry for entry, _, _ in scan_at(fd, for_packing=True)))
    finally:
        os.close(fd)


def directories_of(listing: Listing, parts: Sequence[int]) -> list[int]:
    """The part of each entry: as `parts` says for all but directories, which belong to the part that alone has files in
    them, or to none (SHARED). An empty directory is its parent's, or where `parts` says. Pure.
    """
    found = list(parts)
    seen: dict[str, int] = {}
    for entry, part in zip(listing.entries, parts, strict=True):
        if entry.kind == "dir":
            continue
        above = entry.path
        while above:
            above = above.rpartition("/")[0]
            known = seen.get(above)
            if known in (SHARED, part):
                break  # and so are those further up
            seen[above] = part if known is None else SHARED
    empty: dict[str, int] = {}
    for number, entry in enumerate(listing.entries):
        if entry.kind != "dir":
            continue
        if entry.path in seen:
            found[number] = seen[entry.path]
            continue
        above = entry.path.rpartition("/")[0]
        around = seen.get(above, empty.get(above, SHARED))
        if around != SHARED:
            found[number] = around
        empty[entry.path] = found[number]
    return found


def write_part(layer_path: str, target: str, listing: Listing, parts: Sequence[int], part: int) -> int:
    """Writes one part into the empty directory `target`; returns how many entries of its own it has.

    parts: of `directories_of`. part: SHARED is the last one, with the shared directories alone. Raises OSError.
    """
    source = os.open(layer_path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with TreeWriter(target) as writer:
            count = _Part(source, writer, listing, parts, part).write()
            writer.finish()
        return count
    finally:
        os.close(source)


class _Part:
    def __init__(self, source: int, writer: TreeWriter, listing: Listing, parts: Sequence[int], part: int) -> None:
        self._source, self._writer, self._listing, self._parts, self._part = source, writer, listing, parts, part
        self._is_first = part == 0
        self._directories = {entry.path: entry for entry in listing.entries if entry.kind == "dir"}
        self._exclusive = {
            entry.path for entry, own in zip(listing.entries, parts, strict=True) if entry.kind == "dir" and own == part
        }
        self._times = self._latest()
        self._made: set[str] = set()

    def write(self) -> int:
        root = self._listing.root
        self._writer.directory(replace(root, is_opaque=False))
        if self._is_first and root.is_opaque:
            self._writer.opaque("")
        count = 0
        for entry, part in zip(self._listing.entries, self._parts, strict=True):
            is_mark = entry.is_whiteout or (entry.kind == "dir" and entry.is_opaque)
            if part != self._part and not (is_mark and self._is_first):
                continue
            count += 1
            self._above(entry.path)
            if entry.is_whiteout:
                if self._is_first:
                    self._writer.whiteout(entry.path)
            elif entry.kind == "dir":
                self._directory(entry)
            else:
                self._other(entry)
        return count

    def _above(self, path: str) -> None:
        missing = []
        while (path := path.rpartition("/")[0]) and path not in self._made:
            missing.append(path)
        for path in reversed(missing):
            if path in self._directories:
                self._directory(self._directories[path])

    def _directory(self, entry: Entry) -> None:
        if entry.path in self._made:
            return
        self._made.add(entry.path)
        mtime_ns = entry.mtime_ns
        if entry.path not in self._exclusive and self._part != SHARED:
            mtime_ns = self._times.get(entry.path, 0)
        self._writer.directory(replace(entry, is_opaque=False, mtime_ns=mtime_ns))
        if entry.is_opaque and self._is_first:
            self._writer.opaque(entry.path)

    def _other(self, entry: Entry) -> None:
        above, _, name = entry.path.rpartition("/")
        parent = open_real(self._source, above, DIRECTORY) if above else os.dup(self._source)
        try:
            if self._writer.adopt(entry.path, parent, name):
                return
            if entry.kind != "file":
                self._writer.add(entry)
                return
            fd = os.open(name, _READ, dir_fd=parent)
            try:
                self._writer.file(replace(entry, xattrs=read_xattrs(fd)[0]), fd)
            finally:
                os.close(fd)
        finally:
            os.close(parent)

    def _latest(self) -> dict[str, int]:
        """The time of the newest of this part's files below each directory."""
        found: dict[str, int] = {}
        for entry, part in zip(self._listing.entries, self._parts, strict=True):
            if part != self._part or entry.is_whiteout:
                continue
            above = entry.path.rpartition("/")[0]
            while above and found.get(above, -1 << 63) < entry.mtime_ns:
                found[above] = entry.mtime_ns
                above = above.rpartition("/")[0]
        return found
