"""slimstage builds small container images from multi-stage Dockerfiles, without a daemon.

As a library: `slimstage.build(...)`, described in `slimstage.api`; its events are in `slimstage.events`, its errors in
`slimstage.errors`. Nothing is imported before it is asked for.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as `typing` has it, which the command's start does without
if TYPE_CHECKING:
    from slimstage.api import build
    from slimstage.build.request import BuildResult, OutputSpec, SecretSource
    from slimstage.version import __version__

__all__ = ["BuildResult", "OutputSpec", "SecretSource", "__version__", "build"]


def __getattr__(name: str) -> object:
    """Imports a public name when it is first asked for (PEP 562)."""
    from importlib import import_module

    if name == "build":
        return import_module("slimstage.build")
    if name in ("BuildResult", "OutputSpec", "SecretSource"):
        return getattr(import_module("slimstage.build.request"), name)
    if name == "__version__":
        return import_module("slimstage.version").__version__
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
