"""A stage that is read by its number, because it has no name."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.diagnostics import Span
from slimstage.dockerfile.instructions import Copy
from slimstage.lint.finding import Edit, Finding, Fix
from slimstage.lint.places import flag_span
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import StageView, Subject


def check(subject: Subject) -> Iterator[Finding]:
    for stage in subject.stages:
        if stage.stage.name is not None or stage.is_final or not stage.readers:
            continue
        span = stage.stage.from_.span
        yield Finding(
            RULE.name,
            f"stage {stage.stage.index} has no name, and is read by its number",
            span,
            hint=f'name it: "AS {name_for(subject, stage)}"',
            fix=naming(subject, stage),
        )


def name_for(subject: Subject, stage: StageView) -> str:
    """`builder` where one stage of the file needs a name, else `stage-N`; one that no stage and no base has."""
    taken = {view.stage.name for view in subject.stages} | {view.stage.from_.image.lower() for view in subject.stages}
    unnamed = [view for view in subject.stages if view.stage.name is None and view.readers and not view.is_final]
    if len(unnamed) == 1 and "builder" not in taken:
        return "builder"
    name = f"stage-{stage.stage.index}"
    while name in taken:
        name += "-files"
    return name


def naming(subject: Subject, stage: StageView) -> Fix | None:
    """A name behind FROM and in every place that says the number; None when one of them is not in the file itself."""
    name = name_for(subject, stage)
    from_ = stage.stage.from_
    node = subject.node(from_)
    if node is None:
        return None
    end = node.span_of(node.args[0])
    edits = [Edit(Span(end.source, end.end_line, end.end_column, end.end_line, end.end_column), f" AS {name}")]
    for _, instruction in stage.readers:
        span = flag_span(subject, instruction, "from")
        if not isinstance(instruction, Copy) or span == instruction.span:
            return None
        edits.append(Edit(span, f"--from={name}"))
    return Fix(f'name the stage "{name}"', tuple(edits))


RULE = Rule(
    name="UnnamedStage",
    group="stages",
    summary="a stage is read by its number because it has no name",
    why="""\
`COPY --from=0` means the first stage of the file as it stands today. A stage that is put in front of it later shifts every
number, and the build copies from the wrong place: at best it fails, at worst the image holds something else. A name says
what the stage is for, can be built alone (`--target`), and stays.

The fix names the stage `builder` (or `stage-N` where there are several), here and wherever its number is written.
""",
    bad=Example(
        "FROM golang:1.23-alpine\n"
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
