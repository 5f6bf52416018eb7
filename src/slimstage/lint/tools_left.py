"""Build tools that a stage still has when it is finished: installed there, or come with its base.

A tool that the same RUN removes again is in no layer; one that a later RUN removes is.
"""

from __future__ import annotations

from slimstage.diagnostics import Span
from slimstage.dockerfile.instructions import Run
from slimstage.lint.commands.command import Install, Remove, Requested
from slimstage.lint.knowledge import base_facts, system_tool
from slimstage.lint.reading import base_image
from slimstage.lint.subject import StageView, Subject
from slimstage.lint.wording import size_text
from slimstage.values import dataclass

_KINDS = frozenset(("compiler", "build", "headers", "source"))
"""Of the tools that are known, those worth a stage: not pip and the like, which are small, nor debuggers."""
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
                if _is_tool(command, each) and each.name not in removed:
                    tools.setdefault(each.name or each.raw, each.span)
        if any(name != "git" for name in tools):
            found.append(Left(stage, instruction, tuple(tools), next(iter(tools.values()))))
    return found


def _is_tool(command: Install, package: Requested) -> bool:
    if package.kind not in ("name", "group"):
        return False
    tool = system_tool(command.family, package.name or package.raw.lstrip("@"))
    return tool is not None and tool.kind in _KINDS


def size_notes(subject: Subject, left: list[Left]) -> tuple[str, ...]:
    """What is known of the sizes of tools: measured on a small Debian 12."""
    found: list[str] = []
    for each in left:
        for command in subject.commands(each.stage, each.instruction):
            if not isinstance(command, Install):
                continue
            for name in each.tools:
                tool = system_tool(command.family, name)
                if tool is None or tool.size_bytes is None or not any(one.name == name for one in command.packages):
                    continue
                more = tool.recommended_bytes if not command.options.no_recommends else None
                with_more = f", {size_text(more)} with what it recommends" if more else ""
                found.append(f'"{name}" alone adds {size_text(tool.size_bytes)} to a small Debian 12{with_more}')
    return tuple(dict.fromkeys(found))[:2]


def full_base(subject: Subject, view: StageView) -> tuple[str, str | None] | None:
    """The base as FROM has it, and the same without tools, where the stage stands on an image that holds compilers.

    The second is None where no such tag is known. Images of CUDA are a matter of another rule.
    """
    written = view.stage.from_.image
    if view.parent is not None or "$" in written or "@" in written:
        return None
    # A named context may stand in for the image: what FROM says is what is meant.
    base = base_image(written)
    facts = base_facts(base) if base is not None else None
    if base is None or facts is None or not facts.has_tools or facts.cuda != "none":
        return None
    return written, f"{written.partition(':')[0]}:{facts.twin_tag}" if facts.twin_tag else None
