"""Hard links beyond what a filesystem allows (65,000 names of one file on ext4): copies take the names that come."""

from __future__ import annotations

import os
import stat
from typing import Protocol

from slimstage.tree.entry import Entry, entry_of
from slimstage.tree.paths import link_path
from slimstage.tree.xattrs import read_xattrs


class Writer(Protocol):
    """What is needed of a TreeWriter."""

    def add(self, entry: Entry, data: int | None = None) -> int: ...
    def lstat(self, path: str) -> os.stat_result | None: ...


class MoreNames:
    """Of the files of one writer's tree."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._copies: dict[tuple[int, int], tuple[str, tuple[int, int]]] = {}

    def of(self, target: str, status: os.stat_result) -> str:
        """The path to link to: the target, or the copy that took its place, unless that was replaced meanwhile."""
        path, identity = self._copies.get((status.st_dev, status.st_ino), ("", None))
        found = self._writer.lstat(path) if path else None
        return path if found is not None and (found.st_dev, found.st_ino) == identity else target

    def copy(self, source: tuple[int, str], path: str, first: os.stat_result) -> None:
        """Makes `path` a second file (symlink, node) like the one at (directory, name), with all that we keep of one.

        first: of the file that was to get one more name; the copy takes those that follow.
        """
        fd, name = source
        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        target = os.readlink(name, dir_fd=fd) if stat.S_ISLNK(status.st_mode) else ""
        entry = entry_of(path, status, target=target, xattrs=read_xattrs(link_path(fd, name))[0])
        if entry.kind == "file":
            data = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            try:
                self._writer.add(entry, data)
            finally:
                os.close(data)
        else:
            self._writer.add(entry)
        made = self._writer.lstat(path)
        assert made is not None
        self._copies[first.st_dev, first.st_ino] = path, (made.st_dev, made.st_ino)
