"""Blobs that are being written by this process, for readers that do not wait for the end.

A layer is unpacked while it comes. What is read so has not been verified: whoever reads gets the end of the stream only
once the blob is, and an error when it is withdrawn; nothing that was made of it may be kept before that end.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from slimstage.digest import Digest
from slimstage.errors import StoreError


class Withdrawn(StoreError):
    """The blob is not whole and will not be: the transfer failed, or begins again."""

    default_code = "blob-withdrawn"


class Arrival:
    """One blob on its way: how many bytes are in its file, and how it ended."""

    def __init__(self, fd: int, size_bytes: int, condition: threading.Condition) -> None:
        self._fd, self._size, self._condition = fd, size_bytes, condition
        self._is_whole: bool | None = None

    def grew(self, size_bytes: int) -> None:
        """Told by the writer, after the bytes are in the file."""
        with self._condition:
            self._size = size_bytes
            self._condition.notify_all()

    def end(self, *, is_whole: bool) -> None:
        """is_whole: the blob was verified and is in the store. The first call counts."""
        with self._condition:
            if self._is_whole is None:
                self._is_whole = is_whole
            self._fd = -1
            self._condition.notify_all()

    def follow(self) -> Following | None:
        """A reader from the first byte on; None when it has ended already."""
        with self._condition:
            return Following(self, os.dup(self._fd)) if self._is_whole is None else None

    def wait(self, position: int) -> int:
        """Bytes that there are behind the position, at least one; 0 at the verified end. Raises Withdrawn."""
        with self._condition:
            while self._size <= position and self._is_whole is None:
                self._condition.wait()
            if self._is_whole is False:
                raise Withdrawn("the transfer was given up")
            return self._size - position


class Following:
    """Reads a blob while it is written. For one thread. Close it."""

    def __init__(self, arrival: Arrival, fd: int) -> None:
        self._arrival, self._fd = arrival, fd
        self._position = 0

    def read(self, count: int = -1, /) -> bytes:
        """At most `count` bytes; b"" at the end of a blob that was verified. Raises Withdrawn, StoreError."""
        there = self._arrival.wait(self._position)
        wanted = there if count < 0 else min(there, count)
        if not wanted:
            return b""
        data = os.pread(self._fd, wanted, self._position)
        if not data:
            raise Withdrawn("the file of the transfer has become shorter")
        self._position += len(data)
        return data

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Arrivals:
    """All blobs that this process is writing and that may be followed. Safe for threads."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._coming: dict[Digest, Arrival] = {}

    def begin(self, digest: Digest, fd: int, size_bytes: int) -> Arrival:
        """A blob begins to come, into the file open as `fd`, which holds its first bytes already."""
        arrival = Arrival(fd, size_bytes, self._condition)
        with self._condition:
            self._coming[digest] = arrival
            self._condition.notify_all()
        return arrival

    def over(self, digest: Digest, arrival: Arrival) -> None:
        with self._condition:
            if self._coming.get(digest) is arrival:
                del self._coming[digest]

    def await_one(self, digest: Digest, is_over: Callable[[], bool]) -> Following | None:
        """A reader as soon as the blob begins to come; None when `is_over` says first that it will not.

        Whoever changes what `is_over` says calls `wake`.
        """
        with self._condition:
            while digest not in self._coming and not is_over():
                self._condition.wait()
            arrival = self._coming.get(digest)
        return arrival.follow() if arrival is not None else None

    def wake(self) -> None:
        with self._condition:
            self._condition.notify_all()
