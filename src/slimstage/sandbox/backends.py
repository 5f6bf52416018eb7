"""The backends by their names."""

from __future__ import annotations

from typing import Literal

from slimstage.sandbox.spec import Sandbox


def make_sandbox(backend: Literal["native", "runc"]) -> Sandbox:
    """A sandbox of that kind; only its own module is imported. Raises SandboxError where it cannot work."""
    if backend == "runc":
        from slimstage.sandbox.runc import RuncSandbox

        return RuncSandbox()
    from slimstage.sandbox.native import NativeSandbox

    return NativeSandbox()
