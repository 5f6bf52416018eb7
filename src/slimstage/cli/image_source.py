"""An image of the store with all its bytes at hand: what `save` writes and `inspect --verify` reads.

A layer that was built here and never asked for in bytes is packed now, in the way it was packed before: its diff ID,
which the image's config names, says whether that was right.
"""

from __future__ import annotations

from slimstage.bases.unpack import AS_IT_CAME
from slimstage.build.packing import LayerFormat, Packer, Times
from slimstage.build.request import Compression
from slimstage.errors import StoreError
from slimstage.oci.manifest import Index, parse_index, parse_manifest
from slimstage.store.images import ImageLayer, StoredImage
from slimstage.store.indexes import StoredIndex
from slimstage.store.packed import PackedLayer
from slimstage.store.source import StoreSource
from slimstage.store.store import Store
from slimstage.values import replace


def ready_index(store: Store, index: StoredIndex, *, has_others: bool = False) -> tuple[Index, tuple[StoreSource, ...]]:
    """An index and its images as sources, in its order. has_others: then what else it lists and came along.

    Raises StoreError: as `ready_source`, or an image is gone.
    """
    document = parse_index(store.blobs.read(index.digest))
    sources = []
    for member in index.members:
        image = store.images.find(member.image)
        if image is None:
            raise StoreError(
                f'the image for "{member.platform}" is not in the store any more',
                code="image-missing",
                hint="build or pull it again",
            )
        sources.append(ready_source(store, replace(image, manifest=member.manifest)))
    known = {member.manifest for member in index.members}
    # What is no image of the store is an attestation, as it came.
    others = [
        d.digest for d in document.manifests if has_others and d.digest not in known and store.blobs.has(d.digest)
    ]
    return document, (*sources, *(StoreSource(store.blobs, digest) for digest in others))


def ready_source(store: Store, image: StoredImage) -> StoreSource:
    """The image as a source whose every blob is in the store, held until the store is closed.

    Raises StoreError when a layer's bytes are gone and its directory is gone or does not give them again.
    """
    manifest = parse_manifest(store.blobs.read(image.manifest))
    missing = [
        layer for layer, blob in zip(image.layers, manifest.layers, strict=True) if not store.blobs.has(blob.digest)
    ]
    if missing:
        packer = Packer(store, threads=2)
        try:
            for layer in missing:
                _pack(store, packer, layer)
        finally:
            packer.close()
    for blob in manifest.layers:
        if not store.blobs.has(blob.digest):
            raise StoreError(
                f'the bytes of layer "{blob.digest}" are not in the store any more',
                code="blob-missing",
                hint="build or pull the image again",
            )
    return StoreSource(store.blobs, image.manifest)


def _pack(store: Store, packer: Packer, layer: ImageLayer) -> None:
    packed_layer(store, packer, layer, "uncompressed")


def packed_layer(store: Store, packer: Packer, layer: ImageLayer, compression: Compression) -> PackedLayer:
    """The layer packed from its directory, its bytes in the store. Raises StoreError when it cannot be."""
    if layer.layer is None or not store.snapshots.has((layer.layer,)):
        raise StoreError(
            f'layer "{layer.diff_id}" is neither packed nor unpacked in the store',
            code="layer-missing",
            hint="build or pull the image again",
        )
    for times in known_times(store, layer):
        packed = packer.result(layer.layer, LayerFormat(compression, None, times), wants_blob=True)
        if packed.diff_id == layer.diff_id:
            return packed
    raise StoreError(
        f'layer "{layer.diff_id}" cannot be packed again from its files', code="blob-missing", hint="build it again"
    )


def known_times(store: Store, layer: ImageLayer) -> list[Times]:
    """What may have become of times when the layer's tar was made: what the store remembers, then as they are."""
    return list(dict.fromkeys([*remembered_times(store, layer), Times()]))


def remembered_times(store: Store, layer: ImageLayer) -> list[Times]:
    """What became of times when the layer's directory was packed to this diff ID; none: it never was, as with a layer that
    came as a tar.
    """
    rows = store.database.query(
        "SELECT packing FROM packed WHERE layer = ? AND diff_id = ?", (layer.layer, layer.diff_id)
    )
    found = []
    for (text,) in rows:
        _, compression, _, clamp, extra = text.split("/", 4)
        if compression != AS_IT_CAME.compression:
            found.append(Times(None if clamp == "-" else int(clamp), is_for_all=extra.startswith("all")))
    return found
