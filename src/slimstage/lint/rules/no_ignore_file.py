"""Everything is copied, and no ignore file keeps out what no image needs."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.dockerfile.instructions import Add, Copy
from slimstage.lint.contents import context_copies, takes_whole_context, total_bytes
from slimstage.lint.finding import Finding, Fix, NewFile
from slimstage.lint.kinds import grouped
from slimstage.lint.places import word_span
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import StageView, Subject
from slimstage.lint.surplus import ignore_lines, surplus
from slimstage.lint.wording import quoted, size_text


def first_whole_copy(subject: Subject) -> tuple[StageView, Copy | Add, str] | None:
    """The first instruction that takes everything of the context, with the word that says so."""
    for stage in subject.stages:
        for copy in context_copies(stage) if stage.is_needed else ():
            if word := takes_whole_context(subject, stage, copy):
                return stage, copy, word
    return None


def check(subject: Subject) -> Iterator[Finding]:
    if subject.context is None or subject.ignore is not None or (whole := first_whole_copy(subject)) is None:
        return
    _, copy, word = whole
    left = surplus(subject, subject.context.files())
    if not left:
        return
    lines = ignore_lines(left)
    names = quoted([path for path, _ in grouped(left)])
    text = "# What no image needs.\n" + "\n".join(lines) + "\n"
    yield Finding(
        RULE.name,
        f'there is no "{subject.ignore_name}", and this copies {names} ({size_text(total_bytes(left))})',
        word_span(subject, copy, word),
        hint=f"write a {subject.ignore_name} with {quoted(lines)}, or name what is to be copied",
        saving_bytes=total_bytes(left) if whole[0].is_final else None,
        fix=Fix(f"write {subject.ignore_name}", files=(NewFile(subject.ignore_name, text),)),
    )


RULE = Rule(
    name="NoIgnoreFile",
    group="caching",
    summary="everything is copied, and no ignore file keeps out what no image needs",
    why="""\
`COPY . .` takes the history of git, virtual environments and caches too: they make the image larger, they may hold secrets
(a token in `.git/config`), and every commit or test run makes the layer, and all behind it, new.

The fix writes a `.dockerignore` with a line for each such directory that the context really has, and nothing else. Files
that a program could read (data, notebooks, `.env`) are other rules' matter. Silent where nothing of the kind is there,
and for directories that the Dockerfile itself speaks of.
""",
    bad=Example(
        'FROM python:3.12-slim\nWORKDIR /app\nCOPY . .\nCMD ["python", "serve.py"]\n',
        files={"serve.py": "print()\n", ".git/objects/pack/pack-1.pack": 40_000_000, ".venv/lib/x.so": 5_000_000},
    ),
    good=Example(
        'FROM python:3.12-slim\nWORKDIR /app\nCOPY . .\nCMD ["python", "serve.py"]\n',
        files={"serve.py": "print()\n", ".git/objects/pack/pack-1.pack": 40_000_000, ".venv/lib/x.so": 5_000_000},
        ignore=".git\n.venv\n",
    ),
    check=check,
    has_fix=True,
)
