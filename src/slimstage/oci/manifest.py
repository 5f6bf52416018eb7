"""Manifests and indexes: to and from exact bytes.

A document that was read keeps its bytes, and copying it copies those: unknown fields and another tool's formatting
survive, and so does the digest. Source: OCI image-spec v1.1, manifest.md and image-index.md; Docker's manifest v2,
schema 2, whose media types are equal to OCI's on reading.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from slimstage.digest import Digest, digest_bytes
from slimstage.errors import FormatError
from slimstage.oci.descriptor import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    DOCKER_SCHEMA1,
    INDEX_TYPES,
    MANIFEST_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Platform,
    normalised,
)
from slimstage.oci.document import Fields, go_json, read_object
from slimstage.values import dataclass, field

MOST_LAYERS = 5_000
"""Images have 127 at most; caches of many stages have more."""
MOST_MANIFESTS = 10_000


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image, or another artifact. `raw` is the document; layers are base first."""

    raw: bytes = field(repr=False)
    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str | None = None
    subject: Descriptor | None = None

    @property
    def digest(self) -> Digest:
        return digest_bytes(self.raw)

    def descriptor(self, platform: Platform | None = None, annotations: Mapping[str, str] | None = None) -> Descriptor:
        """What points at this manifest."""
        return Descriptor(self.media_type, self.digest, len(self.raw), platform, annotations or {}, self.artifact_type)


@dataclass(frozen=True, slots=True)
class Index:
    """Several manifests, for platforms or for other reasons. `raw` is the document."""

    raw: bytes = field(repr=False)
    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str | None = None
    subject: Descriptor | None = None

    @property
    def digest(self) -> Digest:
        return digest_bytes(self.raw)

    def descriptor(self, annotations: Mapping[str, str] | None = None) -> Descriptor:
        """What points at this index."""
        return Descriptor(self.media_type, self.digest, len(self.raw), None, annotations or {}, self.artifact_type)


Document: TypeAlias = Manifest | Index


def parse_document(data: bytes, content_type: str | None = None) -> Document:
    """The manifest or index that the bytes are.

    content_type: what the registry, or the descriptor that points here, says they are; None when nobody says.
    Unknown media types of layers, configs and artifacts are fine: they are copied, not understood.
    Raises FormatError: malformed, too large, schema 1, or media types that contradict each other.
    """
    if content_type is not None:
        content_type = content_type.partition(";")[0].strip().lower()
    fields = read_object(data, "manifest")
    _refuse_schema1(fields, content_type)
    inner = fields.text("mediaType")
    if inner and content_type in INDEX_TYPES | MANIFEST_TYPES and inner != content_type:
        raise FormatError(
            f'the manifest says it is "{inner}", but was announced as "{content_type}"', code="media-type-mismatch"
        )
    media_type = inner or (content_type if content_type in INDEX_TYPES | MANIFEST_TYPES else None)
    has_layers, has_manifests = "layers" in fields.values or "config" in fields.values, "manifests" in fields.values
    if has_layers and has_manifests:
        # Read as the one by some tools and as the other by others: CVE-2021-41190.
        raise FormatError("the manifest has both layers and manifests: it means two things", code="ambiguous-manifest")
    if media_type is None:
        media_type = OCI_INDEX if has_manifests else OCI_MANIFEST
    if media_type in INDEX_TYPES:
        if has_layers:
            raise FormatError(f'the manifest says it is "{media_type}", but has layers', code="media-type-mismatch")
        return _index(data, media_type, fields)
    if media_type not in MANIFEST_TYPES:
        raise FormatError(f'"{media_type}" is not a manifest that this program knows', code="unknown-media-type")
    if has_manifests:
        raise FormatError(f'the manifest says it is "{media_type}", but lists manifests', code="media-type-mismatch")
    return _manifest(data, media_type, fields)


def parse_manifest(data: bytes, content_type: str | None = None) -> Manifest:
    """As `parse_document`; an index is a FormatError."""
    document = parse_document(data, content_type)
    if isinstance(document, Index):
        raise FormatError("want the manifest of one image, got an index of several", code="media-type-mismatch")
    return document


def parse_index(data: bytes, content_type: str | None = None) -> Index:
    """As `parse_document`; a manifest is a FormatError."""
    document = parse_document(data, content_type)
    if isinstance(document, Manifest):
        raise FormatError("want an index, got the manifest of one image", code="media-type-mismatch")
    return document


def build_manifest(
    config: Descriptor,
    layers: Iterable[Descriptor],
    annotations: Mapping[str, str] | None = None,
    *,
    uses_docker_types: bool = False,
    artifact_type: str | None = None,
    subject: Descriptor | None = None,
) -> Manifest:
    """A new manifest; the same arguments give the same bytes. Layers base first."""
    media_type = DOCKER_MANIFEST if uses_docker_types else OCI_MANIFEST
    config, layers, annotations = _bare(config), tuple(_bare(layer) for layer in layers), dict(annotations or {})
    document: dict[str, object] = {"schemaVersion": 2, "mediaType": media_type}
    if artifact_type:
        document["artifactType"] = artifact_type
    document["config"] = descriptor_fields(config)
    document["layers"] = [descriptor_fields(layer) for layer in layers]
    return Manifest(
        _written(document, subject, annotations), media_type, config, layers, annotations, artifact_type, subject
    )


