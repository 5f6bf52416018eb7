"""Everything is copied, and the ignore file lets in what no image needs."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint.contents import picked, total_bytes
from slimstage.lint.finding import Finding, Fix, NewFile
from slimstage.lint.kinds import grouped
from slimstage.lint.places import word_span
from slimstage.lint.rule import Example, Rule
from slimstage.lint.rules.no_ignore_file import first_whole_copy
from slimstage.lint.subject import Subject
from slimstage.lint.surplus import ignore_lines, surplus
from slimstage.lint.wording import quoted, size_text

_SMALLEST = 1_000_000
"""Bytes. What is less costs nobody anything."""


def check(subject: Subject) -> Iterator[Finding]:
    if subject.ignore is None or (whole := first_whole_copy(subject)) is None:
        return
    stage, copy, word = whole
    left = surplus(subject, picked(subject, stage, copy) or ())
    if total_bytes(left) < _SMALLEST:
        return
    lines = ignore_lines(left)
    shown = [f'"{path}" ({size_text(size)})' for path, size in grouped(left)[:3]]
    more = len(grouped(left)) - len(shown)
    yield Finding(
        RULE.name,
        f"{subject.ignore_name} lets in {', '.join(shown)}{f' and {more} more' if more else ''}, which no image needs",
        word_span(subject, copy, word),
        hint=f"add {quoted(lines)} to {subject.ignore_name}",
        saving_bytes=total_bytes(left) if stage.is_final else None,
        # A NAME.dockerignore is beside its Dockerfile, which need not be in the context.
        fix=None
        if subject.ignore_name != ".dockerignore"
        else Fix(
            f"add to {subject.ignore_name}",
            files=(NewFile(subject.ignore_name, "\n".join(lines) + "\n", is_addition=True),),
        ),
    )


RULE = Rule(
    name="IgnoreMissesLargeFiles",
    group="caching",
    summary="the ignore file lets in large files that no image needs",
    why="""\
The ignore file is there, and does not name what is large: the history of git, a virtual environment under another name, the
runs of an experiment tracker. `COPY . .` takes it all; a virtual environment alone is often several gigabytes.

The fix adds a line for each such directory of the real context to the end of the ignore file, where it counts whatever the
lines before it say. Silent below 1 MB in all, and for directories that the Dockerfile itself speaks of.
""",
    bad=Example(
        'FROM python:3.12-slim\nWORKDIR /app\nCOPY . .\nCMD ["python", "serve.py"]\n',
        files={"serve.py": "print()\n", "venv/lib/torch.so": 900_000_000, "wandb/run-1/output.bin": 50_000_000},
        ignore=".git\n.venv\n",
    ),
    good=Example(
        'FROM python:3.12-slim\nWORKDIR /app\nCOPY . .\nCMD ["python", "serve.py"]\n',
        files={"serve.py": "print()\n", "venv/lib/torch.so": 900_000_000, "wandb/run-1/output.bin": 50_000_000},
        ignore=".git\n.venv\nvenv\nwandb\n",
    ),
    check=check,
    has_fix=True,
)
