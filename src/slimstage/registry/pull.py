"""Reference → manifest and config; blobs → the store. Nothing is believed that was not digested here.

Mirrors are asked first, in the order of the settings; what they do not have comes from the registry itself.
Source: distribution-spec v1.1, "Pull".
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from slimstage.diagnostics import near
from slimstage.digest import Digest, parse_digest
from slimstage.errors import FormatError, PlanError, RegistryError
from slimstage.oci.config import LIMIT_BYTES as CONFIG_BYTES
from slimstage.oci.config import from_json
from slimstage.oci.descriptor import (
    DOCKER_CONFIG,
    OCI_CONFIG,
    Descriptor,
    Platform,
)
from slimstage.oci.manifest import Manifest
from slimstage.oci.reference import Reference
from slimstage.oci.select import check_platform, resolve
from slimstage.registry.client import RegistryClient, checked
from slimstage.registry.documents import Documents
from slimstage.registry.download import BlobDownload
from slimstage.registry.faults import HttpError
from slimstage.registry.hosts import Endpoint
from slimstage.registry.paging import read_tags
from slimstage.store.blobs import Blobs
from slimstage.values import dataclass, field

_MOST_TAGS = 10_000
_MOST_PAGES = 50
_PAGE_BYTES = 4 << 20
_SHOWN_TAGS = 8


@dataclass(frozen=True, slots=True)
class PulledImage:
    """An image that is known and whose layers are not here yet. Both documents are the registry's bytes, verified.

    repository: registry and repository, where its blobs are.
    """

    manifest: Manifest
    config_bytes: bytes = field(repr=False)
    repository: Reference


class Puller:
    """Pulls from every registry that a build needs. Safe for several threads; how many at once is the caller's."""

    def __init__(self, settings: Mapping[str, Mapping[str, object]], *, client: RegistryClient | None = None) -> None:
        """settings: `[registry."HOST:PORT"]`, by host. Raises UsageError when they make no sense."""
        self._client = client or RegistryClient(settings)
        self._documents = Documents(self._client)
        self._lock = threading.Lock()
        self._flights: dict[Digest, threading.Lock] = {}

    def close(self) -> None:
        """Ends what other threads are fetching (they raise Interrupted) and closes connections. Idempotent."""
        self._client.close()

    def resolve(self, reference: Reference, platform: Platform) -> PulledImage:
        """The image of that name for the platform, through indexes.

        Raises PlanError (`base-not-found`): no such repository or tag, with a near one as a hint.
        RegistryError: refused, unreachable, or bytes that are not what a digest says (`digest-mismatch`).
        FormatError: malformed, schema 1, no image for the platform, or one whose config is for another.
        """
        reference = checked(reference).with_default_tag()
        known: dict[Digest, bytes] = {}
        shown = reference.familiar()

        def read(descriptor: Descriptor) -> bytes:
            if descriptor.digest not in known:
                known[descriptor.digest] = self._documents.manifest(reference, descriptor)
            return known[descriptor.digest]

        top, data = self.top(reference)
        known[top.digest] = data
        manifest = resolve(read, top, platform)
        if manifest.config.media_type not in (OCI_CONFIG, DOCKER_CONFIG):
            raise FormatError(
                f'"{shown}" is not an image: its config is "{manifest.config.media_type}"', code="not-an-image"
            )
        path = f"blobs/{manifest.config.digest}"
        config = self._documents.read(reference, path, manifest.config, f'get the config of "{shown}"', CONFIG_BYTES)
        check_platform(from_json(config), platform)
        return PulledImage(manifest, config, Reference(reference.registry, reference.repository))

    def top(self, reference: Reference) -> tuple[Descriptor, bytes]:
        """What the name itself leads to, described by us, and its bytes. Raises PlanError, RegistryError as `resolve`."""
        reference = checked(reference).with_default_tag()
        try:
            return self._documents.top(reference)
        except HttpError as error:
            if error.status == 404:
                raise self._not_found(reference, reference.familiar(), error) from error
            raise

    def tags(self, reference: Reference) -> list[str]:
        """Tags of the repository, in the registry's order; of very many the first. Raises RegistryError."""
        reference = checked(reference)
        doing = f"list the tags of {reference.repository_name}"

        def ask(endpoint: Endpoint) -> list[str]:
            found: list[str] = []
            pages = self._client.pages(endpoint, reference.repository, "tags/list?n=1000", doing, _PAGE_BYTES)
            for number, page in enumerate(pages, 1):
                found += read_tags(page)
                if len(found) >= _MOST_TAGS or number >= _MOST_PAGES:
                    break
            return found[:_MOST_TAGS]

        return self._client.first(reference, lambda endpoint: self._client.repeated(endpoint, lambda: ask(endpoint)))

    def locate(self, reference: Reference, descriptor: Descriptor) -> Endpoint:
        """The server that a blob would come from, the first that says it has it. Nothing is fetched.

        Raises RegistryError: none has it, or none answers; FormatError.
        """
        reference = checked(reference)
        path = f"blobs/{parse_digest(descriptor.digest)}"
        doing = f"look for blob {descriptor.digest[:19]}… of {reference.repository_name}"

        def ask(endpoint: Endpoint) -> Endpoint:
            self._client.open(endpoint, reference.repository, path, doing, method="HEAD").drop()
            return endpoint

        return self._client.first(reference, lambda endpoint: self._client.repeated(endpoint, lambda: ask(endpoint)))

    def fetch_blob(
        self,
        reference: Reference,
        descriptor: Descriptor,
        blobs: Blobs,
        progress: Callable[[int], object] | None = None,
    ) -> None:
        """Brings the blob into the store, verified; atomic. What is there is not fetched, but reported as progress.

        progress: told bytes as they come; a negative number when they have to come again.
        Raises RegistryError (`digest-mismatch` when other bytes came), FormatError, StoreError, Interrupted.
        """
        reference = checked(reference)
        parse_digest(descriptor.digest)
        tell = progress or (lambda _: None)
        with self._flight(descriptor.digest):
            if not blobs.has(descriptor.digest):
                BlobDownload(self._client, reference, descriptor, blobs, tell).run()
                return
        size = blobs.size_bytes(descriptor.digest)
        if size != descriptor.size:
            raise FormatError(
                f"the manifest lies about blob {descriptor.digest}: want {descriptor.size} bytes, got {size}",
                code="digest-mismatch",
            )
        tell(size)

    @contextmanager
    def _flight(self, digest: Digest) -> Iterator[None]:
        """One at a time for a digest: images repeat layers, and stages repeat bases."""
        with self._lock:
            lock = self._flights.setdefault(digest, threading.Lock())
        with lock:
            yield

    def _not_found(self, reference: Reference, shown: str, error: HttpError) -> PlanError:
        name = Reference(reference.registry, reference.repository).familiar()
        notes = error.diagnostics[0].notes
        tags: list[str] | None = None
        if reference.digest is None and "NAME_UNKNOWN" not in error.codes:
            try:
                tags = self.tags(reference)
            except RegistryError as cause:
                if cause.status != 404:  # it does not list tags: all that is known is that this one is not there
                    tags = []
        if tags is None:
            what = f'image "{shown}"' if reference.digest else f'repository "{name}"'
            return PlanError(f"there is no {what} in {reference.registry}", code="base-not-found", notes=notes)
        close = near(reference.tag or "", tags)
        there = ", ".join(tags[:_SHOWN_TAGS]) + (", …" if len(tags) > _SHOWN_TAGS else "")
        return PlanError(
            f'"{name}" in {reference.registry} has no tag "{reference.tag}"',
            code="base-not-found",
            notes=(*notes, f"there are: {there}") if tags else notes,
            hint=f'did you mean "{name}:{close}"?' if close else None,
        )
