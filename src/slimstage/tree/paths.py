"""Paths under a root, always by directory descriptors: nothing that a name or a symlink says leads outside.

The kernel does the work where it has openat2 (Linux 5.6); elsewhere, and for paths longer than PATH_MAX, the same
rules are walked component by component. Everything here is used by context/, store/ and build/ too: no other module
joins strings to reach a path that came from an image, an archive, a Dockerfile or a context.

Names are str with surrogate escapes (`os.fsencode` gives the exact bytes). Failures are OSError with the errno that
openat2 gives: EXDEV for a path that leads outside, ELOOP for too many or forbidden symlinks.
"""

from __future__ import annotations

import errno
import functools
import os
import stat
import struct
from collections.abc import Callable
from typing import Self

MAX_SYMLINKS = 40
"""As the kernel's: one path follows no more."""

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""Flags that open a real directory."""

_PATH_MAX = 4096
_OPENAT2 = 437  # the same number on every architecture
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH, _IN_ROOT = 0x02, 0x04, 0x08, 0x10
_HOW = struct.Struct("=QQQ")


def open_beneath(dirfd: int, path: str, flags: int, mode: int = 0) -> int:
    """A descriptor of `path` below `dirfd`; symlinks are followed only as long as they stay below.

    The caller closes it; O_CLOEXEC is always set. Raises OSError (EXDEV when it leads outside).
    """
    return _open(dirfd, path, flags, mode, _BENEATH | _NO_MAGICLINKS)


def open_in_root(dirfd: int, path: str, flags: int, mode: int = 0) -> int:
    """A descriptor of `path` as a process with `dirfd` for its root would open it: "/" and ".." end at the root.

    The caller closes it; O_CLOEXEC is always set. Raises OSError.
    """
    return _open(dirfd, path, flags, mode, _IN_ROOT | _NO_MAGICLINKS)


def open_real(dirfd: int, path: str, flags: int, mode: int = 0) -> int:
    """A descriptor of `path` below `dirfd` where no component, the last included, is a symlink.

    The caller closes it; O_CLOEXEC is always set. Raises OSError (ELOOP at a symlink, EXDEV outside).
    """
    return _open(dirfd, path, flags | os.O_NOFOLLOW, mode, _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS)


class RootDir:
    """A directory that stands for a root: opened once, then everything goes through its descriptor."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def open(self, path: str, flags: int = os.O_RDONLY, mode: int = 0) -> int:
        """As `open_in_root`."""
        return open_in_root(self.fd, path, flags, mode)

    def close(self) -> None:
        """Idempotent."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def sort_by_bytes(names: list[str], *, reverse: bool = False) -> list[str]:
    """The same list, sorted as file systems and tars compare names."""
    # Plain names have the same order as text, which is cheaper to compare.
    names.sort(key=None if all(map(str.isascii, names)) else os.fsencode, reverse=reverse)
    return names


def link_path(dirfd: int, name: str) -> str:
    """A path for calls that take no directory descriptor (xattrs): the last component still decides for itself.

    Use it with follow_symlinks=False. `name` must be one component, or "" for the directory itself.
    """
    return f"/proc/self/fd/{dirfd}/{name}"


def remove_tree(dirfd: int, name: str) -> None:
    """Removes what `name` is in `dirfd`, a directory with all it holds, of any depth. Idempotent; follows nothing.

    Raises OSError when something cannot be removed.
    """
    try:
        os.unlink(name, dir_fd=dirfd)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        # POSIX lets unlink of a directory say EPERM: rmdir below tells a real refusal from that.
        _remove_directory(dirfd, name)


def ascend(child: int, identity: tuple[int, int]) -> int:
    """A descriptor of the directory that holds the directory `child`; it must be the one that `identity` says.

    Lets a walk of any depth keep few descriptors open. Raises OSError (ESTALE when the tree was moved meanwhile).
    """
    parent = os.open("..", DIRECTORY, dir_fd=child)
    status = os.fstat(parent)
    if (status.st_dev, status.st_ino) != identity:
        os.close(parent)
        raise OSError(errno.ESTALE, "a directory was moved while it was walked")
    return parent


def _open(dirfd: int, path: str, flags: int, mode: int, resolve: int) -> int:
    flags |= os.O_CLOEXEC
    raw = os.fsencode(path) or b"."
    if b"\0" in raw:
        raise OSError(errno.EINVAL, "a path holds a NUL byte", path)
    call = _openat2()
    if call is None or len(raw) >= _PATH_MAX:
        return _walk(dirfd, raw, flags, mode, resolve)
    how = _HOW.pack(flags, mode if flags & (os.O_CREAT | os.O_TMPFILE) else 0, resolve)
    for _ in range(16):
        fd, code = call(dirfd, raw, how)
        if fd >= 0:
            return fd
        # EAGAIN: something was renamed while ".." was resolved, so the kernel could not be sure.
        if code not in (errno.EAGAIN, errno.EINTR):
            break
    else:
        return _walk(dirfd, raw, flags, mode, resolve)
    raise OSError(code, os.strerror(code), path)


@functools.cache
def _openat2() -> Callable[[int, bytes, bytes], tuple[int, int]] | None:
    """The system call as (descriptor or -1, errno); None where the kernel, or a filter around us, lacks it."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    syscall = libc.syscall
    syscall.restype = ctypes.c_long
    syscall.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]

    def call(dirfd: int, path: bytes, how: bytes) -> tuple[int, int]:
        return syscall(_OPENAT2, dirfd, path, how, _HOW.size), ctypes.get_errno()

    fd, code = call(-100, b"/", _HOW.pack(os.O_PATH | os.O_CLOEXEC, 0, 0))
    if fd < 0:
        return None if code in (errno.ENOSYS, errno.EPERM) else call
    os.close(fd)
    return call