def build_index(
    manifests: Iterable[Descriptor],
    annotations: Mapping[str, str] | None = None,
    *,
    uses_docker_types: bool = False,
    artifact_type: str | None = None,
    subject: Descriptor | None = None,
) -> Index:
    """A new index; manifests in the order given."""
    media_type = DOCKER_INDEX if uses_docker_types else OCI_INDEX
    manifests, annotations = tuple(manifests), dict(annotations or {})
    document: dict[str, object] = {"schemaVersion": 2, "mediaType": media_type}
    if artifact_type:
        document["artifactType"] = artifact_type
    document["manifests"] = [descriptor_fields(manifest) for manifest in manifests]
    return Index(_written(document, subject, annotations), media_type, manifests, annotations, artifact_type, subject)


def descriptor_fields(descriptor: Descriptor) -> dict[str, object]:
    """A descriptor as JSON fields, in the order of Go's structure."""
    fields: dict[str, object] = {
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size,
    }
    if descriptor.annotations:
        fields["annotations"] = dict(sorted(descriptor.annotations.items()))
    if descriptor.platform is not None:
        fields["platform"] = platform_fields(descriptor.platform)
    if descriptor.artifact_type:
        fields["artifactType"] = descriptor.artifact_type
    return fields


def platform_fields(platform: Platform) -> dict[str, object]:
    """A platform as JSON fields, in the order of Go's structure."""
    fields: dict[str, object] = {"architecture": platform.architecture, "os": platform.os}
    if platform.os_version:
        fields["os.version"] = platform.os_version
    if platform.variant:
        fields["variant"] = platform.variant
    return fields


def read_descriptor(fields: Fields) -> Descriptor:
    """The descriptor of a JSON object. Raises FormatError: a field missing or wrong, `data` that does not match."""
    size = fields.number("size")
    if size is None or size < 0:
        fields.wrong("size", "a size in bytes")
    digest = fields.digest("digest")
    _check_data(fields, digest, size)
    return Descriptor(
        fields.needed_text("mediaType"),
        digest,
        size,
        _platform(fields.fields("platform")),
        fields.text_map("annotations"),
        fields.text("artifactType") or None,
    )


def _written(document: dict[str, object], subject: Descriptor | None, annotations: Mapping[str, str]) -> bytes:
    if subject is not None:
        document["subject"] = descriptor_fields(subject)
    if annotations:
        document["annotations"] = dict(sorted(annotations.items()))
    return go_json(document, indent=2)


def _bare(descriptor: Descriptor) -> Descriptor:
    """Without a platform: that belongs into an index."""
    if descriptor.platform is None:
        return descriptor
    return Descriptor(
        descriptor.media_type,
        descriptor.digest,
        descriptor.size,
        None,
        descriptor.annotations,
        descriptor.artifact_type,
    )


def _manifest(data: bytes, media_type: str, fields: Fields) -> Manifest:
    config = fields.fields("config")
    if config is None:
        fields.wrong("config", "a descriptor")
    subject = fields.fields("subject")
    return Manifest(
        data,
        media_type,
        read_descriptor(config),
        tuple(read_descriptor(layer) for layer in fields.items("layers", MOST_LAYERS)),
        fields.text_map("annotations"),
        fields.text("artifactType") or None,
        read_descriptor(subject) if subject else None,
    )


def _index(data: bytes, media_type: str, fields: Fields) -> Index:
    subject = fields.fields("subject")
    return Index(
        data,
        media_type,
        tuple(read_descriptor(manifest) for manifest in fields.items("manifests", MOST_MANIFESTS)),
        fields.text_map("annotations"),
        fields.text("artifactType") or None,
        read_descriptor(subject) if subject else None,
    )


def _refuse_schema1(fields: Fields, content_type: str | None) -> None:
    version = fields.number("schemaVersion")
    if version == 1 or (content_type or "").startswith(DOCKER_SCHEMA1) or "fsLayers" in fields.values:
        raise FormatError(
            "this is a Docker schema 1 manifest, a format retired in 2017 that pins no layer order or config by digest",
            code="schema1",
            hint='push the image again with a current tool, for example "skopeo copy --format oci"',
        )
    if version != 2:
        fields.wrong("schemaVersion", "2")


def _platform(fields: Fields | None) -> Platform | None:
    if fields is None:
        return None
    os, architecture = fields.text("os") or "", fields.text("architecture") or ""
    if not os and not architecture:
        return None
    return normalised(Platform(os, architecture, fields.text("variant") or None, fields.text("os.version") or None))


def _check_data(fields: Fields, digest: Digest, size: int) -> None:
    text = fields.text("data")
    if text is None:
        return
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as cause:
        raise FormatError(f"{fields.at('data')}: not base64", code="bad-document") from cause
    if len(data) != size or (digest.startswith("sha256:") and digest_bytes(data) != digest):
        raise FormatError(f"{fields.at('data')}: not the bytes that its digest and size say", code="bad-document")
