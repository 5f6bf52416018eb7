"""Blobs that came in part: kept, so that the next command goes on where an interrupted one stopped.

`partial/ALGORITHM-HEX.SOURCE` has the first bytes of a blob, as one server sent them. The file is only ever added
to, by whoever holds its lock, and becomes the blob by a rename once all of it was digested: the digest is computed anew
over what was there before, so bytes that a power cut spoiled, or that a server made up, cost a transfer from the
beginning and nothing else. Another server's bytes are never added: had the first one lied, they would be in vain.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager

from slimstage.digest import Digest, digest_bytes, parse_digest
from slimstage.errors import StoreError
from slimstage.store.blobs import BLOCK_BYTES, Blobs, BlobWriter
from slimstage.store.files import guarded, make_private

KEPT_S = 7 * 86400.0
"""So long a part is kept that nobody goes on with."""
_OPEN = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class PartialWriter(BlobWriter):
    """Goes on with what is in the file."""

    def __init__(self, blobs: Blobs, path: str, fd: int, want: Digest) -> None:
        super().__init__(blobs, path, fd=fd)
        self.expects(want)
        with guarded("read the first part of a blob"):
            while block := os.read(fd, BLOCK_BYTES):
                self.add_known(block)

    def leave(self) -> None:
        """Keeps the bytes for another time. Idempotent; does nothing after `commit` and `abort`."""
        if self.is_open and not self.size_bytes:
            self.abort()
        self.let_go()


@contextmanager
def resumable(blobs: Blobs, want: Digest, source: str) -> Iterator[BlobWriter]:
    """A writer for the blob that has the bytes already that an earlier transfer from the same source brought.

    source: who sends the bytes, in any words. What is not committed when the body ends is kept, unless it was aborted or
    the body raises StoreError: then the bytes were wrong, or the disk needs the room. While another process or thread is
    at it, the writer begins with nothing and keeps nothing. Raises StoreError.
    """
    path = _place(blobs, want, source)
    fd = _taken(blobs, path)
    if fd is None:
        with blobs.writer() as plain:
            yield plain.expects(want)
        return
    writer = PartialWriter(blobs, path, fd, want)
    arrival = blobs.arrivals.begin(want, fd, writer.size_bytes)
    writer.tells = arrival.grew
    try:
        yield writer
    except StoreError:
        writer.abort()
        raise
    finally:
        is_whole = writer.is_committed
        arrival.end(is_whole=is_whole)
        blobs.arrivals.over(want, arrival)
        writer.leave()
        if is_whole:
            drop_partials(blobs, want)


def partial_bytes(blobs: Blobs, digest: Digest, source: str | None = None) -> int:
    """How much of a blob an interrupted transfer has left; source None: from whichever server it is most."""
    if source is not None:
        return _size(_place(blobs, digest, source))
    prefix = _prefix(digest)
    return max((size for path, size in partials(blobs) if os.path.basename(path).startswith(prefix)), default=0)


def partials(blobs: Blobs) -> list[tuple[str, int]]:
    """(path, size in bytes) of every part that is kept, sorted."""
    try:
        names = sorted(os.listdir(blobs.partial_directory))
    except FileNotFoundError:
        return []
    paths = [os.path.join(blobs.partial_directory, name) for name in names]
    return [(path, _size(path)) for path in paths]


def drop_partials(blobs: Blobs, digest: Digest | None = None, *, older_than_s: float = 0.0) -> list[tuple[str, int]]:
    """Removes parts that nobody is adding to, of one blob or of all; says which went, with their sizes."""
    prefix, before = _prefix(digest) if digest is not None else "", time.time() - older_than_s
    removed = []
    for path, size in partials(blobs):
        if os.path.basename(path).startswith(prefix) and (not older_than_s or _changed_s(path) < before):
            fd = _locked(path, creates=False)
            if fd is not None:
                try:
                    os.unlink(path)
                    removed.append((path, size))
                except OSError:
                    pass  # gone meanwhile, or it cannot be removed: the next time
                finally:
                    os.close(fd)
    return removed


def _prefix(digest: Digest) -> str:
    return parse_digest(digest).replace(":", "-") + "."


def _place(blobs: Blobs, digest: Digest, source: str) -> str:
    return os.path.join(blobs.partial_directory, _prefix(digest) + digest_bytes(source.encode())[7:23])


def _taken(blobs: Blobs, path: str) -> int | None:
    with guarded("begin a blob"):
        make_private(blobs.partial_directory)
        drop_partials(blobs, older_than_s=KEPT_S)
        return _locked(path, creates=True)


def _locked(path: str, *, creates: bool) -> int | None:
    """The file, open and locked; None when someone else has the lock, or it is not there."""
    for _ in range(8):
        try:
            fd = os.open(path, _OPEN if creates else _OPEN & ~os.O_CREAT, 0o600)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine, there = os.fstat(fd), os.lstat(path)
            # Whoever had the lock may have finished: then this is a blob, which nobody adds to.
            if (mine.st_ino, mine.st_dev) == (there.st_ino, there.st_dev) and stat.S_ISREG(mine.st_mode):
                return fd
        except BlockingIOError:
            os.close(fd)
            return None
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
    return None


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except FileNotFoundError:
        return 0


def _changed_s(path: str) -> float:
    try:
        return os.lstat(path).st_mtime
    except FileNotFoundError:
        return time.time()
