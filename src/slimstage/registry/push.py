"""Blobs and manifests → a registry: each blob once, several at a time, manifests last.

Pushes go to the registry itself, never to a mirror. What is there is not sent; what another repository of the same
registry has is mounted from there. Memory is bounded by the number of transfers: each holds one block.
Source: distribution-spec v1.1, "Push".
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from slimstage.digest import Digest, digest_bytes, parse_digest
from slimstage.errors import FormatError, RegistryError
from slimstage.oci.descriptor import Descriptor
from slimstage.oci.manifest import Index, Manifest
from slimstage.oci.reference import Reference
from slimstage.regex import pattern
from slimstage.registry.client import RegistryClient, checked
from slimstage.registry.faults import HttpError
from slimstage.registry.hosts import Endpoint
from slimstage.registry.pieces import Pieces
from slimstage.registry.refusals import explained
from slimstage.registry.session import Session
from slimstage.registry.upload import BlobUpload, OpenAt, Outcome, Progress
from slimstage.store.growing import GrowingBlob
from slimstage.store.source import ImageSource, opener
from slimstage.together import Ending, together
from slimstage.values import dataclass, field, replace

_FOREIGN = pattern(r"application/vnd\.(?:oci\.image\.layer\.nondistributable\.v1\.|docker\.image\.rootfs\.foreign\.)")
MISSING = frozenset({"MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"})
"""Codes by which registries say that something a manifest names is not there."""

Done: TypeAlias = Callable[[Reference, Descriptor, Outcome], object]
"""Told of each blob when it is in the repository. Called from any thread."""
Moved: TypeAlias = Callable[[Descriptor, int], object]
"""Told of bytes of a blob as they go, as `Progress`. Called from any thread."""


def is_distributable(descriptor: Descriptor) -> bool:
    """False for layers that their maker lets nobody else serve: they stay where their URLs say.

    Source: OCI image-spec v1.1, layer.md, "Non-Distributable Layers".
    """
    return _FOREIGN.match(descriptor.media_type) is None


@dataclass(frozen=True, slots=True)
class PutAnswer:
    """A manifest that a registry took. `subject`: what its OCI-Subject header says; None when it keeps no referrers."""

    digest: Digest
    subject: Digest | None = None


@dataclass(frozen=True, slots=True)
class PushedBlob:
    descriptor: Descriptor
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Pushed:
    """One image, or an index of several, in a repository. `blobs`: each once, in the order of the manifests."""

    document: Manifest | Index
    blobs: tuple[PushedBlob, ...] = field(default=())

    @property
    def digest(self) -> Digest:
        return self.document.digest


class Pusher:
    """Pushes to every registry that a command needs. Safe for several threads."""

    def __init__(
        self,
        settings: Mapping[str, Mapping[str, object]],
        *,
        client: RegistryClient | None = None,
        pieces: Pieces | None = None,
    ) -> None:
        """settings: `[registry."HOST:PORT"]`, by host. Raises UsageError when they make no sense."""
        self._client = client or RegistryClient(settings)
        self._pieces = pieces
        self._lock = threading.Lock()
        self._flights: dict[tuple[str, Digest], threading.Lock] = {}
        self._there: dict[tuple[str, Digest], list[str]] = {}
        self._stepwise: set[Endpoint] = set()

    def close(self) -> None:
        """Ends what other threads are sending (they raise Interrupted) and closes connections. Idempotent."""
        self._client.close()

    def put_blob(
        self,
        target: Reference,
        descriptor: Descriptor,
        open_at: OpenAt,
        *,
        mounts: Iterable[Reference] = (),
        progress: Progress | None = None,
        is_forced: bool = False,
    ) -> Outcome:
        """Sees to it that the blob is in the target's repository; says how. Idempotent; each blob is sent once.

        open_at: opens the blob's bytes from an offset on; it is called when they are needed, again when a connection
        broke. mounts: repositories that may have the blob; those of other registries are passed over. progress: told
        bytes as they go; a negative number when they have to go again. is_forced: nothing is asked or mounted, it is
        sent: for when the registry said that it is not there after all.
        Raises RegistryError (HttpError with a hint when the registry refuses), StoreError when the bytes cannot be
        read or are not the descriptor's, Interrupted.
        """
        return self._blob(target, descriptor, open_at, mounts, progress or (lambda _: None), is_forced=is_forced)

    def put_growing(
        self,
        target: Reference,
        growing: GrowingBlob,
        *,
        mounts: Callable[[Digest], Iterable[Reference]] = lambda _: (),
        progress: Progress | None = None,
    ) -> PushedBlob:
        """As `put_blob`, for a blob that is being made: it is sent meanwhile. mounts: asked once its digest is known.

        Returns when the blob is whole, and here. Raises as `put_blob`, and what making the blob raises.
        """
        from slimstage.registry.streaming import StreamedUpload  # only where something is compressed

        target, moved = checked(target), progress or (lambda _: None)
        with explained(target):
            session = StreamedUpload(self._client, target, growing, moved, self._pieces or Pieces()).run()
        blob = growing.whole(self._client.pauses.check)
        known = () if session is not None else mounts(blob.digest)
        return PushedBlob(blob, self._blob(target, blob, growing.open_at, known, moved, session=session))

    def put_manifest(self, target: Reference, raw: bytes, media_type: str) -> Digest:
        """Puts the document under the target's tag, or under its digest when the target has none; returns the digest.

        Idempotent. What it names is there already. Raises RegistryError, FormatError when the target's digest is not
        that of the bytes.
        """
        return self.put_document(target, raw, media_type).digest

    def put_document(
        self, target: Reference, raw: bytes, media_type: str, *, only_over: str | None = None
    ) -> PutAnswer:
        """As `put_manifest`, with all that the registry answers.

        only_over: the ETag of what has to be there still; where something else is, registries that look at it answer 412,
        which is raised (HttpError) and not tried again. Source: RFC 9110, "If-Match".
        """
        target = checked(target)
        digest = digest_bytes(raw)
        if target.digest not in (None, digest):
            raise FormatError(
                f'the manifest for "{target.familiar()}" has another digest: want {target.digest}, got {digest}',
                code="digest-mismatch",
            )
        endpoint = self._client.home(target)
        url = endpoint.url(target.repository, f"manifests/{target.tag or digest}")
        doing = f"push the manifest of {Reference(target.registry, target.repository, target.tag)}"
        headers = {"Content-Type": media_type}
        if only_over is not None:
            headers["If-Match"] = only_over

        def put() -> PutAnswer:
            response = self._client.send(
                endpoint, target.repository, "PUT", url, doing, headers=headers, body=raw, expects=(200, 201, 202, 204)
            )
            said, subject = response.header("Docker-Content-Digest"), response.header("OCI-Subject")
            response.drop()
            if said is not None and said.strip() != digest:
                raise RegistryError(
                    f"{doing}: the registry made other bytes of it: want {digest}, got {said.strip()[:100]}",
                    code="digest-mismatch",
                    hint="an image whose digest changes cannot be verified; tell whoever runs the registry",
                )
            return PutAnswer(digest, parse_digest(subject.strip()) if subject else None)

        with explained(target):
            return self._client.pauses.repeat(put)

    def push(
        self,
        target: Reference,
        sources: Sequence[ImageSource],
        *,
        index: Index | None = None,
        tags: Sequence[str] = (),
        mounts: Mapping[Digest, Sequence[Reference]] | None = None,
        on_moved: Moved | None = None,
        on_done: Done | None = None,
    ) -> Pushed:
        """Pushes one image, or several and the index that names them; then its tags.

        target: registry and repository; its tag, when it has one, is put first. tags: further ones; without any, the
        document is put by digest alone. index: what the tags lead to; None for a single image. mounts: blob → where it
        came from. Layers that may not be distributed stay where they are.
        Raises RegistryError, FormatError, StoreError, Interrupted: the first that came; tags are then as they were.
        """
        manifests = [source.manifest() for source in sources]
        if index is None and len(manifests) != 1:
            raise FormatError("several images need an index that names them", code="bad-push")
        repository = Reference(target.registry, target.repository)
        moved, done = on_moved or (lambda blob, count: None), on_done or (lambda where, blob, outcome: None)
        jobs: dict[Digest, tuple[Descriptor, ImageSource]] = {}
        for source, manifest in zip(sources, manifests, strict=True):
            for blob in (manifest.config, *manifest.layers):
                if is_distributable(blob):
                    jobs.setdefault(blob.digest, (blob, source))

        ending = Ending()

        def send(digest: Digest, *, is_forced: bool) -> PushedBlob:
            blob, source = jobs[digest]
            known = (mounts or {}).get(digest, ())

            def tell(count: int) -> None:
                ending.check()
                moved(blob, count)

            ending.check()
            outcome = self._blob(repository, blob, opener(source, blob), known, tell, is_forced=is_forced)
            done(repository, blob, outcome)
            return PushedBlob(blob, outcome)

        outcomes = together(jobs, lambda digest: send(digest, is_forced=False), end=ending.end, name="push")
        wanted = list(dict.fromkeys([*([target.tag] if target.tag else []), *tags]))

        def put_all() -> None:
            for manifest in manifests:
                if index is not None or not wanted:
                    self.put_document(repository, manifest.raw, manifest.media_type)
            top = index if index is not None else manifests[0]
            if index is not None and not wanted:
                self.put_document(repository, top.raw, top.media_type)
            for tag in wanted:
                self.put_document(replace(repository, tag=tag), top.raw, top.media_type)

        try:
            put_all()
        except HttpError as error:
            if not MISSING.intersection(error.codes):
                raise
            # What it said was there or mounted is not: now it is given all, and asked nothing.
            named = [digest for digest in jobs if digest in error.digests]
            sent = together(named or jobs, lambda digest: send(digest, is_forced=True), end=ending.end, name="push")
            again = {each.descriptor.digest: each for each in sent}
            outcomes = [again.get(each.descriptor.digest, each) for each in outcomes]
            put_all()
        return Pushed(index if index is not None else manifests[0], tuple(outcomes))

    # Blobs ----------------------------------------------------------------------------------------------------

    def _blob(
        self,
        target: Reference,
        blob: Descriptor,
        open_at: OpenAt,
        mounts: Iterable[Reference],
        progress: Progress,
        *,
        is_forced: bool = False,
        session: Session | None = None,
    ) -> Outcome:
        """session: one of the target's repository that has bytes of the blob already, and goes on."""
        target = checked(target)
        parse_digest(blob.digest)
        key = (target.registry, blob.digest)
        with self._flight(key), explained(target):
            known = self._there.setdefault(key, [])
            if target.repository in known and not is_forced and session is None:
                progress(blob.size)
                return "there"
            # What this pusher has put beside it is there for sure; where a base came from is a good guess.
            sources = [*known, *(each.repository for each in mounts if checked(each).registry == target.registry)]
            upload = BlobUpload(
                self._client,
                target,
                blob,
                open_at,
                progress,
                mounts=sources,
                is_forced=is_forced,
                stepwise=self._stepwise,
                pieces=self._pieces,
            )
            outcome = upload.run() if session is None else upload.go_on(session)
            if target.repository not in known:
                known.append(target.repository)
            return outcome

    @contextmanager
    def _flight(self, key: tuple[str, Digest]) -> Iterator[None]:
        """One at a time for a blob in a registry: images repeat layers, and the second repository mounts it."""
        with self._lock:
            lock = self._flights.setdefault(key, threading.Lock())
        with lock:
            yield
