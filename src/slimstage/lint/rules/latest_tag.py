"""A base image without a tag, or with the tag latest."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.dockerfile.instructions import Copy
from slimstage.lint.finding import Finding
from slimstage.lint.places import flag_span, word_span
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import BaseImage, Subject


def check(subject: Subject) -> Iterator[Finding]:
    for view in subject.stages:
        if not view.is_needed:
            continue
        from_ = view.stage.from_
        if view.base is not None and _is_latest(view.base) and "$" not in from_.image:
            yield Finding(
                RULE.name,
                _message(view.base),
                word_span(subject, from_, from_.image),
                hint="name a version, so that the base changes when this line does",
            )
        for instruction in view.instructions:
            if isinstance(instruction, Copy) and instruction.from_ and not instruction.from_.isdigit():
                source = subject.source_of(view, instruction)
                if isinstance(source, BaseImage) and _is_latest(source):
                    yield Finding(
                        RULE.name,
                        _message(source),
                        flag_span(subject, instruction, "from"),
                        hint="name a version, so that what is copied changes when this line does",
                    )


def _is_latest(base: BaseImage) -> bool:
    if base.has_scheme or base.digest or base.name == "scratch":
        return False
    return base.tag is None or base.tag == "latest"


def _message(base: BaseImage) -> str:
    return (
        f'"{base.name}" has no tag, which means latest'
        if base.tag is None
        else f'"{base.name}:latest" names no version'
    )


RULE = Rule(
    name="LatestTag",
    group="pinning",
    summary="an image is named without a tag, or as latest",
    why="""\
`latest` is whatever was pushed last. The same file gives another Python tomorrow, for which there may be no wheels, and what
was built yesterday cannot be built again.

Silent where the name comes from an argument, and for a digest.
""",
    bad=Example('FROM python\nUSER 10001\nCMD ["python", "-m", "site"]\n'),
    good=Example('FROM python:3.12-slim\nUSER 10001\nCMD ["python", "-m", "site"]\n'),
    check=check,
)
