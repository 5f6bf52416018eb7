"""Layers of base images → layer directories in the store, each once, every byte verified."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from slimstage.digest import Digest, VerifyingReader
from slimstage.errors import DigestMismatch, FormatError, StoreError
from slimstage.oci.descriptor import Descriptor
from slimstage.store.arrivals import Following, Withdrawn
from slimstage.store.files import wait_lock
from slimstage.store.images import ImageLayer
from slimstage.store.packed import PackedLayer, Packing
from slimstage.store.snapshots import LayerId, Stack
from slimstage.store.store import Store
from slimstage.values import replace

if TYPE_CHECKING:
    from concurrent.futures import Future

AS_IT_CAME = Packing("as-it-came")
"""The packing under which the store remembers a base layer's own blob and size."""

_AT_ONCE = 4
"""Blobs that are fetched at the same time; unpacking follows in order."""


class LayerUnpacker:
    """Unpacks layers for one store. Safe for several threads and processes: a layer is unpacked once."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def known(self, layer: ImageLayer) -> ImageLayer:
        """The layer with its size, when it was unpacked before."""
        if layer.size_bytes or layer.layer is None:
            return layer
        packed = self._store.packed.get(layer.layer, AS_IT_CAME)
        return replace(layer, size_bytes=packed.size_bytes) if packed else layer

    def unpack(
        self, layers: Sequence[ImageLayer], get: Callable[[Descriptor], None], give_up: Callable[[], None]
    ) -> Stack:
        """The stack of the layers, base first. Several blobs come at once; each layer is unpacked when it is its turn, which
        may be while it comes.

        get: brings a blob into the store; called from several threads. give_up: called when one has failed, so that the
        others end. Raises FormatError: a layer is not what its digest, size or diff ID says, or is malformed; StoreError;
        what `get` raises.
        """
        from concurrent.futures import ThreadPoolExecutor  # only when something is unpacked

        stack: list[LayerId] = []
        with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="fetch") as pool:
            coming: dict[Digest, Future[None]] = {}
            for layer in layers:
                # One future for each blob: images do repeat layers.
                if layer.blob is not None and not self._is_here(layer) and layer.blob.digest not in coming:
                    coming[layer.blob.digest] = pool.submit(get, layer.blob)
            try:
                for layer in layers:
                    arriving = coming.get(layer.blob.digest) if layer.blob is not None else None
                    below = tuple(stack)
                    stack.append(
                        self._unpack_arriving(layer, below, arriving) if arriving else self._unpack(layer, below)
                    )
            except BaseException:
                give_up()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return tuple(stack)

    def add(self, produce: Callable[[Callable[[IO[bytes]], None]], None]) -> tuple[ImageLayer, int]:
        """A new layer from a tar that `produce` streams to the function it is given; (layer, bytes of its files).

        The diff ID is that of packing the directory, so its bytes can be made again at any time.
        """
        from slimstage.tree.blocks import pack_layer  # only when something is unpacked

        draft = self._store.snapshots.draft()
        try:
            produce(lambda stream: _take(stream, draft.path))
            layer = self._store.snapshots.freeze(draft)
        except BaseException:
            self._store.snapshots.discard(draft)
            raise
        made = pack_layer(self._store.snapshots.path(layer), compression="uncompressed")
        return ImageLayer(made.diff_id, made.size_bytes, None, layer), made.file_bytes

    def _is_here(self, layer: ImageLayer) -> bool:
        return layer.layer is not None and self._store.snapshots.has((layer.layer,))

    def _unpack_arriving(self, layer: ImageLayer, below: Stack, arriving: Future[None]) -> LayerId:
        """Unpacks the layer while its blob comes; once more from the store when what came was not it in the end."""
        assert layer.blob is not None
        arrivals = self._store.blobs.arrivals
        arriving.add_done_callback(lambda _: arrivals.wake())
        following = arrivals.await_one(layer.blob.digest, arriving.done)
        if following is not None:
            try:
                made = self._unpack(layer, below, following)
            except (Withdrawn, FormatError):
                pass  # its digest has not been seen yet: it may be the server's fault, and another server's turn
            else:
                arriving.result()
                return made
            finally:
                following.close()
        arriving.result()
        return self._unpack(layer, below)

    def _unpack(self, layer: ImageLayer, below: Stack, following: Following | None = None) -> LayerId:
        if layer.layer is None:
            raise StoreError(f"layer {layer.diff_id} has no place in the store", code="layer-missing")
        if self._is_here(layer):
            return layer.layer
        if layer.blob is None:
            raise StoreError(f"the files of layer {layer.diff_id} are not in the store any more", code="layer-missing")
        # Lock files of this name are removed by a prune when nobody holds them.
        with wait_lock(str(self._store.root / "locks" / f"step-layer-{layer.layer}")) as lock:
            if not self._is_here(layer):
                self._write(layer, layer.layer, layer.blob, below, following)
            lock.release(removes=True)
        return layer.layer

    def _write(
        self, layer: ImageLayer, place: LayerId, blob: Descriptor, below: Stack, following: Following | None
    ) -> None:
        from slimstage.tree.unpack import unpack_layer  # only when something is unpacked

        snapshots = self._store.snapshots
        draft = snapshots.draft(place)
        try:
            if following is not None:
                result = unpack_layer(following, draft.path, snapshots.paths(below))
            else:
                with self._store.blobs.open(blob.digest) as stream:
                    # Verified as it came in; verified again, because the disk is not to be trusted for ever.
                    reader = cast(BinaryIO, VerifyingReader(stream, blob.digest, blob.size))
                    result = unpack_layer(reader, draft.path, snapshots.paths(below))
            if result.diff_id != layer.diff_id:
                raise FormatError(
                    f"layer {blob.digest} does not unpack to its diff ID: want {layer.diff_id}, got {result.diff_id}",
                    code="diff-id-mismatch",
                )
            snapshots.freeze(draft, size_bytes=result.file_bytes)
        except DigestMismatch as error:
            snapshots.discard(draft)
            raise FormatError(f"layer {blob.digest}: {error.message}", code="digest-mismatch") from error
        except BaseException:
            snapshots.discard(draft)
            raise
        self._store.packed.put(place, AS_IT_CAME, PackedLayer(layer.diff_id, result.size_bytes, blob))


def _take(stream: IO[bytes], path: str) -> None:
    from slimstage.tree.unpack import unpack_layer  # only when something is unpacked

    unpack_layer(cast(BinaryIO, stream), path, ())
    if not os.listdir(path):
        raise FormatError("the tar of the system is empty", code="bad-tar")
