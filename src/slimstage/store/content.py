"""What goes into a layout or an archive, as values: the entries of `index.json`, and the blobs in the order to write.

An image's referrers are entries of their own, with artifact type and annotations, as ORAS writes them: the image-spec
names no other place for them, and a reader finds them without opening every blob. They have no name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import BinaryIO

from slimstage.digest import Digest
from slimstage.oci.descriptor import Descriptor
from slimstage.oci.manifest import Manifest
from slimstage.oci.reference import parse_reference
from slimstage.oci.referrer import referrer_descriptor
from slimstage.store.layout import NAME, TAG
from slimstage.store.source import AnyExport, ImageSource, IndexExport, StoreSource
from slimstage.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class Piece:
    """One blob: `open` begins to read it, as often as it is called; who asked closes the stream.

    is_verified: this process digested these very bytes before; they need no second check.
    """

    descriptor: Descriptor
    open: Callable[[], BinaryIO]
    is_verified: bool = False


@dataclass(frozen=True, slots=True)
class Content:
    """`entries` of index.json, and every blob that they lead to, each digest once."""

    entries: tuple[Descriptor, ...]
    pieces: tuple[Piece, ...]


def content_of(images: Sequence[AnyExport], *, has_referrers: bool = True) -> Content:
    """The images, documents before what they point at; then what belongs to them. Raises FormatError, StoreError."""
    entries = [entry for image in images for entry in image_entries(image)]
    pieces: dict[Digest, Piece] = {}
    for image in images:
        if isinstance(image, IndexExport):
            descriptor = image.index.descriptor()
            pieces.setdefault(descriptor.digest, document_piece(descriptor, image.index.raw))
        for source in image.sources():
            _add(pieces, source)
    listed = {entry.digest for entry in entries}
    for artifact in (artifact for image in images for artifact in image.referrers if has_referrers):
        descriptor = _add(pieces, artifact)
        if descriptor.digest not in listed:
            listed.add(descriptor.digest)
            entries.append(nameless(referrer_descriptor(artifact.manifest())))
    return Content(tuple(entries), tuple(pieces.values()))


def image_entries(image: AnyExport) -> Iterator[Descriptor]:
    """The descriptors of one image or index in index.json: one for each name, or one without a name."""
    descriptor = image.descriptor
    if not image.names:
        yield descriptor
    for name in image.names:
        yield named(descriptor, name, image.annotations)


def named(descriptor: Descriptor, name: str, annotations: Mapping[str, str] | None = None) -> Descriptor:
    """The entry under a name: full reference and tag, then `annotations`. Raises FormatError for what is none."""
    tag = parse_reference(name).with_default_tag()
    return replace(descriptor, annotations={NAME: str(tag), TAG: tag.tag or "", **(annotations or {})})


def nameless(descriptor: Descriptor) -> Descriptor:
    """The entry without what would be a name: an artifact's own annotations must not pass for one of an image."""
    return replace(descriptor, annotations={k: v for k, v in descriptor.annotations.items() if k not in (NAME, TAG)})


def document_piece(descriptor: Descriptor, raw: bytes) -> Piece:
    """A manifest or index whose bytes are at hand and were digested."""
    return Piece(descriptor, lambda: BytesIO(raw), is_verified=True)


def blobs_of(manifest: Manifest) -> Iterable[Descriptor]:
    """Config and layers, each digest once, in this order."""
    return {d.digest: d for d in (manifest.config, *manifest.layers)}.values()


def _add(pieces: dict[Digest, Piece], source: ImageSource) -> Descriptor:
    manifest = source.manifest()
    descriptor = manifest.descriptor()
    pieces.setdefault(descriptor.digest, document_piece(descriptor, manifest.raw))
    for blob in blobs_of(manifest):
        is_fresh = isinstance(source, StoreSource) and source.blobs.is_fresh(blob.digest)
        pieces.setdefault(blob.digest, Piece(blob, _opener(source, blob.digest), is_fresh))
    return descriptor


def _opener(source: ImageSource, digest: Digest) -> Callable[[], BinaryIO]:
    return lambda: source.open_blob(digest)
