"""The sandbox of one build: made at its first RUN, taken down at its end."""

from __future__ import annotations

import threading
from typing import Literal

from slimstage.sandbox.backends import make_sandbox
from slimstage.sandbox.spec import Sandbox


class SandboxOnce:
    """Gives the same sandbox each time it is called; nothing is started before. Safe for several threads."""

    def __init__(self, backend: Literal["native", "runc"]) -> None:
        self._backend = backend
        self._lock = threading.Lock()
        self._made: Sandbox | None = None

    def __call__(self) -> Sandbox:
        """The sandbox. Raises SandboxError when the backend cannot work on this host."""
        with self._lock:
            if self._made is None:
                self._made = make_sandbox(self._backend)
            return self._made

    def close(self) -> None:
        """Idempotent."""
        with self._lock:
            close = getattr(self._made, "close", None)
            if close is not None:
                close()
            self._made = None
