"""Which layers of a deep stack are folded into one directory, so that no step costs more for the steps before it.

A mount with k layers opens k directories, a lookup that finds nothing asks all of them, and the kernel takes 500 at most.
So runs of 64 layers become one layer each (tree/fold.py), once there are enough above them: what a stack is read through
grows by one directory for 64 steps. Every layer is linked once, which costs less than it cost to make.

A folded layer is named by those that it stands for: any process finds it again, and prune takes it like one that no step
needs, as it can be made again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import groupby

GROUP = 64
KEPT = 32
"""Layers on top that are left as they are, beside those of a group that is not full: builds change the end of a stage."""


def folded(stack: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """(layer, what it stands for), base first; a layer that stays as it is stands for itself alone.

    Layers of base images are folded among themselves: the same ones for all that stand on them. Pure.
    """
    for _, run in groupby(stack, key=_is_of_a_base):
        layers = list(run)
        end = max(0, len(layers) - KEPT) // GROUP * GROUP
        for start in range(0, end, GROUP):
            group = layers[start : start + GROUP]
            yield "f" + hashlib.sha256("\n".join(group).encode()).hexdigest(), group
        for layer in layers[end:]:
            yield layer, (layer,)


def _is_of_a_base(layer: str) -> bool:
    return len(layer) > 32  # a name by a chain ID; a step's layer is named by 32 random digits


def is_folded(layer: str) -> bool:
    """True for one that stands for several: its files are theirs, so it takes hardly any room of its own."""
    return len(layer) > 32 and layer.startswith("f")
