"""What a Dockerfile offers to those who build it: its targets, and the arguments, secrets and agents of one of them.

Source: BuildKit frontend/dockerfile/dockerfile2llb/outline.go, convert.go (ListTargets); `docker build --call`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import Literal

from slimstage.diagnostics import Span
from slimstage.dockerfile.expand import variables
from slimstage.dockerfile.instructions import Arg, Instruction, Run
from slimstage.dockerfile.mounts import MountOptions, parse_mount
from slimstage.errors import SlimstageError
from slimstage.lint.subject import StageView, Subject
from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """A stage that can be built. name: "" when it has none. description: of the comment above its FROM."""

    name: str
    description: str
    base: str
    platform: str
    is_default: bool
    span: Span


@dataclass(frozen=True, slots=True)
class OutlinedArg:
    """An argument that the target heeds, with the value that it has now; "" when it has none."""

    name: str
    value: str
    description: str
    span: Span


@dataclass(frozen=True, slots=True)
class Wanted:
    """A secret or an ssh agent that a RUN mounts."""

    kind: Literal["secret", "ssh"]
    name: str
    is_required: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Outline:
    """Of one target, each in the order of the file."""

    name: str
    description: str
    args: tuple[OutlinedArg, ...]
    wanted: tuple[Wanted, ...]


def targets(subject: Subject) -> list[Target]:
    """All stages, in the order of the file."""
    return [
        Target(
            view.stage.name or "",
            description_of(view.stage.from_, view.stage.name or ""),
            view.stage.from_.image,
            view.stage.from_.platform or "",
            view is subject.stages[-1],
            view.stage.from_.span,
        )
        for view in subject.stages
    ]


def outline(subject: Subject) -> Outline:
    """Of the target that the subject's request names."""
    reached = [view for view in subject.stages if view.is_needed]
    wanted: dict[tuple[str, str], Wanted] = {}
    for view in reached:
        for each in _mounted(subject, view):
            wanted.setdefault((each.kind, each.name), each)
    final = subject.final.stage
    return Outline(
        final.name or "",
        description_of(final.from_, final.name or ""),
        tuple(sorted(_args(subject, reached), key=lambda arg: arg.span.line)),
        tuple(sorted(wanted.values(), key=lambda each: each.span.line)),
    )


def description_of(instruction: Instruction, name: str) -> str:
    """What the comments above say behind the name: `# name what it is`."""
    for comment in instruction.comments if name else ():
        if comment.startswith(f"{name} "):
            return comment[len(name) + 1 :]
    return ""


def _args(subject: Subject, reached: list[StageView]) -> Iterator[OutlinedArg]:
    """Arguments that a needed stage or its FROM uses, with what they are made of; each as it was declared first."""
    shared: dict[str, OutlinedArg] = {}
    made_of: dict[str, frozenset[str]] = {}
    for instruction in subject.dockerfile.global_args:
        for arg in instruction.args:
            value = subject.shared.get(arg.name, "")
            shared[arg.name] = OutlinedArg(arg.name, value, description_of(instruction, arg.name), instruction.span)
            if arg.name not in subject.request.given_args:
                made_of[arg.name] = variables(arg.value or "", subject.dockerfile.escape) - {arg.name}
    used: dict[str, OutlinedArg] = {}
    for view in reached:
        from_ = view.stage.from_
        for word in (from_.image, from_.platform or ""):
            for name in variables(word, subject.dockerfile.escape):
                _use(name, shared, made_of, used)
        for each in view.instructions:
            if isinstance(each, Arg):
                _use_declared(subject, view, each, shared, made_of, used)
    yield from used.values()


def _use_declared(
    subject: Subject,
    view: StageView,
    instruction: Arg,
    shared: dict[str, OutlinedArg],
    made_of: dict[str, frozenset[str]],
    used: dict[str, OutlinedArg],
) -> None:
    given = subject.request.given_args
    for arg in instruction.args:
        if arg.value is None and arg.name not in given and arg.name in subject.shared:
            _use(arg.name, shared, made_of, used)  # one that is always there has no declaration to show
            continue
        value = given.get(arg.name)
        if value is None and arg.value is not None:
            value = subject.expanded(view, instruction, arg.value) or ""
        used.setdefault(
            arg.name, OutlinedArg(arg.name, value or "", description_of(instruction, arg.name), instruction.span)
        )


def _use(
    name: str, shared: dict[str, OutlinedArg], made_of: dict[str, frozenset[str]], used: dict[str, OutlinedArg]
) -> None:
    todo = [name]
    while todo:
        each = todo.pop()
        if each in shared and each not in used:
            used[each] = shared[each]
            todo += made_of.get(each, ())


def _mounted(subject: Subject, view: StageView) -> Iterator[Wanted]:
    for each in (*view.triggers, *view.instructions):
        for mount in each.mounts if isinstance(each, Run) else ():
            options = _options(subject, view, each, mount.value)
            if options is not None and options.type == "secret":
                name = options.id or posixpath.basename(options.target or "")
                yield Wanted("secret", name, options.is_required, each.span)
            elif options is not None and options.type == "ssh":
                yield Wanted("ssh", options.id or "default", options.is_required, each.span)


def _options(subject: Subject, view: StageView, instruction: Instruction, text: str) -> MountOptions | None:
    try:
        return parse_mount(text, lambda value: subject.expanded(view, instruction, value) or value)
    except SlimstageError:
        return None
