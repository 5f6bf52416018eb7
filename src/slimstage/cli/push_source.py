"""An image of the store as it is pushed: layers that are not compressed are, everything else is as it is.

A layer that was built here is kept as files and named by its uncompressed tar; in a registry it is gzip, as `docker push`
makes it. The store then has the pushed manifest too, so that the digest a registry shows is the store's. An image that
came from a registry, or that signatures belong to, keeps its manifest to the byte.
"""

from __future__ import annotations

import os

from slimstage.build.packing import LayerFormat, Packer
from slimstage.cli.image_source import known_times, packed_layer, ready_index, ready_source, remembered_times
from slimstage.errors import StoreError
from slimstage.oci.descriptor import (
    DOCKER_INDEX,
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    Descriptor,
)
from slimstage.oci.manifest import Index, build_index, build_manifest, parse_index, parse_manifest
from slimstage.store.images import ImageLayer, StoredImage
from slimstage.store.indexes import StoredIndex
from slimstage.store.recompress import recompressed
from slimstage.store.source import StoreSource
from slimstage.store.store import Store
from slimstage.values import replace

_COMPRESSED = {OCI_LAYER: OCI_LAYER_GZIP, DOCKER_LAYER: DOCKER_LAYER_GZIP}
_GZIP = LayerFormat("gzip")


def push_source(store: Store, image: StoredImage) -> StoreSource:
    """The image with every blob in the store, its own layers compressed; the store's image has that manifest from now on.

    Raises StoreError when a layer's bytes are gone, and its directory is gone or does not give them again.
    """
    return ready_source(store, _compressed(store, image))


def push_index(store: Store, index: StoredIndex) -> tuple[Index, tuple[StoreSource, ...]]:
    """As `push_source`, for every image of an index; where a manifest changed, a new index has the old one's names."""
    images = [store.images.find(member.image) for member in index.members]
    if store.referrers.list(index.digest) or None in images:
        return ready_index(store, index, has_others=True)  # which also says what is missing
    members = tuple(
        replace(member, manifest=_compressed(store, replace(image, manifest=member.manifest)).manifest)
        for member, image in zip(index.members, images, strict=True)
        if image is not None
    )
    if members == index.members:
        return ready_index(store, index, has_others=True)
    old = parse_index(store.blobs.read(index.digest))
    new = {before.manifest: after.manifest for before, after in zip(index.members, members, strict=True)}
    document = build_index(
        [
            replace(entry, digest=new[entry.digest], size=store.blobs.size_bytes(new[entry.digest]))
            if entry.digest in new
            else entry
            for entry in old.manifests
        ],
        old.annotations,
        uses_docker_types=old.media_type == DOCKER_INDEX,
        artifact_type=old.artifact_type,
        subject=old.subject,
    )
    store.blobs.put(document.raw)
    stored = replace(index, digest=document.digest, members=members)
    store.indexes.put(stored)
    store.indexes.remove(index.digest)
    return ready_index(store, stored, has_others=True)


def _compressed(store: Store, image: StoredImage) -> StoredImage:
    """The image with a manifest of compressed layers, kept in the store; itself where there is nothing to compress."""
    manifest = parse_manifest(store.blobs.read(image.manifest))
    if len(manifest.layers) != len(image.layers) or store.referrers.list(image.manifest):
        return image
    own = [
        number
        for number, blob in enumerate(manifest.layers)
        if blob.media_type in _COMPRESSED and not store.origins.of(blob.digest)
    ]
    if not own:
        return image
    layers, blobs = list(image.layers), list(manifest.layers)
    packer = Packer(store, threads=os.cpu_count() or 1)
    try:
        for number in own:
            _begin(store, packer, layers[number], blobs[number])
        for number in own:
            made = _gzip(store, packer, layers[number], blobs[number])
            layers[number] = replace(layers[number], blob=made)
            blobs[number] = replace(made, media_type=_COMPRESSED[blobs[number].media_type])
    finally:
        packer.close()
    new = build_manifest(
        manifest.config,
        blobs,
        manifest.annotations,
        uses_docker_types=manifest.media_type == DOCKER_MANIFEST,
        artifact_type=manifest.artifact_type,
        subject=manifest.subject,
    )
    store.blobs.put(new.raw)
    stored = replace(image, manifest=new.digest, layers=tuple(layers))
    store.images.put(stored)
    return stored


def _begin(store: Store, packer: Packer, layer: ImageLayer, blob: Descriptor) -> None:
    """Layers are packed side by side; which form is right shows at the end, and the first one nearly always is."""
    if layer.layer is not None and _is_packed_anew(store, layer, blob):
        packer.begin(layer.layer, replace(_GZIP, times=known_times(store, layer)[0]), wants_blob=True)


def _is_packed_anew(store: Store, layer: ImageLayer, blob: Descriptor) -> bool:
    """Whether the gzip is made from the layer's files. Not where the tar is here that another program made of them, in an
    archive that was loaded: ours would be another tar.
    """
    if layer.layer is None or not store.snapshots.has((layer.layer,)):
        return False
    return not store.blobs.has(blob.digest) or bool(remembered_times(store, layer))


def _gzip(store: Store, packer: Packer, layer: ImageLayer, blob: Descriptor) -> Descriptor:
    if _is_packed_anew(store, layer, blob):
        made = packed_layer(store, packer, layer, "gzip").blob
        assert made is not None  # a blob was asked for
        return made
    if not store.blobs.has(blob.digest):
        raise StoreError(
            f'layer "{layer.diff_id}" is neither packed nor unpacked in the store',
            code="layer-missing",
            hint="build or pull the image again",
        )
    return recompressed(store.blobs, blob, layer.diff_id, "gzip").blob
