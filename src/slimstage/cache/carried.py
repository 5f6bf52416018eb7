"""Cache directories on their way: filled from a cache when they are not here, packed for one after a build."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Mapping
from typing import BinaryIO

from slimstage.cache.document import CachedMount
from slimstage.cache.mounts import PACK_BYTES
from slimstage.cache.remote import RemoteCache
from slimstage.cache.sources import CacheSource
from slimstage.digest import Digest
from slimstage.errors import DISK_FULL, Interrupted, SlimstageError
from slimstage.events import CacheMountFilled, Listener
from slimstage.oci.descriptor import Descriptor
from slimstage.store.blobs import Blobs
from slimstage.store.caches import Sharing
from slimstage.store.files import guarded, make_private, remove_tree
from slimstage.store.store import Store


class CarriedMounts:
    """What the caches of `--cache-from` have of cache directories. Safe for several threads."""

    def __init__(self, remote: RemoteCache, listener: Listener, clock: Callable[[], float]) -> None:
        self._remote, self._emit, self._clock = remote, listener, clock

    def filler(self, identity: str) -> Callable[[str], None] | None:
        """What fills the new, empty directory at a path; None when no cache has anything for it.

        It leaves the directory empty, with a warning, when what the caches have is broken. Raises StoreError: no room.
        """
        found = [each for each in self._remote.mounts() if each[2].id == identity]
        if not found:
            return None

        def fill(directory: str) -> None:
            for name, source, mount in found:
                if self._filled(directory, name, source, mount):
                    return

        return fill

    def _filled(self, directory: str, name: str, source: CacheSource, mount: CachedMount) -> bool:
        from slimstage.cache.mount_import import fill_mount  # only where a directory is filled

        try:
            with guarded(f'fill the cache directory "{mount.id}"'):
                index = source.read_blob(mount.index, PACK_BYTES)
                size = fill_mount(directory, index, mount.packs, lambda pack: source.read_blob(pack, PACK_BYTES))
        except SlimstageError as error:
            if isinstance(error, Interrupted) or error.code == DISK_FULL:
                raise
            for left in os.listdir(directory):
                remove_tree(os.path.join(directory, left))
            self._remote.lose(name, error)
            return False
        self._emit(CacheMountFilled(self._clock(), mount.id, name, size))
        return True


class MountExports:
    """The cache directories of one build, packed once for all caches that are written.

    remote: has those that no step of this build mounted, so that they are not here. cancel: ends waiting for a
    directory that another build has.
    """

    def __init__(self, store: Store, remote: RemoteCache | None, cancel: threading.Event | None) -> None:
        self._store, self._remote, self._cancel = store, remote, cancel
        self._blobs: Blobs | None = None
        self._elsewhere: dict[Digest, CacheSource] = {}
        self.packed: tuple[CachedMount, ...] = ()

    def pack(self, mounts: Mapping[str, Sharing]) -> None:
        """Packs what the directories hold; one that is not here is passed on as it came. Raises StoreError, Interrupted."""
        found = [self._pack(identity, sharing) for identity, sharing in sorted(mounts.items())]
        self.packed = tuple(each for each in found if each is not None)

    def open(self, blob: Descriptor) -> BinaryIO | None:
        """An index or a pack; None for what is none of these. Raises SlimstageError."""
        if self._blobs is not None and self._blobs.has(blob.digest):
            return self._blobs.open(blob.digest)
        source = self._elsewhere.get(blob.digest)
        return None if source is None else io.BytesIO(source.read_blob(blob, PACK_BYTES))

    def _pack(self, identity: str, sharing: Sharing) -> CachedMount | None:
        lease = self._store.caches.borrow(identity, sharing, self._cancel)
        if lease is None:
            return self._passed_on(identity)
        from slimstage.cache.mount_export import pack_mount  # only where a directory is packed

        with lease, guarded(f'pack the cache directory "{identity}"'):
            packed = pack_mount(lease.path, self._own_blobs(), os.cpu_count() or 1)
        return CachedMount(identity, packed.index, packed.packs)

    def _passed_on(self, identity: str) -> CachedMount | None:
        for _, source, mount in self._remote.mounts() if self._remote is not None else ():
            if mount.id == identity:
                self._elsewhere |= {blob.digest: source for blob in (mount.index, *mount.packs)}
                return mount
        return None

    def _own_blobs(self) -> Blobs:
        """A place that goes with this process: a cache directory is not to be in the store twice."""
        if self._blobs is None:
            place = self._store.session.temporary("mounts-")
            with guarded("pack cache directories"):
                make_private(place)
            self._blobs = Blobs(place, self._store.session)
        return self._blobs
