"""The engine: scheduler, COPY, RUN, assembly, outputs.

Also what `slimstage.build(...)` calls: a package and a function of one name would hide each other, whichever was imported
last, so this package can be called. See `slimstage.api.build`.
"""

from __future__ import annotations

import sys
from types import ModuleType

TYPE_CHECKING = False  # as `typing` has it
if TYPE_CHECKING:
    from slimstage.build.request import BuildResult


class _Callable(ModuleType):
    def __call__(self, *given: object, **named: object) -> BuildResult:
        from importlib import import_module

        result: BuildResult = import_module("slimstage.api").build(*given, **named)
        return result


sys.modules[__name__].__class__ = _Callable
