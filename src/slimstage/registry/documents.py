"""Manifests, indexes and other small documents of a registry, verified. What a name leads to, and what a digest names.

Source: distribution-spec v1.1, "Pulling manifests". The digest is always computed here: a registry's headers are checked
against it and never believed.
"""

from __future__ import annotations

import hashlib

from slimstage.digest import Digest, digest_bytes, parse_digest
from slimstage.errors import FormatError, RegistryError
from slimstage.oci.descriptor import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    DOCKER_SCHEMA1,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
)
from slimstage.oci.document import LIMIT_BYTES
from slimstage.oci.reference import Reference
from slimstage.registry.client import Answer, RegistryClient
from slimstage.registry.hosts import Endpoint

ACCEPT = f"{OCI_INDEX}, {OCI_MANIFEST}, {DOCKER_INDEX}, {DOCKER_MANIFEST}"


class Documents:
    """Reads documents, from mirrors first. Safe for several threads."""

    def __init__(self, client: RegistryClient) -> None:
        self._client = client

    def top(self, reference: Reference) -> tuple[Descriptor, bytes]:
        """What the name itself leads to, described by us, and its bytes.

        Raises HttpError (404 when there is none), RegistryError (`digest-mismatch`, `bad-digest`).
        """
        name, shown = reference.digest or reference.tag or "", reference.familiar()
        answer = self._client.get(reference, f"manifests/{name}", f'get "{shown}"', LIMIT_BYTES, ACCEPT)
        data = answer.body
        media_type = (answer.content_type or "").partition(";")[0].strip().lower()
        if not media_type.startswith(DOCKER_SCHEMA1):
            # A schema 1 manifest's digest leaves out its signatures; it is refused anyway, and for a better reason.
            if reference.digest is not None:
                check_digest(data, reference.digest, f'the manifest of "{shown}"', answer.endpoint)
            _check_said(answer, shown)
        return Descriptor(media_type, reference.digest or digest_bytes(data), len(data)), data

    def manifest(self, reference: Reference, descriptor: Descriptor) -> bytes:
        """The manifest or index of the repository that the descriptor names, of whatever media type."""
        accept = ACCEPT if descriptor.media_type in ACCEPT else f"{descriptor.media_type}, {ACCEPT}"
        doing = f'get a manifest of "{reference.familiar()}"'
        return self.read(reference, f"manifests/{descriptor.digest}", descriptor, doing, LIMIT_BYTES, accept)

    def read(
        self,
        reference: Reference,
        path: str,
        descriptor: Descriptor,
        doing: str,
        limit_bytes: int,
        accept: str | None = None,
    ) -> bytes:
        """A small document by digest, verified; a server that gives another one is passed over for the next.

        Raises RegistryError; FormatError (`document-too-large`) before anything is fetched.
        """
        if descriptor.size > limit_bytes:
            raise FormatError(
                f"{doing}: {descriptor.size} bytes are more than {limit_bytes}", code="document-too-large"
            )
        headers = {"Accept": accept} if accept else None

        def ask(endpoint: Endpoint) -> bytes:
            response = self._client.open(endpoint, reference.repository, path, doing, headers)
            data = response.body(limit_bytes)
            if len(data) != descriptor.size:
                raise RegistryError(
                    f"{doing}: want {descriptor.size} bytes, got {len(data)} from {endpoint.origin}",
                    code="digest-mismatch",
                )
            check_digest(data, descriptor.digest, doing, endpoint)
            return data

        return self._client.first(reference, lambda endpoint: self._client.repeated(endpoint, lambda: ask(endpoint)))


def _check_said(answer: Answer, shown: str) -> None:
    """Docker-Content-Digest is not needed; a registry that contradicts itself is not trusted either."""
    if answer.content_digest is None:
        return
    try:
        said = parse_digest(answer.content_digest.strip())
    except FormatError as cause:
        raise RegistryError(
            f"{answer.endpoint.origin}: Docker-Content-Digest: {cause.message}", code="bad-digest"
        ) from cause
    check_digest(answer.body, said, f'the manifest of "{shown}"', answer.endpoint)


def check_digest(data: bytes, digest: Digest, what: str, endpoint: Endpoint) -> None:
    """Raises RegistryError (`digest-mismatch`) unless the bytes have the digest."""
    algorithm = digest.partition(":")[0]
    got = f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
    if got != digest:
        raise RegistryError(
            f"{what}: {endpoint.origin} sent other bytes than the digest says: want {digest}, got {got}",
            code="digest-mismatch",
            hint="the registry or something on the way changes them; nothing of it was kept",
        )
