"""Finished images → registries: what `push` and `build --push` do with images whose blobs are at hand.

The registry's side is `registry/push.py`; here is the store's: where blobs can be mounted from, what was pushed where, and
the events.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from slimstage.build.request import BlobCount, PushedName
from slimstage.digest import Digest
from slimstage.events import BlobPushed, Listener, TransferProgress
from slimstage.oci.descriptor import Descriptor
from slimstage.oci.manifest import Index
from slimstage.oci.reference import Reference
from slimstage.store.content import blobs_of
from slimstage.store.source import ImageSource, StoreSource, opener
from slimstage.store.store import Store
from slimstage.values import replace

if TYPE_CHECKING:
    from slimstage.registry.client import RegistryClient
    from slimstage.registry.push import Pushed, Pusher
    from slimstage.registry.upload import Outcome

_STEP_BYTES = 1 << 20
"""A transfer tells of itself each time so much more is done."""


class ImagePusher:
    """Pushes images for one command. Close it at the end; from another thread, that ends what is on its way."""

    def __init__(
        self,
        store: Store,
        registries: Mapping[str, Mapping[str, object]],
        listener: Listener,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """registries: `[registry."HOST:PORT"]` of the settings. Raises UsageError when they make no sense."""
        from slimstage.registry.client import RegistryClient  # HTTP is loaded by who pushes
        from slimstage.registry.push import Pusher
        from slimstage.registry.referrers import RegistryReferrers

        self._store, self._listener, self._clock = store, listener, clock
        self._client: RegistryClient = RegistryClient(registries)
        self._pusher: Pusher = Pusher(registries, client=self._client)
        self._referrers = RegistryReferrers(self._client)
        self._lock = threading.Lock()
        self._done: dict[Digest, tuple[int, int]] = {}

    def close(self) -> None:
        """Idempotent."""
        self._pusher.close()

    def push(
        self, names: Sequence[Reference], sources: Sequence[ImageSource], index: Index | None = None
    ) -> tuple[PushedName, ...]:
        """Puts the image, or the index and its images, under every name; one without a tag goes by its digest.

        Blobs go to each repository once, and a second repository of a registry mounts them. What belongs to the image
        in the store (signatures, SBOMs) goes with it, and is listed there.
        Raises RegistryError, FormatError, StoreError, Interrupted.
        """
        results: list[PushedName] = []
        for repository, tags in _by_repository(names).items():
            self._done.clear()
            digests = dict.fromkeys(blob.digest for source in sources for blob in _blobs(source))
            pushed = self._pusher.push(
                repository,
                sources,
                index=index,
                tags=tags,
                mounts={digest: self._store.origins.of(digest) for digest in digests},
                on_moved=self._moved,
                on_done=self._arrived,
            )
            subjects = [pushed.digest, *(source.manifest().digest for source in sources)]
            for artifact in {
                a.digest: a for s in dict.fromkeys(subjects) for a in self._store.referrers.sources(s)
            }.values():
                self._attach(repository, artifact)
            self._store.origins.put(repository, [blob.descriptor.digest for blob in pushed.blobs])
            done = [replace(repository, tag=tag) for tag in tags] or [replace(repository, digest=pushed.digest)]
            results += [_result(name, pushed) for name in done]
        return tuple(results)

    def _attach(self, repository: Reference, artifact: StoreSource) -> None:
        """An artifact, to the image in the repository that is its subject; a signature comes under cosign's tag as well."""
        from slimstage.transfer.beside import tag_signature  # only when something belongs to the image

        manifest = artifact.manifest()
        for blob in blobs_of(manifest):
            self._pusher.put_blob(repository, blob, opener(artifact, blob))
        self._referrers.attach(repository, manifest, self._pusher)
        tag_signature(self._client, self._pusher, repository, manifest)

    def _moved(self, blob: Descriptor, count: int) -> None:
        with self._lock:
            done, told = self._done.get(blob.digest, (0, -_STEP_BYTES))
            done += count
            is_due = not told <= done < told + _STEP_BYTES or done == blob.size
            is_whole = count == blob.size  # it was there, or is so small that its end says all
            self._done[blob.digest] = (done, done if is_due else told)
        if is_due and not is_whole:
            self._listener(TransferProgress(self._clock(), "", _what(blob), done, blob.size))

    def _arrived(self, repository: Reference, blob: Descriptor, outcome: Outcome) -> None:
        self._listener(
            BlobPushed(self._clock(), _what(blob), repository.repository_name, blob.digest, blob.size, outcome)
        )


@contextmanager
def ended_by(pusher: ImagePusher, cancel: threading.Event) -> Iterator[None]:
    """Closes the pusher as soon as `cancel` is set, and at the end of the `with`."""
    is_over = threading.Event()

    def watch() -> None:
        while not cancel.wait(0.2):
            if is_over.is_set():
                break
        pusher.close()

    watcher = threading.Thread(target=watch, name="cancel push", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        pusher.close()


def _by_repository(names: Iterable[Reference]) -> dict[Reference, list[str]]:
    """Registry and repository → tags, in the order given."""
    found: dict[Reference, list[str]] = {}
    for name in names:
        tags = found.setdefault(Reference(name.registry, name.repository), [])
        if name.tag and name.tag not in tags:
            tags.append(name.tag)
    return found


def _blobs(source: ImageSource) -> tuple[Descriptor, ...]:
    manifest = source.manifest()
    return (manifest.config, *manifest.layers)


def _result(name: Reference, pushed: Pushed) -> PushedName:
    def count(outcome: Outcome) -> BlobCount:
        sizes = [blob.descriptor.size for blob in pushed.blobs if blob.outcome == outcome]
        return BlobCount(len(sizes), sum(sizes))

    document = pushed.document
    return PushedName(
        str(name),
        document.digest,
        document.media_type,
        len(document.raw),
        count("sent"),
        count("mounted"),
        count("there"),
    )


def _what(blob: Descriptor) -> str:
    return f"push {blob.digest.partition(':')[2][:12]}"
