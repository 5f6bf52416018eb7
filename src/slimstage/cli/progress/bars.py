"""Progress of a push: on a terminal a bar for each blob on its way, in a log a line for each that arrived."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TextIO

from slimstage.cli.progress.choose import Progress, Silence, choose_kind
from slimstage.cli.progress.plain import PUSHED, PlainProgress
from slimstage.cli.terminal import Paint, has_colour
from slimstage.cli.units import short_digest, size_text
from slimstage.events import BlobPushed, Event, TransferProgress

if TYPE_CHECKING:
    from rich.text import Text

_REDRAWS_PER_S = 8
_BAR = 24


def push_progress(stream: TextIO, colour: bool | None, *, is_quiet: bool = False) -> Progress:
    """The reader for the stream; the caller closes it."""
    kind = choose_kind(None, stream, is_quiet=is_quiet)
    if kind == "quiet":
        return Silence()
    if kind == "tty":
        return TransferBars(stream, colour=has_colour(stream, colour))
    return PlainProgress(stream, Paint(has_colour(stream, colour)))


class TransferBars:
    """A bar for each transfer that is not at its end, below a line for each blob that is there. Events from any thread."""

    def __init__(self, stream: TextIO, *, colour: bool) -> None:
        from rich.console import Console
        from rich.live import Live

        self._lock = threading.Lock()
        self._running: dict[str, TransferProgress] = {}
        self._console = Console(file=stream, no_color=not colour, highlight=False)
        self._live = Live(
            get_renderable=self._draw, console=self._console, refresh_per_second=_REDRAWS_PER_S, transient=True
        )
        self._live.start()

    def __call__(self, event: Event) -> None:
        if isinstance(event, TransferProgress):
            with self._lock:
                self._running[event.what] = event
        elif isinstance(event, BlobPushed):
            with self._lock:
                self._running.pop(event.what, None)
            self._console.print(
                _line(f"{short_digest(event.digest)}: {PUSHED[event.outcome]} {size_text(event.size_bytes)}")
            )

    def close(self) -> None:
        """Takes the bars away; the lines stay. Idempotent."""
        self._live.stop()

    def _draw(self) -> Text:
        with self._lock:
            running = list(self._running.values())
        return _line("\n".join(bar_text(event) for event in running))


def bar_text(event: TransferProgress) -> str:
    """`push 1f6c8c8be1a4  [======>         ]  12MB of 80MB (15 %)`; without a bar while nobody knows how much it will be."""
    if event.total_bytes is None:
        return f"{event.what}  {size_text(event.done_bytes)}"
    total = event.total_bytes
    done = min(event.done_bytes, total)
    filled = _BAR * done // total if total else 0
    bar = ("=" * max(0, filled - 1) + ">" * (filled > 0)).ljust(_BAR)
    per_cent = 100 * done // total if total else 0
    return f"{event.what}  [{bar}]  {size_text(event.done_bytes)} of {size_text(total)} ({per_cent} %)"


def _line(text: str) -> Text:
    from rich.text import Text

    return Text(text, no_wrap=True, overflow="ellipsis")
