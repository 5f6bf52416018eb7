"""Readers of a build's events: plain, JSON, terminal; and which of them is chosen."""

from __future__ import annotations

import contextlib
import io
import json
import os
import threading

import pytest

from slimstage.cli.progress.choose import choose_kind, make_progress
from slimstage.cli.progress.jsonlines import JsonProgress, event_object
from slimstage.cli.progress.model import BuildView
from slimstage.cli.progress.plain import PlainProgress
from slimstage.cli.terminal import Paint
from slimstage.errors import UsageError
from slimstage.events import (
    BaseProgress,
    BaseResolved,
    BuildFinished,
    BuildStarted,
    CacheHit,
    Event,
    LogLine,
    OutputWritten,
    StepCancelled,
    StepFailedEvent,
    StepFinished,
    StepStarted,
    TransferProgress,
    Warned,
)

DIGEST = "sha256:" + "0" * 64
BUILD: tuple[Event, ...] = (
    BuildStarted(0.0, ("train", "serve"), 5, "serve"),
    BaseResolved(0.1, "train", "python:3.11", DIGEST),
    CacheHit(0.2, "s0.1", "train", 1, 2, "FROM python:3.11", 1, 100),
    StepStarted(0.5, "s0.2", "train", 2, 2, "RUN make \x1b[31m", 2),
    LogLine(0.92, "s0.2", 1, "text\tx\x07"),
    StepStarted(1.0, "s1.1", "serve", 1, 2, "COPY . .", 5),
    Warned(1.1, "json-args", "use the JSON form", 9),
    StepCancelled(1.2, "s1.1", "serve"),
    StepFinished(1.7, "s0.2", "train", 1.2, 2_000_000, "it had not run before"),
    StepStarted(1.8, "s1.2", "serve", 2, 2, "RUN false", 6),
    StepFailedEvent(1.9, "s1.2", "serve", "exit status 1"),
    OutputWritten(2.0, "oci", "x.tar", DIGEST),
    BuildFinished(2.1, DIGEST, 5, True),
)


def plain(*events: Event) -> list[str]:
    stream = io.StringIO()
    reader = PlainProgress(stream, Paint(False))
    for event in events:
        reader(event)
    reader.close()
    return stream.getvalue().splitlines()


def test_plain_reads_as_buildkits_does() -> None:
    assert plain(*BUILD) == [
        f"[train] base python:3.11 {DIGEST}",
        "#1 [train 1/2] FROM python:3.11",
        "#1 CACHED",
        "#2 [train 2/2] RUN make \\x1b[31m",
        "#2 0.42 text\tx\\x07",
        "#3 [serve 1/2] COPY . .",
        "warning: json-args: use the JSON form (line 9)",
        "#3 CANCELED",
        "#2 DONE 1.2s",
        "#4 [serve 2/2] RUN false",
        "#4 ERROR: exit status 1",
    ]


def test_bases_that_are_made_are_told_before_any_step() -> None:
    making = BaseProgress(0.1, "python:3.11", "installing packages")
    assert plain(making) == ["python:3.11: installing packages"]
    assert event_object(making)["event"] == "base-progress"


def test_a_long_transfer_does_not_fill_the_log() -> None:
    events = [TransferProgress(i / 100, "s0.0", "pull", i << 20, 1000 << 20) for i in range(1001)]
    lines = plain(StepStarted(0, "s0.0", "train", 1, 1, "FROM x", 1), *events)
    assert 5 < len(lines) < 15
    assert lines[-1] == "#1 pull 1.05GB / 1.05GB"


def test_a_stream_that_broke_does_not_stop_the_build() -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    for reader in (PlainProgress(Broken(), Paint(False)), JsonProgress(Broken())):
        for event in BUILD:
            reader(event)


def test_json_has_one_object_for_each_event_with_its_fields() -> None:
    stream = io.StringIO()
    reader = JsonProgress(stream)
    for event in BUILD:
        reader(event)
    documents = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [document["event"] for document in documents][:5] == [
        "build-started", "base-resolved", "cache-hit", "step-started", "log-line",
    ]  # fmt: skip
    assert documents[10]["event"] == "step-failed"
    assert documents[4] == {"event": "log-line", "at_s": 0.92, "step": "s0.2", "stream": 1, "text": "text\tx\x07"}
    assert event_object(BUILD[0])["stages"] == ("train", "serve")


