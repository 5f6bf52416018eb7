"""A stage that has a name, and is read by its number all the same."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.dockerfile.instructions import Copy
from slimstage.lint.finding import Edit, Finding, Fix
from slimstage.lint.places import flag_span
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import StageView, Subject


def check(subject: Subject) -> Iterator[Finding]:
    for stage in subject.stages:
        for instruction in stage.instructions:
            if not isinstance(instruction, Copy) or not (instruction.from_ or "").lstrip("+").isdecimal():
                continue
            source = subject.source_of(stage, instruction)
            if not isinstance(source, StageView) or source.stage.from_.name is None:
                continue
            name = source.stage.from_.name
            same = [view for view in subject.stages if view.stage.name == source.stage.name]
            span = flag_span(subject, instruction, "from")
            is_sure = span != instruction.span and same[-1] is source
            yield Finding(
                RULE.name,
                f'"{name}" is read by its number {instruction.from_}',
                span,
                hint=f'write "--from={name}"',
                fix=Fix(f'read "{name}" by its name', (Edit(span, f"--from={name}"),)) if is_sure else None,
            )


RULE = Rule(
    name="CopyFromByIndex",
    group="stages",
    summary="a COPY reads a named stage by its number",
    why="""\
The stage has a name, and the number means something else as soon as a stage is put in front of it. Nothing tells you: the
COPY then reads from another stage. The fix writes the name.

A stage without a name is [UnnamedStage](unnamed-stage.md)'s matter.
""",
    bad=Example(
        "FROM golang:1.23-alpine AS builder\n"
        "WORKDIR /src\n"
        "COPY main.go go.mod ./\n"
        "RUN go build -o /out/app .\n"
        "\n"
        "FROM scratch\n"
        "COPY --from=0 /out/app /app\n"
        'ENTRYPOINT ["/app"]\n'
    ),
    good=Example(
        "FROM golang:1.23-alpine AS builder\n"
        "WORKDIR /src\n"
        "COPY main.go go.mod ./\n"
        "RUN go build -o /out/app .\n"
        "\n"
        "FROM scratch\n"
        "COPY --from=builder /out/app /app\n"
        'ENTRYPOINT ["/app"]\n'
    ),
    check=check,
    has_fix=True,
)
