"""The seam between a cache that travels and the places where it lies: what can be read from, what can be written to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO, Protocol

from slimstage.cache.artifact import CacheArtifact
from slimstage.cache.document import CacheDocument
from slimstage.cache.places import CachePlace, CacheTarget
from slimstage.errors import UsageError
from slimstage.oci.descriptor import Descriptor, Platform
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


def open_source(place: CachePlace, registries: Mapping[str, Mapping[str, object]], platform: Platform) -> CacheSource:
    """The reader for a place. platform: for which an image with an inline cache is looked at. Raises UsageError."""
    if place.kind == "local":
        from slimstage.cache.directory import DirectorySource

        return DirectorySource(place.directory, place.tag, place.digest)
    if place.kind == "registry":
        from slimstage.cache.registries import RegistrySource

        return RegistrySource(place.reference, registries, platform)
    raise UsageError(f"a cache cannot be read from {place.kind}", code="bad-cache")


def open_sink(
    target: CacheTarget, registries: Mapping[str, Mapping[str, object]], repositories: Sequence[str] = ()
) -> CacheSink:
    """The writer for a target. repositories: of the same registry, from which blobs may be mounted. Raises UsageError."""
    if target.place.kind == "local":
        from slimstage.cache.directory import DirectorySink

        return DirectorySink(target.place.directory, target.place.tag)
    raise UsageError(f"a cache cannot be written to {target.place.kind}", code="bad-cache")
