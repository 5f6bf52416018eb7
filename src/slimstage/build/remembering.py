"""What the store keeps of how an image was built: the graph and what became of its steps, as one value."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from slimstage.bases.base import BaseResolver
from slimstage.build.outcome import Happened
from slimstage.build.preparation import ImagePlan, Prepared
from slimstage.build.request import BuildResult, PlatformResult
from slimstage.build.results import own_bytes
from slimstage.digest import Digest
from slimstage.plan.graph import BaseStep, CopyStep, FromStep, Graph, StagePlan, StepId
from slimstage.store.builds import BuiltCopy, BuiltStage, BuiltStep, StoredBuild
from slimstage.store.records import Record
from slimstage.store.snapshots import LayerId
from slimstage.store.store import Store


def remember(
    store: Store, prepared: Prepared, result: BuildResult, happened: Happened, records: Mapping[StepId, Record]
) -> None:
    """Puts one for the image of each platform that the store has. records: of the steps that the cache has."""
    for plan, part in zip(prepared.plans, result.platforms, strict=True):
        maker = _Maker(plan, part, happened, records, prepared.bases, prepared.base_of)
        name = prepared.name.rpartition(":")[2]
        store.builds.put(Digest(part.image_id), maker.build(name, result.duration_s))


class _Maker:
    def __init__(
        self,
        plan: ImagePlan,
        part: PlatformResult,
        happened: Happened,
        records: Mapping[StepId, Record],
        bases: BaseResolver,
        base_of: Mapping[StepId, object],
    ) -> None:
        self._graph: Graph = plan.graph
        self._part, self._happened, self._records = part, happened, records
        self._bases, self._base_of = bases, base_of
        self._bytes = {stage.index: stage.size_bytes for stage in part.stages}

    def build(self, dockerfile: str, duration_s: float) -> StoredBuild:
        graph = self._graph
        stages = [self._stage(stage) for stage in graph.stages]
        stages += [
            BuiltStage(each.index, each.name, each.line, "skipped", "", None, 0, why=each.why) for each in graph.skipped
        ]
        return StoredBuild(
            dockerfile=dockerfile,
            target=graph.target,
            duration_s=duration_s,
            built_s=time.time(),
            stayed_behind_bytes=self._part.stayed_behind.size_bytes,
            stages=tuple(sorted(stages, key=lambda stage: stage.index)),
            steps=tuple(self._step(step) for step in graph.steps),
        )

    def _stage(self, stage: StagePlan) -> BuiltStage:
        graph = self._graph
        below = graph.steps[stage.base] if stage.base else None
        status = next(each.status for each in self._part.stages if each.index == stage.index)
        base, base_stage, layers = "", None, tuple[LayerId, ...]()
        if isinstance(below, BaseStep):
            base, layers = _name(below), self._base_layers(below.id)
        elif below is not None and below.stage != stage.index:
            base, base_stage = graph.stage(below.stage).name, below.stage
        return BuiltStage(
            index=stage.index,
            name=stage.name,
            line=stage.line,
            status=status,
            base=base,
            base_stage=base_stage,
            size_bytes=self._bytes.get(stage.index, 0),
            base_layers=layers,
            copies=tuple(self._copies(stage.steps)),
        )

    def _base_layers(self, step: StepId) -> tuple[LayerId, ...]:
        base = self._base_of.get(step)
        layers = self._bases.layers(base) if base is not None else ()  # type: ignore[arg-type] # a Base
        return tuple(layer.layer for layer in layers if layer.layer)

    def _copies(self, steps: Sequence[StepId]) -> list[BuiltCopy]:
        found = []
        for each in steps:
            step = self._graph.steps[each]
            if isinstance(step, CopyStep) and isinstance(step.source, FromStep) and step.paths:
                source = self._graph.steps[step.source.step]
                is_image = isinstance(source, BaseStep)
                name = _name(source) if isinstance(source, BaseStep) else self._graph.stage(source.stage).name
                paths = tuple("/" if path == "." else f"/{path}" for path in step.paths)
                found.append(BuiltCopy(None if is_image else source.stage, name, step.line, paths, self._own(each)))
        return found

    def _own(self, step: StepId) -> int:
        return own_bytes(step, self._happened.outcomes, self._happened.sizes)

    def _step(self, step_id: StepId) -> BuiltStep:
        step, outcome = self._graph.steps[step_id], self._happened.outcomes.get(step_id)
        record = self._records.get(step_id)
        layer: LayerId | None = record.layer if record else None
        if outcome is not None and not isinstance(step, BaseStep):
            layer = outcome.layers[-1] if outcome.layers else None
        has_run = outcome is not None and outcome.status == "run"
        source = outcome.source if outcome else self._happened.sources.get(step_id, "")
        return BuiltStep(
            stage=step.stage,
            line=step.line,
            title=step.title,
            status="run" if has_run else "cached",
            layer_bytes=self._own(step_id),
            layer=layer or "",
            started_s=round(outcome.started_s, 3) if outcome and has_run else 0.0,
            duration_s=round(outcome.duration_s, 3) if outcome and has_run else 0.0,
            source=source,
        )


def _name(base: BaseStep) -> str:
    """As the Dockerfile has it: the reference of a named context is where it leads."""
    return base.title.removeprefix("FROM ")
