"""Build tools that a stage still has when it is finished: installed there, or come with its base.

A tool that the same RUN removes again is in no layer; one that a later RUN removes is.
"""

from __future__ import annotations

from slimstage.diagnostics import Span
from slimstage.dockerfile.instructions import Run
from slimstage.lint.commands.command import Install, Remove, Requested
from slimstage.lint.split.packages import is_weighty_tool
from slimstage.lint.subject import StageView, Subject
from slimstage.values import dataclass

FULL_BASES = {
    "python": "slim",
    "node": "slim",
    "ruby": "slim",
    "golang": None,
    "rust": None,
    "gcc": None,
    "buildpack-deps": None,
    "maven": None,
    "gradle": None,
}
"""Official images that hold compilers, headers and git: the word in the tag of the same without them; None: there is none."""
_SMALL_TAGS = ("slim", "alpine", "windowsservercore", "nanoserver")
_SYSTEM = frozenset(("debian", "alpine", "rpm", "conda"))


@dataclass(frozen=True, slots=True)
class Left:
    """Tools that one RUN leaves in a stage: their names, and the place of the first."""

    stage: StageView
    instruction: Run
    tools: tuple[str, ...]
    span: Span


def tools_left(subject: Subject, stage: StageView) -> list[Left]:
    """What the RUNs of this stage, not of those it stands on, leave. Git alone is a program like others: it is left out."""
    found: list[Left] = []
    for instruction in stage.instructions:
        if not isinstance(instruction, Run):
            continue
        commands = subject.commands(stage, instruction)
        removed = {each.name or each.raw for one in commands if isinstance(one, Remove) for each in one.packages}
        tools: dict[str, Span] = {}
        for command in commands:
            if not isinstance(command, Install) or command.family not in _SYSTEM or command.action == "build-dep":
                continue
            if command.options.virtual and command.options.virtual in removed:
                continue
            for each in command.packages:
                if _is_tool(each) and each.name not in removed:
                    tools.setdefault(each.name or each.raw, each.span)
        if any(name != "git" for name in tools):
            found.append(Left(stage, instruction, tuple(tools), next(iter(tools.values()))))
    return found


def _is_tool(package: Requested) -> bool:
    if package.kind == "group":
        return "devel" in package.raw.lower()
    return package.kind == "name" and is_weighty_tool(package.name)


def full_base(view: StageView) -> tuple[str, str | None] | None:
    """The base as FROM has it, and the same without tools, where the stage stands on an image that holds compilers.

    The second is None where the tools are what the image is for.
    """
    written = view.stage.from_.image
    if view.parent is not None or "$" in written or "@" in written:
        return None
    name, _, tag = written.removeprefix("docker.io/").removeprefix("library/").partition(":")
    if name not in FULL_BASES or any(word in tag.split("-") or tag.startswith(word) for word in _SMALL_TAGS):
        return None
    return written, slim_of(name, tag)


def slim_of(name: str, tag: str) -> str | None:
    """`python` and `3.12-bookworm` → `python:3.12-slim-bookworm`."""
    word = FULL_BASES.get(name)
    if word is None:
        return None
    if tag in ("", "latest"):
        return f"{name}:{word}"
    version, dash, suite = tag.partition("-")
    return f"{name}:{version}-{word}{dash}{suite}"
