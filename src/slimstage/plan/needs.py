"""Which stages a target needs, with what their bases' ONBUILD triggers add, in an order where inputs come first.

Stages that the target does not need are never looked into: their faults are nobody's. Source: BuildKit
frontend/dockerfile/dockerfile2llb/convert.go (resolveStages, initOnBuildTriggers); dockerfile.md §4 (29, 33).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from slimstage.diagnostics import Diagnostic, Span
from slimstage.dockerfile.instructions import From, Instruction, OnBuild, Stage
from slimstage.dockerfile.parse import parse_trigger
from slimstage.errors import DockerfileError, PlanError, SlimstageError
from slimstage.oci.descriptor import Platform
from slimstage.plan.contexts import ImageSource, Source, StageSource
from slimstage.plan.stages import Edge, StageTable
from slimstage.values import dataclass

_MOST_FAULTS = 50
"""Enough for one reading; each costs a look at the whole file."""

Triggers = Callable[[ImageSource, Platform, Span], Sequence[str]]
"""Asks for the ONBUILD triggers of an image."""


@dataclass(frozen=True, slots=True)
class NeededStage:
    """A stage that the target needs, with the triggers of its base in front of its own instructions."""

    stage: Stage
    base: Source
    platform: Platform | None
    """Of `--platform`; None: the target's."""
    triggers: tuple[Instruction, ...]
    edges: tuple[Edge, ...]
    replaced_by: str | None = None
    """The named context that stands here instead: the stage's own instructions do not count."""

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        return self.triggers + (() if self.replaced_by else self.stage.instructions)

    @property
    def needs(self) -> tuple[int, ...]:
        """Indexes of the stages it reads from, sorted."""
        return tuple(sorted({edge.source.index for edge in self.edges if isinstance(edge.source, StageSource)}))


def needed_stages(table: StageTable, target: int, triggers: Triggers, platform: Platform) -> dict[int, NeededStage]:
    """The stages that the target needs, in an order where inputs come first.

    triggers: asked for every image that a needed stage stands on.
    Raises PlanError with every fault of names among them, and of other stages what is wrong whatever is needed; whatever
    `triggers` raises.
    """
    found: dict[int, NeededStage] = {}
    faults: list[Diagnostic] = []
    todo, seen = deque([target]), {target}
    while todo and len(faults) < _MOST_FAULTS:
        index = todo.popleft()
        try:
            needed = _needed(table, table.stages[index], triggers, platform, faults)
        except (PlanError, DockerfileError) as error:
            faults += error.diagnostics
            continue
        found[index] = needed
        for each in needed.needs:
            if each not in seen:
                seen.add(each)
                todo.append(each)
    for stage in table.stages:
        if stage.index not in seen and len(faults) < _MOST_FAULTS:
            faults += table.loose_faults(stage)
    if faults:
        raise PlanError.of(sorted(faults, key=lambda fault: fault.span.line if fault.span else 0))
    return _ordered(table, found)


def _needed(
    table: StageTable, stage: Stage, triggers: Triggers, platform: Platform, faults: list[Diagnostic]
) -> NeededStage:
    replacement = table.replacement(stage)
    base = replacement or table.base(stage)
    own_platform = table.platform(stage)
    fired: tuple[Instruction, ...] = ()
    texts: Sequence[str] = ()
    if isinstance(base, ImageSource):
        try:
            texts = triggers(base, own_platform or platform, stage.from_.span)
        except SlimstageError as error:
            table.explain(error, stage, base.reference)
            raise
    elif isinstance(base, StageSource):
        parent = table.stages[base.index]
        texts = [each.trigger for each in parent.instructions if isinstance(each, OnBuild)]
    fired = tuple(_fired(text, stage.from_) for text in texts) if not replacement else ()
    edges = [Edge(base, "from", stage.from_.image, stage.from_.span)]
    for instruction in (*fired, *(() if replacement else stage.instructions)):
        try:
            edges += table.edges(stage, instruction)
        except (PlanError, DockerfileError) as error:
            faults += error.diagnostics
            if len(faults) >= _MOST_FAULTS:
                break
    replaced_by = stage.name if replacement else None
    return NeededStage(stage, base, own_platform, fired, tuple(edges), replaced_by)


def _fired(text: str, from_: From) -> Instruction:
    try:
        return parse_trigger(text, from_.span)
    except DockerfileError as error:
        error.at(from_.span)
        raise


def _ordered(table: StageTable, found: dict[int, NeededStage]) -> dict[int, NeededStage]:
    """Inputs first, then by number. Only `target:` contexts can make a cycle here. Raises PlanError."""
    done: dict[int, NeededStage] = {}
    waiting: set[int] = set()
    for start in sorted(found):
        path = [start]
        while path:
            index = path[-1]
            missing = [each for each in found[index].needs if each not in done] if index not in done else []
            if not missing:
                path.pop()
                waiting.discard(index)
                done.setdefault(index, found[index])
                continue
            waiting.add(index)
            if missing[0] in waiting:
                stage = table.stages[index]
                raise PlanError(
                    f'circular dependency detected on stage "{stage.shown_name}"',
                    code="stage-cycle",
                    span=stage.from_.span,
                    notes=(f'it needs "{table.stages[missing[0]].shown_name}" through a named context',),
                )
            path.append(missing[0])
    return done
