"""`SOURCE_DATE_EPOCH` as a build argument or global ARG: a number, or the name of what gives the time.

Source: BuildKit frontend/dockerfile/dockerfile2llb/epoch.go; dockerfile.md §1.11.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from slimstage.diagnostics import Span, did_you_mean
from slimstage.dockerfile.instructions import Add, Arg, Dockerfile, Stage
from slimstage.errors import PlanError
from slimstage.plan.contexts import SCRATCH, LocalSource, classify
from slimstage.plan.copies import Place, lower_copy
from slimstage.plan.graph import FromContext, Git, Url
from slimstage.plan.request import PlanRequest
from slimstage.plan.scope import Expander, Scope
from slimstage.regex import pattern
from slimstage.values import dataclass

NAME = "SOURCE_DATE_EPOCH"
_NUMBER = pattern(r"[+-]?[0-9]{1,18}\Z")

EpochSource: TypeAlias = Url | Git | FromContext
"""Whose date is the epoch: a download's Last-Modified, a commit's, a context's (`""` is the build context)."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """Seconds since 1970 when they are known already, else what to ask; neither: not wanted."""

    seconds: int | None = None
    source: EpochSource | None = None
    is_named: bool = False
    """A name that gives no time: the variable is not set."""


def find_epoch(dockerfile: Dockerfile, request: PlanRequest, shared: Mapping[str, str], expander: Expander) -> Epoch:
    """What the file and the request say. Raises PlanError: neither number, `context`, stage nor named context."""
    value = request.given_args.get(NAME, shared.get(NAME, ""))
    if not value:
        return Epoch()
    if _NUMBER.match(value):
        return Epoch(int(value))
    if value == "context":
        return Epoch(source=FromContext(""))
    if value in request.contexts:
        # Only files have a date to go by; an image gives none, as in BuildKit.
        is_local = isinstance(classify(value, request.contexts[value]), LocalSource)
        return Epoch(source=FromContext(value)) if is_local else Epoch(is_named=True)
    for stage in dockerfile.stages:
        if stage.name == value.lower():
            return Epoch(source=_stage_source(stage, request, {k: v for k, v in shared.items() if k != NAME}, expander))
    names = [stage.name for stage in dockerfile.stages if stage.name]
    raise PlanError(
        f'invalid {NAME} "{value[:80]}"',
        code="bad-source-date-epoch",
        span=_declared(dockerfile),
        notes=("it is a number of seconds, context, or the name of a stage or named context",),
        hint=did_you_mean(value, ["context", *names, *request.contexts]),
    )


def _declared(dockerfile: Dockerfile) -> Span | None:
    for instruction in dockerfile.global_args:
        for arg in instruction.args:
            if arg.name == NAME:
                return arg.span
    return None


def _stage_source(stage: Stage, request: PlanRequest, shared: Mapping[str, str], expander: Expander) -> EpochSource:
    span = stage.from_.span
    if expander.word(stage.from_.image, shared, span) != SCRATCH:
        raise _unfit(f'the stage "{stage.shown_name}" must be FROM scratch', stage)
    scope = Scope(dict(shared))
    found: list[EpochSource] = []
    for instruction in stage.instructions:
        if isinstance(instruction, Arg):
            scope.declare(instruction, {}, request.given_args, expander)
        elif isinstance(instruction, Add):
            place = Place("epoch", stage.index, None, "/", scope.env, expander)
            step, _ = lower_copy(instruction, FromContext(""), place)
            if step.paths or step.inline:
                raise _unfit("its ADD must have one source, from http, https or git", stage)
            found += [*step.urls, *step.gits]
        else:
            raise _unfit(f"{instruction.keyword} cannot stand in it", stage)
    if len(found) != 1:
        raise _unfit("it must have exactly one ADD of one remote source", stage)
    return found[0]


def _unfit(message: str, stage: Stage) -> PlanError:
    return PlanError(
        f'{NAME} names the stage "{stage.shown_name}": {message}', code="bad-source-date-epoch", span=stage.from_.span
    )
