"""ConsistentInstructionCasing: all instructions of a file are written in the same case."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.dockerfile.instructions import Instruction
from slimstage.lint import narrow
from slimstage.lint.finding import Edit, Finding, Fix
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject


def check(subject: Subject) -> Iterator[Finding]:
    instructions = [each for view in subject.stages for each in (view.stage.from_, *view.instructions)]
    words = [each.text.split(None, 1)[0] for each in instructions]
    lower = sum(word == word.lower() for word in words)
    upper = sum(word == word.upper() for word in words)
    case = "lowercase" if lower > upper else "uppercase"
    for instruction, word in zip(instructions, words, strict=True):
        wanted = word.lower() if lower > upper else word.upper()
        if word != wanted:
            message = f"Command '{word}' should match the case of the command majority ({case})"
            fix = _fix(subject, instruction, wanted)
            yield Finding("ConsistentInstructionCasing", message, narrow.keyword(subject, instruction), fix=fix)


def _fix(subject: Subject, instruction: Instruction, wanted: str) -> Fix | None:
    node = subject.node(instruction)
    return Fix(f"write {wanted}", (Edit(node.span_of(node.keyword), wanted),)) if node else None


RULE = Rule(
    name="ConsistentInstructionCasing",
    group="buildkit",
    summary="all commands within the Dockerfile should use the same casing (either upper or lower)",
    why="""\
Instructions may be written in any case. One case throughout reads better; upper case is the convention. The case that most
instructions have is the one that is asked for.
""",
    bad=Example("FROM debian:12\nrun true\nCOPY . .\n"),
    good=Example("FROM debian:12\nRUN true\nCOPY app /app\n"),
    check=check,
    has_fix=True,
)
