"""Everything is copied, and it is very much."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint.contents import biggest, picked, total_bytes
from slimstage.lint.finding import Finding
from slimstage.lint.kinds import kind_of
from slimstage.lint.places import word_span
from slimstage.lint.rule import Example, Rule
from slimstage.lint.rules.no_ignore_file import first_whole_copy
from slimstage.lint.subject import Subject
from slimstage.lint.wording import size_text

LARGEST = 500_000_000
"""Bytes that a project's own files may have."""


def check(subject: Subject) -> Iterator[Finding]:
    if subject.context is None or (whole := first_whole_copy(subject)) is None:
        return
    stage, copy, word = whole
    files = picked(subject, stage, copy) or []
    # What has a name of its own is told by the rule of that name: junk, data, weights, checkpoints.
    other = [file for file in files if kind_of(file.path, file.size_bytes) is None]
    if total_bytes(other) < LARGEST:
        return
    shown = ", ".join(f'"{name}" ({size_text(size)})' for name, size in biggest(other))
    yield Finding(
        RULE.name,
        f"this copies {size_text(total_bytes(other))} from the context, most of it in {shown}",
        word_span(subject, copy, word),
        hint=f"name what is needed, or keep the rest out with {subject.ignore_name}",
    )


RULE = Rule(
    name="BigContext",
    group="caching",
    severity="info",
    summary="a COPY of everything takes more than 500 MB",
    why="""\
`COPY . .` of a large directory is slow to digest, slow to copy, and makes one large layer that changes with every file in it.
The finding names the three directories that hold most.

Weights, data, checkpoints, and what no image needs are left out of the sum: rules of their own tell them.
""",
    bad=Example(
        'FROM python:3.12-slim\nWORKDIR /app\nCOPY . .\nCMD ["python", "serve.py"]\n',
        files={"serve.py": "print()\n", "videos/demo.mp4": 700_000_000},
        ignore=".git\n",
    ),
    good=Example(
        'FROM python:3.12-slim\nWORKDIR /app\nCOPY serve.py .\nCMD ["python", "serve.py"]\n',
        files={"serve.py": "print()\n", "videos/demo.mp4": 700_000_000},
        ignore=".git\n",
    ),
    check=check,
)
