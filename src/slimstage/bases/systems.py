"""`debian://` systems in the store: made once, found again by what they were asked to be."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable

from slimstage.bases.debian import DebianSpec, check_architecture, debian_config, parse_debian
from slimstage.bases.unpack import LayerUnpacker
from slimstage.errors import SandboxError
from slimstage.oci.config import ImageConfig, to_json
from slimstage.oci.descriptor import OCI_CONFIG, OCI_LAYER, Descriptor, Platform
from slimstage.oci.manifest import build_manifest
from slimstage.store.files import wait_lock, wait_lock_cancellable
from slimstage.store.images import ImageLayer, StoredImage
from slimstage.store.records import Record
from slimstage.store.store import Store
from slimstage.values import replace


class DebianSystems:
    """The systems of one store. Safe for threads and processes: who asks while one is made waits for it."""

    def __init__(
        self,
        store: Store,
        unpacker: LayerUnpacker,
        say: Callable[[str], None],
        cancel: threading.Event | None = None,
    ) -> None:
        self._store, self._unpacker, self._say, self._cancel = store, unpacker, say, cancel

    def get(self, reference: str, platform: Platform) -> StoredImage:
        """The stored image of the system, whose layer is unpacked. Raises PlanError, SandboxError, StoreError, Interrupted."""
        spec = parse_debian(reference)
        check_architecture(spec, platform)
        key = f"debian-{spec.key(platform)}"
        stored = self._kept(key)
        if stored is not None:
            return stored
        # Lock files of this name are removed by a prune when nobody holds them.
        path = os.path.join(self._store.root, "locks", f"step-{key}")
        with wait_lock_cancellable(path, self._cancel) if self._cancel else wait_lock(path):
            return self._kept(key) or self._make(spec, key, platform)

    def _kept(self, key: str) -> StoredImage | None:
        record = self._store.records.get(key)
        stored = self._store.images.find(record.content_key) if record else None
        if stored is None or not all(each.layer and self._store.snapshots.has((each.layer,)) for each in stored.layers):
            return None
        return stored

    def _make(self, spec: DebianSpec, key: str, platform: Platform) -> StoredImage:
        self._say("making the base system, once for this store")
        layer, file_bytes = self._layer(spec, platform)
        config = replace(debian_config(spec, platform), diff_ids=(layer.diff_id,))
        stored = self._put(config, layer, f"localhost/debian/{spec.suite}:{key.partition('-')[2][:12]}")
        self._store.records.put(Record(key, stored.id, None, created_s=time.time()))
        self._say(f"made, {file_bytes / 1e6:.0f} MB")
        return stored

    def _layer(self, spec: DebianSpec, platform: Platform) -> tuple[ImageLayer, int]:
        """In memory where there is enough; what does not fit there is made again on the disk."""
        from slimstage.bases.bootstrap import NO_ROOM, make_system
        from slimstage.bases.workspace import spare_memory

        def make(memory_bytes: int) -> tuple[ImageLayer, int]:
            with tempfile.TemporaryDirectory(prefix="debian-", dir=self._store.session.directory()) as work:
                return self._unpacker.add(
                    lambda take: make_system(spec, platform, take, self._say, work, self._cancel, memory_bytes)
                )

        memory_bytes = spare_memory()
        try:
            return make(memory_bytes)
        except SandboxError as error:
            if error.code != NO_ROOM or not memory_bytes:
                raise
        self._say("it does not fit into memory: once more, on the disk")
        return make(0)

    def _put(self, config: ImageConfig, layer: ImageLayer, name: str) -> StoredImage:
        raw = to_json(config)
        image, _ = self._store.blobs.put(raw)
        # Not packed before someone asks for bytes: until then its descriptor is that of the plain tar.
        described = Descriptor(OCI_LAYER, layer.diff_id, layer.size_bytes)
        manifest = build_manifest(Descriptor(OCI_CONFIG, image, len(raw)), (described,))
        self._store.blobs.put(manifest.raw)
        layer = replace(layer, created_by=config.history[0].created_by)
        stored = StoredImage(image, manifest.digest, config.platform, (layer,), time.time())
        self._store.images.put(stored, (name,))
        return stored
