"""What a build came to, as its `BuildResult`: that of one image, or of the images of several platforms together. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from slimstage.build.executor import StepOutcome
from slimstage.build.image import BuiltImage
from slimstage.build.preparation import ImagePlan, Prepared
from slimstage.build.request import (
    BuildResult,
    CacheResult,
    LayerResult,
    OutputResult,
    OutputSpec,
    PlatformResult,
    StageResult,
    StayedBehind,
    WarningResult,
)
from slimstage.build.results import layer_results, stage_results, stayed_behind, step_results
from slimstage.oci.descriptor import Descriptor
from slimstage.plan.graph import StepId
from slimstage.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class Happened:
    """What became of the steps. sizes: layer bytes of cached steps, as far as known; sources: the caches that had them."""

    outcomes: Mapping[StepId, StepOutcome]
    sizes: Mapping[StepId, int]
    sources: Mapping[StepId, str]
    warnings: tuple[WarningResult, ...]
    duration_s: float


def build_result(
    prepared: Prepared,
    images: Sequence[BuiltImage],
    happened: Happened,
    outputs: tuple[OutputResult, ...],
    caches: tuple[CacheResult, ...],
    index_digest: str | None,
) -> BuildResult:
    """The whole document. images: one for each plan. index_digest: of several platforms."""
    parts = [_platform(prepared, plan, image, happened) for plan, image in zip(prepared.plans, images, strict=True)]
    first, request = parts[0], prepared.request
    names = [name for output in request.outputs for name in output.names]
    whole = BuildResult(
        image_id=first.image_id,
        manifest_digest=next((each.digest for each in outputs if each.digest), None) or first.manifest_digest,
        tags=tuple(dict.fromkeys([*request.tags, *names])),
        platform=first.platform,
        size_bytes=first.size_bytes,
        compressed_bytes=first.compressed_bytes,
        duration_s=round(happened.duration_s, 3),
        layers=first.layers,
        stages=first.stages,
        steps=step_results(prepared.graph, happened.outcomes, happened.sizes, prepared.labels, happened.sources),
        warnings=happened.warnings,
        outputs=outputs,
        stayed_behind=first.stayed_behind,
        caches=caches,
        platforms=tuple(parts),
    )
    if index_digest is None:
        return whole
    layers = {layer.diff_id: layer for part in parts for layer in part.layers}
    return replace(
        whole,
        image_id=index_digest,
        manifest_digest=index_digest,
        platform=",".join(part.platform for part in parts),
        size_bytes=sum(layer.size_bytes for layer in layers.values()),
        compressed_bytes=_compressed([blob for image in images for blob in image.blobs]),
        layers=tuple(layers.values()),
        stages=tuple(_named(part, stage) for part in parts for stage in part.stages),
        stayed_behind=StayedBehind(),
    )


def _platform(prepared: Prepared, plan: ImagePlan, image: BuiltImage, happened: Happened) -> PlatformResult:
    graph, outcomes, sizes = plan.graph, happened.outcomes, happened.sizes
    bases = {
        step: sum(layer.size_bytes for layer in prepared.bases.layers(base))
        for step, base in prepared.base_of.items()
        if step in graph.steps
    }
    size_bytes = sum(layer.size_bytes for layer in image.layers)
    layers: tuple[LayerResult, ...] = layer_results(
        image.config, [layer.size_bytes for layer in image.layers], image.blobs
    )
    # The target's tree is the image: one size for both, that of the image's layers.
    stages = tuple(
        replace(each, size_bytes=size_bytes) if each.index == graph.target else each
        for each in stage_results(graph, outcomes, bases, sizes)
    )
    return PlatformResult(
        platform=str(image.platform),
        image_id=image.id,
        # Of the manifest that the store would have: for outputs that write none.
        manifest_digest=image.manifest(OutputSpec("image")).digest,
        size_bytes=size_bytes,
        compressed_bytes=_compressed(image.blobs),
        layers=layers,
        stages=stages,
        stayed_behind=stayed_behind(graph, outcomes, bases, sizes),
    )


def _compressed(blobs: Sequence[Descriptor | None]) -> int | None:
    sizes = {blob.digest: blob.size for blob in blobs if blob}
    return sum(sizes.values()) if all(blobs) else None


def _named(part: PlatformResult, stage: StageResult) -> StageResult:
    return replace(stage, name=f"{part.platform} {stage.name}")
