"""The reader or writer for a place: only what a build asks for is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from slimstage.cache.places import CachePlace, CacheTarget
from slimstage.cache.sources import CacheSink, CacheSource
from slimstage.errors import UsageError
from slimstage.oci.descriptor import Platform


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
