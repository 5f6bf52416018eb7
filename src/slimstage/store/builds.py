"""How images came to be that were built here: stages, steps, and what went from one to another.

Kept beside the image for those who look at it later (`compare --stages`, `report`, the lines of `analyze`'s findings); no key
or cache depends on it. It goes with the image.
"""

from __future__ import annotations

import json
import time
from typing import Any, Literal

from slimstage.digest import Digest
from slimstage.store.database import Database
from slimstage.store.snapshots import LayerId
from slimstage.values import dataclass, names_of

_LARGEST_CHARACTERS = 8 << 20
"""Of one build's text; that of 1,000 stages with 10 steps each has about 3 MB."""


@dataclass(frozen=True, slots=True)
class BuiltStep:
    """One step. stage: the index of its stage. layer: its own, "" where none is known.

    started_s, duration_s: of one that ran, since the build began; 0 of a cached one. source: the cache of another machine that
    had it, "" for this store.
    """

    stage: int
    line: int
    title: str
    status: Literal["run", "cached"]
    layer_bytes: int
    layer: LayerId | Literal[""] = ""
    started_s: float = 0.0
    duration_s: float = 0.0
    source: str = ""


@dataclass(frozen=True, slots=True)
class BuiltCopy:
    """What a stage took by `COPY --from`. stage: the index of the one it took from; None: an image, which `source` names."""

    stage: int | None
    source: str
    line: int
    paths: tuple[str, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class BuiltStage:
    """A stage. base: the image or stage that FROM names, "" for nothing; base_stage: its index, None of an image.

    size_bytes: of its whole tree, what it stands on included; 0 when it was skipped, for the reason `why`.
    base_layers: of the image that the whole chain stands on, base first, as far as they are unpacked here.
    """

    index: int
    name: str
    line: int
    status: Literal["built", "cached", "skipped"]
    base: str
    base_stage: int | None
    size_bytes: int
    base_layers: tuple[LayerId, ...] = ()
    copies: tuple[BuiltCopy, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class StoredBuild:
    """One build of one image. stages: in file order; target: the index of the one that is the image. steps: inputs first.

    dockerfile: its name as the user gave it. stayed_behind_bytes: what the stages below hold that the image has not.
    """

    dockerfile: str
    target: int
    duration_s: float
    built_s: float
    stayed_behind_bytes: int
    stages: tuple[BuiltStage, ...]
    steps: tuple[BuiltStep, ...]

    def has_run(self) -> bool:
        """Whether any step ran: one that found all cached tells nothing of times."""
        return any(step.status == "run" for step in self.steps)

    def stack(self, stage: int) -> tuple[LayerId, ...]:
        """The layers of a stage's whole tree, base first, as far as they are known."""
        by_index = {each.index: each for each in self.stages}
        chain: list[BuiltStage] = []
        at: int | None = stage
        while at is not None and (found := by_index.get(at)) is not None and len(chain) <= len(self.stages):
            chain.append(found)
            at = found.base_stage
        own: dict[int, list[LayerId]] = {}
        for step in self.steps:
            if step.layer:
                own.setdefault(step.stage, []).append(step.layer)
        base = chain[-1].base_layers if chain else ()
        return (*base, *(layer for each in reversed(chain) for layer in own.get(each.index, ())))


class Builds:
    """All of one store. Safe for threads and for several processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, image: Digest, build: StoredBuild) -> None:
        """Remembers it, in the place of an earlier one that tells no more. Nothing happens when the image is not there.

        One that found everything cached does not replace one that ran steps.
        """
        if not build.has_run() and self.has(image):
            return
        text = json.dumps(_plain(build), separators=(",", ":"))
        if len(text) > _LARGEST_CHARACTERS:
            return
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO builds (image, document, written_s) SELECT id, ?, ? FROM images WHERE id = ?",
                (text, time.time(), image),
            )

    def has(self, image: Digest) -> bool:
        return bool(self._database.query("SELECT 1 FROM builds WHERE image = ?", (image,)))

    def of(self, image: Digest) -> StoredBuild | None:
        """None: it was not built here, or by a version that remembered nothing, or what is there cannot be read."""
        rows = self._database.query("SELECT document FROM builds WHERE image = ?", (image,))
        if not rows:
            return None
        try:
            return _build(json.loads(rows[0][0]))
        except (ValueError, TypeError, KeyError, AttributeError):
            return None


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, StoredBuild | BuiltStage | BuiltStep | BuiltCopy):
        return {name: _plain(getattr(value, name)) for name in names_of(value)}
    return value


def _build(found: dict[str, Any]) -> StoredBuild:
    stages = tuple(_stage(each) for each in found.pop("stages"))
    return StoredBuild(**found | {"stages": stages, "steps": tuple(BuiltStep(**each) for each in found.pop("steps"))})


def _stage(found: dict[str, Any]) -> BuiltStage:
    copies = tuple(BuiltCopy(**each | {"paths": tuple(each["paths"])}) for each in found["copies"])
    return BuiltStage(**found | {"base_layers": tuple(found["base_layers"]), "copies": copies})
