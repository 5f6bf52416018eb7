"""Content-addressed blobs on disk: `blobs/sha256/<hex>`.

put is idempotent and atomic (temporary file, fsync, rename); get never returns bytes that were not verified when they
came in. Blobs are immutable.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import BinaryIO

from slimstage.digest import Digest


class BlobWriter:
    """A blob that is being written; nothing is visible before `commit`."""

    def write(self, data: bytes | memoryview) -> None:
        raise NotImplementedError

    def commit(self, want: Digest | None = None, size: int | None = None) -> tuple[Digest, int]:
        """Makes it visible and returns (digest, size in bytes). Raises DigestMismatch, and keeps nothing, when it differs."""
        raise NotImplementedError

    def abort(self) -> None:
        raise NotImplementedError


class Blobs:
    def has(self, digest: Digest) -> bool:
        raise NotImplementedError

    def path(self, digest: Digest) -> str:
        """Where it lies. Raises BlobMissing."""
        raise NotImplementedError

    def read(self, digest: Digest, limit_bytes: int = 32 << 20) -> bytes:
        """A small blob, verified again. Raises BlobMissing, DigestMismatch, FormatError when larger than the limit."""
        raise NotImplementedError

    def open(self, digest: Digest) -> BinaryIO:
        """A stream of its bytes; the caller closes it. Raises BlobMissing."""
        raise NotImplementedError

    def writer(self) -> AbstractContextManager[BlobWriter]:
        """Aborts on leaving unless committed."""
        raise NotImplementedError

    def put(self, data: bytes | Iterable[bytes]) -> tuple[Digest, int]:
        raise NotImplementedError
