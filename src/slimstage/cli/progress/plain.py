"""Progress as lines that read well in a log, in the form BuildKit's plain progress has.

#2 [train 2/4] RUN pip install scikit-learn
#2 0.42 Collecting scikit-learn
#2 DONE 12.3s
"""

from __future__ import annotations

import threading
from typing import TextIO

from slimstage.cli.terminal import Paint
from slimstage.cli.units import counted, short_digest, size_text
from slimstage.diagnostics import shown
from slimstage.events import (
    BaseProgress,
    BaseResolved,
    BlobPushed,
    CacheHit,
    CacheMountFilled,
    CacheRead,
    CacheWritten,
    Event,
    LogLine,
    StepCancelled,
    StepFailedEvent,
    StepFinished,
    StepStarted,
    TransferProgress,
    Warned,
)

PUSHED = {"sent": "Pushed", "mounted": "Mounted", "there": "Already there"}
"""What became of a blob, as `docker push` says it."""


class PlainProgress:
    """Writes a line for each event as it comes; from any thread. A stream that broke is not written to again."""

    def __init__(self, stream: TextIO, paint: Paint) -> None:
        self._stream, self._paint = stream, paint
        self._lock = threading.Lock()
        self._numbers: dict[str, int] = {}
        self._started_s: dict[str, float] = {}
        self._transfers: dict[tuple[str, str], int] = {}
        self._is_broken = False

    def __call__(self, event: Event) -> None:
        with self._lock:
            lines = self._lines(event)
            if lines and not self._is_broken:
                try:
                    self._stream.write("".join(line + "\n" for line in lines))
                    self._stream.flush()
                except (OSError, ValueError):
                    self._is_broken = True

    def close(self) -> None:
        """Nothing is held open."""

    def _lines(self, event: Event) -> list[str]:
        match event:
            case StepStarted() | CacheHit():
                is_new = event.step not in self._numbers
                number = self._number(event.step)
                self._started_s[event.step] = event.at_s
                title = self._paint(f"[{shown(event.stage)} {event.number}/{event.of}]", "bold")
                head = [f"#{number} {title} {shown(event.title)}"] if is_new else []
                if not isinstance(event, CacheHit):
                    return head
                source = f" from {shown(event.source)}" if event.source else ""
                return [*head, f"#{number} {self._paint('CACHED', 'cyan')}{source}"]
            case CacheRead():
                has = counted(event.record_count, "step") if event.is_there else "nothing there yet"
                return [f"cache from {shown(event.name)}: {has}"]
            case CacheMountFilled():
                return [f"cache mount {shown(event.id)} from {shown(event.name)}: {size_text(event.file_bytes)}"]
            case CacheWritten():
                what = f"{counted(event.record_count, 'step')}, {counted(event.layer_count, 'layer')}"
                return [f"cache to {shown(event.name)}: {what}, {size_text(event.sent_bytes)} sent"]
            case LogLine():
                since = event.at_s - self._started_s.get(event.step, 0.0)
                return [f"#{self._number(event.step)} {since:.2f} {shown(event.text, tabs=True)}"]
            case StepFinished():
                done = self._paint(f"DONE {event.duration_s:.1f}s", "green")
                return [f"#{self._number(event.step)} {done}"]
            case StepFailedEvent():
                return [f"#{self._number(event.step)} {self._paint('ERROR', 'red', 'bold')}: {shown(event.message)}"]
            case StepCancelled():
                return [f"#{self._number(event.step)} {self._paint('CANCELED', 'yellow')}"]
            case TransferProgress():
                return self._transfer(event)
            case BlobPushed():
                return [f"{short_digest(event.digest)}: {PUSHED[event.outcome]} {size_text(event.size_bytes)}"]
            case BaseResolved():
                digest = f" {event.digest}" if event.digest else ""
                stage = f"[{shown(event.stage)}] " if event.stage else ""
                return [f"{stage}base {shown(event.name)}{digest}"]
            case BaseProgress():
                return [f"{shown(event.name)}: {shown(event.doing)}"]
            case Warned():
                place = f" (line {event.line})" if event.line else ""
                return [f"{self._paint('warning:', 'yellow')} {event.code}: {shown(event.message)}{place}"]
            case _:
                return []

    def _transfer(self, event: TransferProgress) -> list[str]:
        """A line at the start, at the end and at each doubling: a long transfer shows life without filling the log."""
        key = (event.step, event.what)
        last = self._transfers.get(key)
        total_bytes = event.total_bytes
        is_end = total_bytes is not None and event.done_bytes >= total_bytes
        if last is not None:
            was_end = total_bytes is not None and last >= total_bytes
            if event.done_bytes == last or (was_end if is_end else event.done_bytes < 2 * max(last, 1 << 23)):
                return []
        self._transfers[key] = event.done_bytes
        total = f" / {size_text(event.total_bytes)}" if event.total_bytes is not None else ""
        number = f"#{self._number(event.step)} " if event.step else ""
        return [f"{number}{shown(event.what)} {size_text(event.done_bytes)}{total}"]

    def _number(self, step: str) -> int:
        """1 for the step seen first, then up."""
        return self._numbers.setdefault(step, len(self._numbers) + 1)
