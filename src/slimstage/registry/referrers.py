"""Artifacts that belong to an image in a registry: listed, read and attached.

Registries have the referrers API or have it not. Without it, the list is an index under the tag `sha256-<hex>`, which
clients keep: two of them at the same time may each lose the other's entry. So a list is only written over the one that was
read, where the registry gives an ETag and minds it, and what was written is read again.
Source: distribution-spec v1.1, "Listing Referrers", "Pushing Manifests with Subject", "Referrers Tag Schema".
"""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias
from urllib.parse import quote

from slimstage.digest import Digest, parse_digest
from slimstage.errors import FormatError, RegistryError
from slimstage.oci.descriptor import OCI_INDEX, Descriptor
from slimstage.oci.document import LIMIT_BYTES, go_json, read_object
from slimstage.oci.manifest import Document, Index, build_index, descriptor_fields, parse_document, parse_index
from slimstage.oci.reference import Reference
from slimstage.oci.referrer import fallback_tag, referrer_descriptor, refers_to
from slimstage.regex import pattern
from slimstage.registry.client import RegistryClient, checked
from slimstage.registry.documents import ACCEPT, Documents
from slimstage.registry.faults import HttpError
from slimstage.registry.hosts import Endpoint
from slimstage.values import dataclass

Kept: TypeAlias = Literal["registry", "tag"]
"""Who keeps the list: the registry by its API, or clients under the fallback tag."""

MOST_REFERRERS = 1_000
_MOST_PAGES = 50
_NO_API = frozenset({404, 405, 501})
_STRONG = pattern(r'"[\x21\x23-\x7e]*"\Z')
"""An ETag that only the same bytes have. Source: RFC 9110, section 8.8.3."""
_ATTEMPTS = 5
"""Of writing the fallback tag, while others write it, too."""


class PutAnswer(Protocol):
    """What a registry says of a manifest that it took."""

    @property
    def subject(self) -> Digest | None:
        """Of its OCI-Subject header; None when there was none."""
        ...


class PutsDocuments(Protocol):
    """Pushes documents: `registry.push.Pusher`."""

    def put_document(
        self, target: Reference, raw: bytes, media_type: str, *, only_over: str | None = None
    ) -> PutAnswer:
        """Puts it under the target's tag, or its digest without one. Raises RegistryError.

        only_over: the ETag of what has to be there still, else the error has the status 412.
        """
        ...


@dataclass(frozen=True, slots=True)
class Artifact:
    """One that was read: `descriptor` as lists have it, made from the document itself."""

    descriptor: Descriptor
    document: Document


@dataclass(frozen=True, slots=True)
class Found:
    """All that belongs to a subject. `remarks`: what was listed and is not so, one sentence each."""

    artifacts: tuple[Artifact, ...]
    remarks: tuple[str, ...] = ()


