"""A large file that is copied in front of the installation of packages."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint.contents import context_copies, picked, takes_whole_context, word_for
from slimstage.lint.finding import Finding
from slimstage.lint.installing import late_install
from slimstage.lint.kinds import kind_of
from slimstage.lint.places import word_span
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject
from slimstage.lint.wording import size_text

SMALLEST = 50_000_000
_INSTALLED = (".whl", ".deb", ".rpm", ".apk", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip", ".run", ".sh", ".jar")
"""What an installation behind it may well read."""


def check(subject: Subject) -> Iterator[Finding]:
    for stage in subject.stages:
        if not stage.is_needed:
            continue
        for copy in context_copies(stage):
            later = late_install(subject, stage, stage.instructions.index(copy))
            if later is None or takes_whole_context(subject, stage, copy):
                continue
            large = [
                file
                for file in picked(subject, stage, copy) or ()
                if file.size_bytes >= SMALLEST
                and not file.path.endswith(_INSTALLED)
                and not (stage.is_final and kind_of(file.path, file.size_bytes) in ("weights", "checkpoint"))
            ]
            if large:
                file = max(large, key=lambda each: each.size_bytes)
                yield Finding(
                    RULE.name,
                    f'"{file.path}" ({size_text(file.size_bytes)}) is copied in front of line {later.span.line}, '
                    "which installs packages and does not read it",
                    word_span(subject, copy, word_for(subject, stage, copy, file.path)),
                    hint="copy it behind the installation",
                )


RULE = Rule(
    name="LargeFileCopiedEarly",
    group="caching",
    summary="a large file is copied in front of the installation of packages",
    why="""\
What is copied first decides whether all behind it comes from the cache. A large file that changes (data, a video, an index)
makes the packages install again, and its layer, below all others, makes every layer above it new for whoever pulls.

Told for files of 50 MB and more in the real context. Silent for archives and packages, which the installation may read; weights
in the final stage are [WeightsInEarlyLayer](weights-in-early-layer.md)'s matter.
""",
    bad=Example(
        "FROM python:3.12-slim\n"
        "WORKDIR /app\n"
        "COPY index/ index/\n"
        "COPY requirements.txt .\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip install -r requirements.txt\n"
        "COPY serve.py .\n"
        'CMD ["python", "serve.py"]\n',
        files={"index/vectors.faiss": 300_000_000, "requirements.txt": "faiss-cpu\n", "serve.py": "print()\n"},
        ignore=".git\n",
    ),
    good=Example(
        "FROM python:3.12-slim\n"
        "WORKDIR /app\n"
        "COPY requirements.txt .\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip install -r requirements.txt\n"
        "COPY index/ index/\n"
        "COPY serve.py .\n"
        'CMD ["python", "serve.py"]\n',
        files={"index/vectors.faiss": 300_000_000, "requirements.txt": "faiss-cpu\n", "serve.py": "print()\n"},
        ignore=".git\n",
    ),
    check=check,
)
