"""Files that an earlier instruction brought are stored a second time: chown, chmod or mv in a RUN of their own."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.dockerfile.instructions import Add, Copy, Run
from slimstage.lint.commands.command import Change
from slimstage.lint.finding import Finding
from slimstage.lint.layer_contents import Brought, brought_by, covers, target_of
from slimstage.lint.rule import Example, Rule
from slimstage.lint.shell.script import UNKNOWN
from slimstage.lint.subject import StageView, Subject
from slimstage.lint.wording import size_text

LITTLE = 1_000_000
"""Bytes below which a second copy is not worth a word."""
_ACTIONS = frozenset(("chown", "chgrp", "chmod", "mv"))


def check(subject: Subject) -> Iterator[Finding]:
    before: list[Brought] = []
    for view in reversed([*subject.final.chain()]):
        for instruction in (*view.triggers, *view.instructions):
            if isinstance(instruction, Run):
                yield from _of_run(subject, view, instruction, before)
            before += brought_by(subject, view, instruction)


def _of_run(subject: Subject, view: StageView, run: Run, before: list[Brought]) -> Iterator[Finding]:
    for command in subject.commands(view, run):
        if not isinstance(command, Change) or command.action not in _ACTIONS or not command.invocation.is_certain:
            continue
        changed: dict[int, Brought] = {}
        for word in command.paths:
            target = target_of(subject, view, run, command, word)
            for each in before if target is not None else ():
                if target is not None and _is_hit(command, target, each):
                    changed[id(each)] = each
        found = [*changed.values()]
        known = sum(each.size_bytes or 0 for each in found)
        if not found or (all(each.size_bytes is not None for each in found) and known < LITTLE):
            continue
        first = max(reversed(found), key=lambda each: each.size_bytes or 0)
        yield Finding(
            RULE.name,
            f'{command.action} stores again what {first.what} of line {first.instruction.span.line} brought to "{first.path}"',
            command.invocation.span,
            notes=(f"{size_text(known)} of the build context are in both layers",) if known >= LITTLE else (),
            hint=_hint(command, first),
            saving_bytes=known if known >= LITTLE else None,
        )


def _is_hit(command: Change, target: str, brought: Brought) -> bool:
    """What was brought is changed, all of it; one file only where it is known to be large, or comes from elsewhere."""
    if not covers(target, brought):
        return False
    if not (brought.is_file or command.is_recursive or command.action == "mv"):
        return False  # the directory alone
    if brought.is_file:
        is_large = (brought.size_bytes or 0) >= LITTLE
        return is_large or (isinstance(brought.instruction, Add) and "://" in brought.instruction.sources[0])
    return True


def _hint(command: Change, brought: Brought) -> str:
    value = command.value.shape if command.value is not None and UNKNOWN not in command.value.shape else "…"
    if not isinstance(brought.instruction, Copy | Add):
        return f"{command.action} in the RUN that makes them"
    if command.action == "mv":
        return f"let {brought.what} name the place itself"
    if command.action == "chgrp":
        return f"let {brought.what} do it: --chown=USER:{value}"
    return f"let {brought.what} do it: --{command.action}={value}"


RULE = Rule(
    name="ChangedInLaterLayer",
    group="bytes",
    summary="a RUN changes owner, mode or place of files of an earlier layer, which stores them again",
    why="""\
A layer holds whole files. `RUN chown -R app /app` behind `COPY . /app` puts every file into a second layer, and the image has
both. With weights or an environment of packages in it, that is the image's largest waste: users report 1 to 9 GB.

`COPY --chown=… --chmod=…` sets owner and mode while the files are copied; for what a RUN makes, change them in the same RUN.
Often it is not needed at all: a program reads files of another owner.

There is no fix by itself, because `chown -R` also changes directories that other instructions made.

Silent below 1 MB, for single files whose size is not known, and where nothing says that the files come from an earlier layer.
""",
    bad=Example(
        "FROM python:3.12-slim\n"
        "COPY model /model\n"
        "RUN chown -R 10001:10001 /model\n"
        "USER 10001\n"
        'CMD ["python", "-m", "serve"]\n',
        files={"model/model.onnx": 150_000_000},
        ignore=".git\n",
    ),
    good=Example(
        'FROM python:3.12-slim\nCOPY --chown=10001:10001 model /model\nUSER 10001\nCMD ["python", "-m", "serve"]\n',
        files={"model/model.onnx": 150_000_000},
        ignore=".git\n",
    ),
    check=check,
)
