"""The RUNs whose files are in the image, and what holds where each of them runs: mounts, variables, users."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from slimstage.diagnostics import Span
from slimstage.dockerfile.instructions import Instruction, Run, User
from slimstage.dockerfile.mounts import parse_mount
from slimstage.errors import DockerfileError
from slimstage.lint.commands.command import Cache, Clean, Command
from slimstage.lint.contents import is_within
from slimstage.lint.knowledge import base_facts
from slimstage.lint.shell.script import Invocation
from slimstage.lint.subject import StageView, Subject
from slimstage.regex import pattern

_VARIABLE = pattern(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")


def image_runs(subject: Subject) -> Iterator[tuple[StageView, Run]]:
    """Every RUN whose layer is in the final image, base first."""
    for view in reversed([*subject.final.chain()]):
        for instruction in (*view.triggers, *view.instructions):
            if isinstance(instruction, Run):
                yield view, instruction


def needed_runs(subject: Subject) -> Iterator[tuple[StageView, Run]]:
    """Every RUN that a build of the final stage runs, those of builders too."""
    for view in subject.stages:
        if view.is_needed:
            for instruction in (*view.triggers, *view.instructions):
                if isinstance(instruction, Run):
                    yield view, instruction


def mount_targets(subject: Subject, stage: StageView, run: Run) -> list[str]:
    """Where mounts of the RUN lie that are in no layer, absolute; a target with a variable that is not known is left out."""
    values = subject.environment(stage, run)
    found: list[str] = []
    for flag in run.mounts:
        try:
            mount = parse_mount(
                flag.value,
                lambda text: _VARIABLE.sub(lambda name: values.get(name.group(1) or name.group(2), name.group()), text),
            )
        except DockerfileError:
            continue
        if mount.target and mount.target.startswith("/"):
            found.append(mount.target.rstrip("/") or "/")
    return found


def is_mounted(targets: Sequence[str], path: str) -> bool:
    """True of a path that lies below one of the mounts."""
    return any(is_within(path, target) for target in targets)


def has_variable(subject: Subject, stage: StageView, run: Run, *names: str) -> bool:
    """ENV, ARG, or an assignment in the shell text itself sets one of the variables, to whatever value."""
    seen = subject.seen(stage, run)
    if not seen.names.isdisjoint(names):
        return True
    return any(each.name in names for command in subject.script(stage, run).commands for each in command.assignments)


def user_at(subject: Subject, stage: StageView, instruction: Instruction | None = None) -> str | None:
    """Whom the instruction (None: the finished image) runs as, without a group; None when it is not known.

    What USER says counts, also of the stages below; else what is known of the base image.
    """
    for view in stage.chain():
        before: list[Instruction] = []
        for each in (*view.triggers, *view.instructions):
            if view is stage and each is instruction:
                break
            before.append(each)
        for each in reversed(before):
            if isinstance(each, User):
                found = subject.expanded(view, each, each.user)
                return found.partition(":")[0].strip() or None if found else None
    root = stage.root()
    facts = base_facts(root) if root is not None else None
    return facts.user if facts is not None else None


def is_root(user: str | None) -> bool:
    """True of the superuser by name or number; False of others, and of one that is not known."""
    return user in ("root", "0")


def cleans(commands: Sequence[Command], *caches: Cache, behind: Invocation | None = None) -> bool:
    """One of the caches goes for certain, by these commands. behind: only what stands behind this invocation counts."""
    is_behind = behind is None
    for command in commands:
        is_behind = is_behind or command.invocation is behind
        if is_behind and isinstance(command, Clean) and command.caches.intersection(caches):
            invocation = command.invocation
            if invocation.is_certain and (invocation.followed_by != "||" or invocation.name in ("rm", "find")):
                return True
    return False


def head_span(invocation: Invocation, words: int = 1) -> Span:
    """The place of the program and its first words (`pip install`)."""
    last = invocation.words[min(words, len(invocation.words)) - 1] if invocation.words and words else invocation.program
    first = invocation.program.span
    if (last.span.line, last.span.column) < (first.line, first.column):
        return invocation.span
    return Span(first.source, first.line, first.column, last.span.end_line, last.span.end_column)


def says(subject: Subject, stage: StageView, *texts: str) -> bool:
    """One of the texts stands in an instruction of the stage or of those it stands on, heredocs too: something is set by a
    file that is written there.
    """
    for view in stage.chain():
        for each in view.instructions:
            bodies = [heredoc.content for heredoc in getattr(each, "heredocs", ())]
            if any(text in part for text in texts for part in (each.text, *bodies)):
                return True
    return False
