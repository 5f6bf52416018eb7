"""A base image whose tag names no version, or of Python only the major one."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint.finding import Finding
from slimstage.lint.places import word_span
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import BaseImage, Subject
from slimstage.regex import pattern

_MOVING = pattern(
    r"(?:stable|testing|unstable|rolling|edge|lts|current|mainline|nightly|main|master|dev|develop|slim|alpine|alpine-slim"
    r"|runtime|devel|gpu|latest-.+|nightly-.+)"
)
_MAJOR_ONLY = pattern(r"[23](?:-.*)?")


def check(subject: Subject) -> Iterator[Finding]:
    for view in subject.stages:
        base = view.base
        if base is None or not view.is_needed or base.has_scheme or base.digest or not base.tag:
            continue
        from_ = view.stage.from_
        reason = _reason(base)
        if reason is not None and "$" not in from_.image:
            yield Finding(
                RULE.name,
                reason,
                word_span(subject, from_, from_.image),
                hint="name a version, such as python:3.12-slim" if base.name == "python" else "name a version",
            )


def _reason(base: BaseImage) -> str | None:
    if base.tag and _MOVING.fullmatch(base.tag):
        return f'the tag "{base.tag}" of "{base.name}" names no version'
    if base.name in ("python", "pypy") and base.tag and _MAJOR_ONLY.fullmatch(base.tag):
        return f'"{base.name}:{base.tag}" changes its minor version, and with it which wheels there are'
    return None


RULE = Rule(
    name="UnpinnedBase",
    group="pinning",
    summary="the tag of a base image names no version",
    why="""\
`python:slim`, `node:lts` and `debian:stable` move on to the next release by themselves; `python:3` moves from 3.13 to 3.14 on
the day that it is out, weeks before large frameworks have wheels for it, and installs then compile from source or fail.

Name the version that the packages are made for: `python:3.12-slim`. A digest pins even more; this rule does not ask for one.
`latest` is [LatestTag](latest-tag.md)'s.
""",
    bad=Example('FROM python:3-slim\nUSER 10001\nCMD ["python", "-m", "site"]\n'),
    good=Example('FROM python:3.12-slim\nUSER 10001\nCMD ["python", "-m", "site"]\n'),
    check=check,
)
