"""Reads one directory as it is on disk, such as a layer directory, into entries."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping

from slimstage.tree.entry import NO_XATTRS, Entry, entry_of
from slimstage.tree.marks import is_whiteout, unchanged_names
from slimstage.tree.paths import DIRECTORY, ascend, link_path, sort_by_bytes
from slimstage.tree.xattrs import read_xattrs

_OPEN_LEVELS = 64


def scan(root: str | int) -> Iterator[Entry]:
    """All below a directory (a path, or a descriptor that stays the caller's), not itself.

    Each directory comes before what it holds, names sorted by bytes. Whiteouts are entries (`is_whiteout`), opaque
    directories are flagged. No symlink is followed and nothing is opened but directories. Raises OSError.
    """
    for entry, _, _ in scan_at(root):
        yield entry


def scan_at(root: str | int, *, for_packing: bool = False) -> Iterator[tuple[Entry, int, str]]:
    """As `scan`, with (entry, descriptor of its directory, its name there); the descriptor is valid until the next.

    for_packing: in each directory the whiteouts come before all else, and files are without their xattrs, which cost
    less to read from the open file.
    """
    listing = _whiteouts_first if for_packing else _listing
    top = os.dup(root) if isinstance(root, int) else os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    # One per directory being read: path with its slash, descriptor or -1, identity, what is left (last first).
    levels: list[tuple[str, int, tuple[int, int], list[str]]] = []
    fd = top
    try:
        status = os.fstat(top)
        levels.append(("", top, (status.st_dev, status.st_ino), listing(top)))
        while levels:
            prefix, fd, _, left = levels[-1]
            while left:
                name = left.pop()
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                path = prefix + name
                mode = status.st_mode
                target, xattrs, is_opaque = "", NO_XATTRS, False
                if stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and not for_packing):
                    # Other kinds have no xattrs that are kept: the kernel refuses user.* and capabilities there.
                    xattrs, is_opaque = read_xattrs(link_path(fd, name))
                elif stat.S_ISLNK(mode):
                    target = os.readlink(name, dir_fd=fd)
                yield entry_of(path, status, target=target, xattrs=xattrs, is_opaque=is_opaque), fd, name
                if stat.S_ISDIR(mode):
                    child = os.open(name, DIRECTORY, dir_fd=fd)
                    levels.append((path + "/", child, (status.st_dev, status.st_ino), []))
                    levels[-1][3].extend(listing(child))
                    if len(levels) > _OPEN_LEVELS and (far := levels[-_OPEN_LEVELS - 1])[1] >= 0:
                        os.close(far[1])
                        levels[-_OPEN_LEVELS - 1] = (far[0], -1, far[2], far[3])
                    break
            else:
                if len(levels) > 1 and levels[-2][1] < 0:
                    above = levels[-2]
                    levels[-2] = (above[0], ascend(fd, above[2]), above[2], above[3])
                levels.pop()
                os.close(fd)
    finally:
        for _, fd, _, _ in levels:
            if fd >= 0:
                os.close(fd)


def _listing(fd: int) -> list[str]:
    """The names in a directory, last first, so that `pop` gives them in order. Names alone: a directory may hold a million."""
    return sort_by_bytes(os.listdir(fd), reverse=True)


def _whiteouts_first(fd: int) -> list[str]:
    names: list[str] = []
    marks: set[str] = set()
    with os.scandir(fd) as entries:
        for entry in entries:
            names.append(entry.name)
            # By what the directory says of it: only few are asked for more.
            is_common = (
                entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False) or entry.is_symlink()
            )
            if not is_common and is_whiteout(entry.stat(follow_symlinks=False)):
                marks.add(entry.name)
    if unchanged := unchanged_names(fd):
        names = [name for name in names if name not in unchanged]
    sort_by_bytes(names, reverse=True)
    if marks:
        names.sort(key=marks.__contains__)  # stable, and the last are taken first
    return names


def root_entry(root: int) -> Entry:
    """The entry of a directory itself, with path ""."""
    xattrs: Mapping[str, bytes]
    xattrs, is_opaque = read_xattrs(root)
    return entry_of("", os.fstat(root), xattrs=xattrs, is_opaque=is_opaque)
