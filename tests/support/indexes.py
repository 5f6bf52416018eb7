"""Images of several platforms in a store, and the index over them."""

from __future__ import annotations

from slimstage.digest import digest_bytes
from slimstage.oci.config import to_json
from slimstage.oci.descriptor import Platform
from slimstage.oci.manifest import Index, build_index
from slimstage.store.images import ImageLayer, StoredImage
from slimstage.store.indexes import IndexMember, StoredIndex
from slimstage.store.store import Store
from support.images import MemoryImage, memory_image

AMD, ARM = Platform("linux", "amd64"), Platform("linux", "arm64")


def put_image(store: Store, image: MemoryImage, *names: str, created_s: float = 1.0) -> StoredImage:
    """The image with all its blobs, packed and not unpacked."""
    for data in image.blobs.values():
        store.blobs.put(data)
    manifest, config = image.manifest(), image.config()
    layers = tuple(
        ImageLayer(diff_id, blob.size, blob, None)
        for diff_id, blob in zip(config.diff_ids, manifest.layers, strict=True)
    )
    stored = StoredImage(digest_bytes(to_json(config)), manifest.digest, config.platform, layers, created_s)
    store.images.put(stored, names)
    return stored


def put_index(store: Store, *names: str, architectures: tuple[str, ...] = ("amd64", "arm64")) -> StoredIndex:
    """An index of one image for each architecture, whose names nobody has yet."""
    members, descriptors = [], []
    for architecture in architectures:
        image = memory_image({"etc/": b"", "etc/arch": architecture.encode()}, architecture=architecture)
        stored = put_image(store, image)
        members.append(IndexMember(stored.manifest, stored.id, stored.platform))
        descriptors.append(image.manifest().descriptor(stored.platform))
    index: Index = build_index(descriptors)
    store.blobs.put(index.raw)
    store.indexes.put(StoredIndex(index.digest, tuple(members), 1.0), [f"docker.io/library/{name}" for name in names])
    found = store.indexes.get(index.digest)
    assert found is not None
    return found
