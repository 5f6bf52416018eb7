"""`type=registry`: a cache in a registry, as an artifact of its own or inside an image (`type=inline`)."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO

from slimstage.cache.artifact import DOCUMENT, INLINE, CacheArtifact, read_artifact
from slimstage.cache.document import LIMIT_BYTES, CacheDocument, from_json
from slimstage.cache.sources import Progress
from slimstage.digest import Digest
from slimstage.errors import FormatError, RegistryError
from slimstage.oci.config import LIMIT_BYTES as CONFIG_BYTES
from slimstage.oci.config import ImageConfig
from slimstage.oci.config import from_json as read_config
from slimstage.oci.descriptor import DOCKER_CONFIG, OCI_CONFIG, Descriptor, Platform
from slimstage.oci.manifest import Index, Manifest, parse_document
from slimstage.oci.reference import Reference, parse_reference
from slimstage.oci.select import resolve
from slimstage.registry.client import RegistryClient
from slimstage.registry.documents import Documents
from slimstage.registry.download import BlobDownload
from slimstage.registry.push import Pusher
from slimstage.registry.upload import Outcome
from slimstage.store.blobs import Blobs


class RegistrySource:
    """What a tag or digest of a registry has for a cache; a `CacheSource`."""

    def __init__(self, reference: str, registries: Mapping[str, Mapping[str, object]], platform: Platform) -> None:
        """platform: of the image that is looked at where there are several. Raises UsageError for bad settings."""
        self._reference = parse_reference(reference).with_default_tag()
        self._platform = platform
        self._client = RegistryClient(registries)
        self._documents = Documents(self._client)
        self._lock = threading.Lock()
        self._flights: dict[Digest, threading.Lock] = {}

    def read(self) -> CacheDocument | None:
        """None when the registry has no such name, or an image without a cache. Raises RegistryError, FormatError."""
        try:
            top, data = self._documents.top(self._reference)
        except RegistryError as error:
            if error.status == 404:
                return None
            raise
        found = parse_document(data, top.media_type)
        manifest = self._of_platform(top, data) if isinstance(found, Index) else found
        if manifest.config.media_type == DOCUMENT:
            return read_artifact(manifest, self.read_blob(manifest.config, LIMIT_BYTES))
        if manifest.config.media_type in (OCI_CONFIG, DOCKER_CONFIG):
            return inline_document(manifest, self.read_blob(manifest.config, CONFIG_BYTES))
        raise FormatError(
            f'"{self._reference.familiar()}" is neither a cache nor an image: its config is '
            f'"{manifest.config.media_type[:100]}"',
            code="not-a-cache",
        )

    def fetch(self, blob: Descriptor, blobs: Blobs, progress: Progress) -> None:
        with self._lock:
            flight = self._flights.setdefault(blob.digest, threading.Lock())
        with flight:
            if not blobs.has(blob.digest):
                BlobDownload(self._client, self._reference, blob, blobs, progress).run()

    def read_blob(self, blob: Descriptor, limit_bytes: int) -> bytes:
        doing = f'read the cache in "{self._reference.familiar()}"'
        return self._documents.read(self._reference, f"blobs/{blob.digest}", blob, doing, limit_bytes)

    def repository(self) -> Reference:
        return Reference(self._reference.registry, self._reference.repository)

    def close(self) -> None:
        self._client.close()

    def _of_platform(self, top: Descriptor, data: bytes) -> Manifest:
        def read(descriptor: Descriptor) -> bytes:
            return data if descriptor.digest == top.digest else self._documents.manifest(self._reference, descriptor)

        return resolve(read, top, self._platform)


def inline_document(manifest: Manifest, config: bytes) -> CacheDocument | None:
    """The cache inside an image, None when it has none. Raises FormatError: malformed."""
    fields = dict(read_config(config).extra)
    text = fields.get(INLINE)
    if text is None:
        return None
    if not isinstance(text, str):
        raise FormatError(f"the image's {INLINE} is not a text", code="bad-document")
    return from_json(text.encode("utf-8", "surrogatepass"), manifest.layers)


class RegistrySink:
    """Puts a cache under a tag; a `CacheSink`. What the registry has anywhere, as far as is known, is mounted."""

    def __init__(
        self,
        reference: str,
        registries: Mapping[str, Mapping[str, object]],
        origins: Callable[[Digest], Sequence[Reference]],
    ) -> None:
        """origins: repositories that may have a blob. Raises UsageError for bad settings."""
        self._reference = parse_reference(reference).with_default_tag()
        self._pusher, self._origins = Pusher(registries), origins

    def write(self, cache: CacheArtifact, open_blob: Callable[[Descriptor], BinaryIO], progress: Progress) -> int:
        """See `CacheSink.write`. Raises RegistryError, StoreError, Interrupted."""
        sent = 0
        lock = threading.Lock()

        def done(_: Reference, blob: Descriptor, outcome: Outcome) -> None:
            nonlocal sent
            with lock:
                sent += blob.size if outcome == "sent" and blob.digest != cache.manifest.config.digest else 0

        reference = self._reference
        try:
            self._pusher.push(
                Reference(reference.registry, reference.repository),
                [_Artifact(cache, open_blob)],
                tags=[reference.tag or "latest"],
                mounts={blob.digest: self._origins(blob.digest) for blob in cache.blobs},
                on_moved=lambda _, count: progress(count),
                on_done=done,
            )
        finally:
            self._pusher.close()
        return sent


class _Artifact:
    """A cache as a pusher reads it; an `ImageSource` without an image's config."""

    def __init__(self, cache: CacheArtifact, open_blob: Callable[[Descriptor], BinaryIO]) -> None:
        self._cache, self._open = cache, open_blob
        self._blobs = {blob.digest: blob for blob in cache.blobs}

    def manifest(self) -> Manifest:
        return self._cache.manifest

    def config(self) -> ImageConfig:
        raise FormatError("a cache is not an image", code="not-an-image")

    def open_blob(self, digest: Digest) -> BinaryIO:
        if digest == self._cache.manifest.config.digest:
            return io.BytesIO(self._cache.data)
        return self._open(self._blobs[digest])
