"""How a layer directory says that something of the layers below it is gone.

As overlayfs has it wherever the file system lets us: a deleted name is a character device 0:0, an opaque directory has an
xattr. A file system that refuses these gets marks that only we read, and then nothing is ever mounted as an overlay: a
socket of mode 0 and time 0 (no tar can hold a socket, so no image has one), and an xattr of another name. Overlayfs itself
is such a file system, and so the root of every container is.
Source: Linux, Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories".
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import suppress

from slimstage.tree.xattrs import OPAQUE_SUBSTITUTE, is_opaque, opaque_name

_REFUSALS = {errno.EPERM, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}
_DEVICE = os.makedev(0, 0)

_refusing: set[int] = set()
"""File systems found to take no marks of overlayfs: fuse-overlayfs spoils a name for which one is tried."""


class UnfitFilesystem(Exception):
    """No layer can lie here; the text says what cannot be held."""


def is_whiteout(status: os.stat_result) -> bool:
    """True for the mark of a deleted name, in either form."""
    mode = status.st_mode
    if mode == stat.S_IFSOCK:
        return status.st_mtime_ns == 0
    return stat.S_ISCHR(mode) and status.st_rdev == _DEVICE


def make_whiteout(parent: int, name: str) -> None:
    """Marks the name as deleted, in a directory by descriptor. Raises FileExistsError when something is there."""
    if (_refusing and os.fstat(parent).st_dev in _refusing) or not _make_device(parent, name):
        os.mknod(name, stat.S_IFSOCK, dir_fd=parent)
        os.chmod(name, 0, dir_fd=parent)  # made just now, so it is no symlink
    # A fixed time, so that the same deletions give the same directory.
    os.utime(name, ns=(0, 0), dir_fd=parent, follow_symlinks=False)


def _make_device(parent: int, name: str) -> bool:
    """False where overlayfs' mark cannot be made, or vanishes: fuse-overlayfs takes it for a deletion of its own."""
    try:
        os.mknod(name, stat.S_IFCHR, _DEVICE, dir_fd=parent)
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        return False
    return True


def set_opaque(directory: int) -> None:
    """Marks an open directory as hiding all that lower layers have in it."""
    try:
        os.setxattr(directory, opaque_name(), b"y")
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        os.setxattr(directory, OPAQUE_SUBSTITUTE, b"y")


def clear_opaque(directory: int) -> None:
    """Takes the mark away, in either form. Idempotent."""
    for name in (opaque_name(), OPAQUE_SUBSTITUTE):
        try:
            os.removexattr(directory, name)
        except OSError as error:
            if error.errno != errno.ENODATA and error.errno not in _REFUSALS:
                raise


def mark_unchanged(directory: int, names: Sequence[str]) -> None:
    """Notes names in an open directory that are as they are below: they stay for other steps and are not packed.

    Of overlayfs' own namespace, so that it is never copied up into a later layer. Where it cannot be kept, they are packed.
    """
    value = b"\0".join(os.fsencode(name) for name in names)
    with suppress(OSError):
        os.setxattr(directory, _unchanged_name(), value)


def unchanged_names(directory: int) -> frozenset[str]:
    """What `mark_unchanged` noted; empty where it noted nothing."""
    try:
        value = os.getxattr(directory, _unchanged_name())
    except OSError:
        return frozenset()
    return frozenset(os.fsdecode(name) for name in value.split(b"\0"))


def _unchanged_name() -> str:
    return opaque_name().removesuffix("opaque") + "slimstage.unchanged"


def holds_overlays_marks(directory: str) -> bool:
    """Tries in an empty directory of the store's file system whether overlayfs' own marks can be made there.

    What it makes stays; the answer is remembered for the whole file system. Raises UnfitFilesystem where not even a plain
    tree can be held (no symlinks, no modes: vfat); other OSErrors (a full disk) as they are.
    """
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            os.symlink("target", "symlink", dir_fd=fd)
        except OSError as error:
            if error.errno not in _REFUSALS:
                raise
            raise UnfitFilesystem("symlinks") from error
        os.mkdir("directory", 0o700, dir_fd=fd)
        os.chmod("directory", 0o1751, dir_fd=fd)
        if stat.S_IMODE(os.stat("directory", dir_fd=fd).st_mode) != 0o1751:
            raise UnfitFilesystem("modes of files")
        child = os.open("directory", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
        try:
            os.setxattr(child, opaque_name(), b"y")
            holds = is_opaque(child) and _make_device(fd, "whiteout")
        except OSError as error:
            if error.errno not in _REFUSALS:
                raise
            holds = False
        finally:
            os.close(child)
        if not holds:
            _refusing.add(os.fstat(fd).st_dev)
        return holds
    finally:
        os.close(fd)
