"""The invariants of an image as code: one check for tests, for `inspect --verify` and for whoever doubts a file.

Everything that can be seen without unpacking is seen here. What is inside a layer is looked at by a callback, because
reading tars is `tree/`'s and this package stands above it: `store/verify.py` has the callback for real bytes.
Source: OCI image-spec v1.1, manifest.md, config.md, layer.md, descriptor.md.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TypeAlias

from slimstage.diagnostics import Diagnostic
from slimstage.digest import Digest, digest_bytes
from slimstage.errors import FormatError, SlimstageError
from slimstage.oci.config import ImageConfig, from_json
from slimstage.oci.descriptor import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    DOCKER_LAYER_ZSTD,
    INDEX_TYPES,
    OCI_CONFIG,
    OCI_EMPTY,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    Descriptor,
)
from slimstage.oci.manifest import Index, Manifest, parse_document
from slimstage.oci.select import fits
from slimstage.values import dataclass

LAYER_TYPES = frozenset({OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, DOCKER_LAYER, DOCKER_LAYER_GZIP, DOCKER_LAYER_ZSTD})
CONFIG_TYPES = frozenset({OCI_CONFIG, DOCKER_CONFIG})
_NON_DISTRIBUTABLE = (
    "application/vnd.oci.image.layer.nondistributable.",
    "application/vnd.docker.image.rootfs.foreign.",
)
_DEEPEST = 4


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """What reading a whole layer blob says. `faults`: what is wrong inside, one sentence each."""

    digest: Digest
    size_bytes: int
    """Of the blob."""
    diff_id: Digest
    faults: tuple[str, ...] = ()


ReadBlob: TypeAlias = Callable[[Descriptor], bytes]
"""The bytes of a small blob (documents only); may verify or not: they are verified here."""
CheckLayer: TypeAlias = Callable[[Descriptor], LayerFacts]
"""Reads a layer's blob to its end. Raises FormatError, StoreError."""


def validate(read_blob: ReadBlob, descriptor: Descriptor, check_layer: CheckLayer | None = None) -> list[Diagnostic]:
    """Everything that is wrong with the image, or index of images, at the descriptor; an empty list when it is sound.

    check_layer: looks into the layers; without it only documents are read.
    Raises: nothing for what is wrong with the image; a StoreError that is not about missing or wrong bytes passes.
    """
    return list(_Checker(read_blob, check_layer).document(descriptor, "manifest", 0))


class _Checker:
    def __init__(self, read_blob: ReadBlob, check_layer: CheckLayer | None) -> None:
        self._read_blob, self._check_layer = read_blob, check_layer

    def document(self, descriptor: Descriptor, place: str, depth: int) -> Iterator[Diagnostic]:
        data = yield from self._bytes(descriptor, place)
        if data is None:
            return
        try:
            document = parse_document(data, descriptor.media_type)
        except FormatError as cause:
            yield _fault(place, cause.message, cause.code)
            return
        if isinstance(document, Manifest):
            yield from self._manifest(document, descriptor, place)
            return
        if depth == _DEEPEST:
            yield _fault(place, f"indexes are nested deeper than {_DEEPEST}", "index-too-deep")
            return
        yield from self._index(document, place, depth)

    def _index(self, index: Index, place: str, depth: int) -> Iterator[Diagnostic]:
        for number, entry in enumerate(index.manifests):
            if entry.media_type in INDEX_TYPES or "manifest" in entry.media_type:
                yield from self.document(entry, f"{place}.manifests[{number}]", depth + 1)

    def _manifest(self, manifest: Manifest, descriptor: Descriptor, place: str) -> Iterator[Diagnostic]:
        if manifest.config.media_type not in CONFIG_TYPES:
            if manifest.config.media_type == OCI_EMPTY and not manifest.artifact_type:
                yield _fault(place, "the config is empty, but there is no artifactType", "artifact-type-missing")
            return  # an artifact, not an image: its layers are whatever they are
        for number, layer in enumerate(manifest.layers):
            if layer.media_type.startswith(_NON_DISTRIBUTABLE):
                yield _warning(f"{place}.layers[{number}]", "the layer may not be distributed", "non-distributable")
            elif layer.media_type not in LAYER_TYPES:
                yield _fault(
                    f"{place}.layers[{number}]",
                    f'"{layer.media_type}" is not a layer of an image',
                    "unknown-media-type",
                )
        data = yield from self._bytes(manifest.config, f"{place}.config")
        if data is None:
            return
        try:
            config = from_json(data)
        except FormatError as cause:
            yield _fault(f"{place}.config", cause.message, cause.code)
            return
        yield from _config_faults(config, manifest, place)
        if descriptor.platform is not None and fits(config.platform, descriptor.platform) != 0:
            yield _fault(
                place, f'the index says "{descriptor.platform}", the config "{config.platform}"', "platform-mismatch"
            )
        if self._check_layer is not None:
            for number, layer in enumerate(manifest.layers):
                want = config.diff_ids[number] if number < len(config.diff_ids) else None
                yield from self._layer(self._check_layer, layer, want, f"{place}.layers[{number}]")

    def _layer(
        self, check_layer: CheckLayer, layer: Descriptor, diff_id: Digest | None, place: str
    ) -> Iterator[Diagnostic]:
        try:
            facts = check_layer(layer)
        except SlimstageError as cause:
            yield _fault(place, cause.message, cause.code)
            return
        yield from _compare(place, layer, facts.digest, facts.size_bytes)
        if diff_id is not None and facts.diff_id != diff_id:
            yield _fault(place, f"the diff ID differs: want {diff_id}, got {facts.diff_id}", "diff-id-mismatch")
        for sentence in facts.faults:
            yield _fault(place, sentence, "bad-layer")

    def _bytes(self, descriptor: Descriptor, place: str) -> Generator[Diagnostic, None, bytes | None]:
        try:
            data = self._read_blob(descriptor)
        except SlimstageError as cause:
            yield _fault(place, cause.message, cause.code)
            return None
        got = digest_bytes(data)
        yield from _compare(place, descriptor, got, len(data))
        return data


def _config_faults(config: ImageConfig, manifest: Manifest, place: str) -> Iterator[Diagnostic]:
    if len(config.diff_ids) != len(manifest.layers):
        yield _fault(
            f"{place}.config",
            f"it has {len(config.diff_ids)} diff IDs, the manifest {len(manifest.layers)} layers",
            "layer-count",
        )
    filled = sum(not entry.empty_layer for entry in config.history)
    if config.history and filled != len(config.diff_ids):
        yield _fault(
            f"{place}.config",
            f"its history speaks of {filled} layers, but it has {len(config.diff_ids)}",
            "history-count",
        )
    for number, variable in enumerate(config.env):
        if "=" not in variable.lstrip("="):
            yield _fault(f"{place}.config", f"Env[{number}] has no name and value: {variable[:80]!r}", "bad-env")


def _compare(place: str, descriptor: Descriptor, digest: Digest, size: int) -> Iterator[Diagnostic]:
    if size != descriptor.size:
        yield _fault(place, f"the size differs: want {descriptor.size}, got {size}", "size-mismatch")
    if descriptor.digest.startswith("sha256:") and digest != descriptor.digest:
        yield _fault(place, f"the digest differs: want {descriptor.digest}, got {digest}", "digest-mismatch")


def _fault(place: str, message: str, code: str) -> Diagnostic:
    return Diagnostic(code, f"{place}: {message}")


def _warning(place: str, message: str, code: str) -> Diagnostic:
    return Diagnostic(code, f"{place}: {message}", severity="warning")
