"""The reader or writer for a place: only what a build asks for is imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from slimstage.cache.places import CachePlace, CacheTarget
from slimstage.cache.sources import CacheSink, CacheSource
from slimstage.digest import Digest
from slimstage.errors import UsageError
from slimstage.oci.descriptor import Platform
from slimstage.oci.reference import Reference


def open_source(place: CachePlace, registries: Mapping[str, Mapping[str, object]], platform: Platform) -> CacheSource:
    """The reader for a place. platform: for which an image with an inline cache is looked at. Raises UsageError."""
    if place.kind == "local":
        from slimstage.cache.directory import DirectorySource

        return DirectorySource(place.directory, place.tag, place.digest)
    if place.kind == "registry":
        from slimstage.cache.registries import RegistrySource

        return RegistrySource(place.reference, registries, platform)
    if place.kind == "s3":
        from slimstage.cache.bucket import BucketSource

        return BucketSource(place)
    raise UsageError(f"a cache cannot be read from {place.kind}", code="bad-cache")


def open_sink(
    target: CacheTarget,
    registries: Mapping[str, Mapping[str, object]],
    origins: Callable[[Digest], Sequence[Reference]] = lambda _: (),
) -> CacheSink:
    """The writer for a target. origins: repositories that may have a blob. Raises UsageError."""
    if target.place.kind == "local":
        from slimstage.cache.directory import DirectorySink

        return DirectorySink(target.place.directory, target.place.tag)
    if target.place.kind == "registry":
        from slimstage.cache.registries import RegistrySink

        return RegistrySink(target.place.reference, registries, origins)
    if target.place.kind == "s3":
        from slimstage.cache.bucket import BucketSink

        return BucketSink(target.place)
    raise UsageError(f"a cache cannot be written to {target.place.kind}", code="bad-cache")