def test_lines_from_several_threads_are_whole() -> None:
    stream = io.StringIO()
    reader = JsonProgress(stream)

    def emit() -> None:
        for _ in range(200):
            reader(LogLine(0.0, "s0.2", 1, "x" * 100))

    threads = [threading.Thread(target=emit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 800
    assert all(json.loads(line)["text"] == "x" * 100 for line in lines)


def test_the_view_counts_what_happened() -> None:
    view = BuildView()
    for event in BUILD[:6]:
        view.apply(event)
    assert [step.title for step in view.stages["serve"].running] == ["COPY . ."]
    step = view.step("s0.2")
    assert step is not None
    assert list(step.last_lines) == ["text\tx\x07"]
    for event in BUILD[6:]:
        view.apply(event)
    assert (view.count("cached"), view.count("done"), view.count("failed"), view.count("cancelled")) == (1, 1, 1, 1)
    assert view.stages["train"].layer_bytes == 2_000_100
    assert view.is_finished
    assert view.count("running") == 0


def test_a_step_that_began_and_turned_out_cached_counts_once() -> None:
    view = BuildView()
    view.apply(StepStarted(0, "s0.0", "train", 1, 1, "FROM x", 1))
    view.apply(CacheHit(1, "s0.0", "train", 1, 1, "FROM x", 1, 5))
    assert view.count("cached") == 1
    assert view.count("running") == 0


def test_events_about_unknown_steps_change_nothing() -> None:
    view = BuildView()
    view.apply(LogLine(0, "s9.9", 1, "x"))
    view.apply(StepFinished(0, "s9.9", "x", 1.0, 1, ""))
    assert view.stages == {}


def test_auto_is_plain_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = io.StringIO()
    assert choose_kind(None, stream) == "plain"
    assert choose_kind("tty", stream) == "plain"
    assert choose_kind("rawjson", stream) == "json"
    assert choose_kind("plain", stream, is_quiet=True) == "quiet"
    leader, follower = os.openpty()
    with open(follower, "w") as terminal:
        assert choose_kind("auto", terminal) == "tty"
        assert choose_kind("plain", terminal) == "plain"
        monkeypatch.setenv("TERM", "dumb")
        assert choose_kind("auto", terminal) == "plain"
    os.close(leader)
    with pytest.raises(UsageError):
        choose_kind("loud", stream)


def test_the_terminal_picture_has_stages_steps_and_their_last_lines() -> None:
    from rich.console import Console

    from slimstage.cli.progress.tty import picture

    view = BuildView()
    for event in BUILD[:6]:
        view.apply(event)
    for width in (60, 160):
        console = Console(file=io.StringIO(), width=width, height=40, force_terminal=False)
        with console.capture() as capture:
            console.print(picture(view, 2.0, width, 40))
        text = capture.get()
        assert "building serve  1/5 steps  1 cached" in text
        assert "train" in text
        assert "2/2 RUN make \\x1b[31m" in text
        assert "text" in text
        assert "\x07" not in text
        assert all(len(line) <= width for line in text.splitlines())


def test_the_terminal_picture_has_the_bases_that_are_being_made() -> None:
    from rich.console import Console

    from slimstage.cli.progress.tty import picture

    def drawn() -> str:
        console = Console(file=io.StringIO(), width=80, height=40)
        with console.capture() as capture:
            console.print(picture(view, 2.0, 80, 40))
        return capture.get()

    view = BuildView()
    for name, doing in (("a", "downloading packages"), ("b", "reading package lists"), ("a", "installing packages")):
        view.apply(BaseProgress(0.1, name, doing))
    assert [line.split() for line in drawn().splitlines()[1:]] == [
        ["●", "a", "installing", "packages"],
        ["●", "b", "reading", "package", "lists"],
    ]
    view.apply(BaseResolved(0.2, "", "a", DIGEST))
    assert "installing" not in drawn()
    view.apply(BUILD[0])
    assert "reading" not in drawn()


def test_the_terminal_picture_fits_a_low_terminal() -> None:
    from rich.console import Console

    from slimstage.cli.progress.tty import picture

    view = BuildView()
    for event in BUILD[:6]:
        view.apply(event)
    console = Console(file=io.StringIO(), width=80, height=5)
    with console.capture() as capture:
        console.print(picture(view, 2.0, 80, 5))
    assert len(capture.get().splitlines()) <= 5


def test_terminal_progress_gives_the_terminal_back() -> None:
    leader, follower = os.openpty()
    with open(follower, "w") as terminal:
        progress = make_progress("tty", terminal, None)
        for event in BUILD:
            progress(event)
        progress.close()
        progress.close()
    seen = b""
    with contextlib.suppress(OSError):  # EIO: the terminal's other end is closed, all of it was read
        while part := os.read(leader, 1 << 16):
            seen += part
    os.close(leader)
    assert seen.count(b"\x1b[?25h") >= seen.count(b"\x1b[?25l") >= 1
