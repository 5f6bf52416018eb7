"""A stack of layers as one ordinary directory, for where overlayfs cannot be mounted; its changes become a layer again.

The tree is copied (reflinks where the file system has them), the command changes the copy, and what differs from the stack
is linked into the layer directory. Slower than an overlay by that copy; the layer is the same.

Source: docs/decisions/0014-plain-copies.md.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Collection, Iterator, Sequence

from slimstage.tree.birth import birth_ns
from slimstage.tree.diff import diff, unchanged
from slimstage.tree.entry import Entry
from slimstage.tree.scan import scan_at
from slimstage.tree.union import UnionTree
from slimstage.tree.writer import TreeWriter
from slimstage.values import replace

_TICK_S = 0.0005
_MOST_TICKS = 200


class PlainTree:
    """The tree of `lowers` (base first) at `place`, an empty directory. Not for several threads at once."""

    def __init__(self, lowers: Sequence[str], place: str) -> None:
        self._lowers, self._place = lowers, place
        self._directories: dict[str, int] = {}
        self._first_ns = self._last_ns = 0
        self._replaced = ""
        self._current: tuple[int, str] = (-1, "")
        self._exempt: Collection[str] = ()

    def fill(self) -> None:
        """Copies the tree. Raises OSError."""
        self._first_ns = _now_ns(self._place)
        with UnionTree(self._lowers) as tree, TreeWriter(self._place) as writer:
            copy_subtree(tree, "", writer)
            writer.finish()
        for entry, _, _ in scan_at(self._place, for_packing=True):
            if entry.kind == "dir":
                self._directories[entry.path] = entry.identity[1]
        self._last_ns = _settled_ns(self._place)

    def changes_into(self, layer: str, exempt: Collection[str] = ()) -> None:
        """Writes what changed since `fill` into an empty layer directory, in a layer's form; files are linked, not copied.

        exempt: directories in which the sandbox itself made and removed mount points: their change times say nothing.
        Raises OSError.
        """
        self._exempt = exempt
        with UnionTree(self._lowers) as before:

            def inherit(path: str) -> Entry | None:
                found = before.lstat(path)
                return found if found is not None and found.kind == "dir" else None

            with TreeWriter(layer, inherit=inherit) as writer:
                for change in diff(before.walk(""), self._entries(), same=self._is_same):
                    path = change.entry.path
                    if change.kind == "deleted":
                        if not self._is_below_replaced(path):
                            writer.whiteout(path)
                    elif change.entry.kind == "dir":
                        writer.directory(change.entry)
                        was = before.lstat(path) if change.kind == "modified" else None
                        if was is not None and (was.kind != "dir" or self._replaced == path + "/"):
                            writer.opaque(path)
                    elif change.entry.kind == "socket":
                        # No layer can hold one; what was there before is gone nevertheless.
                        if change.kind == "modified":
                            writer.whiteout(path)
                    else:
                        self._take(change.entry, writer)
                writer.finish()

    def _take(self, entry: Entry, writer: TreeWriter) -> None:
        directory, name = self._current
        if writer.adopt(entry.path, directory, name):
            return
        if entry.kind != "file":
            writer.add(entry)
            return
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=directory)
        try:
            writer.file(entry, fd)
        finally:
            os.close(fd)

    def _entries(self) -> Iterator[Entry]:
        for entry, directory, name in scan_at(self._place):
            self._current = directory, name
            yield entry

    def _is_same(self, before: Entry, after: Entry) -> bool:
        path = after.path
        if self._is_below_replaced(path):
            return False
        if after.kind == "dir" and self._is_another(after):
            # Another directory took the place: what is in it can have the size and time of what was there before.
            self._replaced = path + "/"
            return False
        return unchanged(before, after) and (path in self._exempt or self._is_untouched())

    def _is_another(self, entry: Entry) -> bool:
        """True for a directory that `fill` did not make; its inode number may be a removed one's."""
        if self._directories.get(entry.path) != entry.identity[1]:
            return True
        directory, name = self._current
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            return birth_ns(fd) > self._last_ns
        finally:
            os.close(fd)

    def _is_below_replaced(self, path: str) -> bool:
        return bool(self._replaced) and path.startswith(self._replaced)

    def _is_untouched(self) -> bool:
        """True when its change time, which no program can choose, lies in the time of copying."""
        directory, name = self._current
        changed_ns = os.stat(name, dir_fd=directory, follow_symlinks=False).st_ctime_ns
        return self._first_ns <= changed_ns <= self._last_ns


def copy_subtree(tree: UnionTree, top: str, writer: TreeWriter, *, links: bool = False) -> None:
    """Copies all below a resolved directory of the tree to the writer's root; hard links stay hard links.

    links: files become further names of the layers' own, for whoever only reads them.
    Raises OSError.
    """
    skipped = len(top) + 1 if top else 0
    first: dict[tuple[int, tuple[int, int]], str] = {}
    for entry in tree.walk(top):
        own = replace(entry, path=entry.path[skipped:]) if skipped else entry
        if entry.kind == "file":
            if links and writer.adopt(own.path, *tree.place(entry.path)):
                continue
            if entry.nlink > 1:
                # Of one layer only: files of several share an inode where COPY linked them, and are several files.
                earlier = first.setdefault((tree.layer_of(entry.path), entry.identity), own.path)
                if earlier != own.path:
                    writer.link(own.path, earlier)
                    continue
            fd = tree.open(entry.path)
            try:
                writer.file(own, fd)
            finally:
                os.close(fd)
        else:
            writer.add(own)


def _now_ns(directory: str) -> int:
    """The time by which the file system stamps changes now."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        facts = os.fstat(fd)
        os.fchmod(fd, stat.S_IMODE(facts.st_mode))
        return os.fstat(fd).st_ctime_ns
    finally:
        os.close(fd)


def _settled_ns(directory: str) -> int:
    """That time once it has moved on, so that a later change cannot carry it: a tick is up to 10 ms."""
    first_ns = _now_ns(directory)
    for _ in range(_MOST_TICKS):
        if _now_ns(directory) != first_ns:
            break
        time.sleep(_TICK_S)
    return first_ns
