"""A few things at a time, until all are done or one has failed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TypeVar

from slimstage.errors import Interrupted

T = TypeVar("T")
R = TypeVar("R")

AT_ONCE = 4
"""Blobs on their way; each holds one block of memory."""


class Moved:
    """Adds up bytes that several threads move, and ends them when one has failed."""

    def __init__(self, tell: Callable[[int], object]) -> None:
        """tell: hears of all bytes so far, from any thread."""
        self._tell, self._lock = tell, threading.Lock()
        self._done, self._is_ended = 0, False

    def __call__(self, count: int) -> None:
        """count: bytes since the last call; negative when they have to move again. Raises Interrupted once ended."""
        if self._is_ended:
            raise Interrupted("the transfer was called off")
        with self._lock:
            self._done += count
            done = self._done
        self._tell(done)

    def end(self) -> None:
        self._is_ended = True


def each(items: Iterable[T], do: Callable[[T], R], end: Callable[[], object]) -> list[R]:
    """What `do` gives for each, in order. end: called when one has failed, so that the others stop.

    Raises the first failure in the order of the items, once all have ended.
    """
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait  # only when something moves

    items = list(items)
    if len(items) < 2:
        return [do(item) for item in items]
    with ThreadPoolExecutor(max_workers=min(AT_ONCE, len(items)), thread_name_prefix="copy") as pool:
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
