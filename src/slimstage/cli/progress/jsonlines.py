"""Progress as JSON: one object a line for each event, `event` naming its kind in kebab case."""

from __future__ import annotations

import json
import threading
from dataclasses import fields
from typing import Any, TextIO

from slimstage.events import Event
from slimstage.regex import pattern

_WORD_START = pattern(r"(?<!^)(?=[A-Z])")


def event_object(event: Event) -> dict[str, Any]:
    """`{"event": "step-started", …}` with the event's fields under their own names."""
    name = _WORD_START.sub("-", type(event).__name__.removesuffix("Event")).lower()
    return {"event": name} | {field.name: getattr(event, field.name) for field in fields(event)}


class JsonProgress:
    """Writes each event as it comes; from any thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._lock = stream, threading.Lock()
        self._is_broken = False

    def __call__(self, event: Event) -> None:
        line = json.dumps(event_object(event), ensure_ascii=True) + "\n"
        with self._lock:
            if not self._is_broken:
                try:
                    self._stream.write(line)
                    self._stream.flush()
                except (OSError, ValueError):
                    self._is_broken = True

    def close(self) -> None:
        """Nothing is held open."""
