"""What holds for every test: in CI, property tests try the same examples each time, so that a red run is the change's."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from xdist.scheduler import LoadGroupScheduling

settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "search")

# A shell that starts the suite in the background has it ignore Ctrl-C, and so would every command that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadGroupScheduling | None:
    """With `--dist loadgroup` a file, or a group of files, is done by one worker: what its tests share is made once."""
    if config.getoption("dist") != "loadgroup":
        return None
    from support.scheduling import ByFile

    return ByFile(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    from support.scheduling import long_first

    if config.getoption("dist", "no") == "loadgroup" or hasattr(config, "workerinput"):
        items[:] = long_first(items)
