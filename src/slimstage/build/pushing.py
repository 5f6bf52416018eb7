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
from slimstage.together import Ending, together
from slimstage.values import replace

if TYPE_CHECKING:
    from slimstage.registry.client import RegistryClient
    from slimstage.registry.push import Pushed, PushedBlob, Pusher
    from slimstage.registry.upload import Outcome
    from slimstage.store.growing import GrowingBlob

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
        self._ahead: dict[tuple[Reference, Digest], Outcome] = {}
        """How blobs came to a repository before the image that they belong to was complete."""

    def close(self) -> None:
        """Idempotent."""
        self._pusher.close()

    def send_ahead(
        self, names: Sequence[Reference], blobs: Sequence[Descriptor], growing: Sequence[GrowingBlob]
    ) -> None:
        """Sends layers that are being made, and beside them those that are in the store; `push` finds all of them there.

        They go to the first repository of the names, from which the others get them. What turns out to be another layer than
        was wanted is passed over. Raises as `push`, and what making a layer raises; none of them is made any longer then.
        """
        from slimstage.registry.push import is_distributable
        from slimstage.store.growing import GrowingBlob

        repository, ending = next(iter(_by_repository(names))), Ending()

        def end() -> None:
            ending.end()
            for each in growing:
                each.call_off()

        def send(blob: Descriptor | GrowingBlob) -> None:
            ending.check()
            if isinstance(blob, GrowingBlob):
                self._send_growing(repository, blob, ending)
                return

            def tell(count: int) -> None:
                ending.check()
                self._moved(blob, count)

            mounts = self._store.origins.of(blob.digest)
            source = StoreSource(self._store.blobs, blob.digest)
            outcome = self._pusher.put_blob(repository, blob, opener(source, blob), mounts=mounts, progress=tell)
            self._sent_ahead(repository, blob, outcome, _what(blob.digest))

        ready: list[Descriptor | GrowingBlob] = [blob for blob in blobs if is_distributable(blob)]
        together([*ready, *growing], send, end=end, name="push")

    def _send_growing(self, repository: Reference, growing: GrowingBlob, ending: Ending) -> None:
        from slimstage.store.growing import OtherLayer

        def tell(count: int) -> None:
            ending.check()
            blob = growing.descriptor
            self._told(growing.diff_id, count, blob.size if blob is not None else None)

        try:
            sent = self._pusher.put_growing(repository, growing, mounts=self._store.origins.of, progress=tell)
        except OtherLayer:
            return
        self._sent_ahead(repository, sent.descriptor, sent.outcome, _what(growing.diff_id))

    def _sent_ahead(self, repository: Reference, blob: Descriptor, outcome: Outcome, what: str) -> None:
        with self._lock:
            self._ahead[repository, blob.digest] = outcome
        self._arrived(repository, blob, outcome, what)

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
                on_done=self._sent,
            )
            pushed = replace(pushed, blobs=tuple(self._as_it_came(repository, blob) for blob in pushed.blobs))
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

    def _as_it_came(self, repository: Reference, blob: PushedBlob) -> PushedBlob:
        """What `send_ahead` did counts, not that it was there afterwards."""
        outcome = self._ahead.pop((repository, blob.descriptor.digest), None)
        return blob if outcome is None or blob.outcome != "there" else replace(blob, outcome=outcome)

    def _moved(self, blob: Descriptor, count: int) -> None:
        self._told(blob.digest, count, blob.size)

    def _told(self, digest: Digest, count: int, size_bytes: int | None) -> None:
        """digest: of the blob, or the diff ID of one that is being made. size_bytes: of all of it, where that is known."""
        with self._lock:
            done, told = self._done.get(digest, (0, -_STEP_BYTES))
            done += count
            is_due = not told <= done < told + _STEP_BYTES or done == size_bytes
            is_whole = count == size_bytes  # it was there, or is so small that its end says all
            self._done[digest] = (done, done if is_due else told)
        if is_due and not is_whole:
            self._listener(TransferProgress(self._clock(), "", _what(digest), done, size_bytes))

    def _sent(self, repository: Reference, blob: Descriptor, outcome: Outcome) -> None:
        if (repository, blob.digest) not in self._ahead:  # else it was said before
            self._arrived(repository, blob, outcome, _what(blob.digest))

    def _arrived(self, repository: Reference, blob: Descriptor, outcome: Outcome, what: str) -> None:
        self._listener(BlobPushed(self._clock(), what, repository.repository_name, blob.digest, blob.size, outcome))


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


def _what(digest: Digest) -> str:
    return f"push {digest.partition(':')[2][:12]}"
