"""Which stage, image or context a name means.

A stage is found by name (case does not matter, the last of that name wins) or index, and only an earlier one can be read
from. Source: BuildKit
frontend/dockerfile/dockerfile2llb/convert.go (buildDispatchStates, toCommand, initOnBuildTriggers); dockerfile.md §1.2 and
§4 (27 to 33).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal

from slimstage.diagnostics import Diagnostic, Span, did_you_mean, near
from slimstage.dockerfile.instructions import Copy, Dockerfile, Instruction, Run, Stage
from slimstage.dockerfile.mounts import parse_mount
from slimstage.errors import DockerfileError, FormatError, PlanError, SlimstageError
from slimstage.oci.descriptor import Platform, parse_platform
from slimstage.oci.reference import parse_reference
from slimstage.plan.contexts import (
    SCRATCH,
    ContextValue,
    EmptySource,
    ImageSource,
    NamedContexts,
    Source,
    StageSource,
    TargetSource,
)
from slimstage.plan.request import PlanRequest
from slimstage.plan.scope import Expander
from slimstage.regex import pattern
from slimstage.values import dataclass

EdgeKind = Literal["from", "copy", "mount"]
_INDEX = pattern(r"[+-]?[0-9]{1,9}\Z")
_VARIABLE = pattern(r"\$.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Edge:
    """One thing that a stage reads: what, how, and where it says so. `name` as written."""

    source: Source
    kind: EdgeKind
    name: str
    span: Span


class StageTable:
    """The stages of a file by name and number, under the named contexts of a request."""

    def __init__(
        self, dockerfile: Dockerfile, request: PlanRequest, shared: Mapping[str, str], expander: Expander
    ) -> None:
        self.stages = dockerfile.stages
        self._request, self._shared, self._expander = request, shared, expander
        self._contexts = NamedContexts(request.contexts)
        self._last = {stage.name: stage for stage in self.stages if stage.name}
        self._by_name: dict[str, list[Stage]] = {}
        for stage in self.stages:
            if stage.name:
                self._by_name.setdefault(stage.name, []).append(stage)

    # Names ---------------------------------------------------------------------------------------------------

    def target(self) -> int:
        """The index of the stage to build: the last, or the one that `--target` names. Raises PlanError."""
        wanted = self._request.target
        if not wanted:
            return len(self.stages) - 1
        if stage := self._last.get(wanted.lower()):
            return stage.index
        hint = did_you_mean(wanted, self._last)
        if _INDEX.match(wanted):
            hint = f'--target takes a name; give the stage one: FROM … AS NAME, then --target NAME (not "{wanted}")'
        raise PlanError(f'no stage is named "{wanted}"', code="unknown-target", notes=self._existing(), hint=hint)

    def _existing(self) -> tuple[str, ...]:
        named = [f"{stage.name} (line {stage.from_.span.line})" for stage in self.stages if stage.name]
        shown = ", ".join(named[:20]) + (", …" if len(named) > 20 else "")
        return (f"the stages are {shown}" if named else "no stage of this file has a name",)

    def replacement(self, stage: Stage) -> Source | None:
        """What a named context puts in the place of a stage of its name. Raises PlanError: `target:` of no stage."""
        if not stage.name:
            return None
        found = self._contexts.find(stage.name, self.platform(stage) or self._request.target_platform)
        if isinstance(found, TargetSource) and found.name.lower() == stage.name:
            return None
        return self._context(found, stage.from_.span) if found else None

    def _context(self, value: ContextValue, span: Span) -> Source:
        if not isinstance(value, TargetSource):
            return value
        if stage := self._last.get(value.name.lower()):
            return StageSource(stage.index)
        raise PlanError(
            f'a named context is "target:{value.name}", but no stage has that name',
            code="unknown-target",
            span=span,
            notes=self._existing(),
            hint=did_you_mean(value.name, self._last),
        )

    def image(self, name: str, platform: Platform, span: Span) -> Source:
        """What a name means that is no stage's: nothing (`scratch`), a named context, an image."""
        if name == SCRATCH:
            return EmptySource()
        found = self._contexts.find(name, platform)
        return self._context(found, span) if found else ImageSource(name)

    # FROM ----------------------------------------------------------------------------------------------------

    def platform(self, stage: Stage) -> Platform | None:
        """Of FROM's `--platform`, None when it has none. Raises PlanError, DockerfileError."""
        text = stage.from_.platform
        if text is None:
            return None
        span = stage.from_.span
        value = self._expander.word(text, self._shared, span)
        if not value:
            raise PlanError(
                f'the platform "{text}" is empty', code="empty-platform", span=span, hint=self._near_argument(text)
            )
        try:
            return parse_platform(value)
        except FormatError as error:
            raise PlanError(error.message, code=error.code, span=span, hint=error.hint) from error

    def _base_name(self, stage: Stage) -> str:
        from_ = stage.from_
        name = self._expander.word(from_.image, self._shared, from_.span)
        if not name.strip():
            raise PlanError(
                f"base name ({from_.image}) should not be blank",
                code="blank-base",
                span=from_.span,
                notes=("FROM sees only arguments that are declared before the first FROM, and platform arguments",),
                hint=self._near_argument(from_.image) or "give the argument a default: ARG NAME=VALUE before FROM",
            )
        return name

    def base(self, stage: Stage) -> Source:
        """What the stage stands on. Raises PlanError, DockerfileError."""
        from_, name = stage.from_, self._base_name(stage)
        for earlier in reversed(self._by_name.get(name, ())):
            if earlier.index < stage.index:
                return self.replacement(earlier) or StageSource(earlier.index)
        platform = self.platform(stage) or self._request.target_platform
        found = self.image(name, platform, from_.span)
        if isinstance(found, ImageSource) and found.reference == name and name != name.lower():
            for earlier in reversed(self._by_name.get(name.lower(), ())):
                if earlier.index < stage.index:
                    raise PlanError(
                        f'no stage or image can be named "{name}"',
                        code="stage-name-case",
                        span=from_.span,
                        notes=(f"stage names are in lower case, and line {earlier.from_.span.line} defines one",),
                        hint=f"write FROM {earlier.name}",
                    )
        return found

    def _near_argument(self, text: str) -> str | None:
        for name in re.findall(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)", text):
            if name not in self._shared and (hint := did_you_mean(name, self._shared)):
                return hint
        return None

    def explain(self, error: SlimstageError, stage: Stage, name: str) -> None:
        """Add to an error about a base that is not found what this file knows of such a name."""
        first = error.diagnostics[0]
        notes, hint = first.notes, first.hint
        for later in self._by_name.get(name.lower(), ()):
            if later.index >= stage.index:
                notes += (f'line {later.from_.span.line} names a stage "{name}", but FROM only sees earlier stages',)
        earlier = [each.name for each in self.stages[: stage.index] if each.name]
        if close := near(name, earlier):
            meant = f'did you mean the stage "{close}"?'
            hint, notes = (meant, notes) if hint is None else (hint, (*notes, meant))
        changed = Diagnostic(first.code, first.message, first.span, notes, hint, first.severity)
        error.diagnostics = (changed, *error.diagnostics[1:])

    # What instructions read ----------------------------------------------------------------------------------

    def edges(self, stage: Stage, instruction: Instruction) -> Iterator[Edge]:
        """What the instruction reads besides its parent and the build context. Raises PlanError, DockerfileError."""
        if isinstance(instruction, Copy) and instruction.from_ is not None:
            yield self._edge(stage, instruction.from_, "copy", instruction.span)
        elif isinstance(instruction, Run):
            for mount in instruction.mounts:
                try:
                    options = parse_mount(mount.value, None)
                except DockerfileError as error:
                    error.at(mount.span)
                    raise
                if options.from_:  # which a tmpfs does not look at, but it must be there
                    yield self._edge(stage, options.from_, "mount", mount.span)

    def loose_faults(self, stage: Stage) -> tuple[Diagnostic, ...]:
        """What is wrong with a stage that nobody needs: its FROM must have a meaning, and no name may lead round in a circle.

        Nothing is resolved, and a name of a later stage is no fault here.
        """
        found: list[Diagnostic] = []
        instructions = stage.instructions
        try:
            base = self.base(stage)
            self.platform(stage)
            if isinstance(base, ImageSource) and "://" not in base.reference:
                parse_reference(base.reference)
            if self.replacement(stage):
                instructions = ()
        except (PlanError, DockerfileError, FormatError) as error:
            error.at(stage.from_.span)
            found += error.diagnostics
        for instruction in instructions:
            try:
                for _ in self.edges(stage, instruction):
                    pass
            except (PlanError, DockerfileError) as error:
                found += (
                    each for each in error.diagnostics if each.code in ("stage-unknown", "stage-cycle", "from-variable")
                )
        return tuple(found)

    def _edge(self, stage: Stage, name: str, kind: EdgeKind, span: Span) -> Edge:
        if _VARIABLE.search(name):
            what = "--from of COPY" if kind == "copy" else '"from" of a mount'
            raise PlanError(
                f"{what} cannot hold a variable",
                code="from-variable",
                span=span,
                hint=f"give the stage or image a name: FROM {name} AS NAME, then use NAME",
            )
        found: Stage | None = None
        if _INDEX.match(name):
            index = int(name)
            if kind == "mount":  # BuildKit takes it for the name of an image
                known = self.stages[index].name if index < len(self.stages) else None
                raise PlanError(
                    '"from" of a mount takes the name of a stage, not its number',
                    code="mount-from-number",
                    span=span,
                    hint=f"write from={known}" if known else "name the stage: FROM … AS NAME",
                )
            if not 0 <= index < len(self.stages):
                raise PlanError(
                    f"there is no stage number {index}",
                    code="stage-unknown",
                    span=span,
                    notes=(f"this file has {len(self.stages)} stages, numbered from 0",),
                )
            found = self.stages[index]
        else:
            found = self._last.get(name.lower())
        if found is None:
            return Edge(self.image(name, self._request.target_platform, span), kind, name, span)
        if replacement := self.replacement(found):
            return Edge(replacement, kind, name, span)
        if found.index >= stage.index:
            raise self._too_late(stage, found, kind, span)
        return Edge(StageSource(found.index), kind, name, span)

    def _too_late(self, stage: Stage, found: Stage, kind: EdgeKind, span: Span) -> PlanError:
        verb = "copy" if kind == "copy" else "mount"
        if found.index == stage.index:
            return PlanError(
                f'stage "{stage.shown_name}" cannot {verb} from itself',
                code="stage-cycle",
                span=span,
                notes=(f"circular dependency: line {stage.from_.span.line} begins this stage", *self._earlier(stage)),
                hint="its own files are already there" if kind == "copy" else None,
            )
        if self._reaches(found, stage.index):
            return PlanError(
                f'circular dependency between the stages "{stage.shown_name}" and "{found.shown_name}"',
                code="stage-cycle",
                span=span,
                notes=(f'"{found.shown_name}" (line {found.from_.span.line}) needs "{stage.shown_name}"',),
            )
        return PlanError(
            f'cannot {verb} from stage "{found.shown_name}": it is defined later',
            code="stage-later",
            span=span,
            notes=(f'"{found.shown_name}" is defined at line {found.from_.span.line}', *self._earlier(stage)),
            hint=f'move "{found.shown_name}" in front of "{stage.shown_name}"',
        )

    def _earlier(self, stage: Stage) -> tuple[str, ...]:
        names = [f"{each.shown_name} (line {each.from_.span.line})" for each in self.stages[: stage.index]]
        return (f"earlier stages: {', '.join(names[:20])}{', …' if len(names) > 20 else ''}",) if names else ()

    def _reaches(self, start: Stage, wanted: int) -> bool:
        seen, todo = {start.index}, [start]
        while todo:
            stage = todo.pop()
            for index in self._loose_needs(stage):
                if index == wanted:
                    return True
                if index not in seen:
                    seen.add(index)
                    todo.append(self.stages[index])
        return False

    def _loose_needs(self, stage: Stage) -> Iterator[int]:
        """The stages that a stage names, without any check."""
        names = [stage.from_.image]
        for instruction in stage.instructions:
            if isinstance(instruction, Copy) and instruction.from_:
                names.append(instruction.from_)
            elif isinstance(instruction, Run):
                for mount in instruction.mounts:
                    try:
                        names.append(parse_mount(mount.value, None).from_ or "")
                    except DockerfileError:
                        continue
        for position, name in enumerate(names):
            if found := self._last.get(name.lower()):
                yield found.index
            elif position and _INDEX.match(name) and 0 <= int(name) < len(self.stages):
                yield int(name)
