"""Where things are copied to. What is gathered appears whole: blobs first, then documents, what names it last."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import BinaryIO, Protocol, cast

from slimstage.digest import Digest
from slimstage.errors import FormatError
from slimstage.oci.descriptor import Descriptor
from slimstage.oci.manifest import Manifest
from slimstage.oci.reference import Reference, parse_reference
from slimstage.oci.referrer import referrer_descriptor
from slimstage.registry.client import RegistryClient, checked
from slimstage.registry.faults import HttpError
from slimstage.registry.push import MISSING, Pusher
from slimstage.registry.referrers import RegistryReferrers
from slimstage.signing.signature import signature_layers
from slimstage.store.content import Content, Piece, document_piece, named, nameless
from slimstage.store.layout import TAG
from slimstage.store.layout_sink import LayoutSink
from slimstage.store.save import ArchiveSink, docker_list
from slimstage.together import AT_ONCE, Moved, together
from slimstage.transfer.beside import add_signatures, tag_signature
from slimstage.transfer.gather import Gathered, Part, without_referrers
from slimstage.transfer.source import RegistrySource, Source
from slimstage.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class Written:
    """What happened at the target. The three counts are of blobs; `sent_bytes` are those of the blobs that moved."""

    sent: int = 0
    mounted: int = 0
    there: int = 0
    sent_bytes: int = 0
    remarks: tuple[str, ...] = ()


class Sink(Protocol):
    """A place that takes whole images."""

    def put(self, gathered: Gathered, source: Source, moved: Moved) -> Written:
        """Copies all of it. On a failure the target is as it was, but for blobs that nothing names.

        moved: told of bytes of blobs as they go, of those that are there already too.
        """
        ...


class RegistrySink:
    """A repository: under the reference's tag, or by its digest."""

    def __init__(self, client: RegistryClient, pusher: Pusher, reference: Reference) -> None:
        self._client, self._pusher, self._reference = client, pusher, checked(reference).with_default_tag()
        self._repository = Reference(reference.registry, reference.repository)
        self._referrers = RegistryReferrers(client)

    def put(self, gathered: Gathered, source: Source, moved: Moved) -> Written:
        top = gathered.top.descriptor.digest
        if self._reference.digest not in (None, top):
            raise FormatError(
                f'what is copied has another digest than "{self._reference.familiar()}": got {top}',
                code="digest-mismatch",
                hint="leave the digest out of the target's name",
            )
        outcomes = self._blobs(gathered.blobs, source, moved, is_forced=False)
        try:
            self._documents(gathered)
        except HttpError as error:
            if not MISSING.intersection(error.codes):
                raise
            # What it said was there or mounted is not: now it is given all, and asked nothing.
            outcomes |= self._blobs(gathered.blobs, source, moved, is_forced=True)
            self._documents(gathered)
        remarks = self._beside(gathered, source)
        sent = [blob for blob in gathered.blobs if outcomes[blob.digest] == "sent"]
        counts = list(outcomes.values())
        sent_bytes = sum(blob.size for blob in sent)
        return Written(len(sent), counts.count("mounted"), counts.count("there"), sent_bytes, tuple(remarks))

    def _blobs(
        self, blobs: tuple[Descriptor, ...], source: Source, moved: Moved, *, is_forced: bool
    ) -> dict[Digest, str]:
        mounts = () if source.repository is None else (source.repository,)

        def send(blob: Descriptor) -> str:
            return self._pusher.put_blob(
                self._repository,
                blob,
                lambda offset: source.open_at(blob, offset),
                mounts=mounts,
                progress=moved,
                is_forced=is_forced,
            )

        return {
            blob.digest: outcome
            for blob, outcome in zip(blobs, together(blobs, send, end=moved.end, name="copy"), strict=True)
        }

    def _documents(self, gathered: Gathered) -> None:
        for part in (*gathered.parts[:-1], *gathered.inner):
            self._put(self._repository, part)
        self._put(self._reference, gathered.top)

    def _beside(self, gathered: Gathered, source: Source) -> list[str]:
        """What belongs to the image, each in turn: the lists that clients keep are one for each subject. Returns remarks."""
        remarks = []
        for artifact in gathered.referrers:
            assert artifact.document is not None  # that its subject was read
            self._referrers.attach(self._repository, artifact.document, self._pusher)
            if not source.keeps_tags and isinstance(artifact.document, Manifest):
                tag_signature(self._client, self._pusher, self._repository, artifact.document)
        for tagged in gathered.tagged:
            target = replace(self._repository, tag=tagged.tag)
            there = RegistrySource(self._client, target).tagged(tagged.tag)
            document = tagged.part.document
            if there is None or there[0].digest == tagged.part.descriptor.digest:
                self._put(target, tagged.part)
            elif isinstance(document, Manifest) and signature_layers(document):
                add_signatures(self._client, self._pusher, target, signature_layers(document))
            else:
                remarks.append(f'"{target}" is something else there already; it was left as it is')
        return remarks

    def _put(self, target: Reference, part: Part) -> None:
        media_type = part.document.media_type if part.document else part.descriptor.media_type
        self._pusher.put_document(target, part.raw, media_type)


