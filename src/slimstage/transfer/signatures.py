"""Signatures of an image, wherever it is: found and checked, made and put beside it.

In a registry a signature is an artifact that belongs to the image, and stands under cosign's tag `sha256-<hex>.sig` as well,
where cosign, containers/image and policy controllers look for it. Elsewhere it is the artifact alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from slimstage.digest import Digest
from slimstage.errors import FormatError, RegistryError, SlimstageError, UsageError
from slimstage.oci.descriptor import INDEX_TYPES, MANIFEST_TYPES, Descriptor
from slimstage.oci.manifest import Index, parse_document, parse_manifest
from slimstage.oci.reference import DEFAULT_REGISTRY, Reference
from slimstage.oci.referrer import referrer_descriptor
from slimstage.registry.client import RegistryClient
from slimstage.registry.push import Pusher
from slimstage.registry.referrers import RegistryReferrers
from slimstage.signing.keys import PrivateKey, PublicKey
from slimstage.signing.signature import (
    ARTIFACT_TYPE,
    LIMIT_BYTES,
    Claim,
    Signature,
    claim_of,
    cosign_tag,
    read_signature,
    signature_artifact,
    signature_layers,
    signed,
)
from slimstage.store.content import Content, Piece, document_piece, nameless
from slimstage.store.layout_sink import LayoutSink
from slimstage.store.source import read_checked
from slimstage.store.store import Store
from slimstage.transfer.beside import add_signatures, put_small, tagged_signatures
from slimstage.transfer.source import RegistrySource, Source
from slimstage.values import dataclass

Mode: TypeAlias = Literal["both", "oci-1-1", "legacy"]
"""Where a registry gets it: as an artifact that belongs to the image, under cosign's tag, or both."""
MODES: tuple[Mode, ...] = ("both", "oci-1-1", "legacy")

MOST_SIGNATURES = 500
"""Of one image, that are looked at."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One signature that was found. `place`: where. `claim`: what it proves; None when nothing, and `fault` says why."""

    place: str
    claim: Claim | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """Of one image: every signature that was found, and what was listed and is not so."""

    digest: Digest
    signatures: tuple[Checked, ...]
    remarks: tuple[str, ...] = ()

    @property
    def claims(self) -> tuple[Claim, ...]:
        """What good signatures prove; empty when there is none."""
        return tuple(each.claim for each in self.signatures if each.claim is not None)


@dataclass(frozen=True, slots=True)
class SignedImage:
    """One manifest that is signed now. `is_new`: False when the very same was signed with this key before.

    artifact: digest of the artifact that belongs to it; None when only the tag was asked for. tag: cosign's, likewise.
    """

    digest: Digest
    is_new: bool
    artifact: Digest | None
    tag: str | None


def verify(source: Source, key: PublicKey, annotations: Mapping[str, str] | None = None) -> Verification:
    """Checks every signature of what the source names: made with the key, for just that digest, with these annotations.

    Raises what the source raises; not for signatures that are bad: those are told.
    """
    digest = source.top()[0].digest
    wanted = dict(annotations or {})
    found, remarks = _found(source, digest)
    signatures = []
    for place, signature in found:
        try:
            if isinstance(signature, str):
                raise FormatError(signature)
            claim = claim_of(signature, key, digest)
            missing = {name: value for name, value in wanted.items() if claim.annotations.get(name) != value}
            if missing:
                raise FormatError("it has not the annotations asked for: " + _listed(missing))
            signatures.append(Checked(place, claim))
        except FormatError as error:
            signatures.append(Checked(place, fault=error.message))
    return Verification(digest, tuple(signatures), tuple(remarks))


