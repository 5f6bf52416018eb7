"""Layer directories → diff IDs and blobs, each once, beginning as soon as a layer is there.

Packing a layer of the final stage goes on while other steps still run: hashing and compressing release the interpreter
lock. What was packed the same way before is taken from the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, cast

from slimstage.oci.descriptor import Descriptor
from slimstage.store.files import guarded
from slimstage.store.packed import PackedLayer, Packing
from slimstage.store.snapshots import LayerId
from slimstage.store.store import Store
from slimstage.tree.compress import Compression
from slimstage.values import dataclass

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from slimstage.store.growing import GrowingBlob

PACK_VERSION = "1"
"""Raised when the packer or a compressor writes other bytes than before for the same directory."""


@dataclass(frozen=True, slots=True)
class Times:
    """What becomes of modification times: `latest_s` is the latest that stays; with `is_for_all` every time is that."""

    latest_s: int | None = None
    is_for_all: bool = False


@dataclass(frozen=True, slots=True)
class LayerFormat:
    """How the layers of one output are packed."""

    compression: Compression = "uncompressed"
    level: int | None = None
    times: Times = Times()

    @property
    def has_own_tar(self) -> bool:
        """True where the format adds files to the tar, so that its diff ID is not that of the others."""
        return self.compression == "estargz"

    @property
    def packing(self) -> Packing:
        extra = ("all" if self.times.is_for_all else "") + ("+toc" if self.has_own_tar else "")
        return Packing(self.compression, self.level, self.times.latest_s, version=PACK_VERSION, extra=extra)


class Packer:
    """Packs layers for one build. Safe for several threads; close it at the end."""

    def __init__(self, store: Store, threads: int) -> None:
        self._store, self._threads = store, threads
        self._pool: ThreadPoolExecutor | None = None
        self._known: dict[tuple[LayerId, LayerFormat, bool], PackedLayer] = {}
        self._begun: dict[tuple[LayerId, LayerFormat, bool], Future[PackedLayer]] = {}

    def begin(
        self, layer: LayerId, format: LayerFormat, *, wants_blob: bool, growing: GrowingBlob | None = None
    ) -> bool:
        """Starts packing, unless that was begun or done before; says whether it did. Call it from one thread.

        growing: the blob that it becomes, for who reads it meanwhile.
        """
        key = (layer, format, wants_blob)
        if key in self._begun or key in self._known:
            return False
        known = self._find(layer, format, wants_blob)
        if known is not None:
            self._known[key] = known
            return False
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor  # a build that finds all packed needs no threads

            self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="pack")
        self._begun[key] = self._pool.submit(self._pack, layer, format, wants_blob, growing)
        return True

    def result(self, layer: LayerId, format: LayerFormat, *, wants_blob: bool) -> PackedLayer:
        """The packed layer; waits for it. With `wants_blob` its bytes are in the blob store."""
        self.begin(layer, format, wants_blob=wants_blob)
        key = (layer, format, wants_blob)
        return self._known[key] if key in self._known else self._begun[key].result()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _find(self, layer: LayerId, format: LayerFormat, wants_blob: bool) -> PackedLayer | None:
        """What the store knows of it, when that is enough."""
        packed, packing = self._store.packed, format.packing
        known = packed.get(layer, packing)
        if known is not None and (known.blob or not wants_blob):
            return known
        if wants_blob:
            return None
        return packed.diff_id(layer, packing.clamp_s, version=packing.version, extra=packing.extra)

    def _pack(self, layer: LayerId, format: LayerFormat, wants_blob: bool, growing: GrowingBlob | None) -> PackedLayer:
        try:
            with guarded("pack a layer"):
                return self._packed(layer, format, wants_blob, growing)
        except BaseException as error:
            if growing is not None:
                growing.fail(error)
            raise

    def _packed(
        self, layer: LayerId, format: LayerFormat, wants_blob: bool, growing: GrowingBlob | None
    ) -> PackedLayer:
        from slimstage.tree.blocks import pack_layer  # only when a layer is packed

        path, times = self._store.snapshots.path(layer), format.times
        if not wants_blob:
            made = pack_layer(
                path,
                compression=format.compression if format.has_own_tar else "uncompressed",
                threads=self._threads,
                clamp_s=times.latest_s,
                clamps_all=times.is_for_all,
            )
            result = PackedLayer(made.diff_id, made.size_bytes, None)
        else:
            with self._store.blobs.writer(is_digested=True) as writer:
                if growing is not None:
                    growing.begin(writer)
                made = pack_layer(
                    path,
                    compression=format.compression,
                    level=format.level,
                    out=cast(BinaryIO, writer),
                    threads=self._threads,
                    clamp_s=times.latest_s,
                    clamps_all=times.is_for_all,
                )
                blob = Descriptor(made.media_type, made.blob_digest, made.blob_size, annotations=made.annotations)
                if growing is not None:
                    growing.end(blob, made.diff_id)
                writer.commit(made.blob_digest, made.blob_size)
            result = PackedLayer(made.diff_id, made.size_bytes, blob)
        self._store.packed.put(layer, format.packing, result)
        return result
