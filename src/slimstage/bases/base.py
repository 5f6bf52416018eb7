"""The value that every kind of base becomes, and the seam that resolves one."""

from __future__ import annotations

from typing import Protocol

from slimstage.digest import Digest
from slimstage.events import Listener
from slimstage.oci.config import ImageConfig
from slimstage.oci.descriptor import Platform
from slimstage.store.images import ImageLayer
from slimstage.store.packed import PackedLayer
from slimstage.store.snapshots import LayerId, Stack
from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class Base:
    """An image that a stage can stand on: known, but its layers not necessarily here yet."""

    reference: str
    """As the Dockerfile or the named context says it."""
    id: Digest
    """The config's digest: what cache keys use."""
    manifest: Digest
    config: ImageConfig
    platform: Platform
    layers: tuple[ImageLayer, ...]


class Systems(Protocol):
    """Where base systems are found that were made elsewhere."""

    def system(self, key: str) -> tuple[str, PackedLayer, LayerId] | None:
        """(config, layer, its directory in the store, promised) of the system with this key; None: not known."""
        ...


class BaseResolver(Protocol):
    """Finds bases. Safe to call from several threads at once."""

    def resolve(self, reference: str, platform: Platform, *, pull: bool = False) -> Base:
        """The image that the reference names; asks the store first unless `pull`. Reads manifest and config only.

        reference: an image name, `docker-image://NAME`, `oci-layout://PATH[:TAG][@DIGEST]`, `docker-archive:PATH`,
        `oci-archive:PATH`, or `debian://SUITE?include=…&variant=…`.
        Raises PlanError (no such base, with near names), FormatError, RegistryError, StoreError, SandboxError.
        """
        ...

    def fetch(self, base: Base, listener: Listener, step: str) -> Stack:
        """Unpacks its layers into the store (what is there is not read again) and returns the stack.

        Every byte is verified: blob digest, size, diff ID. Raises FormatError, RegistryError, StoreError.
        """
        ...

    def promise(self, base: Base, listener: Listener, step: str) -> Stack:
        """As `fetch`, but nothing comes before it is asked for: directories, or a layer's own blob.

        What is asked for later may raise what `fetch` raises.
        """
        ...

    def system_key(self, base: Base) -> str | None:
        """What names the base's system in a store or a cache; None for an image that came from elsewhere."""
        ...

    def layers(self, base: Base) -> tuple[ImageLayer, ...]:
        """The base's layers with all that is known of them by now: sizes once they were unpacked."""
        ...
