"""The seam between a cache that travels and the places where it lies: what can be read from, what can be written to."""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO, Protocol

from slimstage.cache.artifact import CacheArtifact
from slimstage.cache.document import CacheDocument
from slimstage.oci.descriptor import Descriptor
from slimstage.oci.reference import Reference
from slimstage.store.blobs import Blobs

Progress = Callable[[int], object]
"""Told how many bytes moved since the last call; a negative number when they have to move again."""


class CacheSource(Protocol):
    """One cache, readable. Safe for several threads."""

    def read(self) -> CacheDocument | None:
        """What it has; None when nothing is there yet. Raises SlimstageError."""
        ...

    def fetch(self, blob: Descriptor, blobs: Blobs, progress: Progress) -> None:
        """Brings a blob of the document into the store, digest and size verified. Raises SlimstageError."""
        ...

    def read_blob(self, blob: Descriptor, limit_bytes: int) -> bytes:
        """A small blob, digest and size verified. Raises SlimstageError."""
        ...

    def repository(self) -> Reference | None:
        """Where in a registry its blobs can be mounted from; None: it is in no registry."""
        ...

    def close(self) -> None:
        """Ends what other threads are fetching. Idempotent."""
        ...


class CacheSink(Protocol):
    """One place that takes a cache."""

    def write(self, cache: CacheArtifact, open_blob: Callable[[Descriptor], BinaryIO], progress: Progress) -> int:
        """Sends what is not there, the manifest last; returns how many bytes of blobs went. Raises SlimstageError.

        open_blob: the bytes of one of the artifact's blobs; asked only for those that are sent.
        """
        ...
