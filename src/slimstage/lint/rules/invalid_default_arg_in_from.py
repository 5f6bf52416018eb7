"""InvalidDefaultArgInFrom: with the defaults of its arguments, FROM names an image."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.errors import FormatError
from slimstage.lint import narrow
from slimstage.lint.finding import Finding
from slimstage.lint.lookups import look_up
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject
from slimstage.oci.reference import parse_reference
from slimstage.plan.scope import automatic_args

_OURS = ("debian://", "oci-layout://", "docker-image://", "oci-archive:", "docker-archive:")


def check(subject: Subject) -> Iterator[Finding]:
    dockerfile = subject.dockerfile
    args = automatic_args(subject.request, dockerfile.stages[-1].name)
    for instruction in dockerfile.global_args:
        for arg in instruction.args:
            if arg.value is not None:
                value = look_up(arg.value, args, dockerfile.escape).text
                if value is None:
                    return
                args[arg.name] = value
    for view in subject.stages:
        from_ = view.stage.from_
        name = look_up(from_.image, args, dockerfile.escape).text
        if name is None:
            return
        if not _is_name(name):
            message = f"Default value for ARG {from_.image} results in empty or invalid base image name"
            yield Finding("InvalidDefaultArgInFrom", message, narrow.argument(subject, from_, 0))


def _is_name(text: str) -> bool:
    if text.startswith(_OURS):
        return True
    try:
        parse_reference(text)
    except FormatError:
        return False
    return True


RULE = Rule(
    name="InvalidDefaultArgInFrom",
    group="buildkit",
    summary="default value for global ARG results in an empty or invalid base image name",
    why="""\
Somebody who builds the file without `--build-arg` should get an image. An argument of a FROM needs a default with which the
name is one.
""",
    bad=Example("ARG TAG\nFROM debian:${TAG}\n", args={"TAG": "12"}),
    good=Example("ARG TAG=12\nFROM debian:${TAG}\n", args={"TAG": "12"}),
    check=check,
)
