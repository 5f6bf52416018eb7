"""What a container printed, in a file: one JSON object a line, `{"t": seconds, "s": 1 or 2, "d": text}`.

`d` ends with a newline where the container's line did; bytes that are no UTF-8 come back as they were.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator

from slimstage.values import dataclass

_LONGEST_LINE = 16 << 10
"""As Docker's json-file: a longer line is kept in pieces."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A line, or a piece of a long one: `stream` 1 is stdout, 2 is stderr; `data` with its newline."""

    at_s: float
    stream: int
    data: bytes


class LogWriter:
    """Takes output as it comes and writes whole lines. `now`: seconds since the epoch."""

    def __init__(self, path: str, now: Callable[[], float] = time.time) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, 0o600)
        self._now = now
        self._pending = {1: b"", 2: b""}

    def __call__(self, stream: int, data: bytes) -> None:
        lines = _split_at_newlines(self._pending[stream] + data)
        pending = b""
        if lines and not lines[-1].endswith(b"\n") and len(lines[-1]) < _LONGEST_LINE:
            pending = lines.pop()
        self._pending[stream] = pending
        self._write(stream, lines)

    def close(self) -> None:
        """Writes what is left without a newline. Idempotent."""
        if self._descriptor < 0:
            return
        for stream, rest in self._pending.items():
            if rest:
                self._write(stream, [rest])
        os.close(self._descriptor)
        self._descriptor = -1

    def _write(self, stream: int, lines: list[bytes]) -> None:
        if lines:
            at = round(self._now(), 6)
            text = "".join(
                json.dumps({"t": at, "s": stream, "d": line.decode("utf-8", "surrogateescape")}) + "\n"
                for line in lines
            )
            os.write(self._descriptor, text.encode("ascii"))


def _split_at_newlines(data: bytes) -> list[bytes]:
    """As `splitlines`, but only a newline ends a line."""
    parts = data.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def read_log(path: str, *, tail: int | None = None, since_s: float | None = None) -> list[LogEntry]:
    """The entries so far: all, the last `tail` of them, those not older than `since_s`. No file is an empty log."""
    try:
        with open(path, "rb") as file:
            kept: deque[LogEntry] = deque(maxlen=tail)
            for line in file:
                entry = _entry(line)
                if entry is not None and (since_s is None or entry.at_s >= since_s):
                    kept.append(entry)
            return list(kept)
    except FileNotFoundError:
        return []


def follow_log(
    path: str,
    is_over: Callable[[], bool],
    *,
    tail: int | None = None,
    since_s: float | None = None,
    pause_s: float = 0.1,
) -> Iterator[LogEntry]:
    """The entries so far, then new ones as they come, until `is_over` says that none will."""
    offset = 0
    first, rest = True, b""
    while True:
        over = is_over()  # asked before reading: what was written before the end is still read
        data = _read_from(path, offset)
        offset += len(data)
        *lines, rest = (rest + data).split(b"\n")
        entries = [e for e in map(_entry, lines) if e is not None and (since_s is None or e.at_s >= since_s)]
        if first and tail is not None:
            entries = entries[-tail:] if tail else []
        first = False
        yield from entries
        if over:
            return
        time.sleep(pause_s)


def _read_from(path: str, offset: int) -> bytes:
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read()
    except FileNotFoundError:
        return b""


def _entry(line: bytes) -> LogEntry | None:
    """None for a line that a crash cut short."""
    try:
        record = json.loads(line)
        return LogEntry(float(record["t"]), int(record["s"]), record["d"].encode("utf-8", "surrogateescape"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
