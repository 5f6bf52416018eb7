"""DuplicateStageName: no two stages have the same name."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint import narrow
from slimstage.lint.finding import Finding
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject


def check(subject: Subject) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    for view in subject.stages:
        name, from_ = view.stage.name, view.stage.from_
        if name is None:
            continue
        if name in seen:
            message = f'Duplicate stage name "{name}", stage names should be unique'
            span = narrow.argument(subject, from_, 2)
            yield Finding("DuplicateStageName", message, span, notes=(f"line {seen[name]} names a stage so as well",))
        seen.setdefault(name, from_.span.line)


RULE = Rule(
    name="DuplicateStageName",
    group="buildkit",
    summary="stage names should be unique",
    why="""\
Of two stages of one name, the last is meant wherever the name is used, also by what stands between the two. Case makes no
difference.
""",
    bad=Example("FROM debian:12 AS builder\nRUN true\nFROM golang:1.22 AS builder\nRUN true\n"),
    good=Example("FROM debian:12 AS fetch\nRUN true\nFROM fetch AS build\nRUN true\n"),
    check=check,
)
