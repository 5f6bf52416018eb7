"""A stage that nothing reads, in a file where other stages are read."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.dockerfile.instructions import Cmd, Entrypoint
from slimstage.lint.finding import Finding
from slimstage.lint.places import word_span
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import StageView, Subject
from slimstage.regex import pattern

_BUILDS = pattern(
    r"(?:.*[-_.])?(?:build|builder|builds|compile|compiler|compiled|deps|dependencies|wheels?|packages|venv|install|installer"
    r"|download|downloader|downloads|fetch)(?:[-_.].*)?\Z"
)
"""Names of stages that are made for others to read."""


def is_made_for_others(stage: StageView) -> bool:
    """True of a stage that by its name, or for want of one, cannot be what somebody builds with `--target`."""
    if any(isinstance(each, Cmd | Entrypoint) for each in stage.instructions):
        return False
    if stage.base is not None and stage.base.name == "scratch":
        return False  # files to be taken out with --output
    return stage.stage.name is None or is_named_for_others(stage)


def is_named_for_others(stage: StageView) -> bool:
    """True of a stage whose name is that of a builder."""
    return stage.stage.name is not None and _BUILDS.match(stage.stage.name) is not None


def unread(subject: Subject) -> list[StageView]:
    """The stages in front of the final one that are made for others, and that nobody reads."""
    return [
        stage
        for stage in subject.stages
        if stage.stage.index < subject.final.stage.index and not stage.readers and is_made_for_others(stage)
    ]


def check(subject: Subject) -> Iterator[Finding]:
    others = [stage for stage in subject.stages if stage.is_needed and not stage.is_final]
    if not others:
        return  # then it is the final stage that takes nothing: StageCopiesNothing
    for stage in unread(subject):
        from_ = stage.stage.from_
        yield Finding(
            RULE.name,
            f'no stage reads "{stage.name}"',
            word_span(subject, from_, from_.name) if from_.name else from_.span,
            hint=f"copy what it makes (COPY --from={stage.name} …), or remove it; to keep it as a target, give it a CMD",
        )


RULE = Rule(
    name="UnusedStage",
    group="stages",
    summary="a stage is read by no other, and is no target",
    why="""\
A builder that nobody copies from is a builder whose result is missing in the image, or one that was left over when the file
changed. It is not built with the default target, so its faults show up late.

Silent for stages that are targets of their own: with a CMD or ENTRYPOINT, or with a name that is not that of a builder
(`test`, `dev`, `docs`).
""",
    bad=Example(
        "FROM alpine:3.20 AS download\n"
        "ADD https://example.org/labels.txt /labels.txt\n"
        "\n"
        "FROM golang:1.23-alpine AS builder\n"
        "WORKDIR /src\n"
        "COPY main.go go.mod ./\n"
        "RUN go build -o /out/app .\n"
        "\n"
        "FROM scratch\n"
        "COPY --from=builder /out/app /app\n"
        'ENTRYPOINT ["/app"]\n'
    ),
    good=Example(
        "FROM alpine:3.20 AS download\n"
        "ADD https://example.org/labels.txt /labels.txt\n"
        "\n"
        "FROM golang:1.23-alpine AS builder\n"
        "WORKDIR /src\n"
        "COPY main.go go.mod ./\n"
        "RUN go build -o /out/app .\n"
        "\n"
        "FROM scratch\n"
        "COPY --from=builder /out/app /app\n"
        "COPY --from=download /labels.txt /labels.txt\n"
        'ENTRYPOINT ["/app"]\n'
    ),
    check=check,
)
