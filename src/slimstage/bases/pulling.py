"""An image of a registry into the store: what it would cost, and doing it. The same way as for a build's bases."""

from __future__ import annotations

from typing import Literal, TypeAlias

from slimstage.bases.base import Base
from slimstage.bases.named import BlobPlace
from slimstage.bases.resolve import Bases
from slimstage.digest import Digest
from slimstage.events import Listener
from slimstage.oci.descriptor import Descriptor, Platform
from slimstage.store.images import StoredImage
from slimstage.store.partial import partial_bytes
from slimstage.store.store import Store
from slimstage.values import dataclass

Place: TypeAlias = Literal["unpacked", "store", "partly", "registry", "mirror"]
"""Where a layer is: unpacked here; its bytes here; the first of its bytes here; at the registry; at a mirror of it."""


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """One layer. size_bytes, here_bytes, fetch_bytes: of the blob, as it travels.

    source: the server that the rest comes from, when it was asked for; "" for a layer of which nothing has to come.
    """

    digest: Digest
    media_type: str
    size_bytes: int
    place: Place
    here_bytes: int
    fetch_bytes: int
    source: str = ""


@dataclass(frozen=True, slots=True)
class PullPlan:
    """What a pull has to bring, layers base first. config and manifest are here already."""

    reference: str
    id: Digest
    manifest: Digest
    platform: Platform
    layers: tuple[LayerPlan, ...]

    @property
    def size_bytes(self) -> int:
        return sum(layer.size_bytes for layer in self.layers)

    @property
    def here_bytes(self) -> int:
        return sum(layer.here_bytes for layer in self.layers)

    @property
    def fetch_bytes(self) -> int:
        """A blob that two layers share comes once."""
        return sum({layer.digest: layer.fetch_bytes for layer in self.layers}.values())


def plan_pull(store: Store, bases: Bases, base: Base, *, asks: bool = False) -> PullPlan:
    """What fetching the base would bring. asks: the servers are asked which of them has each blob that is to come.

    Raises RegistryError when none has one.
    """
    found: dict[Digest, LayerPlan] = {}
    layers = []
    for layer in bases.layers(base):
        blob = layer.blob
        assert blob is not None  # by its manifest
        size = blob.size
        if layer.layer is not None and store.snapshots.has((layer.layer,)):
            layers.append(LayerPlan(blob.digest, blob.media_type, size, "unpacked", size, 0))
        elif blob.digest in found:
            layers.append(found[blob.digest])
        elif store.blobs.has(blob.digest):
            layers.append(LayerPlan(blob.digest, blob.media_type, size, "store", size, 0))
        else:
            if asks:
                found[blob.digest] = _asked(blob, bases.locate(base, blob))
            else:
                kept = min(partial_bytes(store.blobs, blob.digest), size)
                place: Place = "partly" if kept else "registry"
                found[blob.digest] = LayerPlan(blob.digest, blob.media_type, size, place, kept, size - kept)
            layers.append(found[blob.digest])
    return PullPlan(base.reference, base.id, base.manifest, base.platform, tuple(layers))


def _asked(blob: Descriptor, server: BlobPlace) -> LayerPlan:
    kept = min(server.kept_bytes, blob.size)
    place: Place = "partly" if kept else "mirror" if server.is_mirror else "registry"
    return LayerPlan(blob.digest, blob.media_type, blob.size, place, kept, blob.size - kept, server.address)


def pull_base(bases: Bases, base: Base, listener: Listener) -> StoredImage:
    """Fetches and unpacks the layers of a base of a registry, and keeps the image under its name.

    What is here is not fetched. Raises RegistryError, FormatError, StoreError, Interrupted.
    """
    bases.fetch(base, listener, "")
    return bases.keep(base)
