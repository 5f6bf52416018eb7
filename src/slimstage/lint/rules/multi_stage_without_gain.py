"""Two stages on the same base, and all of the first is copied into the second."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from slimstage.dockerfile.instructions import Copy
from slimstage.lint.finding import Finding
from slimstage.lint.places import word_span
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import StageView, Subject

_EVERYTHING = frozenset(("/", "/usr"))
"""What holds all that a package manager installs."""


def check(subject: Subject) -> Iterator[Finding]:
    for view in subject.final.chain():
        for instruction in view.instructions:
            if not isinstance(instruction, Copy) or instruction.exclude:
                continue
            source = subject.source_of(view, instruction)
            if not isinstance(source, StageView) or source.root() is None or source.root() != view.root():
                continue
            base = source.root()
            if base is None or base.name == "scratch":
                continue
            for word in instruction.sources:
                path = subject.expanded(view, instruction, word)
                if path is not None and posixpath.normpath("/" + path.rstrip("*")).replace("//", "/") in _EVERYTHING:
                    yield Finding(
                        RULE.name,
                        f'all of "{source.name}" is copied onto the base that it stands on itself',
                        word_span(subject, instruction, word),
                        notes=(f'both stages stand on "{view.stage.from_.image}"',),
                        hint="copy what the image is for alone: the virtual environment, the program, the model",
                    )


RULE = Rule(
    name="MultiStageWithoutGain",
    group="stages",
    summary="a stage copies all of another one that stands on the same base",
    why="""\
The second stage exists to leave things behind. When it stands on the base of the first and copies `/` or `/usr` from it, it
leaves nothing behind: every compiler and header comes along, and the files of the base are in the image twice, once in the
base's layers and once in that of the COPY.

Silent for `FROM scratch` and another base: `COPY --from=builder / /` there makes one layer of many on purpose.
""",
    bad=Example(
        "FROM debian:bookworm-slim AS builder\n"
        "WORKDIR /src\n"
        "COPY Makefile main.c ./\n"
        "RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt,sharing=locked \\\n"
        "    apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev make\n"
        "RUN make && make install\n"
        "\n"
        "FROM debian:bookworm-slim\n"
        "COPY --from=builder / /\n"
        'CMD ["app"]\n'
    ),
    good=Example(
        "FROM debian:bookworm-slim AS builder\n"
        "WORKDIR /src\n"
        "COPY Makefile main.c ./\n"
        "RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt,sharing=locked \\\n"
        "    apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev make\n"
        "RUN make && make install\n"
        "\n"
        "FROM debian:bookworm-slim\n"
        "COPY --from=builder /usr/local/bin/app /usr/local/bin/app\n"
        'CMD ["app"]\n'
    ),
    check=check,
)
