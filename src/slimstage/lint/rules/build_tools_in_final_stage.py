"""A file of several stages whose last one has build tools all the same."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint.finding import Finding
from slimstage.lint.places import word_span
from slimstage.lint.rule import Example, Rule
from slimstage.lint.rules.final_stage_from_builder import builders_below
from slimstage.lint.split.offer import offer
from slimstage.lint.subject import Subject
from slimstage.lint.tools_left import full_base, size_notes, tools_left
from slimstage.lint.wording import quoted
from slimstage.lint.workplace import is_workplace


def check(subject: Subject) -> Iterator[Finding]:
    final = subject.final
    if len(subject.stages) < 2 or is_workplace(subject, final):
        return
    below = builders_below(subject)
    for view in final.chain():
        if view in below:
            return  # what it inherits from a builder is FinalStageFromBuilder's
        offered = offer(subject, view) if view is final else None
        for left in tools_left(subject, view):
            where = "the final stage" if view is final else f'"{view.name}", on which the final stage stands,'
            yield Finding(
                RULE.name,
                f"{where} installs {quoted(left.tools)}, which only building needs",
                left.span,
                notes=(*size_notes(subject, [left]), *(offered.notes if offered else ())),
                hint=offered.hint
                if offered
                else f'install them in a stage that stands on "{view.name}", and copy the result',
                fix=offered.fix if offered else None,
                cause=final.stage.from_.span,
            )
        if (full := full_base(subject, view)) is not None:
            instead = (
                f'end on "{full[1]}"' if full[1] else "end on a base that has what running takes, and copy the program"
            )
            yield Finding(
                RULE.name,
                f'the final stage stands on "{full[0]}", which holds compilers, headers and git',
                word_span(subject, view.stage.from_, view.stage.from_.image),
                hint=instead,
                fix=offered.fix if offered and not tools_left(subject, view) else None,
                cause=final.stage.from_.span,
            )


RULE = Rule(
    name="BuildToolsInFinalStage",
    group="stages",
    summary="the final stage of several has compilers, headers or git",
    why="""\
The builder is there, and the last stage installs a compiler again, stands on a stage that has one, or on an image that comes
with one (`python:3.12`, `node:22`, `golang`). Everything in the last stage is in the image.

The fix is that of [SingleStageBuildTools](single-stage-build-tools.md): what needs the tools moves into a builder of its own.

Silent for stages to work in, and for what compiles while it runs, as there.
""",
    bad=Example(
        "FROM node:22-slim AS web\n"
        "WORKDIR /web\n"
        "COPY web/dist dist\n"
        "\n"
        "FROM python:3.12-slim\n"
        "WORKDIR /app\n"
        "RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt,sharing=locked \\\n"
        "    apt-get update && apt-get install -y --no-install-recommends gcc git\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip install git+https://example.org/x.git@v1\n"
        "COPY --from=web /web/dist static\n"
        "COPY serve.py .\n"
        "USER 10001\n"
        'CMD ["python", "serve.py"]\n'
    ),
    good=Example(
        "FROM node:22-slim AS web\n"
        "WORKDIR /web\n"
        "COPY web/dist dist\n"
        "\n"
        "FROM python:3.12-slim AS builder\n"
        "WORKDIR /app\n"
        "RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt,sharing=locked \\\n"
        "    apt-get update && apt-get install -y --no-install-recommends gcc git\n"
        "RUN python3 -m venv /opt/venv\n"
        "ENV PATH=/opt/venv/bin:$PATH\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip install git+https://example.org/x.git@v1\n"
        "\n"
        "FROM python:3.12-slim\n"
        "WORKDIR /app\n"
        "RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt,sharing=locked \\\n"
        "    apt-get update && apt-get install -y --no-install-recommends libgomp1\n"
        "COPY --from=builder /opt/venv /opt/venv\n"
        "ENV PATH=/opt/venv/bin:$PATH\n"
        "COPY --from=web /web/dist static\n"
        "COPY serve.py .\n"
        "USER 10001\n"
        'CMD ["python", "serve.py"]\n'
    ),
    check=check,
    has_fix=True,
)
