"""ReservedStageName: no stage is called `scratch` or `context`."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint import narrow
from slimstage.lint.finding import Finding
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject

_RESERVED = ("context", "scratch")


def check(subject: Subject) -> Iterator[Finding]:
    for view in subject.stages:
        if view.stage.name in _RESERVED:
            message = f'Stage name should not use the same name as reserved stage "{view.stage.name}"'
            yield Finding("ReservedStageName", message, narrow.argument(subject, view.stage.from_, 2))


RULE = Rule(
    name="ReservedStageName",
    group="buildkit",
    summary="reserved words should not be used as stage names",
    why="""\
`scratch` is the empty image and `context` the build context. A stage of that name hides it, or is hidden by it, depending on
where the name is used.
""",
    bad=Example("FROM debian:12 AS scratch\nRUN true\n"),
    good=Example("FROM debian:12 AS base\nRUN true\n"),
    check=check,
)