def _walk(dirfd: int, path: bytes, flags: int, mode: int, resolve: int) -> int:
    """openat2 in user space. Each directory passed stays open, so ".." goes back the way that was come."""
    stack = [os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=dirfd)]
    links = 0
    try:
        todo = _components(path, stack, resolve)
        while todo:
            name = todo.pop()
            if name == b"..":
                if len(stack) > 1:
                    os.close(stack.pop())
                elif resolve & _BENEATH:
                    raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), os.fsdecode(path))
                continue
            is_last = not todo
            if is_last and (flags & os.O_NOFOLLOW or (flags & os.O_CREAT and flags & os.O_EXCL)):
                return os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=stack[-1])
            try:
                fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=stack[-1])
            except FileNotFoundError:
                if is_last and flags & os.O_CREAT:
                    return os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=stack[-1])
                raise
            kind = stat.S_IFMT(os.fstat(fd).st_mode)
            if kind == stat.S_IFLNK:
                target = os.readlink(b"", dir_fd=fd)
                os.close(fd)
                links += 1
                if resolve & _NO_SYMLINKS or links > MAX_SYMLINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fsdecode(path))
                todo += _components(target, stack, resolve)
            elif kind == stat.S_IFDIR:
                stack.append(fd)
            else:
                os.close(fd)
                if not is_last:
                    raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fsdecode(path))
                return os.open(name, flags | os.O_NOFOLLOW, mode, dir_fd=stack[-1])
        return os.open(".", flags & ~os.O_NOFOLLOW, mode, dir_fd=stack[-1])
    finally:
        for fd in stack:
            os.close(fd)


def _components(path: bytes, stack: list[int], resolve: int) -> list[bytes]:
    """The components, last first; an absolute path starts again at the root, or is refused."""
    if path.startswith(b"/"):
        if resolve & _BENEATH:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), os.fsdecode(path))
        while len(stack) > 1:
            os.close(stack.pop())
    return [name for name in reversed(path.split(b"/")) if name not in (b"", b".")]


_OPEN_LEVELS = 64


def _remove_directory(dirfd: int, name: str) -> None:
    """Removes depth first with a bounded number of open directories: those far above are closed and found again by ".."."""
    levels: list[tuple[str, int, tuple[int, int], list[str]]] = []  # name, descriptor or -1, identity, directories left

    def enter(parent: int, child: str) -> None:
        fd = os.open(child, DIRECTORY, dir_fd=parent)
        try:
            status = os.fstat(fd)
            if status.st_mode & 0o700 != 0o700:
                os.fchmod(fd, 0o700)  # else its owner, when not root, could not empty it
            left = []
            with os.scandir(fd) as entries:
                listing = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
            for inner, is_dir in listing:
                if is_dir:
                    left.append(inner)
                else:
                    os.unlink(inner, dir_fd=fd)
        except BaseException:
            os.close(fd)
            raise
        levels.append((child, fd, (status.st_dev, status.st_ino), left))
        if len(levels) > _OPEN_LEVELS and (far := levels[-_OPEN_LEVELS - 1])[1] >= 0:
            os.close(far[1])
            levels[-_OPEN_LEVELS - 1] = (far[0], -1, far[2], far[3])

    try:
        enter(dirfd, name)
        while levels:
            child, fd, _, left = levels[-1]
            if left:
                enter(fd, left.pop())
                continue
            if len(levels) > 1 and levels[-2][1] < 0:
                above = levels[-2]
                levels[-2] = (above[0], ascend(fd, above[2]), above[2], above[3])
            levels.pop()
            os.close(fd)
            os.rmdir(child, dir_fd=levels[-1][1] if levels else dirfd)
    finally:
        for _, fd, _, _ in levels:
            if fd >= 0:
                os.close(fd)
