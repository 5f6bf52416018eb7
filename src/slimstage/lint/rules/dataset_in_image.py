"""Data for training that ends up in the image."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.dockerfile.instructions import Cmd, Entrypoint
from slimstage.lint.contents import brought, image_copies, source_paths, total_bytes, word_for
from slimstage.lint.finding import Finding
from slimstage.lint.kinds import of_kind
from slimstage.lint.places import word_span
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject
from slimstage.lint.wording import quoted, size_text
from slimstage.regex import pattern

_SMALLEST = 10_000_000
"""Bytes in all. A lookup table of a service is smaller than what a model is trained on."""
_NAMES_TRAINING = pattern(r"(?:.*[-_./])?(?:train|training|test|val|valid|validation|raw)(?:[-_./].*)?\Z")
_TRAINS = pattern(r"\b(?:train|finetune|fit|pretrain)(?:\b|[-_.])")


def check(subject: Subject) -> Iterator[Finding]:
    if any(
        isinstance(each, Cmd | Entrypoint) and _TRAINS.search(each.text)
        for view in subject.final.chain()
        for each in view.instructions
    ):
        return  # the image trains: whether it brings its data is not ours to say
    for stage, copy in image_copies(subject):
        data = of_kind(brought(subject, stage, copy), "dataset")
        named = {path for _, path in source_paths(subject, stage, copy) or ()}
        # A single table that is named on purpose is what the service reads, unless its name says training.
        data = [file for file in data if file.path not in named or _NAMES_TRAINING.match(file.path.lower())]
        size = total_bytes(data)
        if size < _SMALLEST:
            continue
        is_direct = getattr(copy, "from_", None) is None
        word = word_for(subject, stage, copy, data[0].path) if is_direct else copy.sources[0]
        way = "" if is_direct else f' by way of "{getattr(copy, "from_", "")}"'
        yield Finding(
            RULE.name,
            f"{size_text(size)} of data come into the image{way}: {quoted([file.path for file in data], most=3)}",
            word_span(subject, copy, word),
            hint=f"copy the model alone, or keep the data out with {subject.ignore_name}; a training stage keeps it to itself",
            saving_bytes=size,
        )


RULE = Rule(
    name="DatasetInImage",
    group="ml",
    summary="data for training ends up in the image",
    why="""\
A service answers from its model; the table the model was fitted on is dead weight in every server, and often data that
should not leave the place where it is kept. It comes in with `COPY . .`, or because the whole directory of the training
stage is copied.

Sizes come from the real context; tables and arrays of 1 MB or more count, and pictures and archives below a directory
`data` or `dataset`. Silent below 10 MB in all, for a table that a COPY names itself (unless its name says train, test, raw),
below `model/` and the like, and for an image whose command trains.
""",
    bad=Example(
        'FROM python:3.12-slim\nWORKDIR /app\nCOPY . .\nCMD ["python", "serve.py"]\n',
        files={"serve.py": "print()\n", "data/train.parquet": 800_000_000},
        ignore=".git\n",
    ),
    good=Example(
        'FROM python:3.12-slim\nWORKDIR /app\nCOPY . .\nCMD ["python", "serve.py"]\n',
        files={"serve.py": "print()\n", "data/train.parquet": 800_000_000},
        ignore=".git\ndata\n",
    ),
    check=check,
)
