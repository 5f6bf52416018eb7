"""`SRC` → `DST`: opens both ends, finds all there is, and copies it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from slimstage.digest import Digest, parse_digest
from slimstage.errors import FormatError, UsageError
from slimstage.events import Listener, TransferProgress
from slimstage.oci.descriptor import Descriptor, Platform
from slimstage.oci.referrer import referrer_descriptor
from slimstage.registry.client import RegistryClient
from slimstage.registry.push import Pusher
from slimstage.store.layout import open_layout
from slimstage.store.layout_sink import LayoutSink
from slimstage.store.leftovers import beside
from slimstage.store.save import ArchiveSink
from slimstage.store.store import Store
from slimstage.together import Moved
from slimstage.transfer.gather import gather
from slimstage.transfer.place import Place
from slimstage.transfer.sink import FileSink, RegistrySink, Sink, Written
from slimstage.transfer.source import ReaderSource, RegistrySource, Source
from slimstage.values import dataclass

OpenStored = Callable[[Store, str | None], Source]
"""An image of the store as a source; packing its layers is for whoever knows how."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy did. `referrers`: with type and annotations. `tags`: cosign's that came along."""

    source: str
    target: str
    digest: Digest
    media_type: str
    images: int
    bytes: int
    """Of all blobs, those that were there already too."""
    written: Written
    referrers: tuple[Descriptor, ...]
    tags: tuple[str, ...]
    remarks: tuple[str, ...]


class Copier:
    """Copies between places of every kind; one client for both ends. Close it."""

    def __init__(
        self,
        settings: Mapping[str, Mapping[str, object]],
        store: Callable[[], Store],
        stored: OpenStored,
        *,
        client: RegistryClient | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """settings: `[registry."HOST:PORT"]`. store: opens the store, which is done only when an end is there."""
        self.client = client or RegistryClient(settings)
        self.pusher = Pusher(settings, client=self.client)
        self.store, self._stored, self._clock = store, stored, clock

    def close(self) -> None:
        """Ends transfers of other threads (they raise Interrupted). Idempotent."""
        self.client.close()

    def copy(
        self,
        source_place: Place,
        target: Place,
        listener: Listener,
        *,
        platform: Platform | None = None,
        has_referrers: bool = False,
        is_preferred: bool = False,
    ) -> Copied:
        """Copies the image, or the index and all its images. platform, is_preferred: see `gather`.

        Raises UsageError, PlanError, FormatError, RegistryError, StoreError; the target is then as it was.
        """
        with self.source(source_place) as source:
            gathered = gather(source, platform, has_referrers=has_referrers, is_preferred=is_preferred)
            total, shown = sum(blob.size for blob in gathered.blobs), str(source_place)
            moved = Moved(lambda done: listener(TransferProgress(self._clock(), "", shown, done, total)))
            written = self.sink(target).put(gathered, source, moved)
        top = gathered.top
        return Copied(
            str(source_place),
            str(target),
            top.descriptor.digest,
            top.document.media_type if top.document else top.descriptor.media_type,
            sum(1 for _ in gathered.images()),
            total,
            written,
            tuple(referrer_descriptor(part.document) for part in gathered.referrers if part.document is not None),
            tuple(tagged.tag for tagged in gathered.tagged),
            (*gathered.remarks, *written.remarks),
        )

    @contextmanager
    def source(self, place: Place) -> Iterator[Source]:
        """The place, open for reading. Raises UsageError, FormatError, StoreError."""
        if place.reference is not None:
            yield RegistrySource(self.client, place.reference)
        elif place.kind == "store":
            yield self._stored(self.store(), place.name)
        else:
            wanted, digest = _wanted(place.name)
            if place.kind == "oci":
                with open_layout(place.path) as layout:
                    yield ReaderSource(layout, wanted, digest)
            else:
                from slimstage.store.archive import Archive  # tars and their decompressors: only when there is one

                with Archive(place.path) as archive:
                    yield ReaderSource(archive, wanted, digest)

    def sink(self, place: Place) -> Sink:
        """The place, to be written."""
        if place.reference is not None:
            return RegistrySink(self.client, self.pusher, place.reference)
        if place.kind == "store":
            from slimstage.transfer.into_store import StoreSink  # unpacking: only when there is something to unpack

            return StoreSink(self.store(), place.name)
        if place.name is not None and "@" in place.name:
            raise UsageError(f'"{place}" names a digest: what is written has the one it has', code="bad-place")
        if place.kind == "oci":
            return FileSink(self.layout(place), place.name)
        is_docker = place.kind == "docker-archive"
        return FileSink(ArchiveSink(place.path, is_docker=is_docker, beside=beside), place.name, is_docker=is_docker)

    @staticmethod
    def layout(place: Place) -> LayoutSink:
        """The layout directory, to be written."""
        return LayoutSink(place.path, beside=beside)


def _wanted(name: str | None) -> tuple[str | None, Digest | None]:
    """The name and the digest of `NAME`, `NAME@DIGEST` or `@DIGEST`."""
    if name is None or "@" not in name:
        return name, None
    text, _, digest = name.partition("@")
    try:
        return text or None, parse_digest(digest)
    except FormatError as error:
        raise UsageError(error.message, code=error.code, hint=error.hint) from error
