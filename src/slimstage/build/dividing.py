"""`--layers by-package`: the layer of a COPY becomes several, each a layer directory of its own in the store.

This happens when the image is put together: steps, snapshots and keys know nothing of it. The directories are named by
the layer that they come from, so that any process finds them again; prune takes them when no image needs them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Mapping, Sequence

from slimstage.analyze.record import LIMIT_BYTES
from slimstage.build.layering import MOST_LAYERS, Layering, layering, shares
from slimstage.plan.graph import StepId
from slimstage.store.files import guarded
from slimstage.store.records import Record
from slimstage.store.snapshots import LayerId
from slimstage.store.store import Store
from slimstage.tree.divide import SHARED, Listing, directories_of, read_listing, write_part
from slimstage.tree.paths import open_real
from slimstage.values import dataclass

_VERSION = "1"
"""Raised when the same layer is split in another way than before."""
_DIRECTORIES = "directories that several layers share"


@dataclass(frozen=True, slots=True)
class Part:
    """One layer of several, and what it holds; `holds` is "" for a layer that was not split."""

    layer: LayerId
    holds: str = ""


class Divider:
    """Splits the layers of one build's target."""

    def __init__(self, store: Store, base_layers: int) -> None:
        """base_layers: of the base image, which count."""
        self._store, self._base_layers = store, base_layers
        self._listings: dict[LayerId, Listing] = {}

    def divide(self, layers: Mapping[StepId, LayerId], splitting: Collection[StepId]) -> dict[StepId, tuple[Part, ...]]:
        """What each step's layer becomes, base first: several, or itself alone where there is nothing to split.

        layers: of the target's own steps. splitting: those that may be split. Raises StoreError.
        """
        found: dict[StepId, tuple[Part, ...]] = {step: (Part(layer),) for step, layer in layers.items()}
        steps = [step for step in layers if step in splitting]
        wanted = [self._wanted(layers[step]) for step in steps]
        room = MOST_LAYERS - self._base_layers - (len(layers) - len(steps))
        for step, want, share in zip(steps, wanted, shares(wanted, room), strict=True):
            if share > 1:
                found[step] = self._parts(layers[step], MOST_LAYERS if share == want else share)
        return found

    def _wanted(self, layer: LayerId) -> int:
        """How many layers it becomes when there is room."""
        known = self._known(layer, MOST_LAYERS)
        if known is not None:
            return len(known)
        groups = len(self._layering(layer, MOST_LAYERS).groups)
        if groups < 2:
            self._remember(layer, MOST_LAYERS, (Part(layer),))
            return 1
        return groups + 1

    def _parts(self, layer: LayerId, most: int) -> tuple[Part, ...]:
        known = self._known(layer, most)
        if known is None:
            known = self._divided(layer, most)
            self._remember(layer, most, known)
        return known

    def _remember(self, layer: LayerId, most: int, parts: tuple[Part, ...]) -> None:
        key = _key(layer, most)
        titles = json.dumps([part.holds for part in parts])
        self._store.records.put(Record(key, key, None, explain=(("parts", titles),)))

    def _layering(self, layer: LayerId, most: int) -> Layering:
        path = self._store.snapshots.path(layer)
        with guarded("split a layer"):
            if layer not in self._listings:
                self._listings[layer] = read_listing(path)
            return _layering(path, self._listings[layer], most - 1)  # one for the directories

    def _known(self, layer: LayerId, most: int) -> tuple[Part, ...] | None:
        record = self._store.records.get(_key(layer, most))
        if record is None:
            return None
        try:
            titles = json.loads(dict(record.explain).get("parts", ""))
        except ValueError:
            return None
        if len(titles) < 2:
            return (Part(layer),)
        parts = tuple(Part(_name(layer, most, title), title) for title in titles)
        return parts if self._store.snapshots.has(tuple(part.layer for part in parts)) else None

    def _divided(self, layer: LayerId, most: int) -> tuple[Part, ...]:
        path = self._store.snapshots.path(layer)
        found = self._layering(layer, most)
        listing = self._listings[layer]
        if len(found.groups) < 2:
            return (Part(layer),)
        with guarded("split a layer"):
            parts = directories_of(listing, found.parts)
            made = [
                self._write(_name(layer, most, group.title), path, listing, parts, number, group.title)
                for number, group in enumerate(found.groups)
            ]
            if SHARED in parts:
                name = _name(layer, most, _DIRECTORIES)
                made.append(self._write(name, path, listing, parts, SHARED, _DIRECTORIES))
        return tuple(made)

    def _write(self, name: LayerId, path: str, listing: Listing, parts: Sequence[int], part: int, title: str) -> Part:
        snapshots = self._store.snapshots
        if not snapshots.has((name,)):
            draft = snapshots.draft(name)
            try:
                write_part(path, draft.path, listing, parts, part)
                snapshots.freeze(draft, size_bytes=0)  # its files are those of the layer
            except BaseException:
                snapshots.discard(draft)
                raise
        return Part(name, title)


def _layering(path: str, listing: Listing, most: int) -> Layering:
    root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def read(name: str) -> bytes | None:
        with open(open_real(root, name, os.O_RDONLY), "rb", buffering=0) as stream:
            data = stream.read(LIMIT_BYTES + 1)
            while len(data) <= LIMIT_BYTES and (more := stream.read(LIMIT_BYTES + 1 - len(data))):
                data += more
        return data if len(data) <= LIMIT_BYTES else None

    try:
        return layering(listing.entries, read, most)
    finally:
        os.close(root)


def _key(layer: LayerId, most: int) -> str:
    return "divided-" + hashlib.sha256(f"{_VERSION}\n{layer}\n{most}".encode()).hexdigest()


def _name(layer: LayerId, most: int, title: str) -> LayerId:
    return LayerId(hashlib.sha256(f"{_VERSION}\n{layer}\n{most}\n{title}".encode()).hexdigest()[:32])
