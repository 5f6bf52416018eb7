"""FromAsCasing: `AS` is written as `FROM` is."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.dockerfile.instructions import From
from slimstage.lint import narrow
from slimstage.lint.finding import Edit, Finding, Fix
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject


def check(subject: Subject) -> Iterator[Finding]:
    for view in subject.stages:
        from_ = view.stage.from_
        if from_.name is None:
            continue
        words = from_.text.split()
        keyword, as_ = words[0], words[-2]
        if keyword not in (keyword.lower(), keyword.upper()):
            continue  # that is ConsistentInstructionCasing's
        wanted = as_.lower() if keyword == keyword.lower() else as_.upper()
        if as_ != wanted:
            message = f"'{as_}' and '{keyword}' keywords' casing do not match"
            yield Finding("FromAsCasing", message, narrow.argument(subject, from_, 1), fix=_fix(subject, from_, wanted))


def _fix(subject: Subject, from_: From, wanted: str) -> Fix | None:
    node = subject.node(from_)
    if node is None or len(node.args) != 3:
        return None
    return Fix(f"write {wanted}", (Edit(node.span_of(node.args[1]), wanted),))


RULE = Rule(
    name="FromAsCasing",
    group="buildkit",
    summary="the 'as' keyword should match the case of the 'from' keyword",
    why="""\
`FROM` and `AS` belong to one line, and a line that mixes cases is harder to read. It builds the same.
""",
    bad=Example("FROM debian:12 as builder\n"),
    good=Example("FROM debian:12 AS builder\n"),
    check=check,
    has_fix=True,
    reads_lines=True,
)
