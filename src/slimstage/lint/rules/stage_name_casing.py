"""StageNameCasing: names of stages are in lower case."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint import narrow
from slimstage.lint.finding import Edit, Finding, Fix
from slimstage.lint.references import references
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import StageView, Subject


def check(subject: Subject) -> Iterator[Finding]:
    for view in subject.stages:
        name = view.stage.from_.name
        if name and name != name.lower():
            yield Finding(
                "StageNameCasing",
                f"Stage name '{name}' should be lowercase",
                narrow.argument(subject, view.stage.from_, 2),
                hint=f"write AS {name.lower()}",
                fix=_fix(subject, view, name),
            )


def _fix(subject: Subject, view: StageView, name: str) -> Fix | None:
    spans = references(subject, view)
    if spans is None:
        return None
    return Fix(
        f"write {name.lower()} in its FROM and wherever it is named", tuple(Edit(s, name.lower()) for s in spans)
    )


RULE = Rule(
    name="StageNameCasing",
    group="buildkit",
    summary="stage names should be lowercase",
    why="""\
Names of stages are compared without case, but names of images are lower case only. A stage name with capitals looks like
neither, and `FROM Builder` does not find the stage `Builder` in BuildKit: it looks for `builder`, and then for an image that
no registry can have.
""",
    bad=Example("FROM alpine:3.20 AS Builder\nRUN touch /built\nFROM scratch\nCOPY --from=Builder /built /built\n"),
    good=Example("FROM alpine:3.20 AS builder\nRUN touch /built\nFROM scratch\nCOPY --from=builder /built /built\n"),
    check=check,
    has_fix=True,
    reads_lines=True,
)
