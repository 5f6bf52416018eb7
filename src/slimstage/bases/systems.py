"""`debian://` systems in the store: made once, found again by what they were asked to be."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable

from slimstage.bases.base import Systems
from slimstage.bases.debian import DebianSpec, check_architecture, debian_config, parse_debian
from slimstage.bases.unpack import LayerUnpacker
from slimstage.errors import FormatError, SandboxError
from slimstage.oci.config import ImageConfig, from_json, to_json
from slimstage.oci.descriptor import OCI_CONFIG, OCI_LAYER, Descriptor, Platform, host_platform
from slimstage.oci.manifest import build_manifest
from slimstage.oci.select import check_platform
from slimstage.store.files import wait_lock, wait_lock_cancellable
from slimstage.store.images import ImageLayer, StoredImage
from slimstage.store.records import Record
from slimstage.store.store import Store
from slimstage.values import replace


def system_key(reference: str, platform: Platform, *, unpacks: bool = False) -> str:
    """What names the system in a store; unpacks: made without running anything of it. Raises PlanError: no reference."""
    return f"debian-{parse_debian(reference).key(platform, unpacks=unpacks)}"


class DebianSystems:
    """The systems of one store. Safe for threads and processes: who asks while one is made waits for it."""

    def __init__(
        self,
        store: Store,
        unpacker: LayerUnpacker,
        say: Callable[[str], None],
        cancel: threading.Event | None = None,
        *,
        made_elsewhere: Systems | None = None,
        warn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._store, self._unpacker, self._say, self._cancel = store, unpacker, say, cancel
        self._made_elsewhere, self._warn = made_elsewhere, warn

    def get(self, reference: str, platform: Platform) -> StoredImage:
        """The stored image of the system, whose layer is unpacked or promised.

        Raises PlanError, SandboxError, StoreError, Interrupted.
        """
        spec = parse_debian(reference)
        check_architecture(spec, platform)
        key = system_key(reference, platform)
        stored = self._kept(key) or self._from_elsewhere(spec, key, platform)
        if stored is not None:
            return stored
        # A whole one that is here or comes from elsewhere is better than what can be made of foreign packages.
        if unpacks := self._unpacks(spec, platform):
            key = system_key(reference, platform, unpacks=True)
            stored = self._kept(key) or self._from_elsewhere(spec, key, platform)
            if stored is not None:
                return stored
        # Lock files of this name are removed by a prune when nobody holds them.
        path = os.path.join(self._store.root, "locks", f"step-{key}")
        with wait_lock_cancellable(path, self._cancel) if self._cancel else wait_lock(path):
            return self._kept(key) or self._make(spec, key, platform, unpacks)

    def _unpacks(self, spec: DebianSpec, platform: Platform) -> bool:
        """Whether all that can be done is to unpack the packages: their scripts are of an architecture that nothing runs."""
        if spec.variant == "extract" or platform.architecture == host_platform().architecture:
            return False
        from slimstage.sandbox.emulation import runs  # only for foreign systems

        answer = runs([platform.architecture])[platform.architecture]
        if answer.is_runnable:
            return False
        self._warn(
            f'debian://{spec.suite} for "{platform}" is unpacked and not configured, as its scripts cannot run here '
            f"({answer.by}): good to copy from and to copy into; see slimstage doctor"
        )
        return True

    def _kept(self, key: str) -> StoredImage | None:
        record = self._store.records.get(key)
        stored = self._store.images.find(record.content_key) if record else None
        if stored is None or not all(each.layer and self._store.snapshots.has((each.layer,)) for each in stored.layers):
            return None
        return stored

    def _from_elsewhere(self, spec: DebianSpec, key: str, platform: Platform) -> StoredImage | None:
        """The system as another machine made it; kept in this store once its files are here."""
        found = self._made_elsewhere.system(key) if self._made_elsewhere is not None else None
        if found is None:
            return None
        text, packed, place = found
        try:
            config = from_json(text.encode())
            check_platform(config, platform)
        except FormatError:
            return None
        if config.diff_ids != (packed.diff_id,) or len(config.history) != 1:
            return None
        stored = self._described(config, text.encode(), ImageLayer(packed.diff_id, packed.size_bytes, None, place))
        if self._store.snapshots.has((place,)):
            self._store.images.put(stored, (_name(spec, key),))
            self._store.records.put(Record(key, stored.id, None, created_s=time.time()))
        return stored

    def _make(self, spec: DebianSpec, key: str, platform: Platform, unpacks: bool) -> StoredImage:
        self._say("making the base system, once for this store")
        layer, file_bytes = self._layer(spec, platform, unpacks)
        config = replace(debian_config(spec, platform), diff_ids=(layer.diff_id,))
        stored = self._put(config, layer, _name(spec, key))
        self._store.records.put(Record(key, stored.id, None, created_s=time.time()))
        self._say(f"made, {file_bytes / 1e6:.0f} MB")
        return stored

    def _layer(self, spec: DebianSpec, platform: Platform, unpacks: bool) -> tuple[ImageLayer, int]:
        """In memory where there is enough; what does not fit there is made again on the disk."""
        from slimstage.bases.bootstrap import NO_ROOM, make_system
        from slimstage.bases.workspace import spare_memory

        def make(memory_bytes: int) -> tuple[ImageLayer, int]:
            with tempfile.TemporaryDirectory(prefix="debian-", dir=self._store.session.directory()) as work:
                return self._unpacker.add(
                    lambda take: make_system(
                        spec, platform, take, self._say, work, self._cancel, memory_bytes, unpacks=unpacks
                    )
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
        stored = self._described(config, to_json(config), layer)
        self._store.images.put(stored, (name,))
        return stored

    def _described(self, config: ImageConfig, raw: bytes, layer: ImageLayer) -> StoredImage:
        image, _ = self._store.blobs.put(raw)
        # Not packed before someone asks for bytes: until then its descriptor is that of the plain tar.
        described = Descriptor(OCI_LAYER, layer.diff_id, layer.size_bytes)
        manifest = build_manifest(Descriptor(OCI_CONFIG, image, len(raw)), (described,))
        self._store.blobs.put(manifest.raw)
        layer = replace(layer, created_by=config.history[0].created_by)
        return StoredImage(image, manifest.digest, config.platform, (layer,), time.time())


def _name(spec: DebianSpec, key: str) -> str:
    return f"localhost/debian/{spec.suite}:{key.partition('-')[2][:12]}"
