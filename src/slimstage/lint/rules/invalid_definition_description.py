"""InvalidDefinitionDescription: a comment above ARG or FROM describes it."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.dockerfile.instructions import Arg, Instruction
from slimstage.lint.finding import Finding
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject


def check(subject: Subject) -> Iterator[Finding]:
    for each in subject.dockerfile.global_args:
        yield from _judged(each, "ARG", [arg.name for arg in each.args])
    for view in subject.stages:
        if view.stage.name:
            yield from _judged(view.stage.from_, "FROM", [view.stage.name])
        for instruction in view.instructions:
            if isinstance(instruction, Arg):
                yield from _judged(instruction, "ARG", [arg.name for arg in instruction.args])


def _judged(instruction: Instruction, keyword: str, names: list[str]) -> Iterator[Finding]:
    comments = [each for each in instruction.comments if not each.startswith("slimstage:")]
    if not comments or comments[-1].split(" ")[0] in names:
        return
    name = names[0] if len(names) == 1 else "<arg_key>"
    message = f"Comment for {keyword} should follow the format: `# {name} <description>`"
    yield Finding(
        "InvalidDefinitionDescription",
        message,
        instruction.span,
        hint="put an empty comment line (#) between, if it is none",
    )


RULE = Rule(
    name="InvalidDefinitionDescription",
    group="buildkit",
    summary="comment for build stage or argument should follow the format: `# <arg/stage name> <description>`",
    why="""\
The comment directly above a FROM or an ARG is what `slimstage build --call targets` and `--call outline` show as its
description, when it begins with the name. Another comment there is probably none; an empty comment line (`#`) between the two
says so. The rule is experimental in BuildKit: it is run when it is asked for, with `# check=experimental=…` or `--rule`.
""",
    bad=Example("# a base for all\nFROM debian:12 AS base\nRUN true\n"),
    good=Example("# base is what all stages stand on\nFROM debian:12 AS base\nRUN true\n"),
    check=check,
    is_default=False,
    reads_lines=True,
)
