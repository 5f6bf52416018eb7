"""The target's whole file tree, as plain files: `type=local` (a directory) and `type=tar` (one flat tar)."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from slimstage.build.packing import Times
from slimstage.errors import UsageError
from slimstage.store.files import remove_tree
from slimstage.store.leftovers import beside
from slimstage.tree.entry import Entry
from slimstage.tree.pack import LAYER_XATTRS, member_header
from slimstage.tree.union import UnionTree
from slimstage.tree.writer import TreeWriter
from slimstage.values import replace

_KINDS = {"file": b"0", "symlink": b"2", "char": b"3", "block": b"4", "dir": b"5", "fifo": b"6"}
_BLOCK = 1 << 20
_END = bytes(1024)


def export_directory(tree: UnionTree, destination: str, times: Times, beside: Callable[[str], str] = beside) -> None:
    """Copies the tree into the directory. A new one appears whole or not at all; in one that is there files are put one
    by one, and what is there else stays.

    Files belong to whoever runs this, as with buildx: only modes, times and links are kept. Devices are left out.
    beside: names the directory that is written first. Raises UsageError: the destination is no directory.
    """
    path = os.path.realpath(destination)
    if os.path.isdir(path):
        _copy_tree(tree, path, times)
        return
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.lexists(path):
            raise NotADirectoryError
    except (FileExistsError, NotADirectoryError) as cause:
        raise UsageError(f'--output: "{destination}" is not a directory', code="bad-output") from cause
    temporary = beside(path)
    os.mkdir(temporary)
    try:
        _copy_tree(tree, temporary, times)
        os.rename(temporary, path)
    except BaseException:
        remove_tree(temporary)
        raise


def _copy_tree(tree: UnionTree, destination: str, times: Times) -> None:
    uid, gid = os.geteuid(), os.getegid()
    first: dict[tuple[int, int], str] = {}
    with TreeWriter(destination) as writer:
        for entry in tree.walk(""):
            if entry.kind in ("char", "block", "socket"):
                continue
            own = replace(entry, uid=uid, gid=gid, xattrs={}, mtime_ns=_time_ns(entry, times))
            if entry.kind == "file" and entry.nlink > 1:
                earlier = first.setdefault(entry.identity, entry.path)
                if earlier != entry.path:
                    writer.link(entry.path, earlier)
                    continue
            if entry.kind != "file":
                writer.add(own)
                continue
            fd = tree.open(entry.path)
            try:
                writer.add(own, fd)
            finally:
                os.close(fd)
        writer.finish()


def export_tar(tree: UnionTree, write: Callable[[bytes | memoryview], object], times: Times) -> None:
    """Writes the tree as one tar: names sorted, owners, capabilities and hard links kept; deterministic."""
    first: dict[tuple[int, int], bytes] = {}
    for entry in tree.walk(""):
        if entry.kind == "socket":
            continue
        name = os.fsencode(entry.path) + (b"/" if entry.kind == "dir" else b"")
        time_s = _time_ns(entry, times) // 1_000_000_000
        if entry.kind == "file" and entry.nlink > 1:
            earlier = first.setdefault(entry.identity, name)
            if earlier is not name:
                write(member_header(name, b"1", entry.mode, entry.uid, entry.gid, 0, time_s, earlier))
                continue
        size = entry.size if entry.kind == "file" else 0
        write(
            member_header(
                name,
                _KINDS[entry.kind],
                entry.mode,
                entry.uid,
                entry.gid,
                size,
                time_s,
                os.fsencode(entry.target),
                entry.rdev,
                [(key, entry.xattrs[key]) for key in LAYER_XATTRS if key in entry.xattrs],
            )
        )
        if size:
            _content(tree, entry, write)
    write(_END)


def _content(tree: UnionTree, entry: Entry, write: Callable[[bytes | memoryview], object]) -> None:
    fd = tree.open(entry.path)
    try:
        assert stat.S_ISREG(os.fstat(fd).st_mode)
        left = entry.size
        while left and (data := os.read(fd, min(_BLOCK, left))):
            write(data)
            left -= len(data)
    finally:
        os.close(fd)
    if padding := -entry.size % 512:
        write(bytes(padding))


def _time_ns(entry: Entry, times: Times) -> int:
    if times.latest_s is None:
        return entry.mtime_ns
    latest = times.latest_s * 1_000_000_000
    return latest if times.is_for_all else min(entry.mtime_ns, latest)
