"""Progress of a command that only moves bytes (pull, push): one line that is drawn again, or lines for a log."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TextIO

from slimstage.cli.progress.choose import Progress, Silence, choose_kind
from slimstage.cli.terminal import Paint, has_colour
from slimstage.cli.units import size_text
from slimstage.diagnostics import shown
from slimstage.events import Event, TransferProgress

_REDRAW_S = 0.125
_ERASE = "\r\x1b[K"


class TransferLine:
    """Draws the latest transfer in place, a few times a second; events come from any thread."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._lock = threading.Lock()
        self._drawn_s = -_REDRAW_S
        self._is_drawn = self._is_broken = False

    def __call__(self, event: Event) -> None:
        if not isinstance(event, TransferProgress):
            return
        with self._lock:
            now = self._clock()
            if now - self._drawn_s >= _REDRAW_S:
                self._drawn_s, self._is_drawn = now, True
                self._write(_ERASE + transfer_text(event))

    def close(self) -> None:
        """Wipes the line. Idempotent."""
        with self._lock:
            if self._is_drawn:
                self._is_drawn = False
                self._write(_ERASE)

    def _write(self, text: str) -> None:
        if self._is_broken:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._is_broken = True


def transfer_text(event: TransferProgress) -> str:
    """`NAME  12MB of 80MB (15 %)`."""
    done, total = event.done_bytes, event.total_bytes
    if not total:
        return f"{shown(event.what)}  {size_text(done)}"
    return f"{shown(event.what)}  {size_text(done)} of {size_text(total)} ({min(100, done * 100 // total)} %)"


def transfer_progress(stream: TextIO, colour: bool | None, *, is_quiet: bool = False) -> Progress:
    """The reader for the stream; the caller closes it."""
    kind = choose_kind(None, stream, is_quiet=is_quiet)
    if kind == "quiet":
        return Silence()
    if kind == "tty":
        return TransferLine(stream)
    from slimstage.cli.progress.plain import PlainProgress

    return PlainProgress(stream, Paint(has_colour(stream, colour)))
