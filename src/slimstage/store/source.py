"""Where an image can come from and go to: the seam between the store, layouts, archives and registries.

A source supplies the few facts that nothing else gives: the manifest's exact bytes, and blobs by digest. All else is
derived from these. What a source hands out has been or is being verified: a stream raises at its end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO, Protocol, TypeAlias, cast

from slimstage.digest import Digest, VerifyingReader
from slimstage.errors import DigestMismatch, FormatError
from slimstage.oci.config import LIMIT_BYTES, ImageConfig, from_json
from slimstage.oci.descriptor import Descriptor, Platform
from slimstage.oci.manifest import Index, Manifest, parse_manifest
from slimstage.store.blobs import Blobs
from slimstage.values import dataclass, field

_SKIP_BYTES = 1 << 20


class ImageSource(Protocol):
    """One image, readable."""

    def manifest(self) -> Manifest:
        """With its exact bytes. Raises FormatError, StoreError."""
        ...

    def config(self) -> ImageConfig:
        """The image's config; its digest is `manifest().config.digest`."""
        ...

    def open_blob(self, digest: Digest) -> BinaryIO:
        """The bytes of a layer or the config, from their beginning; the caller closes it. Raises BlobMissing, FormatError.

        Whoever takes the bytes checks them: `checked` does.
        """
        ...


class ImageSink(Protocol):
    """A place that takes whole images."""

    def write(self, images: Sequence[AnyExport]) -> Digest:
        """Writes all of them, atomically: all is there, or what was there before. Returns the index' digest."""
        ...


@dataclass(frozen=True, slots=True)
class Export:
    """An image on its way out. names: full references; annotations go on the descriptor in the index.

    referrers: artifacts that belong to it, read by `manifest` and `open_blob` only.
    """

    source: ImageSource
    names: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: Platform | None = None
    referrers: tuple[ImageSource, ...] = ()

    @property
    def descriptor(self) -> Descriptor:
        """What points at it in index.json, but for its names."""
        return self.source.manifest().descriptor(self.platform, self.annotations)

    def sources(self) -> tuple[ImageSource, ...]:
        """The one image."""
        return (self.source,)


@dataclass(frozen=True, slots=True)
class IndexExport:
    """An index on its way out, with the images of its platforms. the others: as of `Export`."""

    index: Index
    members: tuple[ImageSource, ...]
    names: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    referrers: tuple[ImageSource, ...] = ()

    @property
    def descriptor(self) -> Descriptor:
        """What points at it in index.json, but for its names."""
        return self.index.descriptor(self.annotations)

    def sources(self) -> tuple[ImageSource, ...]:
        """Its images, in the order of the index."""
        return self.members


AnyExport: TypeAlias = Export | IndexExport


@dataclass(frozen=True, slots=True)
class StoreSource:
    """An image whose manifest, config and layers are all in the blob store."""

    blobs: Blobs
    digest: Digest

    def manifest(self) -> Manifest:
        return parse_manifest(self.blobs.read(self.digest))

    def config(self) -> ImageConfig:
        return from_json(self.blobs.read(self.manifest().config.digest, LIMIT_BYTES))

    def open_blob(self, digest: Digest) -> BinaryIO:
        return self.blobs.open(digest)


def checked(stream: BinaryIO, descriptor: Descriptor) -> BinaryIO:
    """A reader of the stream that raises DigestMismatch unless it is exactly what the descriptor says.

    Only `read` works on it; the caller closes the stream underneath.
    """
    return cast(BinaryIO, VerifyingReader(stream, descriptor.digest, descriptor.size))


def read_checked(stream: BinaryIO, descriptor: Descriptor, what: str, limit_bytes: int) -> bytes:
    """All bytes of a small blob, verified. Raises FormatError: too large, other bytes than its descriptor says."""
    if descriptor.size > limit_bytes:
        raise FormatError(f"{what} is larger than {limit_bytes} bytes", code="document-too-large")
    reader, parts = VerifyingReader(stream, descriptor.digest, descriptor.size), []
    try:
        while block := reader.read(1 << 20):
            parts.append(block)
    except DigestMismatch as cause:
        raise FormatError(
            f"{what} is not what points at it says: want {cause.want}, got {cause.got}", code="digest-mismatch"
        ) from cause
    return b"".join(parts)


def opener(source: ImageSource, blob: Descriptor) -> Callable[[int], BinaryIO]:
    """Opens the blob's bytes from an offset on; the caller closes the stream. Sources that cannot seek are read up to it."""

    def open_at(offset: int) -> BinaryIO:
        stream = source.open_blob(blob.digest)
        if offset:
            try:
                if stream.seekable():
                    stream.seek(offset)
                else:
                    _skip(stream, offset)
            except BaseException:
                stream.close()
                raise
        return stream

    return open_at


def _skip(stream: BinaryIO, count: int) -> None:
    while count:
        block = stream.read(min(_SKIP_BYTES, count))
        if not block:
            return  # whoever reads on finds it too short
        count -= len(block)
