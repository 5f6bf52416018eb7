"""What happened, as the values of `BuildResult`: stages, steps, layers. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import takewhile

from slimstage.build.executor import StepOutcome
from slimstage.build.request import LayerResult, StageCopy, StageResult, StayedBehind, StepResult
from slimstage.digest import Digest
from slimstage.oci.config import HistoryEntry, ImageConfig
from slimstage.oci.descriptor import Descriptor
from slimstage.plan.graph import BaseStep, CopyStep, FromStep, Graph, StagePlan, StepId


def step_results(
    graph: Graph,
    outcomes: Mapping[StepId, StepOutcome],
    sizes: Mapping[StepId, int],
    labels: Mapping[StepId, str],
    sources: Mapping[StepId, str] | None = None,
) -> tuple[StepResult, ...]:
    """One for each step, in the graph's order; a step that was not needed at all is a cached one.

    sizes: layer bytes of cached steps, as far as known. labels: what each step's stage is called. sources: the caches that
    had steps which were not needed.
    """
    results = []
    for step in graph.steps.values():
        outcome = outcomes.get(step.id)
        has_run = outcome is not None and outcome.status == "run"
        results.append(
            StepResult(
                stage=labels.get(step.id, ""),
                line=step.line,
                instruction=step.title,
                status="run" if has_run else "cached",
                duration_s=round(outcome.duration_s, 4) if outcome else 0.0,
                layer_bytes=(outcome.layer_bytes if outcome else 0) or sizes.get(step.id, 0),
                why=outcome.why if outcome else "",
                cached_from=outcome.source if outcome else (sources or {}).get(step.id, ""),
            )
        )
    return tuple(results)


def stage_results(
    graph: Graph,
    outcomes: Mapping[StepId, StepOutcome],
    base_bytes: Mapping[StepId, int],
    sizes: Mapping[StepId, int],
) -> tuple[StageResult, ...]:
    """Needed and skipped stages in file order. base_bytes: of each base image's tree; sizes: of each step's own layer."""
    results = [StageResult(each.name, each.index, "skipped", 0, each.why) for each in graph.skipped]
    names = {stage.index: stage.name for stage in graph.stages}
    tree_bytes = _sums(graph, lambda step: _layer_bytes(graph, step, outcomes, base_bytes, sizes))
    for stage in graph.stages:
        ran = any((o := outcomes.get(step)) is not None and o.status == "run" for step in stage.steps)
        results.append(
            StageResult(
                name=stage.name,
                index=stage.index,
                status="built" if ran else "cached",
                size_bytes=tree_bytes[stage.last] if stage.last else 0,
                copied_from=_copies(graph, stage, names, outcomes, sizes),
            )
        )
    return tuple(sorted(results, key=lambda each: each.index))


def _sums(graph: Graph, bytes_of: Callable[[StepId], int]) -> dict[StepId, int]:
    """For each step what it and those that it stands on come to, each counted once however many stand on it."""
    sums: dict[StepId, int] = {}
    for step in graph.steps.values():  # a parent comes before those that stand on it
        sums[step.id] = bytes_of(step.id) + (sums[step.parent] if step.parent else 0)
    return sums


def _layer_bytes(
    graph: Graph,
    step: StepId,
    outcomes: Mapping[StepId, StepOutcome],
    base_bytes: Mapping[StepId, int],
    sizes: Mapping[StepId, int],
) -> int:
    return base_bytes.get(step, 0) if isinstance(graph.steps[step], BaseStep) else own_bytes(step, outcomes, sizes)


def stayed_behind(
    graph: Graph,
    outcomes: Mapping[StepId, StepOutcome],
    base_bytes: Mapping[StepId, int],
    sizes: Mapping[StepId, int],
) -> StayedBehind:
    """Every layer counts once: one that several stages stand on, and one that the image has as well, which is not behind.

    What COPY --from took into the image's own stages is taken off.
    """
    image = set(_below(graph, graph.stage(graph.target).last))
    shared = {_layer(graph, step) for step in image}

    def held(step: StepId) -> int:
        return 0 if _layer(graph, step) in shared else _layer_bytes(graph, step, outcomes, base_bytes, sizes)

    sums = _sums(graph, held)
    names = [stage.name for stage in graph.stages if stage.last and sums[stage.last]]
    behind: dict[str, int] = {}
    left: set[StepId] = set()
    for stage in graph.stages:
        # Those below a step that is known already are known too.
        for each in takewhile(lambda each: each not in left, _below(graph, stage.last)):
            left.add(each)
            behind[_layer(graph, each)] = held(each)
    left = {each for each in left if _layer(graph, each) not in shared}
    taken = sum(
        own_bytes(each, outcomes, sizes)
        for each in image
        if isinstance(step := graph.steps[each], CopyStep)
        and isinstance(step.source, FromStep)
        and step.source.step in left
    )
    total = max(0, sum(behind.values()) - taken)
    return StayedBehind(total, tuple(names) if total else ())


def _below(graph: Graph, step: StepId | None) -> Iterator[StepId]:
    """The step and those that it stands on, base last."""
    while step is not None:
        yield step
        step = graph.steps[step].parent


def _layer(graph: Graph, step: StepId) -> str:
    """The same for two steps that hold the same layers: two stages from one base image."""
    found = graph.steps[step]
    return found.digest if isinstance(found, BaseStep) else step


def own_bytes(step: StepId, outcomes: Mapping[StepId, StepOutcome], sizes: Mapping[StepId, int]) -> int:
    """Of the step's own layer, as far as known."""
    outcome = outcomes.get(step)
    return (outcome.layer_bytes if outcome else 0) or sizes.get(step, 0)


def _copies(
    graph: Graph,
    stage: StagePlan,
    names: Mapping[int, str],
    outcomes: Mapping[StepId, StepOutcome],
    sizes: Mapping[StepId, int],
) -> tuple[StageCopy, ...]:
    found = []
    for each in stage.steps:
        step = graph.steps[each]
        if isinstance(step, CopyStep) and isinstance(step.source, FromStep) and step.paths:
            source = graph.steps[step.source.step]
            name = source.reference if isinstance(source, BaseStep) else names.get(source.stage, "")
            paths = tuple("/" if path == "." else f"/{path}" for path in step.paths)
            found.append(StageCopy(name, paths, own_bytes(each, outcomes, sizes)))
    return tuple(found)


def layer_text(entry: HistoryEntry) -> str:
    """What made the layer, and of one layer of several what is in it."""
    holds = entry.comment.removeprefix("slimstage: ")
    if entry.created_by and holds != entry.comment:
        return f"{entry.created_by} ({holds})"
    return entry.created_by or entry.comment


def layer_results(
    config: ImageConfig, sizes: Sequence[int], blobs: Sequence[Descriptor | None]
) -> tuple[LayerResult, ...]:
    """One for each layer, base first, with the history entry that made it. sizes: bytes of the uncompressed tars."""
    created_by = [layer_text(entry) for entry in config.history if not entry.empty_layer]
    diff_ids: Sequence[Digest] = config.diff_ids
    return tuple(
        LayerResult(blob.digest if blob else None, diff_id, size, by)
        for diff_id, size, blob, by in zip(diff_ids, sizes, blobs, created_by, strict=True)
    )
