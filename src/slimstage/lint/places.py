"""Narrow places: where a word of an instruction stands in the file, and which lines are all of it.

A place that cannot be found is the whole instruction's: a finding is never lost for it.
"""

from __future__ import annotations

import re

from slimstage.diagnostics import Span
from slimstage.dockerfile.instructions import Instruction
from slimstage.lint.subject import Subject

_BOUNDS = r"[\s\"',=\[\];|&()]"


def word_span(subject: Subject, instruction: Instruction, word: str, *, occurrence: int = 0) -> Span:
    """The place of `word` as written, where it stands between blanks, quotes, commas, brackets or `=`.

    occurrence: which of several, from 0, behind the keyword. The instruction's own place when there is none.
    """
    node = subject.node(instruction)
    if node is None:
        return instruction.span
    expression = re.compile(rf"(?<={_BOUNDS}){re.escape(word)}(?={_BOUNDS}|\Z)")
    for count, found in enumerate(expression.finditer(node.line.text, node.keyword.end)):
        if count == occurrence:
            return node.line.span(found.start(), found.end())
    return instruction.span


def flag_span(subject: Subject, instruction: Instruction, name: str) -> Span:
    """The place of the flag `--name=…`, or the instruction's."""
    node = subject.node(instruction)
    for flag in node.flags if node else ():
        if node is not None and flag.text.split("=", 1)[0] == f"--{name}":
            return node.span_of(flag)
    return instruction.span


def whole_lines(instruction: Instruction) -> Span:
    """All lines of the instruction with their ends, heredocs included; its comments stay."""
    return Span(instruction.span.source, instruction.span.line, 1, instruction.span.end_line + 1, 1)


def as_written(instruction: Instruction) -> str:
    """The instruction's lines as they stand in the file, without the last line's end."""
    span = instruction.span
    return "\n".join(span.source.line(number) or "" for number in range(span.line, span.end_line + 1))
