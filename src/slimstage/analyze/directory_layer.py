"""A layer as a directory of the store: walked where it lies, in the form that tree/marks.py describes.

Whatever is in it came from an image: everything goes through descriptors, and no symlink is followed.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator

from slimstage.analyze.layers import Content, Keeps, LayerEntry, LayerFacts
from slimstage.tree.marks import is_whiteout, unchanged_names
from slimstage.tree.paths import DIRECTORY, open_real
from slimstage.tree.xattrs import is_opaque

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_BLOCK_BYTES = 1 << 20


class DirectoryLayer:
    """See `layers.Layer`. Closing it closes its descriptor."""

    has_digests = False

    def __init__(self, path: str, facts: LayerFacts) -> None:
        self.facts = facts
        self._root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def entries(self, keeps: Keeps) -> Iterator[LayerEntry]:
        """In the order in which the layer is packed; everything can be read later, whatever `keeps` says."""
        # A COPY from a stage shares files between layers: only names that this layer has twice are links here.
        links: dict[tuple[int, int], int] = {}
        levels = [iter(self._directory("", links))]
        while levels:
            for entry in levels[-1]:
                yield entry
                if entry.kind == "dir":
                    levels.append(iter(self._directory(entry.path, links)))
                    break
            else:
                levels.pop()

    def _directory(self, path: str, links: dict[tuple[int, int], int]) -> list[LayerEntry]:
        fd = open_real(self._root, path, DIRECTORY)
        try:
            return list(_entries(path, fd, links))
        finally:
            os.close(fd)

    def open(self, path: str) -> Content | None:
        try:
            fd = open_real(self._root, path, _READ)
        except OSError:
            return None
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            return None
        return _FileContent(fd, status.st_size)

    def digest(self, path: str) -> bytes | None:
        content = self.open(path)
        if content is None:
            return None
        state, at = hashlib.sha256(), 0
        try:
            while data := content.at(at, _BLOCK_BYTES):
                state.update(data)
                at += len(data)
        finally:
            content.close()
        return state.digest()

    def close(self) -> None:
        """Idempotent."""
        if self._root >= 0:
            os.close(self._root)
            self._root = -1


class _FileContent:
    def __init__(self, fd: int, size: int) -> None:
        self._fd, self.size = fd, size

    def at(self, offset: int, count: int) -> bytes:
        data = os.pread(self._fd, count, offset)
        if len(data) == count or not data:
            return data
        parts = [data]
        while (count := count - len(data)) and (data := os.pread(self._fd, count, offset := offset + len(data))):
            parts.append(data)
        return b"".join(parts)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _entries(path: str, fd: int, links: dict[tuple[int, int], int]) -> Iterator[LayerEntry]:
    hidden: frozenset[str] = frozenset()
    if os.listxattr(fd):
        hidden = unchanged_names(fd)
        if is_opaque(fd):
            yield LayerEntry(path, "opaque")
    prefix = f"{path}/" if path else ""
    with os.scandir(fd) as found:
        names = sorted(found, key=_name)
    for each in names:
        if each.name in hidden:
            continue
        status = each.stat(follow_symlinks=False)
        mode, here = status.st_mode, prefix + each.name
        owner = (mode & 0o7777, status.st_uid, status.st_gid)
        if stat.S_ISREG(mode):
            link = 0
            if status.st_nlink > 1:
                link = links.setdefault((status.st_dev, status.st_ino), len(links) + 1)
            yield LayerEntry(here, "file", status.st_size, link, "", *owner)
        elif stat.S_ISDIR(mode):
            yield LayerEntry(here, "dir", 0, 0, "", *owner)
        elif stat.S_ISLNK(mode):
            yield LayerEntry(here, "symlink", 0, 0, os.readlink(each.name, dir_fd=fd), *owner)
        else:
            yield LayerEntry(here, "whiteout" if is_whiteout(status) else "other", 0, 0, "", *owner)


def _name(entry: os.DirEntry[str]) -> bytes:
    return os.fsencode(entry.name)
