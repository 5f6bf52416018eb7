"""Several layer directories as one that means the same: what a deep stack is made shallower with.

Files are further names of those in the layers, so no byte is copied; marks of deletion stay, because layers that are not
among them may lie below.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from slimstage.tree.entry import Entry
from slimstage.tree.scan import root_entry, scan_at
from slimstage.tree.writer import TreeWriter
from slimstage.tree.xattrs import read_xattrs
from slimstage.values import replace

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def fold(layers: Sequence[str], target: str) -> None:
    """Writes into the empty directory `target` what the layers, base first, are together.

    Put in their place in any stack, it shows the same tree. Files are hard links wherever the file system makes them.
    Raises OSError.
    """
    with TreeWriter(target) as writer:
        for layer in layers:
            _apply(layer, writer)
        writer.finish()


def _apply(layer: str, writer: TreeWriter) -> None:
    root = os.open(layer, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        top = root_entry(root)
        if top.is_opaque:
            for name in os.listdir(writer.open_directory("")):
                writer.remove(name)
        _directory(writer, top)
        for entry, dirfd, name in scan_at(root, for_packing=True):
            if entry.is_whiteout:
                writer.remove(entry.path)
                writer.whiteout(entry.path)
            elif entry.kind == "dir":
                _directory(writer, entry)
            elif not writer.adopt(entry.path, dirfd, name):
                _copy(writer, entry, dirfd, name)
    finally:
        os.close(root)


def _directory(writer: TreeWriter, entry: Entry) -> None:
    path = entry.path
    there = writer.lstat(path)
    if entry.is_opaque and path:
        writer.remove(path)
    writer.directory(entry)
    if there is not None and stat.S_ISDIR(there.st_mode):
        fd = writer.open_directory(path)
        for name in read_xattrs(fd)[0].keys() - entry.xattrs.keys():
            os.removexattr(fd, name)
    # In place of a file it hides what the file hid: all that layers further below have there.
    if entry.is_opaque or (there is not None and not stat.S_ISDIR(there.st_mode)):
        writer.opaque(path)


def _copy(writer: TreeWriter, entry: Entry, dirfd: int, name: str) -> None:
    """Where no further link can be made: another file system, or as many as it can count."""
    if entry.kind != "file":
        writer.add(entry)
        return
    fd = os.open(name, _READ, dir_fd=dirfd)
    try:
        writer.file(replace(entry, xattrs=read_xattrs(fd)[0]), fd)
    finally:
        os.close(fd)
