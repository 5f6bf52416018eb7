"""Layers and whole images in another compression: the files stay, the blobs are new.

For most kinds the diff ID stays as well, and with it the config; eStargz adds files to the tar, so its config is a new one.
What is in the wanted form already is not touched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import BinaryIO, cast

from slimstage.digest import Digest, digest_bytes
from slimstage.errors import FormatError, StoreError
from slimstage.oci.config import LIMIT_BYTES, from_json, to_json
from slimstage.oci.descriptor import (
    AS_DOCKER,
    AS_OCI,
    DOCKER_INDEX,
    OCI_CONFIG,
    OCI_MANIFEST,
    Descriptor,
)
from slimstage.oci.manifest import Index, Manifest, build_index, build_manifest
from slimstage.oci.referrer import attested
from slimstage.oci.validate import LAYER_TYPES
from slimstage.store.blobs import Blobs
from slimstage.store.growing import GrowingBlob
from slimstage.tree.compress import Compression
from slimstage.tree.partial import is_estargz, is_zstd_chunked
from slimstage.tree.untar import Readable
from slimstage.values import dataclass, replace

KINDS: tuple[Compression, ...] = ("uncompressed", "gzip", "zstd", "estargz", "zstd:chunked")
_PLAIN_KEYS = (
    "containerd.io/snapshot/stargz/",
    "io.containers.estargz.",
    "io.containers.zstd-chunked.",
    "io.github.containers.zstd-chunked.",
)


@dataclass(frozen=True, slots=True)
class RecompressedLayer:
    """size_bytes: of the uncompressed tar. The blob is in the store."""

    diff_id: Digest
    size_bytes: int
    blob: Descriptor


def compression_of(blob: Descriptor) -> Compression:
    """How a layer is compressed, by its media type and what its annotations say of it."""
    if blob.media_type.endswith("gzip"):
        return "estargz" if is_estargz(blob.annotations) else "gzip"
    if blob.media_type.endswith("zstd"):
        return "zstd:chunked" if is_zstd_chunked(blob.annotations) else "zstd"
    return "uncompressed"


def recompressed(
    blobs: Blobs,
    blob: Descriptor,
    diff_id: Digest,
    compression: Compression,
    level: int | None = None,
    growing: GrowingBlob | None = None,
) -> RecompressedLayer:
    """The layer in another form, stored. growing: the blob that it becomes, for who reads it meanwhile.

    Raises StoreError: it does not unpack to its diff ID, or holds what the form cannot. FormatError: it is no tar.
    """
    try:
        return _recompressed(blobs, blob, diff_id, compression, level, growing)
    except BaseException as error:
        if growing is not None:
            growing.fail(error)
        raise


def _recompressed(
    blobs: Blobs,
    blob: Descriptor,
    diff_id: Digest,
    compression: Compression,
    level: int | None,
    growing: GrowingBlob | None,
) -> RecompressedLayer:
    from slimstage.tree.blocks import compress_tar  # only when a layer is packed another way
    from slimstage.tree.decompress import decompressed

    with blobs.open(blob.digest) as stream, blobs.writer(is_digested=True) as writer:
        if growing is not None:
            growing.begin(writer)
        tar = decompressed(stream)
        digesting = _Digesting(tar) if compression == "estargz" else None  # whose own tar is another one
        made = compress_tar(digesting or tar, compression=compression, level=level, out=cast(BinaryIO, writer))
        got = digesting.finish() if digesting is not None else made.diff_id
        if got != diff_id:
            raise StoreError(f"layer {diff_id} does not unpack to its diff ID: got {got}", code="digest-mismatch")
        kept = {key: value for key, value in blob.annotations.items() if not key.startswith(_PLAIN_KEYS)}
        found = Descriptor(made.media_type, made.blob_digest, made.blob_size, annotations={**kept, **made.annotations})
        if growing is not None:
            growing.end(found, got)
        writer.commit(made.blob_digest, made.blob_size)
    return RecompressedLayer(made.diff_id, made.size_bytes, found)


def recompressed_image(
    blobs: Blobs,
    manifest: Manifest,
    compression: Compression,
    level: int | None = None,
    told: Callable[[int, int], object] | None = None,
) -> Manifest:
    """The image with every layer in that form; manifest, config and layers are in the store then.

    An image that is in the form already is returned as it is, and so is an artifact whose layers are no file trees.
    told: called with (layers done, layers in all). Raises as `recompressed` does; BlobMissing.
    """
    if not all(layer.media_type in LAYER_TYPES for layer in manifest.layers):
        return manifest
    if all(compression_of(layer) == compression for layer in manifest.layers):
        return manifest
    config = from_json(blobs.read(manifest.config.digest, LIMIT_BYTES))
    if len(config.diff_ids) != len(manifest.layers):
        raise FormatError("the config has not one diff ID for each layer", code="bad-document")
    layers: list[Descriptor] = []
    diff_ids: list[Digest] = []
    for number, (layer, diff_id) in enumerate(zip(manifest.layers, config.diff_ids, strict=True)):
        if told is not None:
            told(number, len(manifest.layers))
        if compression_of(layer) != compression:
            made = recompressed(blobs, layer, diff_id, compression, level)
            layer, diff_id = made.blob, made.diff_id
        layers.append(layer)
        diff_ids.append(diff_id)
    uses_docker = manifest.config.media_type != OCI_CONFIG and compression not in ("estargz", "zstd:chunked")
    described = manifest.config
    if tuple(diff_ids) != config.diff_ids or (not uses_docker and described.media_type != OCI_CONFIG):
        data = to_json(replace(config, diff_ids=tuple(diff_ids)))
        blobs.put(data)
        media_type = described.media_type if uses_docker else OCI_CONFIG
        described = replace(described, media_type=media_type, digest=digest_bytes(data), size=len(data))
    types = AS_DOCKER if uses_docker else AS_OCI
    made_manifest = build_manifest(
        described,
        [replace(layer, media_type=types.get(layer.media_type, layer.media_type)) for layer in layers],
        manifest.annotations,
        uses_docker_types=uses_docker,
        artifact_type=manifest.artifact_type,
        subject=manifest.subject,
    )
    blobs.put(made_manifest.raw)
    return made_manifest


def recompressed_index(blobs: Blobs, index: Index, made: Mapping[Digest, Manifest]) -> Index:
    """The index with other manifests in the place of some, stored; the same index when none of them is another.

    made: by the digest that the index has. What is not in it stays as it is, but for attestations of images that have become
    others: they are about the old digest, and are left out.
    """
    if all(digest == manifest.digest for digest, manifest in made.items()):
        return index
    members = []
    for member in index.manifests:
        about = attested(member)
        if about is not None and about in made and made[about].digest != about:
            continue
        manifest = made.get(member.digest)
        if manifest is not None:
            new = manifest.descriptor(member.platform, member.annotations)
            member = replace(new, artifact_type=member.artifact_type)
        members.append(member)
    uses_docker = index.media_type == DOCKER_INDEX and not any(
        each.media_type == OCI_MANIFEST for each in made.values()
    )
    found = build_index(
        members,
        index.annotations,
        uses_docker_types=uses_docker,
        artifact_type=index.artifact_type,
        subject=index.subject,
    )
    blobs.put(found.raw)
    return found


class _Digesting:
    """Digests what is read through it."""

    def __init__(self, stream: Readable) -> None:
        self._stream, self._state = stream, hashlib.sha256()

    def read(self, count: int = -1, /) -> bytes:
        data = self._stream.read(count)
        self._state.update(data)
        return data

    def finish(self) -> Digest:
        """Of all of it, also of what nobody has read."""
        while self.read(1 << 20):
            pass
        return Digest("sha256:" + self._state.hexdigest())
