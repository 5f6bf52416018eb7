"""An entry of a context: what a walk of a user's directory says of a file, and by what it is known again."""

from __future__ import annotations

import os
import stat

from slimstage.context.tree import FileIdentity
from slimstage.tree.entry import KINDS, NO_DEVICE, NO_XATTRS, Entry
from slimstage.tree.paths import link_path
from slimstage.tree.xattrs import read_xattrs
from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class ContextEntry(Entry):
    """`ctime_ns` tells, with the rest, whether the file is still the one that was digested."""

    ctime_ns: int = 0

    @property
    def file_identity(self) -> FileIdentity:
        return FileIdentity(*self.identity, self.size, self.mtime_ns, self.ctime_ns)


def entry_of(fd: int, name: str, path: str, status: os.stat_result, *, is_bare: bool = False) -> ContextEntry:
    """What lies at a name in an open directory; bare: without its xattrs. Raises OSError when it is gone."""
    mode = status.st_mode
    kind = KINDS[stat.S_IFMT(mode)]
    has_xattrs = not is_bare and kind in ("file", "dir")
    return ContextEntry(
        path,
        kind,
        mode & 0o7777,
        status.st_uid,
        status.st_gid,
        status.st_size if kind == "file" else 0,
        status.st_mtime_ns,
        os.readlink(name, dir_fd=fd) if kind == "symlink" else "",
        (os.major(status.st_rdev), os.minor(status.st_rdev)) if kind in ("char", "block") else NO_DEVICE,
        read_xattrs(link_path(fd, name))[0] if has_xattrs else NO_XATTRS,
        (status.st_dev, status.st_ino),
        status.st_nlink,
        ctime_ns=status.st_ctime_ns,
    )
