"""Files of the store: written under a temporary name and renamed into place, locked by `flock`.

A lock is an open file: the kernel drops it when its owner ends, however it ends, so no lock outlives its process.
Everything is opened without following symlinks and made with O_EXCL in directories that only the owner can enter.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from slimstage.errors import DISK_FULL, DISK_FULL_HINT, Interrupted, StoreError
from slimstage.values import dataclass

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LOCK = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC

_CAUSES = {
    errno.ENOSPC: (DISK_FULL, "the disk is full", DISK_FULL_HINT),
    errno.EDQUOT: (DISK_FULL, "the disk quota is used up", DISK_FULL_HINT),
    errno.EROFS: ("read-only", "the file system is read-only", "choose another place with --root or SLIMSTAGE_ROOT"),
    errno.EACCES: ("not-permitted", "permission denied", "choose another place with --root or SLIMSTAGE_ROOT"),
    errno.EPERM: ("not-permitted", "operation not permitted", "choose another place with --root or SLIMSTAGE_ROOT"),
    errno.EMFILE: ("too-many-files", "too many open files", 'raise the limit with "ulimit -n"'),
    errno.ENFILE: ("too-many-files", "too many open files on this host", None),
    errno.ENOMEM: ("out-of-memory", "there is not enough memory", None),
    errno.EIO: ("io-error", "the disk failed", None),
}


def store_error(doing: str, cause: OSError) -> StoreError:
    """The error for a failed system call: what was being done, where, why, and what helps."""
    code, why, hint = _CAUSES.get(cause.errno or 0, ("store", (cause.strerror or str(cause)).lower(), None))
    where = f' "{os.fsdecode(cause.filename)}"' if isinstance(cause.filename, (str, bytes)) else ""
    return StoreError(f"{doing}: {why}{where}", code=code, hint=hint)


@contextmanager
def guarded(doing: str) -> Iterator[None]:
    """Turns every OSError of its body into a StoreError that says what was being done."""
    try:
        yield
    except OSError as cause:
        raise store_error(doing, cause) from cause


def random_name(prefix: str = "") -> str:
    """A name that nobody can guess: 32 hex digits behind the prefix."""
    return prefix + os.urandom(16).hex()


def make_private(path: str) -> None:
    """Makes the directory with mode 0700, whatever the umask; one that is there is left. The parent has to exist."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return
    os.chmod(path, 0o700)


def open_regular(path: str, *, dir_fd: int | None = None) -> int:
    """A read descriptor of a regular file; symlinks, FIFOs and devices raise OSError (ELOOP, EINVAL) and never block."""
    fd = os.open(path, _READ, dir_fd=dir_fd)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return fd


def read_small(path: str, limit_bytes: int = 1 << 20, *, dir_fd: int | None = None) -> bytes:
    """All bytes of a regular file. Raises OSError: EFBIG when there are more than the limit."""
    with open(open_regular(path, dir_fd=dir_fd), "rb") as stream:
        data = stream.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise OSError(errno.EFBIG, f"larger than {limit_bytes} bytes", path)
    return data


def create_exclusive(path: str, mode: int = 0o600) -> int:
    """A read-write descriptor of a new file; FileExistsError when anything is there, a dangling symlink too."""
    return os.open(path, _NEW, mode)


def start_writeback(fd: int, start: int, count: int) -> None:
    """Asks the kernel to write these bytes of the file to the disk now, and does not wait. Only speed depends on it.

    Source: sync_file_range(2), SYNC_FILE_RANGE_WRITE.
    """
    import ctypes  # only where much is written

    try:
        call = ctypes.CDLL(None).sync_file_range
    except (OSError, AttributeError):
        return  # not in this C library
    call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    call(fd, start, count, 2)


def replace_file(path: str, data: bytes, *, mode: int = 0o600, is_durable: bool = True) -> None:
    """Puts exactly these bytes at `path`, atomically: a reader sees the old file or the new one. Raises OSError.

    A symlink at `path` is replaced, not followed. On failure the old file stays and nothing else is left.
    """
    temporary = os.path.join(os.path.dirname(path) or ".", random_name(".new-"))
    fd = create_exclusive(temporary, mode)
    try:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            os.fchmod(fd, mode)
            if is_durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except BaseException:
        _unlink(temporary)
        raise
    if is_durable:
        sync_directory(os.path.dirname(path) or ".")


def sync_directory(path: str) -> None:
    """Makes renames in the directory durable. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


class Lock:
    """One held `flock`. Releasing is idempotent; ending the process releases it too."""

    __slots__ = ("_fd", "path")

    def __init__(self, path: str, fd: int) -> None:
        self.path, self._fd = path, fd

    @property
    def fd(self) -> int:
        return self._fd

    def release(self, *, removes: bool = False) -> None:
        """Lets go. removes: the lock's file goes too, for locks whose name is used once."""
        if self._fd >= 0:
            if removes:
                _unlink(self.path)
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def try_lock(path: str, *, is_shared: bool = False, creates: bool = True) -> Lock | None:
    """The lock, or None when another open file holds it (or, without `creates`, when its file is not there)."""
    return _lock(path, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB, creates)


def wait_lock(path: str, *, is_shared: bool = False) -> Lock:
    """The lock, as soon as it is free; for locks that are held for moments only."""
    lock = _lock(path, fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX, True)
    assert lock is not None
    return lock


