"""What the layers of a stage hold, by purpose, read where they lie in the store."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from slimstage.analyze.directory_layer import DirectoryLayer
from slimstage.analyze.layers import LayerFacts
from slimstage.analyze.purpose import purpose_of
from slimstage.analyze.stacking import Stack
from slimstage.store.snapshots import LayerId
from slimstage.store.store import Store


def stage_purposes(store: Store, layers: Sequence[LayerId]) -> dict[str, int] | None:
    """Bytes by purpose of what is seen when the layers are put on each other; None: one of them was pruned."""
    if not store.snapshots.has(tuple(layers)):
        return None
    stack = Stack()
    with ExitStack() as opened:
        for path in store.snapshots.paths(tuple(layers)):
            layer = DirectoryLayer(path, LayerFacts())
            opened.callback(layer.close)
            stack.add(layer.entries(lambda _path, _size: 0))
    files = stack.finish()
    found: dict[str, int] = {}
    for position in files.seen():
        purpose = purpose_of(files.paths[position], files.sizes[position])
        found[purpose] = found.get(purpose, 0) + files.sizes[position]
    return found
