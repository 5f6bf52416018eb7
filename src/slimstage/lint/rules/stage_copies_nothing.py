"""A final stage that takes nothing from the stages in front of it."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint.finding import Finding
from slimstage.lint.places import word_span
from slimstage.lint.rule import Example, Rule
from slimstage.lint.rules.unused_stage import unread
from slimstage.lint.subject import Subject
from slimstage.lint.wording import quoted


def check(subject: Subject) -> Iterator[Finding]:
    if any(stage.is_needed and not stage.is_final for stage in subject.stages):
        return
    if not (left := unread(subject)):
        return
    from_ = subject.final.stage.from_
    names = quoted([stage.name for stage in left])
    yield Finding(
        RULE.name,
        f"the final stage takes nothing from {names}: what is built there is not in the image",
        word_span(subject, from_, from_.image),
        hint=f"copy the result: COPY --from={left[-1].name} /path/of/result /path",
    )


RULE = Rule(
    name="StageCopiesNothing",
    group="stages",
    summary="the final stage takes nothing from the stages in front of it",
    why="""\
A file with a builder whose final stage neither stands on it nor copies from it builds the final stage alone: the builder is
not even run. Mostly the `COPY --from` was forgotten, or names an image instead of the stage (a typing error in the name
makes it one).

Silent where the stages in front are targets of their own: with a CMD or ENTRYPOINT, or with a name that is not that of a
builder.
""",
    bad=Example(
        "FROM golang:1.23-alpine AS builder\n"
        "WORKDIR /src\n"
        "COPY main.go go.mod ./\n"
        "RUN go build -o /out/app .\n"
        "\n"
        "FROM alpine:3.20\n"
        'ENTRYPOINT ["/app"]\n'
    ),
    good=Example(
        "FROM golang:1.23-alpine AS builder\n"
        "WORKDIR /src\n"
        "COPY main.go go.mod ./\n"
        "RUN go build -o /out/app .\n"
        "\n"
        "FROM alpine:3.20\n"
        "COPY --from=builder /out/app /app\n"
        'ENTRYPOINT ["/app"]\n'
    ),
    check=check,
)
