"""What a source imports, as values. Pure."""

from __future__ import annotations

from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class Import:
    """One import. module: as written, "" in `from . import x`. level: leading dots. names: of `from`, () without; `*` too.

    is_optional: in a `try` that goes on without it. is_typing: only for type checkers. is_deferred: in a function, or by a lazy
    loader. is_main: only when the source is run as a program.
    """

    module: str
    level: int = 0
    names: tuple[str, ...] = ()
    line: int = 0
    is_optional: bool = False
    is_typing: bool = False
    is_deferred: bool = False
    is_main: bool = False


@dataclass(frozen=True, slots=True)
class Imports:
    """All imports of a source.

    below: (module, level) of packages of which any module may be imported by a computed name. groups: of entry points that are
    asked for, "" where the group is computed. dynamic: lines of imports of which nothing is known. exported: `__all__`.
    """

    imports: tuple[Import, ...] = ()
    below: tuple[tuple[str, int], ...] = ()
    groups: tuple[str, ...] = ()
    dynamic: tuple[int, ...] = ()
    exported: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
