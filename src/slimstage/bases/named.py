"""Images by name: those in the store, and those of registries, which are kept in the store once their layers are here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from slimstage.diagnostics import near
from slimstage.digest import Digest, parse_digest
from slimstage.errors import FormatError, PlanError, RegistryError
from slimstage.oci.descriptor import Descriptor, Platform
from slimstage.oci.reference import Reference, familiar, parse_reference
from slimstage.oci.select import fits
from slimstage.store.files import wait_lock
from slimstage.store.images import ImageLayer, StoredImage
from slimstage.store.partial import partial_bytes
from slimstage.store.pins import pin, pinned
from slimstage.store.store import Store
from slimstage.values import dataclass

if TYPE_CHECKING:
    from slimstage.registry.pull import PulledImage, Puller

SCHEME = "docker-image://"

_NO_REGISTRY = frozenset({"unreachable", "unknown-host", "tls", "timeout", "connection-broken", "proxy"})
_PACKAGES = {
    "python": "python3,python3-pip,python3-venv,ca-certificates",
    "golang": "golang-go,ca-certificates",
    "node": "nodejs,npm,ca-certificates",
    "gcc": "build-essential",
    "openjdk": "default-jdk-headless",
    "debian": "",
    "ubuntu": "",
    "alpine": "",
    "busybox": "",
}
"""What of Debian stands in for well-known images: for hints only."""


@dataclass(frozen=True, slots=True)
class BlobPlace:
    """A server that has a blob, and how much of it an interrupted transfer from there has left."""

    address: str
    is_mirror: bool
    kept_bytes: int


class NamedImages:
    """Looks names up for one store. Safe for threads. HTTP is loaded when a registry is needed.

    known: names that mean something in this build though no image is called so (named contexts), for hints. is_build:
    hints may name ways to do without the registry.
    """

    def __init__(
        self,
        store: Store,
        registries: Mapping[str, Mapping[str, object]],
        known: Collection[str] = (),
        *,
        is_build: bool = True,
    ) -> None:
        self._store, self._registries, self._known, self._is_build = store, dict(registries), known, is_build
        self._lock = threading.Lock()
        self._made: Puller | None = None

    def stored(self, reference: Reference, platform: Platform) -> StoredImage | None:
        """The image of that name in the store, for the platform and with all its files or their bytes; or None."""
        candidates = [
            self._store.images.find(str(reference), platform),
            pinned(self._store.records, self._store.images, reference, platform),
        ]
        for stored in candidates:
            if stored is not None and fits(stored.platform, platform) is not None and self._is_whole(stored):
                return stored
        return None

    def pull(self, reference: Reference, platform: Platform) -> PulledImage:
        """Manifest and config from the registry. Raises PlanError, RegistryError with what helps; FormatError."""
        try:
            return self._puller().resolve(reference, platform)
        except (PlanError, RegistryError) as error:
            raise self._explained(error, reference, platform) from error

    def fetch(self, reference: Reference, blob: Descriptor, progress: Callable[[int], object]) -> None:
        """Brings one blob of the repository into the store; another process that wants it too waits for it.

        Raises RegistryError, FormatError, StoreError, Interrupted.
        """
        # Lock files of this name are removed by a prune when nobody holds them.
        path = self._store.root / "locks" / f"step-blob-{parse_digest(blob.digest).partition(':')[2][:64]}"
        with wait_lock(str(path)) as lock:
            if self._store.blobs.has(blob.digest):
                progress(blob.size)
            else:
                self._puller().fetch_blob(reference, blob, self._store.blobs, progress)
            lock.release(removes=True)

    def locate(self, reference: Reference, blob: Descriptor) -> BlobPlace:
        """The server that the blob would come from. Raises RegistryError."""
        from slimstage.registry.download import source_of

        endpoint = self._puller().locate(reference, blob)
        kept = partial_bytes(self._store.blobs, blob.digest, source_of(endpoint))
        return BlobPlace(str(endpoint.origin), endpoint.is_mirror, kept)

    def tags(self, reference: Reference) -> list[str]:
        """The repository's tags, in the registry's order. Raises RegistryError, FormatError."""
        return self._puller().tags(reference)

    def close(self) -> None:
        """Ends what other threads are fetching (they raise Interrupted) and closes connections. Idempotent."""
        with self._lock:
            made = self._made
        if made is not None:
            made.close()

    def keep(
        self, reference: Reference, image: Digest, manifest: Digest, platform: Platform, layers: tuple[ImageLayer, ...]
    ) -> None:
        """Keeps a pulled image under its name: found without a network from now on.

        One that has the name for another platform is kept too: a build for both finds both the next time.
        """
        records, images = self._store.records, self._store.images
        stored = StoredImage(image, manifest, platform, layers, time.time())
        held = images.find(str(reference)) if reference.digest is None else None
        is_other = held is not None and fits(held.platform, platform) is None
        if held is not None and is_other:
            pin(records, reference, held.platform, held)
        images.put(stored, (str(reference),) if reference.digest is None else ())
        self._store.origins.put(reference, [image, *(layer.blob.digest for layer in layers if layer.blob)])
        if reference.digest is not None or is_other:
            pin(records, reference, platform, stored)

    def _is_whole(self, image: StoredImage) -> bool:
        store = self._store
        return all(
            (layer.layer is not None and store.snapshots.has((layer.layer,)))
            or (layer.blob is not None and store.blobs.has(layer.blob.digest))
            for layer in image.layers
        )

    def _puller(self) -> Puller:
        with self._lock:
            if self._made is None:
                from slimstage.registry.pull import Puller

                self._made = Puller(self._registries)
            return self._made

    def _explained(
        self, error: PlanError | RegistryError, reference: Reference, platform: Platform
    ) -> PlanError | RegistryError:
        """The error with a near name of the store, and with the way without a registry."""
        shown, first = reference.familiar().removesuffix(":latest"), error.diagnostics[0]
        notes = list(first.notes)
        stored = self._store.images.find(str(reference))
        if stored is not None:
            why = "" if fits(stored.platform, platform) is not None else f', for "{stored.platform}"'
            notes.append(f'the store has "{shown}"{why or ", but not all of its files"}')
        hint = first.hint
        close = near(shown, [*self._known, *(familiar(name) for name in self._store.images.names())])
        if close is not None and close != shown and stored is None:
            where = "a named context" if close in self._known else "in the store"
            hint = f'did you mean "{close}", which is {where}?'
        if isinstance(error, PlanError):
            return PlanError(error.message, code=error.code, notes=notes, hint=hint)
        if error.code in _NO_REGISTRY and self._is_build:
            notes += [f"without a registry: {way}" for way in _ways(reference)]
        return RegistryError(
            f'cannot get the image "{shown}": {error.message}',
            status=error.status,
            code=error.code,
            is_temporary=error.is_temporary,
            notes=notes,
            hint=hint,
        )


def parse_name(text: str) -> Reference:
    """The image name of a FROM or of `docker-image://`, with `:latest`. Raises PlanError when it is none."""
    try:
        return parse_reference(text.removeprefix(SCHEME)).with_default_tag()
    except FormatError as error:
        raise PlanError(error.message, code=error.code, hint=error.hint) from error


def _ways(reference: Reference) -> list[str]:
    """How the Dockerfile can be built unchanged where no registry is."""
    shown = reference.familiar().removesuffix(":latest")
    packages = _PACKAGES.get(reference.repository.rpartition("/")[2], "…")
    spec = f"debian://bookworm?include={packages}" if packages else "debian://bookworm"
    return [f'write "{shown}" = "{spec}" below [contexts] in slimstage.toml, or give --build-context "{shown}={spec}"']
