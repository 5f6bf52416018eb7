"""Under GitHub Actions: errors and warnings become annotations at the Dockerfile's lines.

What a build prints is others' text, and the runner takes lines of it for commands. So between the first event and the end
it is told to stop doing so, with a word that no step can know.
Source: GitHub's documentation, "Workflow commands for GitHub Actions".
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

from slimstage.diagnostics import Diagnostic, shown
from slimstage.events import Event, Warned

if TYPE_CHECKING:
    from slimstage.cli.progress.choose import Progress

_LEVELS = {"error": "error", "warning": "warning", "info": "notice"}


def is_github(environ: Mapping[str, str] = os.environ) -> bool:
    return environ.get("GITHUB_ACTIONS") == "true"


def annotation(diagnostic: Diagnostic, file: str | None = None, line: int | None = None) -> str:
    """The workflow command that shows it. file, line: its place where it has no span of its own."""
    properties: dict[str, object] = {}
    span = diagnostic.span
    if span is not None:
        properties = {
            "file": span.file, "line": span.line, "endLine": span.end_line, "col": span.column, "endColumn": span.end_column,
        }  # fmt: skip
    elif file is not None:
        properties = {"file": file, "line": line or 1}
    properties["title"] = diagnostic.code
    texts = [diagnostic.message, *diagnostic.notes, *([f"hint: {diagnostic.hint}"] if diagnostic.hint else [])]
    words = [shown(line) for text in texts for line in text.split("\n")]
    listed = ",".join(f"{key}={_property(shown(str(value)))}" for key, value in properties.items())
    return f"::{_LEVELS[diagnostic.severity]} {listed}::{_data(chr(10).join(words))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


class Silenced:
    """A stretch of output in which the runner takes no line for a command."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._word = stream, os.urandom(16).hex()
        self._is_on = False

    def begin(self) -> None:
        """Idempotent."""
        if not self._is_on:
            self._is_on = True
            self._write(f"::stop-commands::{self._word}")

    def end(self) -> None:
        """Idempotent."""
        if self._is_on:
            self._is_on = False
            self._write(f"::{self._word}::")

    def say(self, command: str) -> None:
        """A command of our own in between."""
        was_on = self._is_on
        self.end()
        self._write(command)
        if was_on:
            self.begin()

    def _write(self, line: str) -> None:
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            pass  # nobody reads


def annotated(inner: Progress, stream: TextIO, file: str | None) -> Progress:
    """The reader itself elsewhere; under GitHub Actions one whose warnings are annotations too."""
    return AnnotatedProgress(inner, stream, file) if is_github() else inner


class AnnotatedProgress:
    """A reader of events whose warnings are annotations too. file: the Dockerfile, as the repository names it."""

    def __init__(self, inner: Progress, stream: TextIO, file: str | None) -> None:
        self._inner, self._file, self._silenced = inner, file, Silenced(stream)

    def __call__(self, event: Event) -> None:
        self._silenced.begin()
        self._inner(event)
        if isinstance(event, Warned):
            warning = Diagnostic(event.code, event.message, severity="warning")
            self._silenced.say(annotation(warning, self._file if event.line else None, event.line))

    def close(self) -> None:
        self._inner.close()
        self._silenced.end()