def wait_lock_cancellable(path: str, cancel: threading.Event, *, is_shared: bool = False) -> Lock:
    """The lock, as soon as it is free; for locks held for long. Raises Interrupted when `cancel` is set meanwhile."""
    delay_s = 0.002
    while (lock := try_lock(path, is_shared=is_shared)) is None:
        # flock has no timeout and no way to be woken by an event, so this asks, ever more slowly.
        if cancel.wait(delay_s):
            raise Interrupted(f'interrupted while waiting for the lock "{os.path.basename(path)}"')
        delay_s = min(delay_s * 2, 0.1)
    return lock


def _lock(path: str, operation: int, creates: bool) -> Lock | None:
    flags = _LOCK if creates else _LOCK & ~os.O_CREAT
    while True:
        try:
            fd = os.open(path, flags, 0o600)
        except FileNotFoundError:
            if creates:
                raise
            return None
        try:
            fcntl.flock(fd, operation)
            # Whoever held it may have removed the file meanwhile: then this locks a file that nobody else will find.
            if os.fstat(fd).st_nlink:
                return Lock(path, fd)
        except BlockingIOError:
            os.close(fd)
            return None
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def remove_tree(path: str, *, on_error: Callable[[str, OSError], None] | None = None) -> int:
    """Removes the directory (or file) at `path` with all it holds; returns the bytes that were freed.

    Goes down by directory descriptors and never follows a symlink nor crosses into another mount: a mount point inside
    raises OSError (EBUSY) and what is mounted there stays. Directories without permission bits are opened up first.
    A path that is not there is fine. on_error: told instead of raising.
    """
    try:
        parent = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as cause:
        if on_error is None:
            raise
        on_error(os.path.basename(path), cause)
        return 0
    try:
        return _Remover(os.fstat(parent).st_dev, on_error).remove(parent, os.path.basename(path))
    finally:
        os.close(parent)


_OPEN_LEVELS = 64
"""Directories of one path that are open at once: a hostile layer may be deeper than a process may open files."""


@dataclass(slots=True)
class _Level:
    fd: int
    """-1 while it is closed because too many are open."""
    name: str
    names: list[str]
    identity: tuple[int, int]


class _Remover:
    def __init__(self, device: int, on_error: Callable[[str, OSError], None] | None) -> None:
        self._device, self._on_error = device, on_error

    def remove(self, parent: int, name: str) -> int:
        """Depth first with an own stack: a tree may be deeper than Python's."""
        levels: list[_Level] = []
        try:
            freed = self._enter(parent, name, levels)
            while levels:
                level = levels[-1]
                if level.names:
                    freed += self._enter(level.fd, level.names.pop(), levels)
                    if len(levels) > _OPEN_LEVELS and (above := levels[-_OPEN_LEVELS - 1]).fd >= 0:
                        os.close(above.fd)
                        above.fd = -1
                    continue
                if len(levels) > 1 and levels[-2].fd < 0:
                    levels[-2].fd = self._above(level.fd, levels[-2])
                levels.pop()
                os.close(level.fd)
                self._remove_empty(level.name, levels[-1].fd if levels else parent)
        finally:
            for level in levels:
                if level.fd >= 0:
                    os.close(level.fd)
        return freed

    @staticmethod
    def _above(fd: int, level: _Level) -> int:
        """The directory that a level was, opened anew from below; it has to be the same one."""
        above = os.open("..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
        found = os.fstat(above)
        if (found.st_dev, found.st_ino) != level.identity:
            os.close(above)
            raise OSError(errno.EBUSY, "changed while it was removed", level.name)
        return above

    def _remove_empty(self, name: str, parent: int) -> None:
        try:
            os.rmdir(name, dir_fd=parent)
        except FileNotFoundError:
            pass
        except OSError as cause:
            self._failed(name, cause)

    def _enter(self, parent: int, name: str, levels: list[_Level]) -> int:
        """Unlinks a file, or pushes a directory."""
        try:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISDIR(found.st_mode):
                os.unlink(name, dir_fd=parent)
                return found.st_blocks * 512 if found.st_nlink == 1 else 0
            if found.st_dev != self._device:
                raise OSError(errno.EBUSY, "something is mounted here", name)
            fd = self._open(parent, name, found)
            try:
                names = os.listdir(fd)
            except BaseException:
                os.close(fd)
                raise
            levels.append(_Level(fd, name, names, (found.st_dev, found.st_ino)))
        except FileNotFoundError:
            return 0
        except OSError as cause:
            self._failed(name, cause)
        return 0

    @staticmethod
    def _open(parent: int, name: str, found: os.stat_result) -> int:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        if found.st_mode & 0o700 != 0o700 and os.geteuid() != 0:
            # chmod by path would follow a link put there meanwhile; O_PATH and /proc name this very directory.
            handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            try:
                os.chmod(f"/proc/self/fd/{handle}", 0o700)
            finally:
                os.close(handle)
        fd = os.open(name, flags, dir_fd=parent)
        opened = os.fstat(fd)
        if (opened.st_dev, opened.st_ino) != (found.st_dev, found.st_ino):
            os.close(fd)
            raise OSError(errno.EBUSY, "changed while it was removed", name)
        return fd

    def _failed(self, name: str, cause: OSError) -> None:
        if self._on_error is None:
            raise cause
        self._on_error(name, cause)
