"""What a FROM names → a `Base`, and its layers → layer directories.

    image name, docker-image://NAME     the store first, then the registry (`--pull`: the registry)
    oci-layout://PATH[:TAG][@DIGEST]    an OCI layout directory
    oci-archive:PATH, docker-archive:PATH[:NAME][@DIGEST]    a tar file of an image
    debian://SUITE?…                    made by mmdebstrap, kept in the store

Manifest and config are in the store when `resolve` returns, layers when `fetch` does. An image that came from a registry
is kept under its name, so it is found without a network afterwards.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from slimstage.bases.base import Base, Systems
from slimstage.bases.files import FileBase, parse_file_base
from slimstage.bases.named import BlobPlace, NamedImages, parse_name
from slimstage.bases.unpack import LayerUnpacker
from slimstage.digest import Digest, digest_bytes
from slimstage.errors import BlobMissing, FormatError
from slimstage.events import BaseProgress, Listener, TransferProgress, Warned, ignore
from slimstage.oci.chain import chain_ids
from slimstage.oci.config import LIMIT_BYTES, ImageConfig, from_json
from slimstage.oci.descriptor import Descriptor, Platform
from slimstage.oci.manifest import Manifest
from slimstage.oci.select import check_platform
from slimstage.store.images import ImageLayer, StoredImage
from slimstage.store.snapshots import LayerId, Stack
from slimstage.store.store import Store
from slimstage.together import Moved
from slimstage.values import replace

DEBIAN = "debian://"


class Bases:
    """Resolves and fetches bases for one store; a `BaseResolver`. Safe for several threads.

    registries: `[registry."HOST:PORT"]` of the settings. listener: hears what long resolving does (mmdebstrap).
    names: reference → what the user calls it, where a named context stands in for an image. cancel: when it is set,
    transfers and mmdebstrap end soon, with Interrupted. is_build: errors may say what a Dockerfile's user can do instead.
    made_elsewhere: asked for a system before one is made.
    """

    def __init__(
        self,
        store: Store,
        registries: Mapping[str, Mapping[str, object]] | None = None,
        listener: Listener = ignore,
        clock: Callable[[], float] = time.monotonic,
        names: Mapping[str, str] | None = None,
        cancel: threading.Event | None = None,
        is_build: bool = True,
        made_elsewhere: Systems | None = None,
    ) -> None:
        self._store, self._listener, self._clock, self._cancel = store, listener, clock, cancel
        self._made_elsewhere = made_elsewhere
        self._names = names or {}
        self._unpacker = LayerUnpacker(store)
        self._named = NamedImages(store, registries or {}, self._names.values(), is_build=is_build)

    def resolve(self, reference: str, platform: Platform, *, pull: bool = False) -> Base:
        """See `BaseResolver.resolve`."""
        if reference.startswith(DEBIAN):
            from slimstage.bases.systems import DebianSystems  # what a cached build of other bases has no use for

            name = self._names.get(reference) or reference.partition("?")[0]
            systems = DebianSystems(
                self._store,
                self._unpacker,
                lambda doing: self._say(name, doing),
                self._cancel,
                made_elsewhere=self._made_elsewhere,
                warn=self._warn,
            )
            return self._from_store(reference, systems.get(reference, platform))
        file = parse_file_base(reference)
        if file is not None:
            return self._from_file(reference, file, platform)
        image = parse_name(reference)
        if not pull:
            stored = self._named.stored(image, platform)
            if stored is not None:
                return self._from_store(reference, stored)
        pulled = self._named.pull(image, platform)
        return self._read(reference, pulled.manifest, pulled.config_bytes, platform)

    def fetch(self, base: Base, listener: Listener, step: str) -> Stack:
        """See `BaseResolver.fetch`."""
        self._store.snapshots.bring(tuple(layer.layer for layer in base.layers if layer.layer))
        return self._fetch(base, listener, step)

    def _fetch(self, base: Base, listener: Listener, step: str) -> Stack:
        layers = self.layers(base)
        missing = [layer for layer in layers if layer.layer is None or not self._store.snapshots.has((layer.layer,))]
        if not missing:
            return tuple(layer.layer for layer in layers if layer.layer)
        total = sum(layer.blob.size for layer in missing if layer.blob)
        progress = Moved(
            lambda done: listener(TransferProgress(self._clock(), step, base.reference, done, total)), self._cancel
        )
        with self._blobs_of(base, progress) as get:
            stack = self._unpacker.unpack(layers, get, progress.end)
        self._keep(base)
        return stack

    def keep(self, base: Base) -> StoredImage:
        """Keeps a base of a registry whose layers are here under its name; what was called so before loses the name."""
        self._keep(base)
        stored = self._store.images.find(base.id)
        assert stored is not None
        return stored

    def locate(self, base: Base, blob: Descriptor) -> BlobPlace:
        """The server that a layer's blob would come from. Raises RegistryError."""
        return self._named.locate(parse_name(base.reference), blob)

    def tags(self, name: str) -> list[str]:
        """The tags of an image's repository. Raises RegistryError, PlanError for what is no name."""
        return self._named.tags(parse_name(name))

    def close(self) -> None:
        """Ends transfers of other threads (they raise Interrupted) and closes connections. Idempotent."""
        self._named.close()

    def promise(self, base: Base, listener: Listener, step: str) -> Stack:
        """See `BaseResolver.promise`."""
        store, layers = self._store, self.layers(base)

        def bring() -> None:
            self._fetch(base, listener, step)

        def get(blob: Descriptor) -> None:
            progress = Moved(
                lambda done: listener(TransferProgress(self._clock(), step, base.reference, done, blob.size)),
                self._cancel,
            )
            with self._blobs_of(base, progress) as fetch:
                fetch(blob)

        for layer in layers:
            assert layer.layer is not None
            if not store.snapshots.gives((layer.layer,)):
                store.snapshots.promise(layer.layer, 0, bring)
            if layer.blob is not None and not store.blobs.gives(layer.blob.digest):
                store.blobs.promise(layer.blob, partial(get, layer.blob))
        return tuple(layer.layer for layer in layers if layer.layer)

    def system_key(self, base: Base) -> str | None:
        """See `BaseResolver.system_key`."""
        if not base.reference.startswith(DEBIAN):
            return None
        from slimstage.bases.systems import system_key  # what a cached build of other bases has no use for

        whole = system_key(base.reference, base.platform)
        record = self._store.records.get(whole)
        if record is not None and record.content_key == base.id:
            return whole
        unpacked = system_key(base.reference, base.platform, unpacks=True)
        record = self._store.records.get(unpacked)
        return unpacked if record is not None and record.content_key == base.id else whole

    def layers(self, base: Base) -> tuple[ImageLayer, ...]:
        """The base's layers with all that is known once they are unpacked: sizes and directories."""
        chains = chain_ids([layer.diff_id for layer in base.layers])
        return tuple(
            self._unpacker.known(layer if layer.layer else _placed(layer, chain))
            for layer, chain in zip(base.layers, chains, strict=True)
        )

    def _from_store(self, reference: str, image: StoredImage) -> Base:
        config = from_json(self._store.blobs.read(image.id, LIMIT_BYTES))
        return Base(reference, image.id, image.manifest, config, image.platform, image.layers)

    def _from_file(self, reference: str, file: FileBase, platform: Platform) -> Base:
        with file.open(self._store.session.directory()) as reader:
            image = file.find(reader, platform)
            manifest = image.manifest()
            config_bytes = reader.read_blob(manifest.config, LIMIT_BYTES)
        return self._read(reference, manifest, config_bytes, platform)

    def _read(self, reference: str, manifest: Manifest, config_bytes: bytes, platform: Platform) -> Base:
        """The base that the two verified documents describe; puts them into the store."""
        config = from_json(config_bytes)
        check_platform(config, platform)
        layers = image_layers(reference, manifest, config)
        if not self._store.blobs.has(manifest.config.digest):  # else each cached build would wait for the disk
            self._store.blobs.copy(io.BytesIO(config_bytes), manifest.config.digest, len(config_bytes))
        self._store.blobs.put(manifest.raw)
        known = tuple(self._unpacker.known(layer) for layer in layers)
        return Base(reference, manifest.config.digest, manifest.digest, config, config.platform, known)

    def _keep(self, base: Base) -> None:
        """An image of a registry gets its name in the store; one that is there learns where its layers are."""
        stored = self._store.images.find(base.id)
        layers = self.layers(base)
        if stored is not None and stored.manifest == base.manifest and stored.layers != layers:
            self._store.images.put(StoredImage(base.id, base.manifest, base.platform, layers, stored.created_s))
        if _comes_from_registry(base.reference):
            self._named.keep(parse_name(base.reference), base.id, base.manifest, base.platform, layers)

    @contextmanager
    def _blobs_of(self, base: Base, progress: Callable[[int], None]) -> Iterator[Callable[[Descriptor], None]]:
        """Gives a call that brings one blob of the base into the store."""
        blobs, file = self._store.blobs, parse_file_base(base.reference)
        if file is not None:
            with file.open(self._store.session.directory()) as reader:

                def copy(blob: Descriptor) -> None:
                    if not blobs.has(blob.digest):
                        with reader.open_blob(blob.digest) as stream:
                            blobs.copy(stream, blob.digest, blob.size)
                    progress(blob.size)

                yield copy
            return
        if not _comes_from_registry(base.reference):

            def here(blob: Descriptor) -> None:
                if not blobs.has(blob.digest):
                    raise BlobMissing(f'blob "{blob.digest}" of the image "{base.id}" is not in the store any more')
                progress(blob.size)

            yield here
            return
        name = parse_name(base.reference)
        yield lambda blob: self._named.fetch(name, blob, progress)

    def _warn(self, message: str) -> None:
        self._listener(Warned(self._clock(), "base-unpacked", message))

    def _say(self, name: str, doing: str) -> None:
        self._listener(BaseProgress(self._clock(), name, doing))