class FileSink:
    """A layout directory or an archive.

    name: a tag or a full reference that the image gets; None: the one it has where it comes from.
    """

    def __init__(self, sink: LayoutSink | ArchiveSink, name: str | None, *, is_docker: bool = False) -> None:
        self._sink, self._name, self._is_docker = sink, name, is_docker

    def put(self, gathered: Gathered, source: Source, moved: Moved) -> Written:
        name, remarks = self._name or source.name, []
        if self._is_docker and (gathered.referrers or gathered.tagged):
            # A daemon would take them for images that it cannot run.
            remarks.append("docker's archives have no place for what belongs to an image; it is left out")
            gathered = without_referrers(gathered)
        counted = _Counted(source, moved)
        parts = (*gathered.parts, *gathered.inner, *gathered.referrers, *(tagged.part for tagged in gathered.tagged))
        pieces = {part.descriptor.digest: document_piece(_bare(part.descriptor), part.raw) for part in parts}
        pieces |= {blob.digest: Piece(blob, counted.opener(blob)) for blob in gathered.blobs}
        content = Content(tuple(_entries(gathered, name)), tuple(pieces.values()))
        if isinstance(self._sink, LayoutSink):
            self._sink.put(content, at_once=AT_ONCE, end=moved.end)
        else:
            self._sink.put(content, self._listed(gathered, name) if self._is_docker else None)
        there = [blob for blob in gathered.blobs if blob.digest not in counted.opened]
        moved(sum(blob.size for blob in there))
        sent_bytes = sum(blob.size for blob in gathered.blobs) - sum(blob.size for blob in there)
        return Written(len(gathered.blobs) - len(there), 0, len(there), sent_bytes, tuple(remarks))

    def _listed(self, gathered: Gathered, name: str | None) -> bytes:
        document = gathered.top.document
        if not isinstance(document, Manifest):
            raise FormatError("docker's archives hold images of one platform", code="index", hint="add --platform")
        if name is None:
            return docker_list([(document, ())])
        try:
            return docker_list([(document, (str(parse_reference(name).with_default_tag()),))])
        except FormatError as cause:
            raise FormatError(f"docker's archive: {cause.message}", code=cause.code) from cause


class _Counted:
    """Blobs of the source, counted as they are read."""

    def __init__(self, source: Source, moved: Moved) -> None:
        self._source, self._moved, self._lock = source, moved, threading.Lock()
        self.opened: set[Digest] = set()

    def opener(self, blob: Descriptor) -> Callable[[], BinaryIO]:
        def begin() -> BinaryIO:
            with self._lock:
                self.opened.add(blob.digest)
            return counting(self._source.open_at(blob, 0), self._moved)

        return begin


def counting(stream: BinaryIO, moved: Callable[[int], object]) -> BinaryIO:
    """The stream, whose `read` tells how many bytes came. Closing it closes the one beneath."""
    return cast(BinaryIO, _CountingReader(stream, moved))


class _CountingReader:
    def __init__(self, stream: BinaryIO, moved: Callable[[int], object]) -> None:
        self._stream, self._moved = stream, moved

    def read(self, count: int = -1) -> bytes:
        data = self._stream.read(count)
        if data:
            self._moved(len(data))
        return data

    def __enter__(self) -> _CountingReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()


def _entries(gathered: Gathered, name: str | None) -> list[Descriptor]:
    """Of index.json: the image under its name, then without names what belongs to it, then cosign's under their tags."""
    top = _bare(gathered.top.descriptor, keeps_platform=True)
    if name is None:
        entries = [top]
    elif "/" in name or ":" in name:
        entries = [named(top, name)]
    else:
        entries = [replace(top, annotations={TAG: name})]
    for artifact in gathered.referrers:
        assert artifact.document is not None  # that its subject was read
        entries.append(nameless(referrer_descriptor(artifact.document)))
    for tagged in gathered.tagged:
        part = tagged.part
        kind = part.descriptor.artifact_type
        entries.append(replace(_bare(part.descriptor), artifact_type=kind, annotations={TAG: tagged.tag}))
    return entries


def _bare(descriptor: Descriptor, *, keeps_platform: bool = False) -> Descriptor:
    platform = descriptor.platform if keeps_platform else None
    return Descriptor(descriptor.media_type, descriptor.digest, descriptor.size, platform)
