"""An argument that is new with every build stands in front of steps that do not use it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from slimstage.dockerfile.instructions import Arg, Env, Instruction, Label, OnBuild, Run
from slimstage.lint.finding import Finding
from slimstage.lint.installing import installs_packages
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import StageView, Subject
from slimstage.regex import pattern

_NEW_EACH_TIME = pattern(
    r"(?i)(?:APP_|SOURCE_|IMAGE_|PROJECT_|REPO_|RELEASE_|SERVICE_|CI_|BUILD_|GIT_|VCS_)?"
    r"(?:(?:GIT|VCS|COMMIT|SHA|SHORT_SHA|REVISION|REF)(?:_(?:SHA1?|COMMIT|HASH|REF|REV|REVISION|TAG|DESCRIBE|BRANCH|ID|SHORT))*"
    r"|BUILD_?(?:DATE|TIME|TIMESTAMP|NUMBER|NUM|ID|REVISION)|TIMESTAMP|CREATED_AT|RELEASE_DATE)\Z"
    r"|(?:GITHUB|GITLAB|JENKINS|BUILDKITE|CIRCLE)_.*\Z"
)
"""Names of this project's own commit and build; a commit of something else (`TRITON_COMMIT`) is a version like others."""
_NO_VALUE = frozenset(
    ("", "unknown", "dev", "local", "none", "head", "main", "master", "latest", "0", "n/a", "undefined")
)
"""Defaults that stand for a value that the build is to give."""


def check(subject: Subject) -> Iterator[Finding]:
    for stage in subject.stages:
        if not stage.is_needed:
            continue
        for position, instruction in enumerate(stage.instructions):
            if not isinstance(instruction, Arg):
                continue
            for each in instruction.args:
                default = (each.value or "").strip("\"'").lower()
                if not _NEW_EACH_TIME.match(each.name) or default not in _NO_VALUE:
                    continue
                slowed = _in_front_of_use(subject, stage, position, each.name)
                if slowed is None:
                    continue
                yield Finding(
                    RULE.name,
                    f"{each.name} is new with each build, and all behind this line runs again, "
                    f"line {slowed.span.line} too, which does not use it",
                    each.span,
                    hint="move the ARG, and the ENV or LABEL made of it, behind that line: in front of what uses it",
                )


def _in_front_of_use(subject: Subject, stage: StageView, position: int, name: str) -> Instruction | None:
    """The first RUN that installs packages and comes before any RUN that uses the value; None when there is none.

    LABEL never runs; an ENV that passes the value on makes another name of it, which counts as the same.
    """
    names = {name}
    for instruction in stage.instructions[position + 1 :]:
        texts = _texts(instruction)
        uses = any(re.search(rf"\$\{{?{re.escape(each)}\b", text) for each in names for text in texts)
        if isinstance(instruction, Env) and uses:
            names |= {pair.name for pair in instruction.pairs if "$" in (pair.value or "")}
        elif isinstance(instruction, Run):
            # A program may ask the environment for the name without the shell seeing it.
            if uses or any(re.search(rf"\b{re.escape(each)}\b", text) for each in names for text in texts):
                return None
            if installs_packages(subject, stage, instruction):
                return instruction
        elif uses and not isinstance(instruction, Label | Arg | OnBuild):
            return None
    return None


def _texts(instruction: Instruction) -> list[str]:
    return [instruction.text, *(heredoc.content for heredoc in getattr(instruction, "heredocs", ()))]


RULE = Rule(
    name="EarlyArgInvalidates",
    group="caching",
    summary="an argument that is new with each build stands in front of steps that do not use it",
    why="""\
An ARG is part of the environment of every RUN behind it, and so of its cache key: when the commit's digest is declared at the
top, each commit installs all packages again. Declared directly in front of what uses it, it costs nothing.

Told for names that say commit, revision, build date or build number, when a RUN that installs packages stands between the ARG
and its first use. Silent for versions of what is installed (`PYTHON_VERSION`), and for a name that a RUN uses first.
""",
    bad=Example(
        "FROM python:3.12-slim\n"
        "ARG GIT_SHA\n"
        "WORKDIR /app\n"
        "COPY requirements.txt .\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip install -r requirements.txt\n"
        "COPY serve.py .\n"
        "LABEL org.opencontainers.image.revision=$GIT_SHA\n"
        'CMD ["python", "serve.py"]\n'
    ),
    good=Example(
        "FROM python:3.12-slim\n"
        "WORKDIR /app\n"
        "COPY requirements.txt .\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip install -r requirements.txt\n"
        "COPY serve.py .\n"
        "ARG GIT_SHA\n"
        "LABEL org.opencontainers.image.revision=$GIT_SHA\n"
        'CMD ["python", "serve.py"]\n'
    ),
    check=check,
)
