"""The one public entry of the engine: a request becomes an image."""

from __future__ import annotations

import threading

from slimstage.build.request import BuildRequest, BuildResult
from slimstage.events import Listener, ignore
from slimstage.plan.graph import Graph
from slimstage.store.store import Store


def build(
    request: BuildRequest, store: Store, listener: Listener = ignore, cancel: threading.Event | None = None
) -> BuildResult:
    """Builds the target and writes every output.

    Raises: every kind of SlimstageError; when it does, nothing of the build is left but cached steps.
    """
    raise NotImplementedError


def plan(request: BuildRequest, store: Store, listener: Listener = ignore) -> tuple[Graph, dict[str, bool]]:
    """The graph of the request and, for each step, whether the cache has it. Runs no step."""
    raise NotImplementedError