class Signer:
    """Signs with one key. mode: of registries. identity: what a signature says whose image it is; None: its repository."""

    def __init__(
        self,
        key: PrivateKey,
        annotations: Mapping[str, str] | None = None,
        *,
        mode: Mode = "both",
        identity: str | None = None,
    ) -> None:
        self._key, self._annotations, self._mode, self._identity = key, dict(annotations or {}), mode, identity

    def in_registry(
        self, client: RegistryClient, pusher: Pusher, reference: Reference, *, is_recursive: bool = False
    ) -> list[SignedImage]:
        """Signs what the reference names there; is_recursive: each manifest that its index lists, too.

        Raises PlanError (no such image), FormatError (`bad-referrers-tag`: a tag for signatures is something else and was
        left as it is), RegistryError.
        """
        source = RegistrySource(client, reference)
        repository = Reference(reference.registry, reference.repository)
        return [
            self._into_registry(client, pusher, source, repository, subject)
            for subject in _subjects(source, is_recursive=is_recursive)
        ]

    def in_store(self, store: Store, source: Source, *, is_recursive: bool = False) -> list[SignedImage]:
        """Signs an image or index of the store. Raises StoreError, FormatError."""
        done = []
        for subject in _subjects(source, is_recursive=is_recursive):
            signature, is_new = self._signature(source, subject.digest)
            artifact, blobs = signature_artifact(signature, subject)
            store.referrers.put(subject.digest, artifact.raw, blobs)
            done.append(SignedImage(subject.digest, is_new, artifact.digest, None))
        return done

    def in_layout(self, sink: LayoutSink, source: Source, *, is_recursive: bool = False) -> list[SignedImage]:
        """Signs an image or index of a layout directory. Raises StoreError, FormatError."""
        done = []
        for subject in _subjects(source, is_recursive=is_recursive):
            signature, is_new = self._signature(source, subject.digest)
            artifact, blobs = signature_artifact(signature, subject)
            needed = zip((artifact.config, signature.layer), blobs, strict=True)
            pieces: list[Piece] = [document_piece(artifact.descriptor(), artifact.raw)]
            pieces += [document_piece(descriptor, blob) for descriptor, blob in needed]
            sink.put(Content((nameless(referrer_descriptor(artifact)),), tuple(pieces)))
            done.append(SignedImage(subject.digest, is_new, artifact.digest, None))
        return done

    def _into_registry(
        self, client: RegistryClient, pusher: Pusher, source: Source, repository: Reference, subject: Descriptor
    ) -> SignedImage:
        tag = cosign_tag(subject.digest) if self._mode != "oci-1-1" else None
        if tag is not None:
            tagged_signatures(source, tag)  # looked at before anything is written
        signature, is_new = self._signature(source, subject.digest)
        # What was signed before is put again, too: an earlier try may have ended half way, or been for one place only.
        artifact, (config, payload) = signature_artifact(signature, subject)
        put_small(pusher, repository, signature.layer, payload)
        if self._mode != "legacy":
            put_small(pusher, repository, artifact.config, config)
            RegistryReferrers(client).attach(repository, artifact, pusher)
        if tag is not None:
            add_signatures(
                client, pusher, Reference(repository.registry, repository.repository, tag), [signature.layer]
            )
        return SignedImage(subject.digest, is_new, artifact.digest if self._mode != "legacy" else None, tag)

    def _signature(self, source: Source, digest: Digest) -> tuple[Signature, bool]:
        """(one that says just this, whether it is new): what the key signed before is not signed again."""
        identity = self._identity or _identity(source)
        found, _ = _found(source, digest)
        for _, signature in found:
            if isinstance(signature, str):
                continue
            try:
                claim = claim_of(signature, self._key.public(), digest)
            except FormatError:
                continue
            if (claim.identity, dict(claim.annotations)) == (identity, self._annotations):
                return signature, False
        return signed(self._key, digest, identity, self._annotations), True


def _identity(source: Source) -> str:
    """The repository, as cosign writes it; of what is in no registry, the name that it has."""
    if source.repository is None:
        source.top()  # a layout's image has its name once it is found
        return source.name or ""
    name = source.repository.repository_name
    return f"index.{name}" if source.repository.registry == DEFAULT_REGISTRY else name


def _subjects(source: Source, *, is_recursive: bool) -> list[Descriptor]:
    """What is to be signed: what the source names first, then what it lists."""
    descriptor, raw = source.top()
    document = parse_document(raw, descriptor.media_type)
    top = Descriptor(document.media_type, descriptor.digest, descriptor.size)
    listed = document.manifests if is_recursive and isinstance(document, Index) else ()
    return [top, *(entry for entry in listed if entry.media_type in INDEX_TYPES | MANIFEST_TYPES)]


def _found(source: Source, digest: Digest) -> tuple[list[tuple[str, Signature | str]], list[str]]:
    """(where, the signature or why it is none) of each, and remarks. Raises what the source raises."""
    listed = source.referrers(digest, ARTIFACT_TYPE)
    manifests: list[tuple[str, bytes | None, Descriptor]] = [(entry.digest, None, entry) for entry in listed.artifacts]
    tag = cosign_tag(digest)
    tagged = source.tagged(tag)
    if tagged is not None:
        manifests.append((tag, tagged[1], tagged[0]))
    found: list[tuple[str, Signature | str]] = []
    payloads: dict[Digest, bytes | str] = {}
    seen: set[tuple[Digest, bytes]] = set()
    for place, raw, descriptor in manifests:
        try:
            manifest = parse_manifest(raw if raw is not None else source.document(descriptor), descriptor.media_type)
        except FormatError as error:
            found.append((place, error.message))
            continue
        layers = signature_layers(manifest)
        if not layers:
            found.append((place, "there is no signature in it"))
        for layer in layers:
            if len(found) >= MOST_SIGNATURES:
                return found, [*listed.remarks, f"there are more than {MOST_SIGNATURES}; the others were not looked at"]
            if layer.digest not in payloads:
                payloads[layer.digest] = _payload(source, layer)
            signature = _signature_of(layer, payloads[layer.digest])
            if isinstance(signature, Signature):
                known = (layer.digest, signature.signature)
                if known in seen:
                    continue  # the same under the tag
                seen.add(known)
            found.append((place, signature))
    return found, list(listed.remarks)


def _payload(source: Source, layer: Descriptor) -> bytes | str:
    """What was signed, or why it cannot be had."""
    try:
        with source.open_at(layer, 0) as stream:
            return read_checked(stream, layer, "what was signed", LIMIT_BYTES)
    except FormatError as error:
        return error.message
    except SlimstageError as error:
        if isinstance(error, RegistryError) and error.status != 404:
            raise
        return f"what was signed is not there: {error.message}"


def _signature_of(layer: Descriptor, payload: bytes | str) -> Signature | str:
    if isinstance(payload, str):
        return payload
    try:
        return read_signature(layer, payload)
    except FormatError as error:
        return error.message


def _listed(pairs: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in pairs.items())


def unsignable(place: object) -> UsageError:
    """The error for a place whose files are never changed."""
    return UsageError(
        f'"{place}" is an archive, which is not changed',
        code="bad-place",
        hint="sign the image in a registry, the store or a layout, and copy it with --referrers",
    )
