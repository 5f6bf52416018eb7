"""A file of one stage whose image keeps what only building needs."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint.finding import Finding
from slimstage.lint.places import word_span
from slimstage.lint.rule import Example, Rule
from slimstage.lint.split.offer import offer
from slimstage.lint.subject import Subject
from slimstage.lint.tools_left import full_base, size_notes, tools_left
from slimstage.lint.wording import quoted
from slimstage.lint.workplace import is_workplace


def check(subject: Subject) -> Iterator[Finding]:
    if len(subject.stages) > 1 or is_workplace(subject, subject.final):
        return
    stage = subject.final
    left = tools_left(subject, stage)
    full = full_base(subject, stage)
    if not left and full is None:
        return
    offered = offer(subject, stage)
    if left:
        tools = [name for each in left for name in each.tools]
        stay = "stays" if len(tools) == 1 else "stay"
        message, span = f"{quoted(tools)} {stay} in the image, and only building needs them", left[0].span
    else:
        assert full is not None
        message = f'"{full[0]}" holds compilers, headers and git, and there is no second stage without them'
        span = word_span(subject, stage.stage.from_, stage.stage.from_.image)
    yield Finding(
        RULE.name,
        message,
        span,
        notes=(*size_notes(subject, left), *offered.notes),
        hint=offered.hint,
        fix=offered.fix,
        cause=stage.stage.from_.span,
    )


RULE = Rule(
    name="SingleStageBuildTools",
    group="stages",
    summary="the only stage keeps compilers, headers or git in the image",
    why="""\
`build-essential`, `python3-dev` and `git` are 370 MB on Debian 12, 470 MB with what apt recommends: more than many services
have in all. They are needed for minutes, and shipped for years; each is a program that somebody who gets in can use.

The remedy is a second stage. The first, the builder, has the tools and installs the packages into a virtual environment; the
last has the interpreter, the libraries that are needed at run time, and a copy of that directory.

The fix writes this where every instruction is understood: system packages by apt or apk, packages by pip, files, users,
settings. The builder gets the tools, and the requirement files that only the installation reads; everything else stays in the
last stage, in its order, with its comments. Run-time libraries of known development packages (`libpq-dev` → `libpq5`) are
installed there. Where something is not understood, a note says what, and nothing is changed.

Right all the same: an image to work in. Silent where a shell or nothing is started, where the stage is named for development,
and where something compiles while it runs (jupyter, numba, vllm, triton).
""",
    bad=Example(
        "FROM python:3.12-slim\n"
        "WORKDIR /app\n"
        "RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt,sharing=locked \\\n"
        "    apt-get update && apt-get install -y --no-install-recommends build-essential libpq-dev\n"
        "COPY requirements.txt .\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip install -r requirements.txt\n"
        "COPY serve.py .\n"
        "USER 10001\n"
        'CMD ["python", "serve.py"]\n'
    ),
    good=Example(
        "FROM python:3.12-slim AS builder\n"
        "WORKDIR /app\n"
        "RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt,sharing=locked \\\n"
        "    apt-get update && apt-get install -y --no-install-recommends build-essential libpq-dev\n"
        "RUN python3 -m venv /opt/venv\n"
        "ENV PATH=/opt/venv/bin:$PATH\n"
        "COPY requirements.txt .\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip install -r requirements.txt\n"
        "\n"
        "FROM python:3.12-slim\n"
        "WORKDIR /app\n"
        "RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt,sharing=locked \\\n"
        "    apt-get update && apt-get install -y --no-install-recommends libgomp1 libpq5\n"
        "COPY --from=builder /opt/venv /opt/venv\n"
        "ENV PATH=/opt/venv/bin:$PATH\n"
        "COPY serve.py .\n"
        "USER 10001\n"
        'CMD ["python", "serve.py"]\n'
    ),
    check=check,
    has_fix=True,
)
