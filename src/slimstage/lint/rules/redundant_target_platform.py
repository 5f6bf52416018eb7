"""RedundantTargetPlatform: FROM builds for the target platform anyway."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.dockerfile.instructions import From
from slimstage.lint import narrow
from slimstage.lint.finding import Edit, Finding, Fix
from slimstage.lint.lookups import look_up
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject

_NAME = "TARGETPLATFORM"


def check(subject: Subject) -> Iterator[Finding]:
    for view in subject.stages:
        from_ = view.stage.from_
        if from_.platform is None:
            continue
        found = look_up(from_.platform, subject.shared, subject.dockerfile.escape)
        if found.used == {_NAME} and not found.unset and found.text == subject.shared.get(_NAME):
            yield Finding(
                "RedundantTargetPlatform",
                f"Setting platform to predefined {from_.platform} in FROM is redundant as this is the default behavior",
                narrow.flag(subject, from_, "platform"),
                fix=_fix(subject, from_),
            )


def _fix(subject: Subject, from_: From) -> Fix | None:
    node = subject.node(from_)
    if node is None or len(node.flags) != 1:
        return None
    span = node.line.span(node.flags[0].start, node.rest.start)
    return Fix("remove --platform", (Edit(span, ""),)) if span.line == span.end_line else None


RULE = Rule(
    name="RedundantTargetPlatform",
    group="buildkit",
    summary="setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
    why="""\
A FROM without `--platform` takes the image for the platform that is built for. `--platform=$BUILDPLATFORM` is the one that is
of use: a stage that cross-compiles runs without emulation.
""",
    bad=Example("FROM --platform=$TARGETPLATFORM debian:12\nRUN true\n"),
    good=Example("FROM debian:12\nRUN true\n"),
    check=check,
    has_fix=True,
)
