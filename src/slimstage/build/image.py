"""The target stage → an image: layers packed, config and manifest made.

An image has a *format*: how its layers are packed and what becomes of their times. Outputs of one build may ask for
different ones, so there may be several images with the same files. A base image's layers are used as they are, bytes and
digests, unless an output forces its own compression.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from slimstage.build.assemble import LayerFact, assemble_config
from slimstage.build.dividing import Divider, Part
from slimstage.build.executor import StepOutcome
from slimstage.build.packing import LayerFormat, Packer, Times
from slimstage.build.preparation import ImagePlan, Prepared
from slimstage.build.request import BuildRequest, OutputSpec
from slimstage.build.scheduler import Progress
from slimstage.digest import Digest, digest_bytes, digest_json
from slimstage.errors import StoreError
from slimstage.oci.config import ImageConfig, to_json
from slimstage.oci.descriptor import AS_DOCKER, DOCKER_CONFIG, OCI_CONFIG, OCI_LAYER, Descriptor, Platform
from slimstage.oci.manifest import Index, Manifest, build_index, build_manifest
from slimstage.plan.graph import AnyStep, CopyStep, StagePlan, StepId
from slimstage.store.images import ImageLayer
from slimstage.store.recompress import compression_of, recompressed
from slimstage.store.records import Record
from slimstage.store.snapshots import LayerId
from slimstage.store.store import Store
from slimstage.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """A finished image in one format: config and layers, base first. What is in the blob store has a `blob`."""

    config: ImageConfig
    config_bytes: bytes
    layers: tuple[ImageLayer, ...]
    platform: Platform

    @property
    def id(self) -> Digest:
        return digest_bytes(self.config_bytes)

    @property
    def blobs(self) -> tuple[Descriptor | None, ...]:
        return tuple(layer.blob for layer in self.layers)

    def manifest(self, output: OutputSpec) -> Manifest:
        """The manifest by which the output shows it. A layer without blob is named by its uncompressed tar."""
        uses_docker = output.uses_docker_types
        config = Descriptor(DOCKER_CONFIG if uses_docker else OCI_CONFIG, self.id, len(self.config_bytes))
        layers = []
        for layer in self.layers:
            blob = layer.blob or Descriptor(OCI_LAYER, layer.diff_id, layer.size_bytes)
            if uses_docker:
                blob = replace(blob, media_type=AS_DOCKER.get(blob.media_type, blob.media_type))
            layers.append(blob)
        annotations = annotations_of(output, "manifest", self.platform)
        return build_manifest(config, layers, annotations, uses_docker_types=uses_docker)

    def descriptor(self, output: OutputSpec) -> Descriptor:
        """What points at the manifest, in an index of the output."""
        annotations = annotations_of(output, "manifest-descriptor", self.platform)
        return self.manifest(output).descriptor(self.platform, annotations)


def annotations_of(output: OutputSpec, where: str, platform: Platform | None = None) -> dict[str, str]:
    """Those of one place; of a manifest or its descriptor also those for its platform, which win."""
    named = f"{where}[{platform}]"
    general = {key: value for place, key, value in output.annotations if place == where}
    return general | {key: value for place, key, value in output.annotations if place == named}


def index_of(output: OutputSpec, images: Sequence[BuiltImage]) -> Index:
    """The index of the images of several platforms as the output shows it, in the order of the platforms."""
    return build_index(
        [image.descriptor(output) for image in images],
        annotations_of(output, "index"),
        uses_docker_types=output.uses_docker_types,
    )


class ImageMaker:
    """Makes the images of one build."""

    def __init__(self, store: Store, packer: Packer, request: BuildRequest) -> None:
        self._store, self._packer, self._request = store, packer, request
        self._wanted = list(dict.fromkeys(self._format(output) for output in request.outputs))

    def begin(self, layer: LayerId, step: AnyStep) -> None:
        """Packs a new layer of the target ahead, in every format that an output will ask for."""
        if self._request.splits_layers and isinstance(step, CopyStep):
            return  # into what is known when all of the image is
        for format, wants_blob in self._wanted:
            if wants_blob:
                self._packer.begin(layer, format, wants_blob=True)
        for format, wants_blob in self._wanted:
            if not wants_blob and self._source(format, wants_blob) == (format, wants_blob):
                self._packer.begin(layer, format, wants_blob=False)

    def make(self, prepared: Prepared, plan: ImagePlan, progress: Progress, output: OutputSpec) -> BuiltImage:
        """The plan's target in the output's format; waits until its layers are packed."""
        format, wants_blob = self._format(output)
        target, base = plan.target, plan.base
        base_layers = self._base_layers(prepared.bases.layers(base) if base else (), output, wants_blob)
        facts: dict[StepId, list[LayerFact]] = {}
        own: list[ImageLayer] = []
        source, has_blob = self._source(format, wants_blob)
        divided = self._divided(prepared, target, progress, output)
        for parts in divided.values():
            for part in parts:
                self._packer.begin(part.layer, source, wants_blob=has_blob)
        for entry in target.history:
            if entry.step is None:
                continue
            outcome: StepOutcome = progress.outcomes[entry.step]
            for part in divided[entry.step]:
                packed = self._packer.result(part.layer, source, wants_blob=has_blob)
                facts.setdefault(entry.step, []).append(LayerFact(packed.diff_id, outcome.created_s, part.holds))
                blob = packed.blob if wants_blob else None
                created_by = f"{entry.created_by} ({part.holds})" if part.holds else entry.created_by
                own.append(ImageLayer(packed.diff_id, packed.size_bytes, blob, part.layer, created_by))
        config = assemble_config(
            target,
            [layer.diff_id for layer in base_layers],
            facts,
            epoch_s=self._request.source_date_epoch_s,
            fallback_s=self._first_made(target),
        )
        return BuiltImage(config, to_json(config), (*base_layers, *own), config.platform)

    def _divided(
        self, prepared: Prepared, target: StagePlan, progress: Progress, output: OutputSpec
    ) -> dict[StepId, tuple[Part, ...]]:
        """The layers that each step's layer is in this output. Files that are written out are the same either way."""
        layers: dict[StepId, LayerId] = {}
        for entry in target.history:
            if entry.step is not None:
                (layers[entry.step],) = progress.outcomes[entry.step].layers
        splits = self._request.splits_layers and output.kind not in ("local", "tar")
        copies = [step for step in layers if splits and isinstance(prepared.graph.steps[step], CopyStep)]
        return Divider(self._store, target.base_layers).divide(layers, copies)

    def _source(self, format: LayerFormat, wants_blob: bool) -> tuple[LayerFormat, bool]:
        """Where only the diff ID is wanted, a packing with blobs that is made anyhow knows it as well."""
        if not wants_blob:
            for other, has_blob in self._wanted:
                if has_blob and other.times == format.times and other.has_own_tar == format.has_own_tar:
                    return other, True
        return format, wants_blob

    def _format(self, output: OutputSpec) -> tuple[LayerFormat, bool]:
        """How the output's layers are packed, and whether their blobs are wanted."""
        times = self.times(output)
        if output.kind in ("local", "tar"):
            return LayerFormat(times=times), False
        # What is attested names a manifest: it has to be the one that a push sends.
        is_sent = output.pushes or self._request.sbom or self._request.provenance is not None
        packs = output.kind == "oci" or (is_sent and output.kind == "image")
        compression = output.compression or ("gzip" if packs else "uncompressed")
        level = output.compression_level
        wants_blob = output.kind in ("oci", "docker") or compression != "uncompressed"
        return LayerFormat(compression, level if compression != "uncompressed" else None, times), wants_blob

    def times(self, output: OutputSpec) -> Times:
        """What becomes of modification times in this output."""
        epoch = self._request.source_date_epoch_s
        if self._request.is_reproducible:
            return Times(epoch, is_for_all=True)
        return Times(epoch) if output.rewrites_timestamps and epoch is not None else Times()

    def _first_made(self, target: StagePlan) -> float:
        """The time of an image without own layers, when its base says none: of its first making here, so that its ID stays."""
        key = "made-" + digest_json([repr(target.config), [entry.created_by for entry in target.history]])[7:]
        known = self._store.records.get(key)
        if known is None:
            known = Record(key, key, None, created_s=time.time())
            self._store.records.put(known)
        return known.created_s

    # Layers of the base ---------------------------------------------------------------------------------------

    def _base_layers(
        self, layers: Sequence[ImageLayer], output: OutputSpec, wants_blob: bool
    ) -> tuple[ImageLayer, ...]:
        if not wants_blob:
            return tuple(layers)
        format, _ = self._format(output)
        return tuple(self._with_blob(layer, format, forces=output.forces_compression) for layer in layers)

    def _with_blob(self, layer: ImageLayer, format: LayerFormat, *, forces: bool) -> ImageLayer:
        """The layer with its bytes in the blob store: those by which it came, or packed from its directory."""
        here = layer.blob if layer.blob and self._store.blobs.gives(layer.blob.digest) else None
        fits = here is not None and (not forces or compression_of(here) == format.compression)
        if here is not None and fits:
            return replace(layer, blob=here)
        if here is not None:
            return self._recompressed(layer, here, format)
        if layer.layer is None:
            raise StoreError(f"the bytes of base layer {layer.diff_id} are not here any more", code="blob-missing")
        own = LayerFormat(format.compression, format.level)
        plain = LayerFormat("gzip") if own.has_own_tar else own
        packed = self._packer.result(layer.layer, plain, wants_blob=True)
        if packed.diff_id != layer.diff_id:
            raise StoreError(
                f"base layer {layer.diff_id} cannot be packed again from its files",
                code="blob-missing",
                hint="pull the base again with --pull",
            )
        return replace(layer, blob=packed.blob)

    def _recompressed(self, layer: ImageLayer, blob: Descriptor, format: LayerFormat) -> ImageLayer:
        made = recompressed(self._store.blobs, blob, layer.diff_id, format.compression, format.level)
        return replace(layer, diff_id=made.diff_id, size_bytes=made.size_bytes, blob=made.blob)
