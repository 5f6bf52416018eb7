"""InvalidBaseImagePlatform: a base image is of the platform that is asked for."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.errors import FormatError
from slimstage.lint.finding import Finding
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject
from slimstage.oci.descriptor import Platform, parse_platform


def check(subject: Subject) -> Iterator[Finding]:
    for view in subject.stages:
        facts = subject.facts(view)
        if facts is None:
            continue
        wanted = _wanted(view.platform, subject.request.target_platform)
        found = facts.platform
        if (found.os, found.architecture) != (wanted.os, wanted.architecture):
            name = subject.expanded_base(view)
            message = f'Base image {name} was pulled with platform "{found}", expected "{wanted}" for current build'
            yield Finding("InvalidBaseImagePlatform", message, view.stage.from_.span)


def _wanted(text: str | None, otherwise: Platform) -> Platform:
    try:
        return parse_platform(text) if text else otherwise
    except FormatError:
        return otherwise


RULE = Rule(
    name="InvalidBaseImagePlatform",
    group="buildkit",
    summary="base image platform does not match expected target platform",
    why="""\
An image that exists for one platform only is taken for every platform, and its programs then need emulation, or do not run.
What platform an image has is in its config. `slimstage build` reads it and refuses such a base ("platform-mismatch") where
BuildKit warns; `slimstage check` reads no image, so that it says the same on every machine, and leaves this to the build.
""",
    bad=Example("FROM example.org/tools:1\nRUN true\n", images={"example.org/tools:1": "linux/arm64"}),
    good=Example("FROM example.org/tools:1\nRUN true\n", images={"example.org/tools:1": "linux/amd64"}),
    check=check,
    asks_reached=True,
)
