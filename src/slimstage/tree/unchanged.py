"""Takes out of a new layer directory what is not a change.

An overlay copies a file up as soon as its mode, owner or time is set, also to what it was; a COPY writes what is there
already; a directory that was removed and made again hides all that it had, one made in the place of a file what never was
in it. What of it is as it was below goes, so that a layer
holds changes only and says each deletion by name.

Source: containerd/continuity fs/diff.go (sameFile) as BuildKit's snapshot differ uses it; OCI image-spec v1.1, layer.md,
"Opaque Whiteout" (explicit ones should be used).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence

from slimstage.tree.entry import KINDS, Entry
from slimstage.tree.marks import clear_opaque, is_whiteout, make_whiteout, mark_unchanged, set_opaque
from slimstage.tree.paths import link_path
from slimstage.tree.union import UnionTree
from slimstage.tree.writer import TreeWriter
from slimstage.tree.xattrs import is_opaque, read_xattrs

_CHUNK_BYTES = 1 << 20
_FEW = 16
"""Names that are looked up one by one in the layers below; for more, their directory is listed once."""


def drop_unchanged(layer: str, lowers: Sequence[str], *, keeps_links: bool = False) -> bool:
    """True when something was taken out. lowers: the layer directories below, base first.

    Only directories that are in both are looked into. A file is as it was when its owner, mode, size, time, xattrs and
    content are; of a directory the time does not count.
    keeps_links: an unchanged file that got another name stays, since both are one file for a later COPY --from; it is only
    marked, and is not packed.
    Raises OSError.
    """
    with UnionTree(lowers) as below, TreeWriter(layer) as upper:
        return _Dropping(below, upper, keeps_links).everything()


class _Dropping:
    def __init__(self, below: UnionTree, upper: TreeWriter, keeps_links: bool) -> None:
        self._below, self._upper, self._keeps_links = below, upper, keeps_links
        self._touched: dict[str, int] = {}
        """Directories that lost something, and the time that they had."""

    def everything(self) -> bool:
        seen: list[str] = []
        todo = [""]
        while todo:
            path = todo.pop()
            seen.append(path)
            todo += self._directory(path)
        for path in reversed(seen):  # what is in a directory comes before it
            if path and self._is_as_it_was(path):
                self._touch(path.rpartition("/")[0])
                self._upper.remove(path)
            elif path in self._touched:
                mtime_ns = self._touched[path]
                os.utime(self._upper.open_directory(path), ns=(mtime_ns, mtime_ns))
        return bool(self._touched)

    def _directory(self, path: str) -> list[str]:
        """Removes the unchanged of one directory, deletions by name in place of an opaque mark; returns what to look into."""
        fd = self._upper.open_directory(path)
        with os.scandir(fd) as found:
            directories = {each.name: each.is_dir(follow_symlinks=False) for each in found}
        names = sorted(directories)
        hides = is_opaque(fd)
        known = frozenset(self._below.names(path)) if hides or len(names) > _FEW else frozenset(names)
        inside: list[str] = []
        linked: list[str] = []
        for name in names:
            here = f"{path}/{name}" if path else name
            lower = self._below.lstat(here) if name in known else None
            if directories[name]:
                if lower is not None and lower.kind == "dir":
                    if hides:
                        set_opaque(self._upper.open_directory(here))
                    inside.append(here)
                elif is_opaque(link_path(fd, name)):  # as overlayfs marks what takes the place of a file
                    clear_opaque(self._upper.open_directory(here))
                fd = self._upper.open_directory(path)
                continue
            if lower is None:
                continue
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if is_whiteout(status):
                continue
            if self._is_same(lower, status, fd, name):
                if self._keeps_links and stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
                    linked.append(name)
                    continue
                self._touch(path)
                os.unlink(name, dir_fd=fd)
        if linked:
            mark_unchanged(fd, linked)
        if hides:
            self._touch(path)
            for name in sorted(known - set(names)):
                make_whiteout(fd, name)
            clear_opaque(fd)
        return inside

    def _touch(self, path: str) -> None:
        if path not in self._touched:
            self._touched[path] = os.fstat(self._upper.open_directory(path)).st_mtime_ns

    def _is_as_it_was(self, path: str) -> bool:
        fd = self._upper.open_directory(path)
        lower = self._below.lstat(path)
        if lower is None or os.listdir(fd):
            return False
        status = os.fstat(fd)
        xattrs, _ = read_xattrs(fd)
        return _same_rights(lower, status) and dict(xattrs) == dict(lower.xattrs)

    def _is_same(self, lower: Entry, status: os.stat_result, fd: int, name: str) -> bool:
        if lower.identity == (status.st_dev, status.st_ino):
            return True
        if not _same_rights(lower, status) or lower.mtime_ns != status.st_mtime_ns:
            return False
        if lower.kind == "symlink":
            return lower.target == os.readlink(name, dir_fd=fd)
        if lower.kind != "file":
            return lower.rdev == (os.major(status.st_rdev), os.minor(status.st_rdev)) or lower.kind == "fifo"
        if lower.size != status.st_size or dict(read_xattrs(link_path(fd, name))[0]) != dict(lower.xattrs):
            return False
        return lower.size == 0 or self._same_content(lower.path, fd, name)

    def _same_content(self, path: str, fd: int, name: str) -> bool:
        before = self._below.open(path)
        try:
            after = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            try:
                while True:
                    piece = os.read(before, _CHUNK_BYTES)
                    if piece != _exactly(after, len(piece) or 1):
                        return False
                    if not piece:
                        return True
            finally:
                os.close(after)
        finally:
            os.close(before)


def _same_rights(lower: Entry, status: os.stat_result) -> bool:
    return (
        KINDS[stat.S_IFMT(status.st_mode)] == lower.kind
        and stat.S_IMODE(status.st_mode) == lower.mode
        and (status.st_uid, status.st_gid) == (lower.uid, lower.gid)
    )


def _exactly(fd: int, count: int) -> bytes:
    """That many bytes, less only at the end."""
    found = b""
    while len(found) < count and (piece := os.read(fd, count - len(found))):
        found += piece
    return found
