"""LegacyKeyValueFormat: ENV and LABEL are written with an equals sign."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.dockerfile.instructions import Env, Label
from slimstage.dockerfile.words import split_words
from slimstage.lint import narrow
from slimstage.lint.finding import Edit, Finding, Fix
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject
from slimstage.regex import pattern

_NAME = pattern(r"[A-Za-z0-9_.-]+")


def check(subject: Subject) -> Iterator[Finding]:
    for view in subject.stages:
        for each in (*view.triggers, *view.instructions):
            if isinstance(each, Env | Label) and any(pair.legacy for pair in each.pairs):
                name = each.text.split(None, 1)[0]
                message = f'"{name} key=value" should be used instead of legacy "{name} key value" format'
                yield Finding("LegacyKeyValueFormat", message, narrow.arguments(subject, each), fix=_fix(subject, each))


def _fix(subject: Subject, instruction: Env | Label) -> Fix | None:
    node = subject.node(instruction)
    if node is None or len(node.args) != 3:
        return None
    name, value, _ = node.args
    escape = subject.dockerfile.escape
    between = node.span_of(value)
    start, end = node.span_of(name), node.line.span(value.end - 1, value.end)
    if not _NAME.fullmatch(name.text) or start.line != between.line:
        return None
    gap = Edit(node.line.span(name.end, value.start), "=")
    if [word.text for word in split_words(value.text, escape)] == [value.text]:
        return Fix("write it with an equals sign", (gap,))
    if any(c in value.text for c in ("'", '"', escape)):
        return None  # what is quoted in parts means something else in quotes
    after = type(end)(end.source, end.end_line, end.end_column, end.end_line, end.end_column)
    return Fix("write it with an equals sign", (Edit(gap.span, '="'), Edit(after, '"')))


RULE = Rule(
    name="LegacyKeyValueFormat",
    group="buildkit",
    summary="legacy key/value format with whitespace separator should not be used",
    why="""\
`ENV ONE TWO= THREE=4` sets one variable, `ONE`, to `TWO= THREE=4`. With an equals sign a line can set several, and it is plain
where a value ends.
""",
    bad=Example("FROM debian:12\nENV GREETING hello world\nLABEL version 1.0\n"),
    good=Example('FROM debian:12\nENV GREETING="hello world"\nLABEL version=1.0\n'),
    check=check,
    asks_reached=True,
    has_fix=True,
)
