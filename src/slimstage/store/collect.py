"""Pruning: what nothing needs any more is removed; what an image, a container or a running build needs stays.

Mark and sweep under the exclusive collect lock (see session.py). What goes is renamed into this process' own temporary
directory while the lock is held, which takes moments, and deleted after it is let go. Deleting goes down by directory
descriptors from there: it follows no symlink, leaves no mount and never works outside the store.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import Literal, TypeAlias

from slimstage.digest import Digest
from slimstage.errors import FormatError, StoreError
from slimstage.oci.document import LIMIT_BYTES
from slimstage.oci.manifest import Index, Manifest, parse_document
from slimstage.store.caches import CacheSlot
from slimstage.store.files import guarded, read_small, remove_tree, wait_lock
from slimstage.store.folding import is_folded
from slimstage.store.images import StoredImage
from slimstage.store.indexes import StoredIndex
from slimstage.store.leftovers import dead_sessions, drop_step_locks, stale_locks, sweep, unfinished
from slimstage.store.partial import drop_partials, partials
from slimstage.store.pins import PIN
from slimstage.store.referrers import mark as mark_referrers
from slimstage.store.session import leased
from slimstage.store.snapshots import LayerId, tree_bytes
from slimstage.store.space import give_reserve, is_full, keep_reserve
from slimstage.store.store import Store
from slimstage.values import dataclass, field

Kind: TypeAlias = Literal["image", "record", "layer", "blob", "cache", "temporary"]
KINDS: frozenset[Kind] = frozenset({"image", "record", "layer", "blob", "cache", "temporary"})


@dataclass(frozen=True, slots=True)
class Removed:
    """One thing that went: `name` as its kind names it; `size_bytes` on disk, 0 for a record."""

    kind: Kind
    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PruneReport:
    removed: tuple[Removed, ...]
    bytes: int
    """That the disk got back."""
    kept_in_use: int = 0
    """Layers and blobs that only running builds kept."""


@dataclass(slots=True)
class _Plan:
    images: list[StoredImage] = field(default_factory=list)
    indexes: list[StoredIndex] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    referrers: list[Digest] = field(default_factory=list)
    layers: list[LayerId] = field(default_factory=list)
    blobs: list[Digest] = field(default_factory=list)
    kept_in_use: int = 0

    def image_names(self) -> list[str]:
        """Of all indexes and images that go."""
        return [*(index.digest for index in self.indexes), *(image.id for image in self.images)]


def prune(
    store: Store,
    older_than_s: float | None = None,
    keep_bytes: int | None = None,
    all_: bool = False,
    filters: Iterable[Kind] | None = None,
    *,
    dry_run: bool = False,
) -> PruneReport:
    """Removes what nothing needs: images without a name, layers and blobs of neither image, container nor cached step,
    and what dead processes left.

    older_than_s: cached steps, cache mounts and unnamed images that were not used for so many seconds go, too; younger
    unnamed images stay. keep_bytes: cached steps and cache mounts go, the longest unused first, until the store is no
    larger. all_: every cached step and every cache mount goes. filters: only these kinds of things are looked at.
    dry_run: nothing is removed; the report says what would be.
    Named images, containers and whatever a running process uses are never touched. Raises StoreError.
    """
    kinds = KINDS if filters is None else frozenset(filters)
    collector = _Collector(store, kinds, older_than_s, all_)
    with guarded("prune the store"):
        removed = collector.preview(keep_bytes) if dry_run else collector.run_on_a_full_disk(keep_bytes)
    return PruneReport(tuple(removed), sum(thing.size_bytes for thing in removed), collector.kept_in_use)


def store_bytes(store: Store) -> int:
    """Bytes of all layers, blobs and cache mounts."""
    with guarded("measure the store"):
        total = sum(_layer_bytes(store, layer) for layer in store.snapshots.list())
        total += sum(size for _, size in store.blobs.list())
        return total + sum(tree_bytes(slot.path) for slot in store.caches.list())


class _Collector:
    def __init__(self, store: Store, kinds: frozenset[Kind], older_than_s: float | None, all_: bool) -> None:
        self._store, self._kinds, self._all = store, kinds, all_
        self._older_than_s = older_than_s
        self._now = time.time()
        self.kept_in_use = 0

    def run_on_a_full_disk(self, keep_bytes: int | None) -> list[Removed]:
        """As `run`; when there is no room to note what goes, what was kept for this is given back first."""
        root = str(self._store.root)
        try:
            removed = self.run(keep_bytes)
        except (StoreError, OSError) as error:
            if not is_full(error) or not give_reserve(root):
                raise
            removed = self.run(keep_bytes)
        keep_reserve(root)
        return removed

    def run(self, keep_bytes: int | None) -> list[Removed]:
        removed: list[Removed] = []
        if "temporary" in self._kinds:
            removed += self._temporary()
        if "cache" in self._kinds:
            removed += self._caches(self._old_caches())
        removed += self._sweep(self._old_records())
        if keep_bytes is not None:
            removed += self._shrink(keep_bytes)
        return removed

    def preview(self, keep_bytes: int | None) -> list[Removed]:
        """What `run` would remove, and how large it is; nothing changes."""
        root = os.path.join(str(self._store.root), "tmp")
        removed: list[Removed] = []
        if "temporary" in self._kinds:
            names = list(dead_sessions(str(self._store.root)))
            removed += [Removed("temporary", name, tree_bytes(os.path.join(root, name))) for name in names]
            left = unfinished(str(self._store.root))
            removed += [Removed("temporary", os.path.basename(path), tree_bytes(path)) for path in left]
            parts = partials(self._store.blobs)
            removed += [Removed("temporary", os.path.basename(path), size) for path, size in parts]
        caches = self._old_caches() if "cache" in self._kinds else []
        records = self._old_records()
        swept = self._would_sweep(records)
        if keep_bytes is not None:
            size = store_bytes(self._store)
            oldest = [pair for pair in self._by_last_use() if pair[1] not in caches and pair[1] not in records]
            step = max(1, len(oldest) // 10)
            while oldest and size - sum(map(_cache_bytes, caches)) - sum(t.size_bytes for t in swept) > keep_bytes:
                batch, oldest = oldest[:step], oldest[step:]
                caches += [thing for _, thing in batch if isinstance(thing, CacheSlot)]
                records += [thing for _, thing in batch if isinstance(thing, str)]
                swept = self._would_sweep(records)
        return removed + [Removed("cache", slot.identity, _cache_bytes(slot)) for slot in caches] + swept

    def _would_sweep(self, records: list[str]) -> list[Removed]:
        with wait_lock(self._store.session.collect_lock):
            plan = self._mark(records, leased(str(self._store.root)))
        self.kept_in_use = max(self.kept_in_use, plan.kept_in_use)
        removed = [Removed("image", name, 0) for name in plan.image_names()]
        removed += [Removed("record", key, 0) for key in plan.records]
        removed += [
            Removed("layer", layer, 0 if is_folded(layer) else tree_bytes(self._store.snapshots.place(layer)))
            for layer in plan.layers
        ]
        sizes = dict(self._store.blobs.list()) if plan.blobs else {}
        return removed + [Removed("blob", digest, sizes.get(digest, 0)) for digest in plan.blobs]

    def _by_last_use(self) -> list[tuple[float, str | CacheSlot]]:
        """Records and cache mounts of the kinds looked at, the longest unused first."""
        self._store.records.flush()
        found: list[tuple[float, str | CacheSlot]] = []
        if "record" in self._kinds:
            found += [(used_s, key) for key, used_s in self._store.database.query("SELECT key, used_s FROM records")]
        if "cache" in self._kinds:
            found += [(slot.used_s, slot) for slot in self._store.caches.list()]
        return sorted(found, key=lambda pair: pair[0])

    def _temporary(self) -> list[Removed]:
        root = str(self._store.root)
        drop_step_locks(root)
        names = [*dead_sessions(root), *stale_locks(root)]
        removed = [Removed("temporary", name, sweep(root, [name])) for name in names]
        removed += [Removed("temporary", os.path.basename(p), remove_tree(p)) for p in unfinished(root)]
        parts = drop_partials(self._store.blobs)
        return removed + [Removed("temporary", os.path.basename(path), size) for path, size in parts]

    def _is_old(self, used_s: float) -> bool:
        return self._older_than_s is not None and used_s <= self._now - self._older_than_s

    def _old_caches(self) -> list[CacheSlot]:
        return [slot for slot in self._store.caches.list() if self._all or self._is_old(slot.used_s)]

    def _caches(self, slots: Iterable[CacheSlot]) -> list[Removed]:
        removed = []
        for slot in slots:
            freed = self._store.caches.remove(slot)
            if not os.path.lexists(slot.path):
                removed.append(Removed("cache", slot.identity, freed))
        return removed

    def _old_records(self) -> list[str]:
        if "record" not in self._kinds or not (self._all or self._older_than_s is not None):
            return []
        self._store.records.flush()
        rows = self._store.database.query("SELECT key, used_s FROM records ORDER BY key")
        return [key for key, used_s in rows if self._all or self._is_old(used_s)]

    def _shrink(self, keep_bytes: int) -> list[Removed]:
        """Records and cache mounts in the order of their last use, a tenth of them at a time, until it is enough."""
        removed: list[Removed] = []
        oldest = self._by_last_use()
        step = max(1, len(oldest) // 10)
        while oldest and store_bytes(self._store) > keep_bytes:
            batch, oldest = oldest[:step], oldest[step:]
            removed += self._caches(thing for _, thing in batch if isinstance(thing, CacheSlot))
            removed += self._sweep([thing for _, thing in batch if isinstance(thing, str)])
        return removed

    def _sweep(self, records: list[str]) -> list[Removed]:
        """Removes the records, then everything that nothing reaches any more."""
        store, trash = self._store, self._store.session.temporary("trash-")
        os.mkdir(trash, 0o700)
        removed: list[Removed] = []
        try:
            with wait_lock(store.session.collect_lock):
                held = leased(str(store.root))
                plan = self._mark(records, held)
                with store.database.transaction() as connection:
                    gone = [(index.digest,) for index in plan.indexes]
                    connection.executemany("DELETE FROM indexes WHERE digest = ?", gone)
                    connection.executemany("DELETE FROM images WHERE id = ?", [(image.id,) for image in plan.images])
                    connection.executemany("DELETE FROM records WHERE key = ?", [(key,) for key in plan.records])
                    connection.executemany("DELETE FROM referrers WHERE digest = ?", [(d,) for d in plan.referrers])
                    for layer in plan.layers:
                        connection.execute("DELETE FROM layers WHERE id = ?", (layer,))
                        connection.execute("DELETE FROM records WHERE layer = ?", (layer,))
                        connection.execute("DELETE FROM packed WHERE layer = ?", (layer,))
                # After the rows: a layer without a row is only of unknown size, a row without its layer is a lie.
                for layer in plan.layers:
                    os.rename(store.snapshots.place(layer), os.path.join(trash, layer))
                for digest in plan.blobs:
                    os.rename(store.blobs.place(digest), os.path.join(trash, digest))
            self.kept_in_use = max(self.kept_in_use, plan.kept_in_use)
            removed += [Removed("image", name, 0) for name in plan.image_names()]
            removed += [Removed("record", key, 0) for key in plan.records]
            removed += [Removed("layer", layer, remove_tree(os.path.join(trash, layer))) for layer in plan.layers]
            removed += [Removed("blob", digest, remove_tree(os.path.join(trash, digest))) for digest in plan.blobs]
        finally:
            # What could not be deleted (something is mounted there) goes with the next sweep of dead sessions.
            remove_tree(trash, on_error=lambda name, cause: None)
        return removed

    def _mark(self, records: list[str], held: set[str]) -> _Plan:
        store, plan = self._store, _Plan()
        needed = set(store.containers.needs())
        images = store.images.list()
        pins = store.database.query("SELECT key, content_key FROM records WHERE key LIKE ?", (f"{PIN}%",))
        doomed = set(records)
        needed.update(f"image {image}" for key, image in pins if key not in doomed)
        for index in store.indexes.list():
            if self._is_unwanted(index.names, index.created_s):
                plan.indexes.append(index)
            else:
                self._mark_index(index, needed)
        plan.images = [image for image in images if self._goes(image, needed)]
        gone = {image.id for image in plan.images}
        plan.records = sorted(doomed)
        for image in images:
            if image.id not in gone:
                self._mark_image(image, needed)
        if unneeded := mark_referrers(store.database, self._read, needed):
            # Held is what another process is about to name as its image's; without blobs to remove, rows stay, too.
            plan.referrers = [d for d in unneeded if f"blob {d}" not in held and "blob" in self._kinds]
        rows = store.database.query("SELECT key, layer FROM records WHERE layer IS NOT NULL")
        needed.update(f"layer {layer}" for key, layer in rows if key not in doomed)
        if "layer" in self._kinds:
            for layer in store.snapshots.list():
                thing = f"layer {layer}"
                if thing not in needed and not self._is_held(thing, held, plan):
                    plan.layers.append(layer)
        dead = set(plan.layers)
        packed = store.database.query("SELECT layer, digest, created_s FROM packed WHERE digest != ''")
        # The packed form of a layer is as much of a cache as a record: it goes by the same rules.
        needed.update(
            f"blob {digest}"
            for layer, digest, used_s in packed
            if layer not in dead and not ("record" in self._kinds and (self._all or self._is_old(used_s)))
        )
        if "blob" in self._kinds:
            for digest, _ in store.blobs.list():
                thing = f"blob {digest}"
                if thing not in needed and not self._is_held(thing, held, plan):
                    plan.blobs.append(digest)
        return plan

    @staticmethod
    def _is_held(thing: str, held: set[str], plan: _Plan) -> bool:
        """A running process keeps it."""
        if thing in held:
            plan.kept_in_use += 1
            return True
        return False

    def _goes(self, image: StoredImage, needed: set[str]) -> bool:
        return f"image {image.id}" not in needed and self._is_unwanted(image.names, image.created_s)

    def _is_unwanted(self, names: tuple[str, ...], created_s: float) -> bool:
        """Without a name, and as old as was asked for."""
        if "image" not in self._kinds or names:
            return False
        return self._all or self._older_than_s is None or self._is_old(created_s)

    def _mark_index(self, index: StoredIndex, needed: set[str]) -> None:
        """An index keeps its document, its images, and their manifests with all that these list."""
        needed.add(f"blob {index.digest}")
        for member in index.members:
            needed.add(f"image {member.image}")
            self._mark_manifest(member.manifest, needed)
        try:
            document = parse_document(self._read(index.digest))
        except (FormatError, OSError):
            return  # damaged, as below
        # What else it lists (BuildKit's attestations) came with it, and goes along when it is written out.
        for entry in document.manifests if isinstance(document, Index) else ():
            self._mark_manifest(entry.digest, needed)

    def _mark_image(self, image: StoredImage, needed: set[str]) -> None:
        needed.add(f"blob {image.id}")
        for layer in image.layers:
            if layer.layer is not None:
                needed.add(f"layer {layer.layer}")
            if layer.blob is not None:
                needed.add(f"blob {layer.blob.digest}")
        self._mark_manifest(image.manifest, needed)

    def _mark_manifest(self, manifest: Digest, needed: set[str]) -> None:
        needed.add(f"blob {manifest}")
        try:
            document = parse_document(self._read(manifest))
        except (FormatError, OSError):
            return  # damaged: doctor speaks about it; what the row says is kept
        if isinstance(document, Manifest):
            needed.update(f"blob {d.digest}" for d in (document.config, *document.layers))

    def _read(self, digest: Digest) -> bytes:
        # Not through `blobs.read`: it would lease the blob, and wait for the lock that is held here.
        return read_small(self._store.blobs.place(digest), LIMIT_BYTES)


def _cache_bytes(slot: CacheSlot) -> int:
    return tree_bytes(slot.path)


def _layer_bytes(store: Store, layer: LayerId) -> int:
    rows = store.database.query("SELECT size_bytes FROM layers WHERE id = ?", (layer,))
    if rows and rows[0][0] is not None:
        return int(rows[0][0])
    return tree_bytes(store.snapshots.place(layer))
