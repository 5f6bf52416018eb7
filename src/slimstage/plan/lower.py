"""A Dockerfile and a request → the graph of the build.

Names are settled first (`stages.py`), then each needed stage is read in an order where its inputs come first
(`stage_lowering.py`). Nothing of a stage that the target does not need is read, and no image of it is asked for. Pure but for
the `BaseProvider`. Source: BuildKit frontend/dockerfile/dockerfile2llb/convert.go; dockerfile.md §1.2 and §4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from slimstage.diagnostics import Span
from slimstage.dockerfile.instructions import Dockerfile
from slimstage.errors import PlanError, SlimstageError
from slimstage.oci.chain import chain_ids
from slimstage.oci.config import HistoryEntry, ImageConfig
from slimstage.oci.descriptor import Platform
from slimstage.plan import history
from slimstage.plan.configs import ConfigDraft, empty_image, for_platform
from slimstage.plan.contexts import EmptySource, ImageSource, LocalSource, Source, StageSource
from slimstage.plan.copies import Place, copied_context, empty_tree
from slimstage.plan.epoch import NAME, Epoch, find_epoch
from slimstage.plan.graph import (
    AnyStep,
    BaseStep,
    BindMount,
    CacheMount,
    CopyStep,
    FileSource,
    FromContext,
    FromStep,
    Graph,
    RunStep,
    SkippedStage,
    StageHistory,
    StagePlan,
    StepId,
)
from slimstage.plan.needs import NeededStage, needed_stages
from slimstage.plan.request import BaseProvider, PlanRequest, ResolvedImage
from slimstage.plan.scope import TARGET_ARGS, Expander, Scope, global_args
from slimstage.plan.stage_lowering import StageReader, StageState, Surroundings
from slimstage.plan.stages import StageTable
from slimstage.values import dataclass, replace


def lower(dockerfile: Dockerfile, request: PlanRequest, bases: BaseProvider) -> Graph:
    """The graph of what the target needs; the same for the same input, whatever the order of resolving.

    Raises: PlanError and DockerfileError with places; what `bases` raises.
    """
    return _Lowering(dockerfile, request, bases).graph()


def bases_needed(dockerfile: Dockerfile, request: PlanRequest) -> tuple[tuple[str, Platform, Span], ...]:
    """The images that the target needs, as far as they are known before any of their configs: to resolve them at once.

    Triggers of an image can add to them. In the order of the file, each once. Raises PlanError, DockerfileError.
    """
    expander = Expander(dockerfile.escape)
    table = StageTable(dockerfile, request, global_args(dockerfile, request, expander), expander)
    found: dict[tuple[str, Platform], Span] = {}
    default = request.target_platform
    needed = needed_stages(table, table.target(), lambda *_: (), default)
    for _, stage in sorted(needed.items()):
        for edge in stage.edges:
            if isinstance(edge.source, ImageSource):
                platform = stage.platform if edge.kind == "from" else None
                found.setdefault((edge.source.reference, platform or default), edge.span)
    return tuple((reference, platform, span) for (reference, platform), span in found.items())


@dataclass(frozen=True, slots=True)
class _Made:
    """A stage that has been read."""

    state: StageState
    plan: StagePlan
    platform: Platform


class _Lowering:
    def __init__(self, dockerfile: Dockerfile, request: PlanRequest, bases: BaseProvider) -> None:
        self._dockerfile, self._bases = dockerfile, bases
        self._expander = Expander(dockerfile.escape)
        shared = global_args(dockerfile, request, self._expander)
        self._epoch = find_epoch(dockerfile, request, shared, self._expander)
        self._request, self._shared = _with_epoch(request, shared, self._epoch)
        self._table = StageTable(dockerfile, self._request, self._shared, self._expander)
        self._images: dict[tuple[str, Platform], ResolvedImage] = {}
        self._made: dict[int, _Made] = {}
        self._steps: dict[StepId, AnyStep] = {}
        self._extra: dict[Source, StepId] = {}
        """Steps that stand for an image or for nothing that files are taken from."""

    def graph(self) -> Graph:
        target = self._table.target()
        needed = needed_stages(self._table, target, self._triggers, self._request.target_platform)
        for index, stage in needed.items():
            self._made[index] = self._stage(stage)
        plans = [self._made[index].plan for index in sorted(self._made)]
        plans = [self._finished(plan) if plan.index == target else plan for plan in plans]
        return Graph(
            steps=self._steps,
            stages=tuple(plans),
            target=target,
            skipped=self._skipped(needed, target),
            contexts=self._contexts(),
            warnings=tuple(f"{each.span}: {each.code}: {each.message}" for each in self._dockerfile.warnings),
            source_date_epoch_s=self._epoch.seconds,
            epoch_source=self._epoch.source,
        )

    # Images --------------------------------------------------------------------------------------------------

    def _image(self, reference: str, platform: Platform, span: Span) -> ResolvedImage:
        key = (reference, platform)
        if key not in self._images:
            try:
                self._images[key] = self._bases.image(reference, platform, span)
            except SlimstageError as error:
                error.at(span)
                raise
        return self._images[key]

    def _triggers(self, source: ImageSource, platform: Platform, span: Span) -> Sequence[str]:
        return self._image(source.reference, platform, span).config.on_build

    # Stages --------------------------------------------------------------------------------------------------

    def _stage(self, needed: NeededStage) -> _Made:
        index, from_ = needed.stage.index, needed.stage.from_
        platform = needed.platform or self._request.target_platform
        base: StepId | None = None
        base_history: tuple[HistoryEntry, ...] = ()
        base_layers = 0
        source = needed.base
        if isinstance(source, EmptySource):
            platform = self._request.target_platform  # BuildKit: --platform of FROM scratch says nothing
        state = StageState(index, None, ConfigDraft.of(empty_image(platform)), Scope())
        if isinstance(source, StageSource):
            below = self._made[source.index]
            platform = below.platform
            state.config = ConfigDraft.of(below.state.config.frozen())
            state.scope = below.state.scope
            self._expander.entries(len(below.state.history) + len(below.state.scope.env), from_.span)
            state.history = list(below.state.history)
            base, base_history, base_layers = below.plan.last, below.plan.base_history, below.plan.base_layers
        elif isinstance(source, ImageSource):
            image = self._image(source.reference, platform, from_.span)
            base = f"s{index}.0"
            self._steps[base] = self._base_step(base, index, image, source, platform, from_.span)
            state.config = ConfigDraft.of(image.config)
            base_history, base_layers = image.config.history, image.layers
        elif isinstance(source, LocalSource):
            base = f"s{index}.0"
            title = f"FROM {from_.image} (context {source.name})"
            place = Place(base, index, None, "/", {}, self._expander)
            self._steps[base] = copied_context(source.name, place, from_.span, history.title(title))
            state.history.append(StageHistory(f"FROM {source.name} # context", base))
        state.scope = state.scope.child(state.config.env.items())
        state.parent = base
        self._read(state, needed)
        plan = StagePlan(
            index=index,
            name=needed.stage.shown_name,
            base=base,
            steps=tuple(step.id for step in state.steps),
            last=state.parent,
            config=state.config.frozen(),
            base_history=base_history,
            base_layers=base_layers,
            history=tuple(state.history),
            line=from_.span.line,
            needs=needed.needs,
            platform=str(platform),
            crosses_to=self._crosses_to(state.scope, platform),
        )
        return _Made(state, plan, platform)

    def _crosses_to(self, scope: Scope, platform: Platform) -> str:
        target = self._request.target_platform
        if not any(name in scope.args for name in TARGET_ARGS):
            return ""
        if target.os != platform.os:
            return str(target)
        return "" if target.architecture == platform.architecture else str(target).partition("/")[2]

    def _read(self, state: StageState, needed: NeededStage) -> None:
        sources = {edge.name: edge.source for edge in needed.edges if edge.kind != "from"}

        def find(name: str, span: Span) -> FileSource:
            # Only a "type" that holds a variable can hide a source from the search for needed stages.
            if name not in sources:
                raise PlanError(
                    f'where "{name}" comes from is not known before variables are',
                    code="from-variable",
                    span=span,
                    hint="write type and from of the mount without variables",
                )
            return self._files_of(sources[name], state.index, span)

        around = Surroundings(self._request, self._shared, self._expander, find)
        reader = StageReader(state, around)
        for instruction in needed.instructions:
            done = len(state.steps)
            reader.read(instruction)
            for step in state.steps[done:]:
                self._steps[step.id] = step

    def _files_of(self, source: Source, stage: int, span: Span) -> FileSource:
        """Where to read files from; an image that only gives files becomes a step of the stage that asks first."""
        if isinstance(source, LocalSource):
            return FromContext(source.name)
        if isinstance(source, StageSource):
            last = self._made[source.index].plan.last
            if last is not None:
                return FromStep(last)
            source = EmptySource()
        if source not in self._extra:
            step_id = f"s{stage}.from{len(self._extra)}"
            if isinstance(source, ImageSource):
                platform = self._request.target_platform
                try:
                    image = self._image(source.reference, platform, span)
                except SlimstageError as error:
                    self._table.explain(error, self._dockerfile.stages[stage], source.shown)
                    raise
                self._steps[step_id] = self._base_step(step_id, stage, image, source, platform, span)
            else:
                self._steps[step_id] = empty_tree(step_id, stage, span)
            self._extra[source] = step_id
        return FromStep(self._extra[source])

    def _base_step(
        self, step_id: StepId, stage: int, image: ResolvedImage, source: ImageSource, platform: Platform, span: Span
    ) -> BaseStep:
        return BaseStep(
            id=step_id,
            stage=stage,
            parent=None,
            line=span.line,
            end_line=span.line,
            title=history.title(f"FROM {source.shown}"),
            reference=source.reference,
            digest=_tree_digest(image),
            platform=str(platform),
        )

    # The whole -----------------------------------------------------------------------------------------------

    def _finished(self, plan: StagePlan) -> StagePlan:
        """The target's plan: labels of the command line, and the platform that was asked for."""
        config: ImageConfig = plan.config
        if self._request.labels:
            config = replace(config, labels=tuple(sorted({**dict(config.labels), **self._request.labels}.items())))
        if self._request.platform:
            config = for_platform(config, self._request.platform)
        return replace(plan, config=config)

    def _skipped(self, needed: Mapping[int, NeededStage], target: int) -> tuple[SkippedStage, ...]:
        found: list[SkippedStage] = []
        name = self._dockerfile.stages[target].shown_name
        for stage in self._dockerfile.stages:
            if stage.index not in needed:
                is_replaced = stage.name is not None and self._is_replaced(stage.index)
                why = f'replaced by the named context "{stage.name}"' if is_replaced else f'"{name}" does not need it'
                found.append(SkippedStage(stage.index, stage.shown_name, stage.from_.span.line, why))
        return tuple(found)

    def _is_replaced(self, index: int) -> bool:
        try:
            return self._table.replacement(self._dockerfile.stages[index]) is not None
        except SlimstageError:  # a broken context or FROM of a stage that nobody needs
            return False

    def _contexts(self) -> tuple[str, ...]:
        names: set[str] = set()
        for step in self._steps.values():
            if isinstance(step, CopyStep) and step.paths and isinstance(step.source, FromContext):
                names.add(step.source.name)
            elif isinstance(step, RunStep):
                for mount in step.mounts:
                    if isinstance(mount, BindMount | CacheMount) and isinstance(mount.source, FromContext):
                        names.add(mount.source.name)
        return tuple(sorted(names))


def _tree_digest(image: ResolvedImage) -> str:
    """Names the files and nothing else: what a step sees of an image's config is in the step's own values."""
    chains = chain_ids(image.config.diff_ids)
    return chains[-1] if chains else image.digest


def _with_epoch(request: PlanRequest, shared: dict[str, str], epoch: Epoch) -> tuple[PlanRequest, dict[str, str]]:
    """An epoch that is a name is no value for instructions: it is not set until it is known."""
    if epoch.source is None and not epoch.is_named:
        return request, shared
    args = {name: value for name, value in request.build_args.items() if name != NAME}
    return replace(request, build_args=args), {name: value for name, value in shared.items() if name != NAME}


__all__ = ["bases_needed", "lower"]
