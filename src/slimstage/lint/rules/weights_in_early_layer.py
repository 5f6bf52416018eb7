"""Weights that are copied in front of the installation of packages."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from slimstage.dockerfile.instructions import Add, Copy
from slimstage.lint.contents import source_paths, takes_whole_context, total_bytes
from slimstage.lint.finding import Finding
from slimstage.lint.installing import late_install
from slimstage.lint.kinds import kind_of
from slimstage.lint.places import word_span
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import StageView, Subject
from slimstage.lint.wording import size_text

SMALLEST = 10_000_000
"""Bytes. What is less is pulled in a moment."""
_SURE = (".safetensors", ".onnx", ".pt", ".pth", ".gguf", ".ggml", ".h5", ".keras", ".tflite", ".ckpt", ".caffemodel")
"""Endings of files that are weights whatever the context says."""


def check(subject: Subject) -> Iterator[Finding]:
    stage = subject.final
    for position, copy in enumerate(stage.instructions):
        if not isinstance(copy, Copy | Add) or not copy.sources:
            continue
        later = late_install(subject, stage, position)
        if later is None or takes_whole_context(subject, stage, copy):
            continue
        if found := _weights(subject, stage, copy):
            word, size = found
            yield Finding(
                RULE.name,
                f"weights{f' ({size_text(size)})' if size else ''} are copied in front of line {later.span.line}, "
                "which installs packages: new weights install all again",
                word_span(subject, copy, word),
                hint="copy the weights behind the installation, in an instruction of their own",
            )


def _weights(subject: Subject, stage: StageView, copy: Copy | Add) -> tuple[str, int] | None:
    """The word that brings weights, and how many bytes; 0: not known. None: it brings none, or small ones."""
    is_context = getattr(copy, "from_", None) is None
    for word, path in source_paths(subject, stage, copy) or ():
        if is_context and subject.context is not None:
            files = [
                file
                for file in subject.context.files()
                if (file.path == path or file.path.startswith(path + "/"))
                and not file.is_ignored
                and kind_of(file.path, file.size_bytes) in ("weights", "checkpoint")
            ]
            if total_bytes(files) >= SMALLEST:
                return word, total_bytes(files)
        elif is_surely_weights(path):
            return word, 0
    return None


def is_surely_weights(path: str) -> bool:
    """True of a path that by its ending is one of weights, whatever its size."""
    return posixpath.splitext(path)[1].lower() in _SURE


RULE = Rule(
    name="WeightsInEarlyLayer",
    group="ml",
    summary="weights are copied in front of the installation of packages",
    why="""\
A model is trained again more often than its requirements change. When its weights are copied first, every new model makes the
installation behind it run again, and everybody who pulls gets the packages again beside the weights. Copied last, and in an
instruction of their own, new weights are one new layer.

Sizes come from the real context; without it, files that by their ending are weights count (`.onnx`, `.safetensors`, `.pt`).
Silent below 10 MB.
""",
    bad=Example(
        "FROM python:3.12-slim\n"
        "WORKDIR /app\n"
        "COPY model/model.onnx model/\n"
        "COPY requirements.txt .\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip install -r requirements.txt\n"
        "COPY serve.py .\n"
        'CMD ["python", "serve.py"]\n'
    ),
    good=Example(
        "FROM python:3.12-slim\n"
        "WORKDIR /app\n"
        "COPY requirements.txt .\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip install -r requirements.txt\n"
        "COPY model/model.onnx model/\n"
        "COPY serve.py .\n"
        'CMD ["python", "serve.py"]\n'
    ),
    check=check,
)
