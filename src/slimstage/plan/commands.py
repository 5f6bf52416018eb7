"""The command of a RUN: shell form, exec form and heredocs → argv, script, and what history shows.

Source: BuildKit frontend/dockerfile/dockerfile2llb/convert.go (dispatchRun); dockerfile.md §1.3 and §4 (10 to 13, 21).
"""

from __future__ import annotations

import posixpath

from slimstage.dockerfile.heredocs import parse_operator
from slimstage.dockerfile.instructions import Command, Heredoc, Run
from slimstage.errors import DockerfileError, PlanError
from slimstage.plan.configs import ConfigDraft
from slimstage.plan.graph import SCRIPT_PATH
from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class RunCommand:
    """`shown`: the command in the history, joined by blanks."""

    argv: tuple[str, ...]
    shown: str
    script: str | None = None


def run_command(instruction: Run, config: ConfigDraft) -> RunCommand:
    """What a RUN executes. Nothing of it is expanded: that is the shell's work. Raises PlanError."""
    heredocs = instruction.heredocs
    if not heredocs:
        argv = config.argv(instruction.command)
        if not argv:
            raise PlanError("RUN has no command", code="empty-command", span=instruction.span)
        return RunCommand(argv, " ".join(argv))
    text = " ".join(instruction.command.words)
    if not _is_one_heredoc(text):
        # The shell reads the documents itself: it gets the whole text as it was written.
        whole = "\n".join([text, *(_written(each) + each.name for each in heredocs)])
        argv = config.argv(Command("shell", (whole,)))
        return RunCommand(argv, " ".join(argv))
    body = heredocs[0]
    if not body.content.startswith("#!") or config.image.os == "windows":
        argv = config.argv(Command("shell", (body.content,)))
        return RunCommand(argv, " ".join(argv))
    argv = config.argv(Command("shell", (SCRIPT_PATH,)))
    named = config.argv(Command("shell", (posixpath.join(posixpath.dirname(SCRIPT_PATH), body.name),)))
    return RunCommand(argv, " ".join(named), body.content)


def summary(heredocs: tuple[Heredoc, ...]) -> str:
    """The first line of a heredoc, for people; empty without one."""
    if not heredocs:
        return ""
    lines = heredocs[0].content.strip().splitlines()
    return f" ({lines[0]}{'...' if len(lines) > 1 else ''})" if lines else ""


def _is_one_heredoc(text: str) -> bool:
    try:
        return parse_operator(text) is not None
    except DockerfileError:
        return False


def _written(heredoc: Heredoc) -> str:
    return heredoc.content if heredoc.as_written is None else heredoc.as_written
