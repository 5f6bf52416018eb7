"""A cache document as an OCI artifact: a manifest whose config is the document and whose layers are the blobs. Pure.

Any registry that takes images takes it: it is an image manifest with an artifact type. Source: OCI image-spec v1.1,
manifest.md, "Guidelines for Artifact Usage".
"""

from __future__ import annotations

from slimstage.cache.document import CacheDocument, from_json, to_json
from slimstage.digest import Digest, digest_bytes
from slimstage.errors import FormatError
from slimstage.oci.descriptor import Descriptor
from slimstage.oci.manifest import Manifest, build_manifest
from slimstage.values import dataclass, field

ARTIFACT = "application/vnd.slimstage.cache.v1"
DOCUMENT = "application/vnd.slimstage.cache.document.v1+json"
MOUNT_INDEX = "application/vnd.slimstage.cache.mount.v1+json"
MOUNT_PACK = "application/vnd.slimstage.cache.mount.pack.v1+zstd"

INLINE = "slimstage.cache.v1"
"""The field of an image's config that holds an inline cache."""


@dataclass(frozen=True, slots=True)
class CacheArtifact:
    """A cache that is to be written: the manifest's blobs are the document and what it means."""

    document: CacheDocument
    data: bytes = field(repr=False)
    manifest: Manifest = field(repr=False)

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """All but the document, each once."""
        return self.manifest.layers


def artifact(document: CacheDocument) -> CacheArtifact:
    """The artifact of a document: its layers, then what its cache mounts need, each blob once."""
    blobs: dict[Digest, Descriptor] = {layer.blob.digest: layer.blob for layer in document.layers}
    for mount in document.mounts:
        blobs |= {blob.digest: blob for blob in (mount.index, *mount.packs)}
    data = to_json(document, list(blobs))
    config = Descriptor(DOCUMENT, digest_bytes(data), len(data))
    manifest = build_manifest(config, blobs.values(), artifact_type=ARTIFACT)
    return CacheArtifact(document, data, manifest)


def read_artifact(manifest: Manifest, data: bytes) -> CacheDocument:
    """The document of a manifest, `data` being its config. Raises FormatError: another kind of artifact, or malformed."""
    if manifest.config.media_type != DOCUMENT:
        raise FormatError(f'its config is "{manifest.config.media_type[:100]}", not a cache', code="not-a-cache")
    return from_json(data, manifest.layers)
