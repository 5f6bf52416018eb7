"""A package that an image knows, of whichever kind, with the files that its own list names; `databases.py` finds all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from slimstage.analyze.analysis import OwnerKind
from slimstage.analyze.contents import Contents
from slimstage.analyze.distribution import Distribution
from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class Installed:
    """One package. files: as its list has them, below the root, directories perhaps among them; not resolved.

    layer: of the database that knows it. directory: of a Python package the one of its metadata, of an npm package its
    own. requires: each need as its alternatives, names as they are compared in its kind. is_removed: only a lower layer
    knows it. distribution: of a Python package, without its files.
    """

    kind: OwnerKind
    name: str
    version: str
    layer: int
    directory: str = ""
    files: Sequence[str] = ()
    requires: tuple[tuple[str, ...], ...] = ()
    provides: tuple[str, ...] = ()
    is_requested: bool = False
    is_essential: bool = False
    is_removed: bool = False
    distribution: Distribution | None = None

    @property
    def key(self) -> str:
        """The name by which packages of its kind are compared."""
        return self.distribution.key if self.distribution is not None else self.name


def highest_first(contents: Contents, positions: Iterable[int]) -> list[int]:
    """Positions of one database in several layers: the one that is seen, then those below it."""
    files = contents.files
    return sorted(positions, key=lambda each: (not files.is_seen(each), -files.layers[each]))
