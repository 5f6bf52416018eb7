"""The bytes of one file into another, by the cheapest way that this pair of filesystems offers.

Reflink where it exists (btrfs, xfs), then copy_file_range, then read and write. Holes stay holes.
"""

from __future__ import annotations

import errno
import os

_FICLONE = 0x40049409
_SMALL = 128 << 10
"""Below it, one read and one write are cheaper than asking the filesystem for something better."""

_BLOCK = 1 << 20

# Pairs of devices that refused: each file would pay two system calls to be told so again.
_no_clone: set[tuple[int, int]] = set()
_no_range: set[tuple[int, int]] = set()

_UNSUPPORTED = {
    errno.EOPNOTSUPP,
    errno.ENOTTY,
    errno.EXDEV,
    errno.EINVAL,
    errno.ENOSYS,
    errno.EPERM,
    errno.EBADF,
    errno.ETXTBSY,
}


def copy_data(source: int, target: int) -> int:
    """Copies everything from the start of `source` into the empty file `target`; returns the bytes of its size.

    Both are descriptors of regular files, at offset 0. A source that grows meanwhile is copied as far as it goes.
    Raises OSError.
    """
    data = os.read(source, _SMALL)
    if len(data) < _SMALL:
        # Possibly the whole file; a short read can also be a signal's doing, so the loop runs to the end.
        total = 0
        while data:
            total += write_all(target, data)
            data = os.read(source, _SMALL)
        return total
    return _copy_large(source, target, data)


def write_all(fd: int, data: bytes | bytearray | memoryview) -> int:
    """Writes all of it, however often the kernel takes only a part; returns the count of bytes. Raises OSError."""
    count = os.write(fd, data)
    if count < len(data):
        left = memoryview(data).cast("B")[count:]
        while left:
            left = left[os.write(fd, left) :]
    return len(data)


def _copy_large(source: int, target: int, head: bytes) -> int:
    import fcntl

    status, to = os.fstat(source), os.fstat(target)
    pair = (status.st_dev, to.st_dev)
    if pair not in _no_clone:
        try:
            fcntl.ioctl(target, _FICLONE, source)
            return os.fstat(target).st_size
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            _no_clone.add(pair)
    if status.st_blocks * 512 < status.st_size:
        return _copy_sparse(source, target, status.st_size)
    total = write_all(target, head)
    if pair not in _no_range:
        try:
            while count := os.copy_file_range(source, target, 1 << 30):
                total += count
            return total
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            _no_range.add(pair)
    return total + _pump(source, target, None)


def _copy_sparse(source: int, target: int, size: int) -> int:
    os.ftruncate(target, size)
    end = 0
    while True:
        try:
            start = os.lseek(source, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return size
            raise
        end = os.lseek(source, start, os.SEEK_HOLE)
        os.lseek(source, start, os.SEEK_SET)
        os.lseek(target, start, os.SEEK_SET)
        _pump(source, target, end - start)


def _pump(source: int, target: int, left: int | None) -> int:
    """Reads and writes to the end, or as many bytes as given; returns how many."""
    buffer = memoryview(bytearray(_BLOCK))
    total = 0
    while left is None or total < left:
        room = buffer if left is None else buffer[: min(_BLOCK, left - total)]
        count = os.readv(source, [room])
        if not count:
            break
        total += write_all(target, room[:count])
    return total
