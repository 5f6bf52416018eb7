"""Images in the store: names → manifest, and the layer directories that each image's layers are unpacked in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slimstage.digest import Digest
from slimstage.oci.descriptor import Descriptor, Platform
from slimstage.store.snapshots import LayerId


@dataclass(frozen=True, slots=True)
class ImageLayer:
    """One layer of a stored image.

    blob: the bytes by which it was pulled or was packed, when they are in the blob store; None for a layer that was
    built here and not packed: it is packed anew from its directory when bytes are asked for (same bytes each time).
    layer: the unpacked directory; None when it has not been unpacked yet.
    """

    diff_id: Digest
    size_bytes: int
    """Of the uncompressed tar."""
    blob: Descriptor | None
    layer: LayerId | None
    created_by: str = ""


@dataclass(frozen=True, slots=True)
class StoredImage:
    """`id` is the config's digest. `manifest` is the digest of the manifest in the blob store."""

    id: Digest
    manifest: Digest
    platform: Platform
    layers: tuple[ImageLayer, ...]
    created_s: float
    names: tuple[str, ...] = ()
    """Full references with tag: `docker.io/library/python:3.11`, `localhost/app:latest` stays as the user wrote it."""


class Images:
    """All images of one store. Every change is one transaction."""

    def put(self, image: StoredImage, names: Sequence[str] = ()) -> None:
        """Stores it (config and manifest are in the blob store already) and moves the names to it."""
        raise NotImplementedError

    def find(self, reference: str) -> StoredImage | None:
        """By name (`:latest` and the default registry are implied), by `name@digest`, by ID or an unambiguous prefix of one."""
        raise NotImplementedError

    def list(self) -> list[StoredImage]:
        """All, newest first."""
        raise NotImplementedError

    def tag(self, image: Digest, name: str) -> None:
        raise NotImplementedError

    def untag(self, name: str) -> bool:
        """Removes the name; False when it was not there. The image stays until it is removed or pruned."""
        raise NotImplementedError

    def remove(self, image: Digest) -> None:
        """Removes the image and all its names; its layers go with the next prune unless something else needs them."""
        raise NotImplementedError
