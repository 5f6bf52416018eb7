"""What a FROM names → a `Base`, and its layers → layer directories.

    image name, docker-image://NAME     the store first, then the registry (`--pull`: the registry)
    oci-layout://PATH[:TAG][@DIGEST]    an OCI layout directory
    oci-archive:PATH, docker-archive:PATH[:NAME][@DIGEST]    a tar file of an image
    debian://SUITE?…                    made by mmdebstrap, kept in the store

A base that is not in the store is put there when its layers were unpacked, so it is found without a network afterwards.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from slimstage.bases.base import Base
from slimstage.bases.files import FileBase, parse_file_base
from slimstage.bases.unpack import LayerUnpacker
from slimstage.diagnostics import near
from slimstage.digest import Digest, digest_bytes
from slimstage.errors import FormatError, PlanError, RegistryError, SandboxError
from slimstage.events import BaseProgress, Listener, TransferProgress, ignore
from slimstage.oci.chain import chain_ids
from slimstage.oci.config import ImageConfig, from_json, to_json
from slimstage.oci.descriptor import OCI_CONFIG, OCI_LAYER, Descriptor, Platform
from slimstage.oci.manifest import build_manifest
from slimstage.oci.reference import Reference, familiar, parse_reference
from slimstage.oci.select import check_platform, fits
from slimstage.store.files import wait_lock
from slimstage.store.images import ImageLayer, StoredImage
from slimstage.store.records import Record
from slimstage.store.snapshots import LayerId, Stack
from slimstage.store.store import Store
from slimstage.values import replace

if TYPE_CHECKING:
    from slimstage.bases.debian import DebianSpec
    from slimstage.registry.pull import Puller

_IMAGE_SCHEME = "docker-image://"
_DEBIAN = "debian://"


class Bases:
    """Resolves and fetches bases for one store; a `BaseResolver`. Safe for several threads.

    registries: `[registry."HOST:PORT"]` of the settings. listener: hears what long resolving does (mmdebstrap).
    names: reference → what the user calls it, where a named context stands in for an image.
    """

    def __init__(
        self,
        store: Store,
        registries: Mapping[str, Mapping[str, object]] | None = None,
        listener: Listener = ignore,
        clock: Callable[[], float] = time.monotonic,
        names: Mapping[str, str] | None = None,
    ) -> None:
        self._names = names or {}
        self._store, self._registries, self._listener, self._clock = store, dict(registries or {}), listener, clock
        self._unpacker = LayerUnpacker(store)
        self._lock = threading.Lock()
        self._made: Puller | None = None

    # Resolving ------------------------------------------------------------------------------------------------

    def resolve(self, reference: str, platform: Platform, *, pull: bool = False) -> Base:
        """See `BaseResolver.resolve`."""
        if reference.startswith(_DEBIAN):
            return self._debian(reference, platform)
        file = parse_file_base(reference)
        if file is not None:
            return self._from_file(reference, file, platform)
        name = reference.removeprefix(_IMAGE_SCHEME)
        parsed = _parsed(name)
        if not pull:
            stored = self._store.images.find(str(parsed))
            if stored is not None and fits(stored.platform, platform) is not None:
                return self._from_store(reference, stored)
        return self._from_registry(reference, parsed, platform)

    def _from_store(self, reference: str, image: StoredImage) -> Base:
        config = from_json(self._store.blobs.read(image.id))
        return Base(reference, image.id, image.manifest, config, image.platform, image.layers)

    def _from_file(self, reference: str, file: FileBase, platform: Platform) -> Base:
        with file.open() as reader:
            image = reader.image(platform, name=file.name, digest=file.digest)
            manifest, config = image.manifest(), image.config()
        return self._base(reference, manifest.raw, manifest.config.digest, config, manifest.layers)

    def _from_registry(self, reference: str, parsed: Reference, platform: Platform) -> Base:
        try:
            pulled = self._puller().resolve(parsed, platform)
        except RegistryError as error:
            raise self._not_found(error, parsed) from error
        except PlanError as error:
            raise self._not_found(error, parsed) from error
        config = from_json(pulled.config_bytes)
        check_platform(config, platform)
        self._store.blobs.put(pulled.config_bytes)
        return self._base(
            reference, pulled.manifest.raw, digest_bytes(pulled.config_bytes), config, pulled.manifest.layers
        )

    def _base(
        self,
        reference: str,
        manifest: bytes,
        config_digest: Digest,
        config: ImageConfig,
        layers: tuple[Descriptor, ...],
    ) -> Base:
        if len(layers) != len(config.diff_ids):
            raise FormatError(
                f'the manifest of "{reference}" has {len(layers)} layers, its config {len(config.diff_ids)}',
                code="layers-mismatch",
            )
        self._store.blobs.put(manifest)
        facts = tuple(
            self._unpacker.known(ImageLayer(diff_id, 0, blob, LayerId("c" + chain.partition(":")[2])))
            for diff_id, blob, chain in zip(config.diff_ids, layers, chain_ids(config.diff_ids), strict=True)
        )
        return Base(reference, config_digest, digest_bytes(manifest), config, config.platform, facts)

    def _not_found(self, error: RegistryError | PlanError, parsed: Reference) -> RegistryError | PlanError:
        """The error with what a user can do: a near name, or another kind of base."""
        shown = parsed.familiar()
        names = [familiar(name) for name in self._store.images.names()]
        other = f'make it from Debian packages: --build-context "{shown}=debian://bookworm?include=…"'
        close = near(shown, names)
        hint = f'did you mean "{close}"? or {other}' if close else other
        notes = (*error.diagnostics[0].notes,)
        if isinstance(error, RegistryError):
            return RegistryError(
                f'cannot get "{shown}" from {parsed.registry}: {error.message}',
                status=error.status,
                code=error.code,
                is_temporary=error.is_temporary,
                notes=notes,
                hint=error.hint or hint,
            )
        return PlanError(error.message, code=error.code, notes=notes, hint=error.hint or hint)

    def _puller(self) -> Puller:
        with self._lock:
            if self._made is None:
                from slimstage.registry.pull import Puller  # HTTP is loaded when it is needed

                self._made = Puller(self._registries)
            return self._made

    # debian:// ------------------------------------------------------------------------------------------------

    def _debian(self, reference: str, platform: Platform) -> Base:
        from slimstage.bases.debian import parse_debian

        spec = parse_debian(reference)
        key = f"debian-{spec.key}-{platform.architecture}"
        with wait_lock(str(self._store.root / "locks" / key[:32])):
            stored = self._kept(key)
            if stored is None:
                from slimstage.bases.debian import debian_config

                self._say(reference, "making the base system, once for this store")
                layer, size = self._make(spec, platform, reference)
                config = replace(debian_config(spec, platform), diff_ids=(layer.diff_id,))
                stored = self._put(config, (layer,), f"localhost/debian/{spec.suite}:{spec.key[:12]}")
                self._store.records.put(Record(key, stored.id, None, created_s=time.time()))
                self._say(reference, f"made, {size / 1e6:.0f} MB")
        return self._from_store(reference, stored)

    def _make(self, spec: DebianSpec, platform: Platform, reference: str) -> tuple[ImageLayer, int]:
        """In memory where there is enough; what does not fit there is made again on the disk."""
        from slimstage.bases.mmdebstrap import NO_ROOM, make_system, spare_memory

        def make(memory_bytes: int) -> tuple[ImageLayer, int]:
            return self._unpacker.add(
                lambda take: make_system(spec, platform, take, lambda doing: self._say(reference, doing), memory_bytes)
            )

        memory_bytes = spare_memory()
        try:
            return make(memory_bytes)
        except SandboxError as error:
            if error.code != NO_ROOM or not memory_bytes:
                raise
        self._say(reference, "it does not fit into memory: once more, on the disk")
        return make(0)

    def _kept(self, key: str) -> StoredImage | None:
        record = self._store.records.get(key)
        stored = self._store.images.find(record.content_key) if record else None
        if stored is None or not all(each.layer and self._store.snapshots.has((each.layer,)) for each in stored.layers):
            return None
        return stored

    def _put(self, config: ImageConfig, layers: tuple[ImageLayer, ...], name: str) -> StoredImage:
        raw = to_json(config)
        image, _ = self._store.blobs.put(raw)
        shown = [layer.blob or Descriptor(OCI_LAYER, layer.diff_id, layer.size_bytes) for layer in layers]
        manifest = build_manifest(Descriptor(OCI_CONFIG, image, len(raw)), shown)
        self._store.blobs.put(manifest.raw)
        stored = StoredImage(image, manifest.digest, config.platform, layers, time.time(), (name,))
        self._store.images.put(stored, (name,))
        return stored

    # Fetching -------------------------------------------------------------------------------------------------

    def fetch(self, base: Base, listener: Listener, step: str) -> Stack:
        """See `BaseResolver.fetch`."""
        layers = [self._unpacker.known(layer) for layer in base.layers]
        if all(layer.layer and self._store.snapshots.has((layer.layer,)) for layer in layers):
            return tuple(layer.layer for layer in layers if layer.layer)
        total = sum(layer.blob.size for layer in layers if layer.blob)
        moved = 0

        def progress(count: int) -> None:
            nonlocal moved
            moved += count
            listener(TransferProgress(self._clock(), step, base.reference, moved, total))

        with self._opened(base, progress) as get:
            stack = self._unpacker.unpack(layers, get)
        if not _is_local(base.reference):
            self._remember(base)
        return stack

    def layers(self, base: Base) -> tuple[ImageLayer, ...]:
        """The base's layers with all that is known once they are unpacked: sizes and directories."""
        return tuple(self._unpacker.known(layer) for layer in base.layers)

    def _remember(self, base: Base) -> None:
        parsed = _parsed(base.reference.removeprefix(_IMAGE_SCHEME))
        stored = StoredImage(base.id, base.manifest, base.platform, self.layers(base), time.time())
        self._store.images.put(stored, (str(parsed),) if parsed.digest is None else ())

    @contextmanager
    def _opened(self, base: Base, progress: Callable[[int], None]) -> Iterator[Callable[[Descriptor], None]]:
        """Gives a call that brings one blob into the store."""
        blobs = self._store.blobs
        file = parse_file_base(base.reference)
        if file is not None:
            with file.open() as reader:

                def copy(blob: Descriptor) -> None:
                    if not blobs.has(blob.digest):
                        with reader.open_blob(blob.digest) as stream:
                            blobs.copy(stream, blob.digest, blob.size)
                    progress(blob.size)

                if not blobs.has(base.id):
                    blobs.put(reader.read_blob(Descriptor(OCI_CONFIG, base.id, _config_size(self._store, base))))
                yield copy
            return
        if base.reference.startswith(_DEBIAN):
            yield lambda blob: None
            return
        parsed = _parsed(base.reference.removeprefix(_IMAGE_SCHEME))

        def pull(blob: Descriptor) -> None:
            self._puller().fetch_blob(parsed, blob, blobs, progress)

        yield pull

    def _say(self, reference: str, doing: str) -> None:
        name = self._names.get(reference) or reference.partition("?")[0]
        self._listener(BaseProgress(self._clock(), name, doing))


def _config_size(store: Store, base: Base) -> int:
    from slimstage.oci.manifest import parse_manifest

    return parse_manifest(store.blobs.read(base.manifest)).config.size


def _is_local(reference: str) -> bool:
    return reference.startswith(_DEBIAN) or parse_file_base(reference) is not None


def _parsed(name: str) -> Reference:
    try:
        return parse_reference(name).with_default_tag()
    except FormatError as error:
        raise PlanError(error.message, code=error.code, hint=error.hint) from error
