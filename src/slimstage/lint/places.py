"""Narrow places: where a word of an instruction stands in the file, and where a line goes in or out.

A place that cannot be found is the whole instruction's: a finding is never lost for it.
"""

from __future__ import annotations

import re

from slimstage.diagnostics import Source, Span
from slimstage.dockerfile.instructions import Instruction
from slimstage.dockerfile.words import SPACE
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


def last_word_span(subject: Subject, instruction: Instruction) -> Span:
    """The place of the last argument (of a COPY: its destination), or the instruction's."""
    node = subject.node(instruction)
    return node.span_of(node.args[-1]) if node is not None and node.args else instruction.span


def before(instruction: Instruction) -> Span:
    """The empty place at the start of the instruction's first line, below its comments."""
    return at_line(instruction.span.source, instruction.span.line)


def above_comments(instruction: Instruction) -> Span:
    """The empty place above the comments that stand directly above the instruction."""
    source, line = instruction.span.source, instruction.span.line
    while line > 1 and (source.line(line - 1) or "").lstrip(SPACE).startswith("#"):
        line -= 1
    return at_line(source, line)


def behind(instruction: Instruction) -> Span:
    """The empty place at the start of the line behind the instruction."""
    return at_line(instruction.span.source, instruction.span.end_line + 1)


def at_line(source: Source, line: int) -> Span:
    """The empty place at the start of a line; of the line behind the last one: the end of the file."""
    return Span(source, line, 1, line, 1)


def whole_lines(instruction: Instruction) -> Span:
    """All lines of the instruction with their ends, heredocs included; its comments stay."""
    return Span(instruction.span.source, instruction.span.line, 1, instruction.span.end_line + 1, 1)


def as_written(instruction: Instruction) -> str:
    """The instruction's lines as they stand in the file, without the last line's end."""
    span = instruction.span
    return "\n".join(span.source.line(number) or "" for number in range(span.line, span.end_line + 1))
