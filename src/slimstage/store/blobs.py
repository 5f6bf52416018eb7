"""Content-addressed blobs on disk: `blobs/sha256/<hex>`.

put is idempotent and atomic (temporary file, fsync, rename); get never returns bytes that were not verified when they
came in. Blobs are immutable. A blob that was asked for or written is kept from being pruned until the process ends.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from slimstage.digest import Digest, parse_digest
from slimstage.errors import BlobMissing, DigestMismatch, FormatError
from slimstage.oci.descriptor import Descriptor
from slimstage.store.arrivals import Arrivals
from slimstage.store.files import create_exclusive, guarded, make_private, open_regular, start_writeback
from slimstage.store.promises import Promise, Promises
from slimstage.store.session import Session

BLOCK_BYTES = 1 << 20
WRITEBACK_BYTES = 32 << 20
"""So much of a blob is handed to the disk at once while the rest is still being made: its sync is short then."""


class BlobWriter:
    """A blob that is being written; nothing is visible before `commit`. For one thread at a time.

    is_digested: whoever writes digests the very same bytes, and says at `commit` what they are; not done twice then.
    """

    def __init__(self, blobs: Blobs, path: str, *, is_digested: bool = False, fd: int | None = None) -> None:
        """fd: of the file at `path`, open and this writer's alone; None: a new one."""
        self._blobs, self._path, self._is_digested = blobs, path, is_digested
        self.tells: Callable[[int], None] | None = None
        """Told the size after each write."""
        self.is_committed = False
        with guarded("begin a blob"):
            self._fd = create_exclusive(path) if fd is None else fd
        self._state = hashlib.sha256()
        self._other: hashlib._Hash | None = None
        self._size = self._handed = 0

    @property
    def size_bytes(self) -> int:
        """Written so far."""
        return self._size

    def fileno(self) -> int:
        """Of the file that is written; -1 when it was let go."""
        return self._fd

    @property
    def is_open(self) -> bool:
        return self._fd >= 0

    def add_known(self, data: bytes) -> None:
        """Counts and digests bytes that are in the file already, before the first `write`."""
        self._state.update(data)
        if self._other is not None:
            self._other.update(data)
        self._size += len(data)
        self._handed = self._size

    def let_go(self) -> None:
        """Leaves the file as it is. Idempotent; does nothing after `commit` and `abort`."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def expects(self, want: Digest) -> BlobWriter:
        """Announces the digest before the first byte: needed only for other algorithms than sha256."""
        if not want.startswith("sha256:") and not self._size:
            self._other = hashlib.new(want.partition(":")[0])
        return self

    def write(self, data: bytes | memoryview) -> int:
        """Adds all of `data`; returns its length, as streams do. Raises StoreError when the disk is full."""
        if not self._is_digested:
            self._state.update(data)
        if self._other is not None:
            self._other.update(data)
        view = memoryview(data)
        self._size += len(view)
        with guarded("write a blob"):
            while view:
                view = view[os.write(self._fd, view) :]
        if self._size - self._handed >= WRITEBACK_BYTES:
            start_writeback(self._fd, self._handed, self._size - self._handed)
            self._handed = self._size
        if self.tells is not None:
            self.tells(self._size)
        return len(data)

    def commit(self, want: Digest | None = None, size: int | None = None) -> tuple[Digest, int]:
        """Makes it visible and returns (digest, size in bytes). Raises DigestMismatch, and keeps nothing, when it differs."""
        try:
            if size is not None and size != self._size:
                raise DigestMismatch(f"{size} bytes", f"{self._size} bytes")
            if self._is_digested:
                if want is None or not want.startswith("sha256:"):
                    raise ValueError("whoever digests while writing says the sha256 digest")
                digest = want
            else:
                digest = Digest("sha256:" + self._state.hexdigest())
            if want is not None and want != digest:
                algorithm = want.partition(":")[0]
                other = f"{algorithm}:{self._other.hexdigest()}" if self._other is not None else digest
                if want != other:
                    raise DigestMismatch(want, other)
                digest = want
            self._blobs.adopt(self._fd, self._path, digest)
        except BaseException:
            self.abort()
            raise
        self.is_committed = True
        self.let_go()
        return digest, self._size

    def abort(self) -> None:
        """Leaves nothing. Idempotent; does nothing after `commit`."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            try:
                os.unlink(self._path)
            except OSError:
                pass


