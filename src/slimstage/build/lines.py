"""Bytes as they come from a step → lines with their stream, for events; the last ones are kept for the error."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

_LONGEST = 64 << 10
"""Bytes of a line that are held back; a longer one is passed on in pieces."""


class Redactor:
    """Puts `***` in place of values. values: the longest first, so that one within another leaves no rest of it."""

    def __init__(self, values: Sequence[bytes]) -> None:
        self._values = values
        self.longest = max(map(len, values), default=0)
        """Bytes: as many less one at the end of what was seen may be the beginning of a value."""

    def __call__(self, data: bytes) -> bytes:
        for value in self._values:
            data = data.replace(value, b"***")
        return data


class Lines:
    """Splits output into lines. `flush` passes on what stands without a newline at the end."""

    def __init__(self, emit: Callable[[int, str], None], redact: Redactor, keep: int = 20) -> None:
        self._emit, self._redact = emit, redact
        self._partial = {1: b"", 2: b""}
        self.last: deque[str] = deque(maxlen=keep)

    def __call__(self, stream: int, data: bytes) -> None:
        *whole, rest = (self._partial[stream] + data).split(b"\n")
        for line in whole:
            self._say(stream, line)
        if len(rest) > _LONGEST + self._redact.longest:
            rest = self._redact(rest)
            kept = max(0, self._redact.longest - 1)  # a value may have begun there
            self._say(stream, rest[: len(rest) - kept])
            rest = rest[len(rest) - kept :]
        self._partial[stream] = rest

    def flush(self) -> None:
        for stream, rest in self._partial.items():
            if rest:
                self._say(stream, rest)
            self._partial[stream] = b""

    def _say(self, stream: int, line: bytes) -> None:
        # A progress bar overwrites its own line: only what would be seen at the end is kept.
        text = self._redact(line.rstrip(b"\r").rsplit(b"\r", 1)[-1]).decode("utf-8", "surrogateescape")
        self.last.append(text)
        self._emit(stream, text)
