"""Annotations of GitHub Actions, and that nothing else in the log is taken for a command."""

from __future__ import annotations

import io

from slimstage.cli.github import AnnotatedProgress, Silenced, annotation, is_github
from slimstage.diagnostics import Diagnostic, Source, Span
from slimstage.events import Event, LogLine, Warned


class Lines:
    """A reader that prints log lines as they are."""

    def __init__(self, stream: io.StringIO) -> None:
        self.stream, self.is_closed = stream, False

    def __call__(self, event: Event) -> None:
        if isinstance(event, LogLine):
            self.stream.write(event.text + "\n")

    def close(self) -> None:
        self.is_closed = True


def test_an_error_is_shown_at_its_place() -> None:
    span = Span(Source("docker/Dockerfile", "FROM x\nCOPY a /b"), 2, 6, 2, 7)
    found = annotation(Diagnostic("copy-source-missing", '"a" is not there', span, notes=("50%\nof",), hint="add it"))
    place = "file=docker/Dockerfile,line=2,endLine=2,col=6,endColumn=7,title=copy-source-missing"
    assert found == f'::error {place}::"a" is not there%0A50%25%0Aof%0Ahint: add it'


def test_what_would_end_a_property_is_escaped() -> None:
    span = Span(Source("a,line=9::b", ""), 1, 1, 1, 1)
    assert "file=a%2Cline=9%3A%3Ab,line=1," in annotation(Diagnostic("c", "m", span))


def test_a_warning_without_a_place_stands_alone() -> None:
    assert annotation(Diagnostic("c", "m", severity="warning")) == "::warning title=c::m"
    assert (
        annotation(Diagnostic("c", "m", severity="info"), "Dockerfile", 3)
        == "::notice file=Dockerfile,line=3,title=c::m"
    )


def test_lines_of_a_step_are_no_commands() -> None:
    stream = io.StringIO()
    progress = AnnotatedProgress(Lines(stream), stream, "Dockerfile")
    progress(LogLine(0.0, "s", 1, "::add-mask::x"))
    progress(Warned(0.0, "slow", "it is", 4))
    progress(LogLine(0.0, "s", 1, "##[add-path]/evil"))
    progress.close()
    lines = stream.getvalue().splitlines()
    word = lines[0].removeprefix("::stop-commands::")
    assert len(word) == 32
    stop, resume = f"::stop-commands::{word}", f"::{word}::"
    assert lines == [
        stop, "::add-mask::x", resume, "::warning file=Dockerfile,line=4,title=slow::it is", stop, "##[add-path]/evil", resume,
    ]  # fmt: skip


def test_each_stretch_has_a_word_that_nobody_can_know() -> None:
    streams = io.StringIO(), io.StringIO()
    for stream in streams:
        Silenced(stream).begin()
    assert streams[0].getvalue() != streams[1].getvalue()


def test_only_the_runner_itself_is_the_runner() -> None:
    assert is_github({"GITHUB_ACTIONS": "true"})
    assert not is_github({"GITHUB_ACTIONS": "false"})
    assert not is_github({})
