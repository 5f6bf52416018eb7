"""What one path is.

Paths are relative to a tree's root, without a leading slash, as str with surrogate escapes for bytes that are no UTF-8
(`os.fsencode` gives the exact bytes back); "" is the root itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

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
    """Without overlay's own (`trusted.overlay.*`, `user.overlay.*`) and without security.selinux."""
    identity: tuple[int, int] = (0, 0)
    """(device, inode): equal for the names of one file."""
    nlink: int = 1
