"""Notebooks in an image that has nothing to open them with."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint.contents import brought, image_copies, total_bytes, word_for
from slimstage.lint.finding import Finding
from slimstage.lint.kinds import of_kind
from slimstage.lint.places import word_span
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject
from slimstage.lint.wording import counted, quoted, size_text
from slimstage.regex import pattern

_OPENS = pattern(r"(?i)jupyter|notebook|\.ipynb|\bvoila\b|papermill|nbconvert|nbclient|\bmarimo\b|\bipython\b")


def check(subject: Subject) -> Iterator[Finding]:
    if any(_OPENS.search(text) for text in _texts(subject)):
        return
    for stage, copy in image_copies(subject):
        found = of_kind(brought(subject, stage, copy), "notebook")
        if not found:
            continue
        is_direct = getattr(copy, "from_", None) is None
        word = word_for(subject, stage, copy, found[0].path) if is_direct else copy.sources[0]
        size = total_bytes(found)
        yield Finding(
            RULE.name,
            f"{counted(len(found), 'notebook')} ({size_text(size)}) in the image, and nothing to open it with: "
            f"{quoted([file.path for file in found], most=2)}",
            word_span(subject, copy, word),
            severity="warning" if size >= 10_000_000 else None,
            hint=f'add "**/*.ipynb" to {subject.ignore_name}',
            saving_bytes=size,
        )


def _texts(subject: Subject) -> Iterator[str]:
    """All that could bring or use something that opens notebooks."""
    for view in subject.final.chain():
        yield view.stage.from_.image
        for each in view.instructions:
            yield each.text
    for file in subject.context.files() if subject.context else ():
        name = file.path.rpartition("/")[2]
        if "requirements" in name or name in ("pyproject.toml", "environment.yml", "setup.cfg"):
            yield (subject.context.read(file.path) if subject.context else None) or ""


RULE = Rule(
    name="NotebookInImage",
    group="ml",
    severity="info",
    summary="the image holds notebooks and nothing to open them with",
    why="""\
Notebooks keep the output of every cell: pictures, tables, sometimes rows of the data. A service never opens them, and each
run of one makes the layer of `COPY . .` new.

Silent where anything in the file or its requirements speaks of notebooks (jupyter, papermill, nbconvert, voila).
""",
    bad=Example(
        'FROM python:3.12-slim\nWORKDIR /app\nCOPY . .\nCMD ["python", "serve.py"]\n',
        files={"serve.py": "print()\n", "explore.ipynb": 3_000_000},
        ignore=".git\n",
    ),
    good=Example(
        'FROM python:3.12-slim\nWORKDIR /app\nCOPY . .\nCMD ["python", "serve.py"]\n',
        files={"serve.py": "print()\n", "explore.ipynb": 3_000_000},
        ignore=".git\n**/*.ipynb\n",
    ),
    check=check,
)
