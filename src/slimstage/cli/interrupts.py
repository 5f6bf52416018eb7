"""Ctrl-C and SIGTERM during a build: the engine is asked to end, so that nothing is left mounted or half written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def cancelled_by_signals(cancel: threading.Event) -> Iterator[None]:
    """Sets `cancel` at the first signal; a second Ctrl-C raises KeyboardInterrupt where the program stands.

    Outside the main thread, where signals cannot be taken, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if cancel.is_set():
            raise KeyboardInterrupt
        cancel.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
