"""An image, or an index of several, into the store: unpacked, under its name, with what belongs to it."""

from __future__ import annotations

import io
import time

from slimstage.bases.keeping import unpacked_image
from slimstage.errors import FormatError, UsageError
from slimstage.oci.descriptor import Descriptor
from slimstage.oci.manifest import Index, Manifest
from slimstage.oci.reference import parse_reference
from slimstage.store.indexes import IndexMember, StoredIndex
from slimstage.store.store import Store
from slimstage.together import Moved, together
from slimstage.transfer.gather import Gathered
from slimstage.transfer.sink import Written, counting
from slimstage.transfer.source import Source


class StoreSink:
    """The store. name: None takes the name that the image has where it comes from."""

    def __init__(self, store: Store, name: str | None) -> None:
        self._store, self._name = store, name

    def put(self, gathered: Gathered, source: Source, moved: Moved) -> Written:
        name = self._full_name(source)
        _check(gathered)
        sent = together(gathered.blobs, lambda blob: self._blob(blob, source, moved), end=moved.end, name="copy")
        for part in (*gathered.parts, *gathered.inner, *gathered.referrers):
            self._store.blobs.copy(io.BytesIO(part.raw), part.descriptor.digest, len(part.raw))
        stored = {}
        for digest, manifest in gathered.images():
            image = unpacked_image(self._store, manifest, name)
            self._store.images.put(image, (name,) if digest == gathered.top.descriptor.digest else ())
            stored[digest] = IndexMember(digest, image.id, image.platform)
        if isinstance(gathered.top.document, Index):
            members = tuple(stored[d.digest] for d in gathered.top.document.manifests if d.digest in stored)
            self._store.indexes.put(StoredIndex(gathered.top.descriptor.digest, members, time.time()), (name,))
        remarks = self._referrers(gathered)
        bytes_sent = sum(blob.size for blob, is_sent in zip(gathered.blobs, sent, strict=True) if is_sent)
        return Written(sent.count(True), 0, sent.count(False), bytes_sent, tuple(remarks))

    def _full_name(self, source: Source) -> str:
        name = self._name or source.name
        if name is None:
            raise UsageError("the image has no name there", code="no-name", hint="write store:NAME")
        reference = parse_reference(name)
        if reference.digest is not None:
            raise UsageError(f'"{name}" has a digest: an image is named by a tag', code="bad-reference")
        return str(reference.with_default_tag())

    def _blob(self, blob: Descriptor, source: Source, moved: Moved) -> bool:
        """True when it was not here."""
        if self._store.blobs.has(blob.digest):
            moved(blob.size)
            return False
        with counting(source.open_at(blob, 0), moved) as stream:
            self._store.blobs.copy(stream, blob.digest, blob.size)
        return True

    def _referrers(self, gathered: Gathered) -> list[str]:
        remarks = [
            f'what cosign keeps under the tag "{tagged.tag}" belongs to nothing in the store; it is left out'
            for tagged in gathered.tagged
        ]
        for artifact in gathered.referrers:
            document = artifact.document
            if isinstance(document, Manifest) and document.subject is not None:
                self._store.referrers.put(document.subject.digest, artifact.raw)
            else:
                remarks.append(f"{artifact.descriptor.digest} belongs to the image and is an index; it is left out")
        return remarks


def _check(gathered: Gathered) -> None:
    """Raises FormatError for what the store cannot hold, before anything is copied."""
    top = gathered.top
    has_images = any(True for _ in gathered.images())
    if isinstance(top.document, Manifest) and not has_images:
        raise FormatError("it is an artifact and no image: the store holds images", code="not-an-image")
    if any(isinstance(part.document, Index) for part in gathered.parts[:-1]):
        raise FormatError(
            "it is an index of indexes: the store holds images and indexes of images",
            code="nested-index",
            hint="choose one image of it with --platform",
        )
    if not has_images:
        raise FormatError("the index lists no image", code="not-an-image")
