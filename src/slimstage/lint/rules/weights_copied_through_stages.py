"""Weights that go from the context into a stage, and from there, unchanged, into the image."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.dockerfile.instructions import Add, Copy, Run
from slimstage.lint.contents import context_copies, destination_of, is_within, picked, source_paths, total_bytes
from slimstage.lint.finding import Finding
from slimstage.lint.kinds import kind_of
from slimstage.lint.places import word_span
from slimstage.lint.rule import Example, Rule
from slimstage.lint.rules.weights_in_early_layer import SMALLEST, is_surely_weights
from slimstage.lint.subject import StageView, Subject
from slimstage.lint.wording import size_text
from slimstage.plan.paths import absolute

_LEAVES_THEM = frozenset(
    (
        "apt-get",
        "apt",
        "apk",
        "dnf",
        "microdnf",
        "yum",
        "pip",
        "pip3",
        "mkdir",
        "echo",
        "set",
        "true",
        "useradd",
        "adduser",
        "groupadd",
    )
)
"""Programs that change no file of a project."""


def check(subject: Subject) -> Iterator[Finding]:
    for view in subject.final.chain():
        for copy in view.instructions:
            if not isinstance(copy, Copy) or copy.from_ is None:
                continue
            source = subject.source_of(view, copy)
            if isinstance(source, StageView):
                yield from _through(subject, view, copy, source)


def _through(subject: Subject, view: StageView, copy: Copy, source: StageView) -> Iterator[Finding]:
    for word in copy.sources:
        path = subject.expanded(view, copy, word)
        for inner in context_copies(source) if path is not None else ():
            into = destination_of(subject, source, inner)
            if path is None or into is None or not _meets(inner, into, absolute(path)):
                continue
            size = _weights(subject, source, inner)
            if size is None or _may_change(subject, source, inner):
                continue
            yield Finding(
                RULE.name,
                f'weights{f" ({size_text(size)})" if size else ""} go through "{source.name}" unchanged: '
                f"line {inner.span.line} copies them from the context",
                word_span(subject, copy, word),
                hint="copy them from the context here",
            )


def _meets(inner: Copy | Add, into: str, path: str) -> bool:
    """The path is what the inner instruction wrote, or holds it."""
    return is_within(into, path) or is_within(path, into)


def _weights(subject: Subject, stage: StageView, copy: Copy | Add) -> int | None:
    """Bytes of weights that the instruction brings, 0 where that is not known; None: it brings none, or other things too."""
    files = picked(subject, stage, copy)
    if files is None:
        paths = [path for _, path in source_paths(subject, stage, copy) or ()]
        return 0 if paths and all(is_surely_weights(path) for path in paths) else None
    weights = [file for file in files if kind_of(file.path, file.size_bytes) == "weights"]
    size = total_bytes(weights)
    return size if size >= SMALLEST and total_bytes(files) < size * 1.1 else None


def _may_change(subject: Subject, stage: StageView, copy: Copy | Add) -> bool:
    """A RUN behind the copy does what is not known to leave them alone."""
    for run in stage.instructions[stage.instructions.index(copy) + 1 :]:
        if isinstance(run, Run):
            script = subject.script(stage, run)
            if script.faults or not script.commands or any(each.name not in _LEAVES_THEM for each in script.commands):
                return True
    return False


RULE = Rule(
    name="WeightsCopiedThroughStages",
    group="ml",
    severity="info",
    summary="weights go through a stage that does nothing with them",
    why="""\
Weights that the final stage copies from a builder, which copied them from the context and did nothing to them, are stored a
second time on the machine that builds, and their layer in the image waits for the builder. Copied from the context directly,
they are read once.

Silent where anything in the builder could change them: a conversion, a quantisation, a chmod.
""",
    bad=Example(
        "FROM python:3.12-slim AS builder\n"
        "RUN python3 -m venv /opt/venv\n"
        "COPY requirements.txt .\n"
        "RUN --mount=type=cache,target=/root/.cache/pip /opt/venv/bin/pip install -r requirements.txt\n"
        "COPY model.onnx /model/\n"
        "\n"
        "FROM python:3.12-slim\n"
        "COPY --from=builder /opt/venv /opt/venv\n"
        "COPY --from=builder /model /model\n"
        "COPY serve.py /app/\n"
        'CMD ["/opt/venv/bin/python", "/app/serve.py"]\n'
    ),
    good=Example(
        "FROM python:3.12-slim AS builder\n"
        "RUN python3 -m venv /opt/venv\n"
        "COPY requirements.txt .\n"
        "RUN --mount=type=cache,target=/root/.cache/pip /opt/venv/bin/pip install -r requirements.txt\n"
        "\n"
        "FROM python:3.12-slim\n"
        "COPY --from=builder /opt/venv /opt/venv\n"
        "COPY model.onnx /model/\n"
        "COPY serve.py /app/\n"
        'CMD ["/opt/venv/bin/python", "/app/serve.py"]\n'
    ),
    check=check,
)
