"""An image as a host pulls it: its manifest, and the tables of layers that can be read in parts. No layer is fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimstage.cli.analyzed_image import DAEMON, image_documents, image_place
from slimstage.cli.copiers import copier
from slimstage.cli.program import Session
from slimstage.compare.pulling import PulledImage
from slimstage.container.images import get_image, wanted_platform
from slimstage.errors import DigestMismatch, FormatError
from slimstage.oci.descriptor import DOCKER_LAYER, OCI_LAYER, Descriptor
from slimstage.tree.partial import is_estargz, is_zstd_chunked

if TYPE_CHECKING:
    from slimstage.store.store import Store
    from slimstage.transfer.source import Source
    from slimstage.tree.partread import Contents, FileSource

_PLAIN = (OCI_LAYER, DOCKER_LAYER)


def pulled_image(session: Session, text: str, platform: str | None = None) -> PulledImage | None:
    """As `push` sends it, for an image of the store: its layers are packed for this, and kept. Elsewhere as it is there.

    None where it is in no form that a registry would have: layers of an archive that nobody compressed.
    Raises as `analyzed_image`.
    """
    if text.startswith(DAEMON):
        return None
    wanted = wanted_platform(platform)
    place = image_place(session, text, wanted)
    if place.kind == "store" and place.name is not None:
        from slimstage.cli.push_source import pushed_manifest

        store = session.store()
        manifest = pushed_manifest(store, get_image(store, place.name, wanted))
        return PulledImage(manifest, {blob.digest: t for blob in manifest.layers if (t := _stored(store, blob))})
    with copier(session) as made, made.source(place) as source:
        manifest = image_documents(source, wanted)[0]
        if any(blob.media_type in _PLAIN for blob in manifest.layers):
            return None
        return PulledImage(manifest, {blob.digest: t for blob in manifest.layers if (t := _remote(source, blob))})


def _has_table(blob: Descriptor) -> bool:
    return is_estargz(blob.annotations) or is_zstd_chunked(blob.annotations)


def _stored(store: Store, blob: Descriptor) -> Contents | None:
    if not _has_table(blob):
        return None
    from slimstage.tree.partread import FileSource

    with store.blobs.open(blob.digest) as stream:
        return _table(FileSource(stream.fileno()), blob)


def _remote(source: Source, blob: Descriptor) -> Contents | None:
    return _table(_Ranges(source, blob), blob) if _has_table(blob) else None


def _table(source: FileSource | _Ranges, blob: Descriptor) -> Contents | None:
    """None for a table that is not what it says: such a layer is fetched whole."""
    from slimstage.tree.partread import read_contents

    try:
        return read_contents(source, blob.size, blob.annotations)
    except (FormatError, DigestMismatch):
        return None


class _Ranges:
    """A blob somewhere else, a part at a time."""

    def __init__(self, source: Source, blob: Descriptor) -> None:
        self._source, self._blob = source, blob

    def at(self, offset: int, count: int) -> bytes:
        with self._source.open_at(self._blob, offset) as stream:
            parts: list[bytes] = []
            while count and (data := stream.read(count)):
                parts.append(data)
                count -= len(data)
        return b"".join(parts)
