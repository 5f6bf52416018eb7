"""Ctrl-C and SIGTERM during long work: it is asked to end, so that nothing is left mounted or half written."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from slimstage.errors import Interrupted


@contextmanager
def cancelled_by_signals(cancel: threading.Event) -> Iterator[None]:
    """Sets `cancel` at the first signal; a second one raises KeyboardInterrupt with its number where the program stands.

    The Interrupted that this leads to says which signal it was.

    Outside the main thread, where signals cannot be taken, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    received: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if cancel.is_set():
            raise KeyboardInterrupt(number)
        cancel.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    except Interrupted as error:
        if received:
            error.signal = received[0]
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def closed_by_signals(close: Callable[[], object], cancel: threading.Event) -> Iterator[None]:
    """As `cancelled_by_signals`, for transfers: `close` ends them at once, however slowly their other end speaks.

    It is called in a thread of its own, at the first signal or else at the end, and has returned when this ends.
    """
    is_over = threading.Event()

    def watch() -> None:
        cancel.wait()
        try:
            close()
        finally:
            is_over.set()

    threading.Thread(target=watch, name="cancel", daemon=True).start()
    try:
        with cancelled_by_signals(cancel):
            yield
    finally:
        cancel.set()
        is_over.wait()