class Blobs:
    """The blobs of one store. Safe for threads and for several processes."""

    def __init__(self, directory: str, session: Session) -> None:
        self._directory, self._session = directory, session
        self.arrivals = Arrivals()
        self._fresh: set[Digest] = set()
        self._promises: Promises[Digest] = Promises()

    def promise(self, blob: Descriptor, bring: Callable[[], None]) -> None:
        """Says that the blob can be had: `bring` puts it into this store, verified, once its bytes are asked for."""
        self._promises.add(blob.digest, Promise(blob.size, bring))

    def gives(self, digest: Digest) -> bool:
        """True when it is here or promised: `open` gives its bytes."""
        return self._promises.get(digest) is not None or self.has(digest)

    @property
    def partial_directory(self) -> str:
        """Where blobs are that came in part (see partial.py)."""
        return os.path.join(os.path.dirname(self._directory), "partial")

    def is_fresh(self, digest: Digest) -> bool:
        """True when this very process wrote it: then its bytes need no second check on the way out."""
        return digest in self._fresh

    def has(self, digest: Digest) -> bool:
        """True when it is here, and then it stays until this process ends."""
        path = self._place(digest)
        if not os.path.exists(path):
            return False
        self._session.hold(f"blob {digest}")
        return os.path.exists(path)

    def path(self, digest: Digest) -> str:
        """Where it lies; what was promised is brought. Raises BlobMissing, PromiseBroken."""
        if not self.has(digest) and not (self._promises.keep(digest, lambda: self.has(digest)) and self.has(digest)):
            raise _missing(digest)
        return self._place(digest)

    def size_bytes(self, digest: Digest) -> int:
        """Of one that is here or promised. Raises BlobMissing."""
        try:
            return os.stat(self._place(digest)).st_size
        except FileNotFoundError as cause:
            if (promise := self._promises.get(digest)) is not None:
                return promise.size_bytes
            raise _missing(digest) from cause

    def read(self, digest: Digest, limit_bytes: int = 32 << 20) -> bytes:
        """A small blob, verified again. Raises BlobMissing, DigestMismatch, FormatError when larger than the limit."""
        with self.open(digest) as stream:
            data = stream.read(limit_bytes + 1)
        if len(data) > limit_bytes:
            raise FormatError(f'blob "{digest}" is larger than {limit_bytes} bytes', code="blob-too-large")
        algorithm = digest.partition(":")[0]
        got = f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
        if got != digest:
            raise DigestMismatch(digest, got)
        return data

    def open(self, digest: Digest) -> BinaryIO:
        """A stream of its bytes; the caller closes it. Raises BlobMissing."""
        path = self.path(digest)
        try:
            return open(open_regular(path), "rb", buffering=0)
        except FileNotFoundError as cause:
            raise _missing(digest) from cause

    @contextmanager
    def writer(self, *, is_digested: bool = False) -> Iterator[BlobWriter]:
        """Aborts on leaving unless committed. is_digested: see BlobWriter."""
        writer = BlobWriter(self, self._session.temporary("blob-"), is_digested=is_digested)
        try:
            yield writer
        finally:
            writer.abort()

    def put(self, data: bytes | Iterable[bytes]) -> tuple[Digest, int]:
        """Stores the bytes; what is there already is not written again. Raises StoreError."""
        if isinstance(data, bytes):
            digest = Digest("sha256:" + hashlib.sha256(data).hexdigest())
            if self.has(digest) and self.size_bytes(digest) == len(data):
                return digest, len(data)
            data = (data,)
        with self.writer() as writer:
            for block in data:
                writer.write(block)
            return writer.commit()

    def copy(self, stream: BinaryIO, want: Digest | None = None, size: int | None = None) -> tuple[Digest, int]:
        """Stores all that is left in the stream. Raises DigestMismatch as soon as it is longer than `size`, or differs."""
        with self.writer() as writer:
            if want is not None:
                writer.expects(want)
            while block := stream.read(BLOCK_BYTES):
                writer.write(block)
                if size is not None and writer.size_bytes > size:
                    raise DigestMismatch(f"{size} bytes", f"more than {size} bytes")
            return writer.commit(want, size)

    def list(self) -> Iterator[tuple[Digest, int]]:
        """(digest, size in bytes) of every blob, sorted; other files in the directories are passed over."""
        for algorithm in ("sha256", "sha512"):
            try:
                names = sorted(os.listdir(os.path.join(self._directory, algorithm)))
            except FileNotFoundError:
                continue
            for name in names:
                try:
                    digest = parse_digest(f"{algorithm}:{name}")
                    yield digest, os.lstat(self._place(digest)).st_size
                except (FormatError, FileNotFoundError):
                    continue

    def adopt(self, fd: int, path: str, digest: Digest) -> None:
        """Puts a finished temporary file, open as `fd`, in place under its digest. The bytes have been verified."""
        place = self._place(digest)
        self._session.hold(f"blob {digest}")
        with guarded("keep a blob"):
            os.fchmod(fd, 0o444)
            os.fsync(fd)
            try:
                os.rename(path, place)
            except FileNotFoundError:
                make_private(os.path.dirname(place))
                os.rename(path, place)
            self._fresh.add(digest)
            # The directory is not synced: a rename that a power cut takes back makes a blob missing, never wrong.

    def place(self, digest: Digest) -> str:
        """Where the blob lies or would lie. Raises FormatError for what is no digest, before any path is made of it."""
        return self._place(digest)

    def _place(self, digest: Digest) -> str:
        algorithm, _, name = parse_digest(digest).partition(":")
        return os.path.join(self._directory, algorithm, name)


def _missing(digest: Digest) -> BlobMissing:
    return BlobMissing(f'blob "{digest}" is not in the store', hint="pull or build the image again")
