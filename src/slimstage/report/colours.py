"""Which purpose has which colour: the same in every report, as far as there are colours. Pure."""

from __future__ import annotations

from collections.abc import Sequence

OTHER = "px"
_USUAL = {
    "cuda": "p0",
    "weights": "p1",
    "library": "p2",
    "application": "p3",
    "interpreter": "p4",
    "build-tools": "p5",
    "bytecode": "p6",
    "tests": "p7",
    "datasets": "p8",
    "system": "p9",
}
COLOURS = tuple(f"p{number}" for number in range(10))
"""Classes of page/style.css."""


def purpose_colours(names: Sequence[str]) -> tuple[str, ...]:
    """A class for each purpose, the largest first: its usual one, else one that no other has here, else `OTHER`."""
    taken = {_USUAL[name] for name in names if name in _USUAL}
    free = [colour for colour in COLOURS if colour not in taken]
    return tuple(_USUAL.get(name) or (free.pop(0) if free else OTHER) for name in names)
