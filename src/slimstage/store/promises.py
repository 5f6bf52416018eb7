"""What is not on this disk but can be brought: known by name and size, fetched when its bytes are asked for.

A hit in a cache of another machine, or the layer of a base that only stands below such hits, is a promise. Most of them
are never kept: an image whose layers the registry has already is pushed without one byte of them coming here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from slimstage.errors import StoreError
from slimstage.values import dataclass

Key = TypeVar("Key")


class PromiseBroken(StoreError):
    """What was promised does not come: gone, unreachable, or other bytes than its digest says.

    Whoever planned with it plans again without: the one who promised will not do so a second time.
    """

    default_code = "promise-broken"


@dataclass(frozen=True, slots=True)
class Promise:
    """size_bytes: of what will be there. bring: puts it in its place, or raises PromiseBroken; may be called twice."""

    size_bytes: int
    bring: Callable[[], None]


class Promises(Generic[Key]):
    """The promises of one process for one kind of thing. Safe for threads: a thing is brought once at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Key, Promise] = {}
        self._flights: dict[Key, threading.Lock] = {}

    def __bool__(self) -> bool:
        return bool(self._known)

    def add(self, key: Key, promise: Promise) -> None:
        """From now on `key` can be had; a later promise of the same thing takes the place of an earlier one."""
        with self._lock:
            self._known[key] = promise

    def get(self, key: Key) -> Promise | None:
        return self._known.get(key)

    def keep(self, key: Key, is_here: Callable[[], bool]) -> bool:
        """Brings it unless it is here by now; False when nobody promised it. Raises PromiseBroken."""
        with self._lock:
            promise = self._known.get(key)
            if promise is None:
                return False
            flight = self._flights.setdefault(key, threading.Lock())
        with flight:
            if not is_here():
                promise.bring()
        return True
