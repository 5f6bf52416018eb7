"""The final stage stands on the builder, and so keeps all of it."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint.finding import Finding
from slimstage.lint.places import word_span
from slimstage.lint.rule import Example, Rule
from slimstage.lint.rules.unused_stage import is_named_for_others
from slimstage.lint.subject import StageView, Subject
from slimstage.lint.tools_left import tools_left
from slimstage.lint.wording import quoted
from slimstage.lint.workplace import is_workplace


def builders_below(subject: Subject) -> list[StageView]:
    """The stages, nearest first, on which the final one stands and which are named as builders."""
    return [view for view in subject.final.chain() if view is not subject.final and is_named_for_others(view)]


def check(subject: Subject) -> Iterator[Finding]:
    if is_workplace(subject, subject.final):
        return
    for builder in builders_below(subject):
        tools = [name for view in builder.chain() for left in tools_left(subject, view) for name in left.tools]
        if not tools:
            continue
        child = next(view for view in subject.final.chain() if view.parent is builder)
        from_ = child.stage.from_
        yield Finding(
            RULE.name,
            f'the final stage stands on "{builder.name}" and keeps {quoted(tools)}',
            word_span(subject, from_, from_.image),
            hint=f'begin it with the base of "{builder.name}", and copy what the builder makes: COPY --from={builder.name} …',
        )
        return


RULE = Rule(
    name="FinalStageFromBuilder",
    group="stages",
    summary="the final stage stands on the builder and keeps its tools",
    why="""\
`FROM builder` takes over every layer of the builder: two stages, and the image of one. The last stage has to begin with a base
of its own, and copy from the builder.

Told only where the stage below is named as a builder and leaves compilers, headers or git.
""",
    bad=Example(
        "FROM debian:bookworm-slim AS builder\n"
        "RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt,sharing=locked \\\n"
        "    apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev\n"
        "WORKDIR /src\n"
        "COPY main.c .\n"
        "RUN gcc -O2 -o /usr/local/bin/app main.c\n"
        "\n"
        "FROM builder\n"
        'CMD ["app"]\n'
    ),
    good=Example(
        "FROM debian:bookworm-slim AS builder\n"
        "RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt,sharing=locked \\\n"
        "    apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev\n"
        "WORKDIR /src\n"
        "COPY main.c .\n"
        "RUN gcc -O2 -o /usr/local/bin/app main.c\n"
        "\n"
        "FROM debian:bookworm-slim\n"
        "COPY --from=builder /usr/local/bin/app /usr/local/bin/app\n"
        'CMD ["app"]\n'
    ),
    check=check,
)
