"""What a host fetches for an image when it has another: by whole layers, and by pieces where layers can be read in parts.

A registry and every container store name a layer by the digest of its blob: one that is there is not fetched again. Layers
with a table of contents (eStargz, zstd:chunked) can be fetched a piece at a time, by hosts that can: podman and CRI-O,
containerd with the stargz snapshotter. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from slimstage.digest import Digest
from slimstage.oci.descriptor import Descriptor
from slimstage.oci.manifest import Manifest
from slimstage.tree.partread import Contents
from slimstage.tree.toc import Chunk
from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One layer of the new image. is_there: the old image has the blob. size_bytes: of the blob.

    in_parts_bytes: what a host that fetches pieces takes of it, the table included: 0 when it is there, None without a table.
    """

    number: int
    digest: Digest
    size_bytes: int
    is_there: bool
    created_by: str = ""
    in_parts_bytes: int | None = None

    @property
    def fetch_bytes(self) -> int:
        return 0 if self.is_there else self.size_bytes


@dataclass(frozen=True, slots=True)
class PullCost:
    """manifest_bytes, config_bytes: 0 when they are the old image's own. layers: of the new image, base first."""

    manifest_bytes: int
    config_bytes: int
    layers: tuple[LayerCost, ...]

    @property
    def layer_bytes(self) -> int:
        return _each_once(self.layers)

    @property
    def total_bytes(self) -> int:
        """What a registry serves: manifest, config, and each blob once."""
        return self.manifest_bytes + self.config_bytes + self.layer_bytes

    @property
    def from_nothing_bytes(self) -> int:
        """What a host without any of it fetches of layers."""
        return sum({layer.digest: layer.size_bytes for layer in self.layers}.values())

    @property
    def in_parts_bytes(self) -> int | None:
        """As `layer_bytes`, on a host that fetches pieces; None where no layer that is fetched has a table."""
        fetched = {layer.digest: layer for layer in self.layers if not layer.is_there}
        if all(layer.in_parts_bytes is None for layer in fetched.values()):
            return None
        return sum(
            layer.size_bytes if layer.in_parts_bytes is None else layer.in_parts_bytes for layer in fetched.values()
        )


@dataclass(frozen=True, slots=True)
class PulledImage:
    """An image as a registry has it. tables: of the layers that have one, by the digest of the blob.

    created_by: of each layer, for people.
    """

    manifest: Manifest
    tables: dict[Digest, Contents]
    created_by: tuple[str, ...] = ()


def pull_cost(old: PulledImage, new: PulledImage) -> PullCost:
    """What a host that has `old` fetches for `new`."""
    there = {blob.digest for blob in old.manifest.layers}
    known = {chunk.digest for blob in old.manifest.layers if (t := old.tables.get(blob.digest)) for chunk in _chunks(t)}
    made = new.created_by or ("",) * len(new.manifest.layers)
    layers = [
        _layer(number, blob, blob.digest in there, created_by, new.tables.get(blob.digest), known)
        for number, (blob, created_by) in enumerate(zip(new.manifest.layers, made, strict=True))
    ]
    is_same = new.manifest.digest == old.manifest.digest
    has_config = new.manifest.config.digest == old.manifest.config.digest
    return PullCost(
        manifest_bytes=0 if is_same else len(new.manifest.raw),
        config_bytes=0 if has_config else new.manifest.config.size,
        layers=tuple(layers),
    )


def _layer(
    number: int, blob: Descriptor, is_there: bool, created_by: str, table: Contents | None, known: set[str]
) -> LayerCost:
    in_parts: int | None = None
    if is_there:
        in_parts = 0
    elif table is not None:
        # What belongs to the table is behind the contents: it is fetched whole.
        missing = {chunk.digest: chunk.end - chunk.offset for chunk in _chunks(table) if chunk.digest not in known}
        in_parts = sum(missing.values()) + blob.size - table.offset
    return LayerCost(number, blob.digest, blob.size, is_there, created_by, in_parts)


def _chunks(table: Contents) -> Iterable[Chunk]:
    return (chunk for file in table.files for chunk in file.chunks if chunk.size)


def _each_once(layers: Iterable[LayerCost]) -> int:
    return sum({layer.digest: layer.fetch_bytes for layer in layers}.values())
