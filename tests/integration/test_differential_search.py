"""The differential search is ended by a signal, wherever hypothesis is: its daemon must not outlive it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

_GENERATES = """
import os, sys
from hypothesis import given, strategies
from differential.search import Ended, end_by_signals

cases = 0

@given(strategies.integers())
def each(number):
    global cases
    cases += 1
    if cases == 7:
        os.kill(os.getpid(), int(sys.argv[1]))
    assert cases < 5, "a difference, which is being shrunk"

end_by_signals()
try:
    each()
except Ended:
    os.kill(os.getpid(), int(sys.argv[1]))  # the second one disturbs nobody who closes
    print(cases)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_generating_and_shrinking_at_once(number: signal.Signals) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _GENERATES, str(int(number))],
        cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False, timeout=60,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # as a shell starts what is in the background
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "7\n", "")
