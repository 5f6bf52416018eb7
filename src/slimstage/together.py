"""A few things at a time, until all are done or one has failed; and the bytes that they move, added up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

from slimstage.errors import Interrupted

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 4
"""Blobs on their way; each holds one block of memory."""


class Ending:
    """Ends what several threads do: each asks it for each block."""

    def __init__(self, cancel: threading.Event | None = None) -> None:
        """cancel: when it is set, they end too."""
        self._cancel, self._is_ended = cancel, False

    def check(self) -> None:
        """Raises Interrupted once ended."""
        if self._is_ended or (self._cancel is not None and self._cancel.is_set()):
            raise Interrupted("the transfer was called off")

    def end(self) -> None:
        """One of them failed: the others need not go on. Idempotent."""
        self._is_ended = True


class Moved(Ending):
    """Adds up bytes that several threads move, and ends them as well."""

    def __init__(self, tell: Callable[[int], object], cancel: threading.Event | None = None) -> None:
        """tell: hears of all bytes so far, from any thread."""
        super().__init__(cancel)
        self._tell, self._lock, self._done = tell, threading.Lock(), 0

    def __call__(self, count: int) -> None:
        """count: bytes since the last call; negative when they have to move again. Raises Interrupted once ended."""
        self.check()
        with self._lock:
            self._done += count
            done = self._done
        self._tell(done)


def together(
    items: Iterable[T],
    do: Callable[[T], R],
    *,
    end: Callable[[], object] = lambda: None,
    at_once: int = AT_ONCE,
    name: str = "together",
) -> list[R]:
    """What `do` gives for each, in order. end: called when one has failed, so that the others stop. name: of the threads.

    Raises the first failure in the order of the items, once all have ended.
    """
    items = list(items)
    if len(items) < 2 or at_once == 1:
        return [do(item) for item in items]
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait  # only when several things move

    with ThreadPoolExecutor(max_workers=min(at_once, len(items)), thread_name_prefix=name) as pool:
        futures = [pool.submit(do, item) for item in items]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in futures:
                if future in done:
                    future.result()
        except BaseException:
            end()
            for future in futures:
                future.cancel()
            raise
    return [future.result() for future in futures]
