"""An image of the store as it is pushed: layers that are not compressed are, everything else is as it is.

A layer that was built here is kept as files and named by its uncompressed tar; in a registry it is gzip, as `docker push`
makes it, and goes there while it is made. The store then has the pushed manifest too, so that the digest a registry shows
is the store's. An image that came from a registry, or that signatures or attestations belong to, keeps its manifest to
the byte.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from slimstage.cli.image_source import ready_index, ready_source
from slimstage.oci.descriptor import AS_DOCKER, DOCKER_LAYER, DOCKER_MANIFEST, OCI_LAYER, Descriptor
from slimstage.oci.manifest import Index, Manifest, build_manifest, parse_index, parse_manifest
from slimstage.oci.referrer import attested
from slimstage.store.growing import GrowingBlob
from slimstage.store.images import ImageLayer, StoredImage
from slimstage.store.indexes import StoredIndex
from slimstage.store.source import StoreSource
from slimstage.store.store import Store
from slimstage.values import replace

Ahead: TypeAlias = Callable[[Sequence[Descriptor], Sequence[GrowingBlob]], object]
"""Sends layers that are in the store and layers that are being made; called once for each image that has some of those."""

_PLAIN = (OCI_LAYER, DOCKER_LAYER)


def push_source(store: Store, image: StoredImage, ahead: Ahead) -> StoreSource:
    """The image with every blob in the store, its own layers compressed; the store's image has that manifest from now on.

    Raises StoreError when a layer's bytes are gone, and its directory is gone or does not give them again.
    """
    return ready_source(store, _compressed(store, image, ahead))


def push_index(store: Store, index: StoredIndex, ahead: Ahead) -> tuple[Index, tuple[StoreSource, ...]]:
    """As `push_source`, for every image of an index; where a manifest changed, a new index has the old one's names."""
    images = [store.images.find(member.image) for member in index.members]
    if store.referrers.list(index.digest) or None in images:
        return ready_index(store, index, has_others=True)  # which also says what is missing
    old = parse_index(store.blobs.read(index.digest))
    kept = {attested(entry) for entry in old.manifests}
    members = tuple(
        replace(member, manifest=_compressed(store, replace(image, manifest=member.manifest), ahead).manifest)
        if image is not None and member.manifest not in kept
        else member
        for member, image in zip(index.members, images, strict=True)
    )
    if members == index.members:
        return ready_index(store, index, has_others=True)
    from slimstage.store.recompress import recompressed_index  # only when an image became another one

    made = {
        before.manifest: parse_manifest(store.blobs.read(after.manifest))
        for before, after in zip(index.members, members, strict=True)
    }
    document = recompressed_index(store.blobs, old, made)
    stored = replace(index, digest=document.digest, members=members)
    store.indexes.put(stored)
    store.indexes.remove(index.digest)
    return ready_index(store, stored, has_others=True)


def pushed_manifest(store: Store, image: StoredImage) -> Manifest:
    """The manifest that a push of the image would send; its layers are packed for it and stay, the image stays as it is.

    Raises as `push_source`.
    """
    return _packed(store, image, lambda _there, _growing: None)[0]


def _compressed(store: Store, image: StoredImage, ahead: Ahead) -> StoredImage:
    """The image with a manifest of compressed layers, kept in the store; itself where there is nothing to compress."""
    manifest, layers = _packed(store, image, ahead)
    if manifest.digest == image.manifest:
        return image
    store.blobs.put(manifest.raw)
    stored = replace(image, manifest=manifest.digest, layers=layers)
    store.images.put(stored)
    return stored


def _packed(store: Store, image: StoredImage, ahead: Ahead) -> tuple[Manifest, tuple[ImageLayer, ...]]:
    """The manifest with every layer compressed, and the layers with those blobs; as they are where nothing is to be done."""
    manifest = parse_manifest(store.blobs.read(image.manifest))
    if len(manifest.layers) != len(image.layers) or store.referrers.list(image.manifest):
        return manifest, image.layers
    own = [
        number
        for number, blob in enumerate(manifest.layers)
        if blob.media_type in _PLAIN and not store.origins.of(blob.digest)
    ]
    if not own:
        return manifest, image.layers
    from slimstage.cli.compressing import Compressor  # only when something is compressed

    layers, blobs = list(image.layers), list(manifest.layers)
    with Compressor(store) as compressor:
        for number in own:
            compressor.begin(layers[number], blobs[number])
        if compressor.growing:
            others = [blob for number, blob in enumerate(blobs) if number not in own and store.blobs.has(blob.digest)]
            ahead(others, compressor.growing)
        for number in own:
            made = compressor.result(layers[number], blobs[number])
            layers[number] = replace(layers[number], blob=made)
            is_docker = blobs[number].media_type == DOCKER_LAYER
            blobs[number] = replace(made, media_type=AS_DOCKER[made.media_type]) if is_docker else made
    new = build_manifest(
        manifest.config,
        blobs,
        manifest.annotations,
        uses_docker_types=manifest.media_type == DOCKER_MANIFEST,
        artifact_type=manifest.artifact_type,
        subject=manifest.subject,
    )
    return new, tuple(layers)
