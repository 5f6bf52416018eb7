"""What the runner of a container does with the signals that it gets."""

from __future__ import annotations

import signal
import threading
from typing import cast

from slimstage.container.session import _SignalDesk
from slimstage.sandbox.spec import Running


class Recorded:
    """A running container that only writes down what it is sent."""

    def __init__(self) -> None:
        self.signals: list[int] = []
        self.killed = threading.Event()

    def signal(self, number: int) -> None:
        self.signals.append(number)

    def kill(self) -> None:
        self.killed.set()


def desk(timeout_s: float) -> tuple[_SignalDesk, Recorded]:
    found = _SignalDesk(lambda: (signal.SIGINT, timeout_s))
    running = Recorded()
    found.serve(cast(Running, running))
    return found, running


def test_a_stop_sends_the_stop_signal_and_kills_after_a_while() -> None:
    found, running = desk(0.0)
    with found:
        found._take(signal.SIGTERM, None)
        assert running.killed.wait(30)
    assert running.signals == [signal.SIGINT]
    assert found.has_killed  # so its end by SIGKILL is not taken for a lack of memory


def test_what_ends_in_time_is_not_killed() -> None:
    found, running = desk(600.0)
    with found:
        found._take(signal.SIGTERM, None)
    assert not running.killed.is_set()
    assert not found.has_killed


def test_a_second_interrupt_kills() -> None:
    found, running = desk(600.0)
    with found:
        found._take(signal.SIGINT, None)
        assert (running.signals, found.has_killed) == ([signal.SIGINT], False)
        found._take(signal.SIGINT, None)
    assert running.killed.is_set()
    assert found.has_killed


def test_signals_that_came_before_the_start_are_handed_on_at_the_start() -> None:
    found = _SignalDesk(lambda: (signal.SIGTERM, 600.0))
    running = Recorded()
    with found:
        found._take(signal.SIGHUP, None)
        assert running.signals == []
        found.serve(cast(Running, running))
    assert running.signals == [signal.SIGHUP]
