"""How long to wait before asking again, and a wait that ends when the work is called off."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import TypeVar

from slimstage.errors import Interrupted, RegistryError
from slimstage.registry.faults import HttpError
from slimstage.values import dataclass

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits grow by two from `first_s`, each drawn between half and all of it; no wait is longer than `longest_s`."""

    attempts: int = 5
    first_s: float = 0.4
    longest_s: float = 30.0

    def wait_s(self, failures: int, retry_after_s: float | None, chance: float) -> float:
        """Seconds to wait after so many failures (1 or more). chance: 0 to 1.

        What the server asks for is a floor, so that a crowd sent away together does not come back together.
        """
        grown = min(self.longest_s, self.first_s * 2 ** min(failures - 1, 16))
        jittered: float = grown * (0.5 + 0.5 * chance)
        if retry_after_s is None:
            return jittered
        return min(self.longest_s, retry_after_s + self.first_s * chance)


class Pauses:
    """Waits of one client. `end()` wakes all of them: they raise Interrupted, and so does every later one."""

    def __init__(
        self,
        backoff: Backoff | None = None,
        *,
        wait: Callable[[float], object] | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.backoff = backoff or Backoff()
        self._ended = threading.Event()
        self._wait, self._chance = wait or self._ended.wait, chance

    def end(self) -> None:
        self._ended.set()

    def check(self) -> None:
        """Raises Interrupted once ended: transfers look here between two blocks."""
        if self._ended.is_set():
            raise Interrupted("the transfer was called off")

    def after(self, failures: int, error: RegistryError) -> None:
        """Waits after a failure. Raises Interrupted when ended meanwhile."""
        asked = error.retry_after_s if isinstance(error, HttpError) else None
        self._wait(self.backoff.wait_s(failures, asked, self._chance()))
        self.check()

    def repeat(self, do: Callable[[], T], attempts: int | None = None) -> T:
        """What `do` returns; asked again after temporary RegistryErrors, the last of which is raised.

        Only for what may be repeated without harm.
        """
        most = attempts or self.backoff.attempts
        failures = 0
        while True:
            self.check()
            try:
                return do()
            except RegistryError as error:
                failures += 1
                if not error.is_temporary or failures >= min(most, patience(error)):
                    raise
                self.after(failures, error)


def patience(error: RegistryError) -> int:
    """Attempts that a failure is worth: a host that nobody knows or that does not answer seldom appears a moment later."""
    return {"unknown-host": 2, "unreachable": 3}.get(error.code, 1_000)
