"""Layers of an image on their way to gzip, several at a time, which can be read while they are made."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from slimstage.build.packing import LayerFormat, Packer
from slimstage.cli.image_source import known_times, packed_layer, remembered_times
from slimstage.digest import Digest
from slimstage.errors import StoreError
from slimstage.oci.descriptor import Descriptor
from slimstage.store.growing import GrowingBlob
from slimstage.store.images import ImageLayer
from slimstage.store.recompress import RecompressedLayer, recompressed
from slimstage.store.store import Store
from slimstage.values import replace

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

_GZIP = LayerFormat("gzip")
_AT_ONCE = 2


class Compressor:
    """Begin all layers, then ask for the result of each; leaving the `with` calls off what is not done."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._packer = Packer(store, threads=os.cpu_count() or 1)
        self._pool: ThreadPoolExecutor | None = None
        self._tars: dict[Digest, Future[RecompressedLayer]] = {}
        self.growing: list[GrowingBlob] = []
        """What is being made, each layer once, in the order that it is made in."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self.growing:
            each.call_off()
        self._packer.close()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        for each in self.growing:
            each.close()

    def begin(self, layer: ImageLayer, blob: Descriptor) -> None:
        """Does nothing for a layer that is packed already, or is neither here as files nor as a tar."""
        growing = GrowingBlob(layer.diff_id)
        if layer.layer is not None and self._is_packed_anew(layer, blob):
            # Which times are right shows at the end, and the first ones nearly always are.
            format = replace(_GZIP, times=known_times(self._store, layer)[0])
            if self._packer.begin(layer.layer, format, wants_blob=True, growing=growing):
                self.growing.append(growing)
        elif self._store.blobs.has(blob.digest) and blob.digest not in self._tars:
            if self._pool is None:
                from concurrent.futures import ThreadPoolExecutor  # only for tars

                self._pool = ThreadPoolExecutor(_AT_ONCE, "compress")
            self._tars[blob.digest] = self._pool.submit(
                recompressed, self._store.blobs, blob, layer.diff_id, "gzip", growing=growing
            )
            self.growing.append(growing)

    def result(self, layer: ImageLayer, blob: Descriptor) -> Descriptor:
        """The layer's gzip, in the store. Raises StoreError when it cannot be made."""
        if self._is_packed_anew(layer, blob):
            made = packed_layer(self._store, self._packer, layer, "gzip").blob
            assert made is not None  # a blob was asked for
            return made
        if blob.digest not in self._tars:
            raise StoreError(
                f'layer "{layer.diff_id}" is neither packed nor unpacked in the store',
                code="layer-missing",
                hint="build or pull the image again",
            )
        return self._tars[blob.digest].result().blob

    def _is_packed_anew(self, layer: ImageLayer, blob: Descriptor) -> bool:
        """Whether the gzip is made from the layer's files. Not where the tar is here that another program made of them, in
        an archive that was loaded: ours would be another tar.
        """
        if layer.layer is None or not self._store.snapshots.has((layer.layer,)):
            return False
        return not self._store.blobs.has(blob.digest) or bool(remembered_times(self._store, layer))
