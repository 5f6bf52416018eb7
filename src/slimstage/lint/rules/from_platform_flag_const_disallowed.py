"""FromPlatformFlagConstDisallowed: FROM --platform is no constant."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.errors import FormatError
from slimstage.lint import narrow
from slimstage.lint.finding import Finding
from slimstage.lint.lookups import look_up
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject
from slimstage.oci.descriptor import parse_platform


def check(subject: Subject) -> Iterator[Finding]:
    for view in subject.stages:
        from_ = view.stage.from_
        if from_.platform is None:
            continue
        found = look_up(from_.platform, subject.shared, subject.dockerfile.escape)
        if found.used or found.unset or found.text is None:
            continue
        try:
            platform = parse_platform(found.text)
        except FormatError:
            continue
        name = view.stage.name or ""
        if platform.os not in name and platform.architecture not in name:
            message = f'FROM --platform flag should not use constant value "{found.text}"'
            yield Finding(
                "FromPlatformFlagConstDisallowed",
                message,
                narrow.flag(subject, from_, "platform"),
                hint="take $BUILDPLATFORM, give --platform to the command, or name the stage after its platform",
            )


RULE = Rule(
    name="FromPlatformFlagConstDisallowed",
    group="buildkit",
    summary="FROM --platform flag should not use a constant value",
    why="""\
With a constant the stage is of that platform whatever is built for, so an image for arm64 gets amd64 files. A stage that is
for one platform on purpose says so in its name (`AS tools_amd64`), and is not reported.
""",
    bad=Example("FROM --platform=linux/amd64 debian:12 AS base\nRUN true\n"),
    good=Example("FROM --platform=$BUILDPLATFORM debian:12 AS base\nRUN true\n"),
    check=check,
)