class RegistryReferrers:
    """Those of any repository. Safe for several threads."""

    def __init__(self, client: RegistryClient) -> None:
        self._client, self._documents = client, Documents(client)

    def listed(
        self, repository: Reference, subject: Digest, artifact_type: str | None = None
    ) -> tuple[Descriptor, ...]:
        """What the registry says belongs to the subject, in its order, each once; nobody has checked it.

        Raises RegistryError; FormatError (`bad-referrers-tag`) when something else than an index is under the fallback tag.
        """
        repository, subject = checked(repository), parse_digest(subject)
        listed = self._by_api(repository, subject, artifact_type)
        if listed is None:
            listed = list(self._by_tag(repository, subject).index.manifests)
        found = {entry.digest: entry for entry in listed}
        if len(found) > MOST_REFERRERS:
            raise FormatError(f"more than {MOST_REFERRERS} artifacts belong to {subject}", code="too-many-entries")
        # A registry may leave the filter out, and says so or not.
        return tuple(entry for entry in found.values() if artifact_type in (None, entry.artifact_type))

    def read(self, repository: Reference, subject: Digest, artifact_type: str | None = None) -> Found:
        """As `listed`, with every document fetched and verified; what belongs to another subject is left out and told.

        Raises as `listed`.
        """
        artifacts, remarks = [], []
        for entry in self.listed(repository, subject, artifact_type):
            try:
                document = parse_document(self._documents.manifest(repository, entry), entry.media_type)
            except FormatError as error:
                remarks.append(f"{entry.digest}: {error.message}")
                continue
            except HttpError as error:
                if error.status != 404:
                    raise
                remarks.append(f"{entry.digest} is listed and not there")
                continue
            described = referrer_descriptor(document)
            if not refers_to(document, subject):
                remarks.append(f"{entry.digest} is listed and belongs to something else")
            elif artifact_type in (None, described.artifact_type):
                artifacts.append(Artifact(described, document))
        return Found(tuple(artifacts), tuple(remarks))

    def attach(self, repository: Reference, artifact: Document, pusher: PutsDocuments) -> Kept:
        """Pushes the artifact's document, whose blobs are there already, and sees to it that it is listed. Idempotent.

        Says who keeps the list. Raises FormatError: no subject, or (`bad-referrers-tag`) something else is under the
        fallback tag, which is left as it is; RegistryError.
        """
        repository = Reference(checked(repository).registry, repository.repository)
        if artifact.subject is None:
            raise FormatError("an artifact that belongs to nothing cannot be attached", code="bad-artifact")
        subject = artifact.subject.digest
        answer = pusher.put_document(repository, artifact.raw, artifact.media_type)
        if answer.subject == subject:
            return "registry"
        # Without the header it is for the client to list, unless the registry has the API and merely does not say so.
        listed = self._by_api(repository, subject, None)
        if listed is not None and any(entry.digest == artifact.digest for entry in listed):
            return "registry"
        self._note(repository, subject, referrer_descriptor(artifact), pusher)
        return "tag"

    def _by_api(self, repository: Reference, subject: Digest, artifact_type: str | None) -> list[Descriptor] | None:
        """None: the registry has no such API."""
        query = f"?artifactType={quote(artifact_type, safe='')}" if artifact_type else ""
        path, doing = (
            f"referrers/{subject}{query}",
            f"list what belongs to {subject[:19]}… of {repository.repository_name}",
        )

        def ask(endpoint: Endpoint) -> list[Descriptor]:
            found: list[Descriptor] = []
            pages = self._client.pages(endpoint, repository.repository, path, doing, LIMIT_BYTES)
            for number, page in enumerate(pages, 1):
                try:
                    found += parse_index(page, OCI_INDEX).manifests
                except FormatError as cause:
                    raise RegistryError(
                        f"{doing}: the answer is no index: {cause.message}", code="bad-answer"
                    ) from cause
                if len(found) > MOST_REFERRERS or number >= _MOST_PAGES:
                    break
            return found

        endpoint = self._client.home(repository)
        try:
            return self._client.repeated(endpoint, lambda: ask(endpoint))
        except HttpError as error:
            if error.status not in _NO_API:
                raise
            return None

    def _by_tag(self, repository: Reference, subject: Digest) -> _Tagged:
        """The index under the fallback tag; an empty one when there is none. Raises FormatError (`bad-referrers-tag`)."""
        tag = fallback_tag(subject)
        doing = f"get the list of what belongs to {subject[:19]}… of {repository.repository_name}"
        endpoint = self._client.home(repository)

        def ask() -> tuple[bytes, str | None, str | None]:
            path = f"manifests/{tag}"
            response = self._client.open(endpoint, repository.repository, path, doing, {"Accept": ACCEPT})
            return response.body(LIMIT_BYTES), response.header("Content-Type"), response.header("ETag")

        try:
            data, media_type, etag = self._client.repeated(endpoint, ask)
        except HttpError as error:
            if error.status == 404:
                return _Tagged(build_index(()))
            raise
        try:
            index = parse_index(data, media_type)
            if index.media_type != OCI_INDEX:
                raise FormatError(f'it is "{index.media_type}"', code="media-type-mismatch")
            # A weak one (`W/…`) never matches.
            return _Tagged(index, etag if etag and _STRONG.match(etag) else None)
        except FormatError as cause:
            raise FormatError(
                f'the tag "{repository.repository_name}:{tag}" is to list what belongs to that image, and is no index: '
                f"{cause.message}",
                code="bad-referrers-tag",
                hint="it was left as it is; delete the tag if nothing needs it",
            ) from cause

    def _note(self, repository: Reference, subject: Digest, entry: Descriptor, pusher: PutsDocuments) -> None:
        """Adds the entry to the list under the fallback tag, and looks whether it stayed there."""
        tagged = Reference(repository.registry, repository.repository, fallback_tag(subject))
        lost = RegistryError(
            f'the list of what belongs to an image, "{tagged}", is being changed by others all the time',
            code="lost-update",
            is_temporary=True,
            hint="try again in a moment",
        )
        refused: _Tagged | None = None
        for failures in range(_ATTEMPTS):
            found = self._by_tag(repository, subject)
            if found.has(entry):
                return
            if failures:
                self._client.pauses.after(failures, lost)
            # Refused over the very list that is there, so what the registry compares is something else.
            only_over = found.etag if found != refused else None
            try:
                pusher.put_document(tagged, _with_entry(found.index, entry), OCI_INDEX, only_over=only_over)
            except HttpError as error:
                if error.status != 412 or only_over is None:
                    raise
                refused = found
        if not self._by_tag(repository, subject).has(entry):
            raise lost


@dataclass(frozen=True, slots=True)
class _Tagged:
    """The list under the fallback tag, and the ETag that its registry gave it."""

    index: Index
    etag: str | None = None

    def has(self, entry: Descriptor) -> bool:
        return any(listed.digest == entry.digest for listed in self.index.manifests)


def _with_entry(index: Index, entry: Descriptor) -> bytes:
    """The list with one more entry: what else is in it, fields that nobody here knows too, is another client's and stays."""
    document = dict(read_object(index.raw, "the list").values)
    document["manifests"] = [*document.get("manifests", ()), descriptor_fields(entry)]
    return go_json(document)
