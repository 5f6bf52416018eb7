"""Weights and sources come by one instruction, so they are one layer: a changed line makes the weights travel again."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint.contents import context_copies, picked, total_bytes, word_for
from slimstage.lint.finding import Finding
from slimstage.lint.kinds import kind_of
from slimstage.lint.places import word_span
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject
from slimstage.lint.wording import quoted, size_text

_SMALLEST = 50_000_000
"""Bytes. What is less travels in a moment."""
_SOURCES = (".py", ".js", ".ts", ".html", ".go", ".rs", ".java", ".rb", ".r", ".jl")


def check(subject: Subject) -> Iterator[Finding]:
    for view in subject.final.chain():
        for copy in context_copies(view):
            files = picked(subject, view, copy) or []
            weights = [file for file in files if kind_of(file.path, file.size_bytes) == "weights"]
            if total_bytes(weights) < _SMALLEST or not any(file.path.lower().endswith(_SOURCES) for file in files):
                continue
            largest = sorted(weights, key=lambda file: (-file.size_bytes, file.path))
            yield Finding(
                RULE.name,
                f"weights ({size_text(total_bytes(weights))}) and sources are one layer: each change of a source moves "
                f"{quoted([file.path for file in largest], most=2)} again",
                word_span(subject, copy, word_for(subject, view, copy, largest[0].path)),
                hint="copy the weights first, in an instruction of their own, and leave them out here: COPY --exclude=…",
            )


RULE = Rule(
    name="WeightsInCodeLayer",
    group="ml",
    summary="weights and sources are copied by one instruction",
    why="""\
A layer is pushed and pulled whole. When `COPY . .` brings the model and the program, a changed line of the program is a new
layer of the model's size, for the registry and for every server. Two instructions are two layers; that of the weights stays.

Sizes come from the real context. Silent below 50 MB of weights, and where no source comes with them. `slimstage build --layers
by-package` divides such a layer by itself; other builders do not.
""",
    bad=Example(
        'FROM python:3.12-slim\nWORKDIR /app\nCOPY . .\nCMD ["python", "serve.py"]\n',
        files={"serve.py": "print()\n", "model/model.onnx": 400_000_000},
        ignore=".git\n",
    ),
    good=Example(
        "FROM python:3.12-slim\n"
        "WORKDIR /app\n"
        "COPY model/ model/\n"
        "COPY --exclude=model . .\n"
        'CMD ["python", "serve.py"]\n',
        files={"serve.py": "print()\n", "model/model.onnx": 400_000_000},
        ignore=".git\n",
    ),
    check=check,
)
