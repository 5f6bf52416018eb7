"""Caches of other machines, asked in order: key → record, and the promise of a layer.

Only the documents are read at the start. What a hit stands for is promised to the store (`store/promises.py`), and is
fetched when something reads it. Nothing that a cache says can make a build fail: what is broken, lies or does not come is
a miss, with one warning for each cache.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import BinaryIO, cast

from slimstage.cache.document import (
    COMPRESSIONS,
    CachedLayer,
    CachedMount,
    CacheDocument,
    CachedRecord,
    CachedSystem,
)
from slimstage.cache.local import Cache
from slimstage.cache.sources import CacheSource
from slimstage.digest import Digest, VerifyingReader
from slimstage.errors import DISK_FULL, DigestMismatch, FormatError, Interrupted, SlimstageError
from slimstage.events import CacheRead, Listener, TransferProgress, Warned, ignore
from slimstage.oci.descriptor import Descriptor
from slimstage.store.packed import PackedLayer, Packing
from slimstage.store.promises import PromiseBroken
from slimstage.store.records import Record
from slimstage.store.snapshots import LayerId
from slimstage.store.store import Store
from slimstage.values import dataclass

_MOST_FAILURES = 10
"""Things of one cache that may be broken before nothing more is asked of it."""


@dataclass(frozen=True, slots=True)
class _Known:
    """One cache that was read. number: its place in the order in which caches are asked."""

    number: int
    name: str
    source: CacheSource
    document: CacheDocument


def restored_layer(diff_id: Digest) -> LayerId:
    """The name in the store of a layer that came from a cache: what it is unpacked from is all that it depends on."""
    return LayerId(hashlib.sha256(f"cached {diff_id}".encode()).hexdigest()[:32])


class RemoteCache:
    """The caches of `--cache-from`. Safe for several threads. Nothing is asked of them before the first question."""

    def __init__(
        self,
        store: Store,
        sources: Sequence[tuple[str, Callable[[], CacheSource]]],
        *,
        packing: str = "",
        listener: Listener = ignore,
        clock: Callable[[], float] = lambda: 0.0,
        cancel: threading.Event | None = None,
    ) -> None:
        """sources: what each is called, and what opens it. packing: of this version's packer. cancel: ends transfers."""
        self._cancel = cancel or threading.Event()
        self._store, self._openers, self._packing = store, list(sources), packing
        self._emit, self._clock = listener, clock
        self._lock = threading.Lock()
        self._opened: list[CacheSource] = []
        self._known: list[_Known] | None = None
        self._records: dict[str, list[tuple[_Known, CachedRecord]]] = {}
        self._lost: set[tuple[int, Digest]] = set()
        self._failures: dict[int, int] = {}
        self._users: dict[LayerId, dict[str, CachedRecord]] = {}
        """Records to keep in this store once the layer is here."""

    def close(self) -> None:
        """Ends transfers. Idempotent."""
        for source in self._opened:
            source.close()

    def load(self) -> None:
        """Reads what the caches say, if that was not done yet: it may wait for a network."""
        self._asked()

    def find(self, key: str) -> Record | None:
        """The record of the first cache that has the step's layer; else one that has only its content key."""
        hollow: Record | None = None
        for known, record in self._asked().get(key, ()):
            if self._is_dropped(known):
                continue
            layer = None if record.layer is None else known.document.layers[record.layer]
            if layer is None or (known.number, layer.diff_id) in self._lost:
                if hollow is None:
                    hollow = Record(
                        key, record.content_key, None, created_s=record.created_s, source=known.name, has_result=False
                    )
                continue
            promised = self._promise(known, layer)
            self._note(promised, record)
            return Record(key, record.content_key, promised, created_s=record.created_s, source=known.name)
        return hollow

    def keys_of(self, layer: LayerId) -> tuple[str, ...]:
        """All keys by which the caches know a promised layer."""
        return tuple(key for record in self._users.get(layer, {}).values() for key in record.keys)

    def system(self, key: str) -> tuple[str, PackedLayer, LayerId] | None:
        """(config, layer, its promised directory) of a base system that a cache has; None when none has it."""
        self._asked()
        for known in self._known or ():
            for system in known.document.systems:
                layer = known.document.layers[system.layer]
                if (
                    system.key == key
                    and not self._is_dropped(known)
                    and (known.number, layer.diff_id) not in self._lost
                ):
                    return self._system(known, system, layer)
        return None

    def mounts(self) -> list[tuple[str, CacheSource, CachedMount]]:
        """(name of the cache, where to fetch from, content) of the cache directories that were exported, in order."""
        self._asked()
        return [
            (known.name, known.source, mount)
            for known in self._known or ()
            if not self._is_dropped(known)
            for mount in known.document.mounts
        ]

    def lose(self, name: str, error: SlimstageError) -> None:
        """Says once for a cache that something of it is of no use."""
        for known in self._known or ():
            if known.name == name:
                self._lose(known, None, error)

    # Reading the documents ------------------------------------------------------------------------------------

    def _asked(self) -> dict[str, list[tuple[_Known, CachedRecord]]]:
        with self._lock:
            if self._known is None:
                self._known = self._read_all()
                for known in self._known:
                    for record in known.document.records:
                        for key in record.keys:
                            self._records.setdefault(key, []).append((known, record))
        return self._records

    def _read_all(self) -> list[_Known]:
        if not self._openers:
            return []
        from concurrent.futures import ThreadPoolExecutor  # only for builds that have such caches

        with ThreadPoolExecutor(min(8, len(self._openers)), thread_name_prefix="cache") as pool:
            found = list(pool.map(self._read, range(len(self._openers)), self._openers))
        return [known for known in found if known is not None]

    def _read(self, number: int, opener: tuple[str, Callable[[], CacheSource]]) -> _Known | None:
        name, opened = opener
        try:
            source = opened()
            self._opened.append(source)
            document = source.read()
        except Interrupted:
            raise
        except SlimstageError as error:
            self._warn(name, error)
            return None
        repository = source.repository()
        if document is not None and repository is not None:
            self._store.origins.put(repository, [layer.blob.digest for layer in document.layers])
        records = len(document.records) if document else 0
        self._emit(CacheRead(self._clock(), name, records, is_there=document is not None))
        return _Known(number, name, source, document) if document else None

    # Promising ------------------------------------------------------------------------------------------------

    def _promise(self, known: _Known, layer: CachedLayer) -> LayerId:
        store, place = self._store, restored_layer(layer.diff_id)
        if store.snapshots.has((place,)):
            return place
        store.snapshots.promise(place, layer.file_bytes, partial(self._bring, known, layer, place))
        if not store.blobs.has(layer.blob.digest):
            store.blobs.promise(layer.blob, partial(self._fetch, known, layer))
        packed = PackedLayer(layer.diff_id, layer.size_bytes, layer.blob)
        store.packed.promise(place, self._packing_of(known, layer.blob), packed)
        return place

    def _packing_of(self, known: _Known, blob: Descriptor) -> Packing:
        """As an output looks for it, where its own packer would have made the same bytes."""
        is_ours = known.document.packing == self._packing
        return Packing(COMPRESSIONS[blob.media_type], version=self._packing if is_ours else "elsewhere")

    def _note(self, place: LayerId, record: CachedRecord) -> None:
        """The store itself knows it from the moment on at which the layer is here."""
        with self._lock:
            self._users.setdefault(place, {})[record.content_key] = record
        if self._store.snapshots.has((place,)):
            self._keep(place)

    def _keep(self, place: LayerId) -> None:
        with self._lock:
            records = self._users.pop(place, {})
        for record in records.values():
            first, *others = record.keys
            self._store.records.put(Record(first, record.content_key, place, created_s=record.created_s), *others)

    def _system(self, known: _Known, system: CachedSystem, layer: CachedLayer) -> tuple[str, PackedLayer, LayerId]:
        place = self._promise(known, layer)
        return system.config, PackedLayer(layer.diff_id, layer.size_bytes, None), place

    # Bringing -------------------------------------------------------------------------------------------------

    def _fetch(self, known: _Known, layer: CachedLayer) -> None:
        done = 0

        def progress(count: int) -> None:
            nonlocal done
            if self._cancel.is_set():
                raise Interrupted("the transfer was called off")
            done += count
            what = f"from {known.name} {layer.blob.digest[7:19]}"
            self._emit(TransferProgress(self._clock(), "", what, done, layer.blob.size))

        try:
            known.source.fetch(layer.blob, self._store.blobs, progress)
        except SlimstageError as error:
            raise self._broken(known, layer, error) from error

    def _bring(self, known: _Known, layer: CachedLayer, place: LayerId) -> None:
        try:
            self._unpack(layer, place)
        except PromiseBroken:
            raise
        except SlimstageError as error:
            raise self._broken(known, layer, error) from error
        self._store.packed.put(
            place, self._packing_of(known, layer.blob), PackedLayer(layer.diff_id, layer.size_bytes, layer.blob)
        )
        self._keep(place)

    def _unpack(self, layer: CachedLayer, place: LayerId) -> None:
        """Without looking at the layers below: a layer of ours stands for itself, so that its files are always these."""
        from slimstage.tree.unpack import unpack_layer  # only for builds that have such caches

        snapshots = self._store.snapshots

        def is_as_large(done_bytes: int) -> None:
            if done_bytes > layer.size_bytes:
                raise FormatError(f"layer {layer.blob.digest} is larger than its record says", code="bad-layer")

        draft = snapshots.draft(place)
        try:
            with self._store.blobs.open(layer.blob.digest) as stream:
                # Verified as it came in; again, because the disk is not to be trusted for ever.
                reader = VerifyingReader(stream, layer.blob.digest, layer.blob.size)
                result = unpack_layer(cast(BinaryIO, reader), draft.path, (), progress=is_as_large)
            if result.diff_id != layer.diff_id:
                raise FormatError(
                    f"layer {layer.blob.digest} does not unpack to its diff ID: want {layer.diff_id}, "
                    f"got {result.diff_id}",
                    code="diff-id-mismatch",
                )
            snapshots.freeze(draft, size_bytes=result.file_bytes)
        except BaseException:
            snapshots.discard(draft)
            raise

    # Losing ---------------------------------------------------------------------------------------------------

    def _broken(self, known: _Known, layer: CachedLayer, error: SlimstageError) -> SlimstageError:
        """What to raise: the promise is broken, unless it is this machine that fails."""
        if isinstance(error, Interrupted) or error.code in (DISK_FULL, "not-permitted", "read-only", "io-error"):
            return error
        self._lose(known, layer, error)
        return PromiseBroken(f"{known.name}: {error.message}")

    def _lose(self, known: _Known, layer: CachedLayer | None, error: SlimstageError) -> None:
        with self._lock:
            if layer is not None:
                self._lost.add((known.number, layer.diff_id))
            count = self._failures[known.number] = self._failures.get(known.number, 0) + 1
        if count == 1:
            self._warn(known.name, error)

    def _is_dropped(self, known: _Known) -> bool:
        return self._failures.get(known.number, 0) >= _MOST_FAILURES

    def _warn(self, name: str, error: SlimstageError) -> None:
        what = "its bytes are not what its records say: " if isinstance(error, DigestMismatch) else ""
        text = f"the cache {name} is not used where it is broken: {what}{error.message}"
        self._emit(Warned(self._clock(), "cache-broken", text))


class CombinedCache:
    """The store's own records first, then those of other machines; a `Cache`."""

    def __init__(self, local: Cache, remote: RemoteCache) -> None:
        self._local, self._remote = local, remote

    def find(self, key: str) -> Record | None:
        return self._local.find(key) or self._remote.find(key)

    def keep(self, record: Record, *also_under: str) -> None:
        """A record whose layer only is promised is kept when that has come."""
        if not record.source:
            self._local.keep(record, *also_under)

    def peek(self, key: str) -> Record | None:
        return self._local.peek(key)
