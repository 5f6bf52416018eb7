"""Artifacts that belong to an image by their `subject`: signatures, SBOMs, provenance. Pure.

Source: OCI image-spec v1.1, manifest.md, "Guidelines for Artifact Usage"; distribution-spec v1.1, "Listing Referrers"
and "Referrers Tag Schema".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from slimstage.digest import Digest, digest_bytes, parse_digest
from slimstage.errors import FormatError
from slimstage.oci.descriptor import DOCKER_CONFIG, OCI_CONFIG, OCI_EMPTY, Descriptor
from slimstage.oci.manifest import Document, Manifest, build_manifest
from slimstage.regex import pattern
from slimstage.values import replace

_ARTIFACT_TAG = pattern(r"sha(?:256|512)-[0-9a-f]{64}(?:[0-9a-f]{64})?(?:\.(?:sig|att|sbom))?\Z")

EMPTY = b"{}"
EMPTY_CONFIG = Descriptor(OCI_EMPTY, digest_bytes(EMPTY), len(EMPTY))
"""What stands in place of a config that an artifact does not have; its bytes are `EMPTY`."""


def build_artifact(
    artifact_type: str,
    layers: Iterable[Descriptor],
    subject: Descriptor,
    annotations: Mapping[str, str] | None = None,
    *,
    config: Descriptor = EMPTY_CONFIG,
) -> Manifest:
    """The manifest of an artifact that belongs to `subject`. It needs at least one layer.

    The subject is named by media type, digest and size only: platform and annotations are the index' own.
    Raises FormatError without a layer or an artifact type.
    """
    layers = tuple(layers)
    if not layers or not artifact_type:
        raise FormatError("an artifact has a type and at least one layer", code="bad-artifact")
    bare = Descriptor(subject.media_type, subject.digest, subject.size)
    return build_manifest(config, layers, annotations, artifact_type=artifact_type, subject=bare)


def for_subject(artifact: Manifest, subject: Descriptor) -> Manifest:
    """The same artifact as `build_artifact` makes it for another subject: the same image under another digest.

    Not for signatures: what they sign names the digest itself.
    """
    kind = artifact.artifact_type or artifact.config.media_type
    return build_artifact(kind, artifact.layers, subject, artifact.annotations, config=artifact.config)


def referrer_descriptor(document: Document) -> Descriptor:
    """How a list of referrers names the artifact: with its type and its annotations.

    The type of a manifest without `artifactType` is its config's media type.
    """
    kind = document.artifact_type
    if kind is None and isinstance(document, Manifest):
        kind = document.config.media_type
    return replace(document.descriptor(annotations=document.annotations), artifact_type=kind)


def refers_to(document: Document, subject: Digest) -> bool:
    """True when the artifact itself says that it belongs to the subject: whoever lists it may lie."""
    return document.subject is not None and document.subject.digest == subject


def is_artifact(descriptor: Descriptor) -> bool:
    """True when the descriptor itself says that it is of something else than an image."""
    return descriptor.artifact_type not in (None, OCI_CONFIG, DOCKER_CONFIG)


def attested(entry: Descriptor) -> Digest | None:
    """The image of the same index that an entry is about, when that is an attestation as buildx keeps it; else None.

    Source: BuildKit, docs/attestations/attestation-storage.md.
    """
    if entry.annotations.get("vnd.docker.reference.type") != "attestation-manifest":
        return None
    try:
        return parse_digest(entry.annotations.get("vnd.docker.reference.digest", ""))
    except FormatError:
        return None


def is_artifact_tag(tag: str) -> bool:
    """True for the fallback tag of any digest, and for cosign's tags beside it: `sha256-<hex>.sig`, `.att`, `.sbom`."""
    return _ARTIFACT_TAG.match(tag) is not None


def fallback_tag(subject: Digest) -> str:
    """The tag under which registries without the referrers API keep the list: `sha256-<hex>`."""
    algorithm, _, encoded = parse_digest(subject).partition(":")
    return f"{algorithm[:32]}-{encoded[:64]}"
