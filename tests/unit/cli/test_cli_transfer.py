"""Progress of a command that only moves bytes."""

from __future__ import annotations

import io

import pytest

from slimstage.cli.progress.choose import Silence
from slimstage.cli.progress.plain import PlainProgress
from slimstage.cli.progress.transfer import TransferLine, transfer_progress, transfer_text
from slimstage.events import BaseProgress, TransferProgress


def at(done: int, total: int | None = 80_000_000, what: str = "app:1") -> TransferProgress:
    return TransferProgress(0.0, "", what, done, total)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (at(12_000_000), "app:1  12MB of 80MB (15 %)"),
        (at(90_000_000), "app:1  90MB of 80MB (100 %)"),
        (at(5, None), "app:1  5B"),
        (at(0, 0, "a\x1b[31m"), "a\\x1b[31m  0B"),
    ],
)
def test_what_a_transfer_looks_like(event: TransferProgress, text: str) -> None:
    assert transfer_text(event) == text


def test_one_line_is_drawn_again_a_few_times_a_second_and_wiped_at_the_end() -> None:
    stream, now = io.StringIO(), [0.0]
    line = TransferLine(stream, clock=lambda: now[0])
    line(BaseProgress(0.0, "app:1", "is of no interest"))
    assert stream.getvalue() == ""
    for seconds, done in ((0.0, 1), (0.05, 2), (0.2, 3), (0.21, 4)):
        now[0] = seconds
        line(at(done))
    line.close()
    line.close()
    assert stream.getvalue() == "\r\x1b[Kapp:1  1B of 80MB (0 %)\r\x1b[Kapp:1  3B of 80MB (0 %)\r\x1b[K"


def test_nothing_drawn_is_nothing_wiped() -> None:
    stream = io.StringIO()
    TransferLine(stream).close()
    assert stream.getvalue() == ""


def test_a_stream_that_broke_is_left_alone() -> None:
    stream = io.StringIO()
    line = TransferLine(stream, clock=lambda: 0.0)
    stream.close()
    line(at(1))
    line.close()


def test_who_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(transfer_progress(Terminal(), None), TransferLine)
    assert isinstance(transfer_progress(io.StringIO(), None), PlainProgress)
    assert isinstance(transfer_progress(Terminal(), None, is_quiet=True), Silence)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(transfer_progress(Terminal(), None), PlainProgress)
