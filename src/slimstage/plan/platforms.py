"""Several platforms: one graph for each, joined into one in which nothing is done twice.

A step that two platforms ask for in the same words, on the same inputs, is one step: a stage of `FROM
--platform=$BUILDPLATFORM` runs once for all of them, up to the instruction that a TARGET argument changes. Pure.
Source: BuildKit frontend/dockerfile/builder/build.go (one solve for all platforms, vertices joined by their digests) and
dockerfile2llb/convert.go (prefixCommand, formatTargetPlatform) for how steps are called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from slimstage.errors import PlanError
from slimstage.oci.descriptor import Platform
from slimstage.plan.graph import (
    AnyStep,
    BindMount,
    CacheMount,
    CopyStep,
    FileSource,
    FromStep,
    Graph,
    RunMount,
    RunStep,
    SkippedStage,
    StagePlan,
    StepId,
)
from slimstage.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class PlatformGraph:
    """What one platform needs. The steps of `graph` have the IDs of the joined graph, the stages their own numbers."""

    platform: Platform
    graph: Graph

    @property
    def target(self) -> StagePlan:
        return self.graph.stage(self.graph.target)


@dataclass(frozen=True, slots=True)
class Joined:
    """The graph of all platforms, and that of each. labels: what the stage of each step is called in progress."""

    graph: Graph
    platforms: tuple[PlatformGraph, ...]
    labels: Mapping[StepId, str]


def join(graphs: Sequence[tuple[Platform, Graph]]) -> Joined:
    """The graphs of one Dockerfile for several platforms as one; a single graph stays as it is.

    Of several, steps keep their ID where the first platform has them, others get their platform in front; stages are
    numbered on and have their platform in their name. Raises PlanError: the platforms want different epochs.
    """
    if len(graphs) == 1:
        ((platform, graph),) = graphs
        names = {stage.index: stage.name for stage in graph.stages}
        labels = {step.id: names.get(step.stage, f"stage-{step.stage}") for step in graph.steps.values()}
        return Joined(graph, (PlatformGraph(platform, graph),), labels)
    if len({(graph.source_date_epoch_s, graph.epoch_source) for _, graph in graphs}) > 1:
        raise PlanError(
            "SOURCE_DATE_EPOCH is not the same for all platforms",
            code="epoch-differs",
            hint="let it depend on no platform argument, or build the platforms one by one",
        )
    return _Joining(graphs).joined()


class _Joining:
    def __init__(self, graphs: Sequence[tuple[Platform, Graph]]) -> None:
        self._graphs = graphs
        self._stride = 1 + max(index for _, graph in graphs for index in _indexes(graph))
        self._steps: dict[StepId, AnyStep] = {}
        self._known: dict[tuple[str, AnyStep], StepId] = {}
        self._owners: dict[StepId, int] = {}
        self._labels: dict[StepId, str] = {}

    def joined(self) -> Joined:
        views = [self._view(number, platform, graph) for number, (platform, graph) in enumerate(self._graphs)]
        first = self._graphs[0][1]
        stages: list[StagePlan] = []
        skipped: list[SkippedStage] = []
        targets: list[tuple[str, int]] = []
        for number, view in enumerate(views):
            base = number * self._stride
            stages += [self._stage(base, stage) for stage in view.graph.stages]
            skipped += [
                replace(each, index=base + each.index, name=f"{view.platform} {each.name}")
                for each in view.graph.skipped
            ]
            targets.append((str(view.platform), base + view.graph.target))
        graph = Graph(
            steps=self._steps,
            stages=tuple(stages),
            target=targets[0][1],
            skipped=tuple(skipped),
            contexts=tuple(sorted({name for _, each in self._graphs for name in each.contexts})),
            warnings=tuple(dict.fromkeys(text for _, each in self._graphs for text in each.warnings)),
            source_date_epoch_s=first.source_date_epoch_s,
            epoch_source=first.epoch_source,
            targets=tuple(targets),
        )
        return Joined(graph, tuple(views), self._labels)

    def _view(self, number: int, platform: Platform, graph: Graph) -> PlatformGraph:
        """The platform's graph with joined IDs; its new steps are taken into the joined graph."""
        names: dict[StepId, StepId] = {}
        own: dict[StepId, AnyStep] = {}
        stages = {stage.index: stage for stage in graph.stages}
        for step in graph.steps.values():  # inputs come first
            renamed = _renamed(step, names)
            stage = stages.get(step.stage)
            # A command is run as a platform's, even where it stands on files that several have in common.
            runs_on = stage.platform if stage and isinstance(step, RunStep) else ""
            asked = (runs_on, replace(renamed, id=""))
            shared = self._known.get(asked)
            if shared is None:
                shared = step.id if not number else f"{platform}:{step.id}"
                self._known[asked] = shared
                self._steps[shared] = replace(renamed, id=shared, stage=number * self._stride + step.stage)
                self._owners[shared] = number
                self._labels[shared] = label(stage, step, str(platform))
            elif self._owners[shared] != number:
                self._labels[shared] = label(stage, step, str(platform), is_shared=True)
            names[step.id] = shared
            own[shared] = replace(renamed, id=shared)
        plans = tuple(_with_steps(stage, names) for stage in graph.stages)
        return PlatformGraph(platform, replace(graph, steps=own, stages=plans))

    def _stage(self, base: int, stage: StagePlan) -> StagePlan:
        return replace(
            stage,
            index=base + stage.index,
            name=f"{stage.platform}{_arrow(stage)} {stage.name}",
            needs=tuple(base + index for index in stage.needs),
        )


def label(stage: StagePlan | None, step: AnyStep, target: str, *, is_shared: bool = False) -> str:
    """`linux/arm64 build`, `linux/amd64->arm64 build`: the platform that a step of several platforms' builds runs on.

    stage: None for a step that belongs to no needed stage. target: the platform that is built for.
    """
    if stage is None:
        return f"{target} stage-{step.stage}"
    return f"{stage.platform}{'' if is_shared else _arrow(stage)} {stage.name}"


def _indexes(graph: Graph) -> list[int]:
    return [*(stage.index for stage in graph.stages), *(stage.index for stage in graph.skipped)]


def _arrow(stage: StagePlan) -> str:
    return f"->{stage.crosses_to}" if stage.crosses_to else ""


def _with_steps(stage: StagePlan, names: Mapping[StepId, StepId]) -> StagePlan:
    return replace(
        stage,
        base=names[stage.base] if stage.base else None,
        steps=tuple(names[each] for each in stage.steps),
        last=names[stage.last] if stage.last else None,
        history=tuple(replace(entry, step=names[entry.step]) if entry.step else entry for entry in stage.history),
    )


def _renamed(step: AnyStep, names: Mapping[StepId, StepId]) -> AnyStep:
    """The step with the joined IDs of what it stands on and reads from."""
    parent = names[step.parent] if step.parent else None
    if isinstance(step, CopyStep):
        return replace(step, parent=parent, source=_source(step.source, names))
    if isinstance(step, RunStep):
        return replace(step, parent=parent, mounts=tuple(_mount(mount, names) for mount in step.mounts))
    return replace(step, parent=parent)


def _mount(mount: RunMount, names: Mapping[StepId, StepId]) -> RunMount:
    if isinstance(mount, BindMount | CacheMount) and mount.source is not None:
        return replace(mount, source=_source(mount.source, names))
    return mount


def _source(source: FileSource, names: Mapping[StepId, StepId]) -> FileSource:
    return FromStep(names[source.step]) if isinstance(source, FromStep) else source
