"""NoEmptyContinuation: no empty line inside a continued instruction."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.diagnostics import Source, Span
from slimstage.dockerfile.words import SPACE
from slimstage.lint.finding import Edit, Finding, Fix
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject


def check(subject: Subject) -> Iterator[Finding]:
    for warning in subject.dockerfile.warnings:
        if warning.code == "no-empty-continuation" and warning.span:
            yield _finding(subject, warning.span)


def _finding(subject: Subject, first: Span) -> Finding:
    """BuildKit names the instruction's last line, not the empty one."""
    source = first.source
    empty, last = _rest(source, first.line, subject.dockerfile.escape)
    text = source.line(last) or ""
    edits = tuple(Edit(Span(source, line, 1, line + 1, 1), "") for line in empty)
    if len(empty) == 1:
        note = f"line {empty[0]} is empty"
    else:
        note = f"lines {', '.join(map(str, empty[:20]))}{', …' if len(empty) > 20 else ''} are empty"
    return Finding(
        "NoEmptyContinuation",
        "Empty continuation line",
        Span(source, last, 1, last, max(2, len(text) + 1)),
        notes=(note,),
        fix=Fix("remove the empty lines", edits),
        cause=first,
    )


def _rest(source: Source, first: int, escape: str) -> tuple[list[int], int]:
    """The empty lines of the instruction, `first` being one, and its last line (in front of heredocs)."""
    empty: list[int] = []
    line = first
    while (text := source.line(line)) is not None:
        stripped = text.strip(SPACE)
        if not stripped:
            if source.line(line + 1) is None:
                break  # what is behind the last line's end is no line
            empty.append(line)
        elif not stripped.startswith("#"):
            end = text.rstrip(" \t")
            if not end.endswith(escape) or end[-2:-1] == escape:
                return empty, line
        line += 1
    return empty, line - 1


RULE = Rule(
    name="NoEmptyContinuation",
    group="buildkit",
    summary="empty continuation lines will become errors in a future release",
    why="""\
An empty line in the middle of a continued instruction is dropped, and what follows still belongs to the instruction. That is
rarely what somebody who wrote an empty line had in mind, and later versions of the Dockerfile format will refuse it. A comment
line (`#`) may stand there.
""",
    bad=Example("FROM debian:12\nRUN true && \\\n\n    true\n"),
    good=Example("FROM debian:12\nRUN true && \\\n#\n    true\n"),
    check=check,
    has_fix=True,
    reads_lines=True,
)
