"""What one path is.

Paths are relative to a tree's root, without a leading slash, as str with surrogate escapes for bytes that are no UTF-8
(`os.fsencode` gives the exact bytes back); "" is the root itself.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import Literal, TypeAlias

from slimstage.values import dataclass, field

Kind: TypeAlias = Literal["file", "dir", "symlink", "char", "block", "fifo", "socket"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One path: `mode` is the permission bits with setuid, setgid and sticky (0o7777)."""

    path: str
    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int = 0
    """Bytes of a regular file, 0 for all else."""
    mtime_ns: int = 0
    target: str = ""
    """Of a symlink."""
    rdev: tuple[int, int] = (0, 0)
    xattrs: Mapping[str, bytes] = field(default_factory=dict)
    """Those that are part of an image: see tree/xattrs.py."""
    identity: tuple[int, int] = (0, 0)
    """(device, inode): equal for the names of one file."""
    nlink: int = 1
    is_opaque: bool = False
    """Of a directory in a layer: it hides what lower layers have below it."""

    @property
    def is_whiteout(self) -> bool:
        """True for the mark of a deleted name; see tree/marks.py."""
        if self.kind == "socket":
            return self.mode == 0 and self.mtime_ns == 0
        return self.kind == "char" and self.rdev == (0, 0)


NO_XATTRS: Mapping[str, bytes] = {}
NO_DEVICE = (0, 0)
KINDS: dict[int, Kind] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}
"""By the file type bits of a mode."""


def entry_of(
    path: str,
    status: os.stat_result,
    *,
    target: str = "",
    xattrs: Mapping[str, bytes] = NO_XATTRS,
    is_opaque: bool = False,
) -> Entry:
    """The entry that a stat result describes."""
    mode = status.st_mode
    kind = KINDS[mode & 0o170000]
    return Entry(
        path,
        kind,
        mode & 0o7777,
        status.st_uid,
        status.st_gid,
        status.st_size if kind == "file" else 0,
        status.st_mtime_ns,
        target,
        (os.major(status.st_rdev), os.minor(status.st_rdev)) if kind in ("char", "block") else NO_DEVICE,
        xattrs,
        (status.st_dev, status.st_ino),
        status.st_nlink,
        is_opaque,
    )