def image_layers(reference: str, manifest: Manifest, config: ImageConfig) -> tuple[ImageLayer, ...]:
    """The layers of an image that is not unpacked, each with the directory that it will have. Raises FormatError."""
    if len(manifest.layers) != len(config.diff_ids):
        raise FormatError(
            f'the manifest of "{reference}" has {len(manifest.layers)} layers, its config {len(config.diff_ids)}',
            code="layer-count",
        )
    chains = chain_ids(config.diff_ids)
    texts = [entry.created_by for entry in config.history if not entry.empty_layer]
    texts = texts if len(texts) == len(chains) else [""] * len(chains)
    return tuple(
        _placed(ImageLayer(diff_id, 0, blob, None, text), chain)
        for diff_id, blob, chain, text in zip(config.diff_ids, manifest.layers, chains, texts, strict=True)
    )


def _placed(layer: ImageLayer, chain: Digest) -> ImageLayer:
    """The layer with the directory that all images with the same layers up to it share."""
    # A chain of one layer is named by its diff ID, which may be of another algorithm than the directory's name is.
    sha256 = chain if chain.startswith("sha256:") else digest_bytes(chain.encode())
    return replace(layer, layer=LayerId("c" + sha256.partition(":")[2]))


def _comes_from_registry(reference: str) -> bool:
    """True for names; an image ID, which a stored image may be called by, is none."""
    return not reference.startswith((DEBIAN, "sha256:", "sha512:")) and parse_file_base(reference) is None
