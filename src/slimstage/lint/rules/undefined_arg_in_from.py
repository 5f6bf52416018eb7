"""UndefinedArgInFrom: FROM uses arguments that are declared in front of the first FROM."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint import narrow
from slimstage.lint.finding import Finding
from slimstage.lint.lookups import did_you_mean, look_up
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject


def check(subject: Subject) -> Iterator[Finding]:
    escape = subject.dockerfile.escape
    known = {*subject.shared, *(arg.name for each in subject.dockerfile.global_args for arg in each.args)}
    for view in subject.stages:
        from_ = view.stage.from_
        for word in (from_.image, from_.platform or ""):
            for name in sorted(look_up(word, subject.shared, escape).unset - known):
                message = f"FROM argument '{name}' is not declared{did_you_mean(name, known)}"
                yield Finding("UndefinedArgInFrom", message, narrow.variable(subject, from_, name))


RULE = Rule(
    name="UndefinedArgInFrom",
    group="buildkit",
    summary="FROM command must use declared ARGs",
    why="""\
A FROM line sees only the arguments that are declared in front of the first FROM, and those that are always there
(`TARGETPLATFORM`, `BUILDPLATFORM` and their parts). Any other name is empty there, also one that a stage declares.
""",
    bad=Example("ARG VERSION=12\nFROM debian:12${VARIANT}\n"),
    good=Example("ARG VARIANT=-slim\nFROM debian:12${VARIANT}\n"),
    check=check,
)
