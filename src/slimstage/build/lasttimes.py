"""What the steps of each platform's build came from the last time, kept in the store's places for `--explain`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from slimstage.build.preparation import Prepared
from slimstage.cache.lasttime import LastTime
from slimstage.digest import digest_json
from slimstage.errors import StoreError
from slimstage.plan.graph import StepId
from slimstage.store.places import Places


class Memory:
    """One `LastTime` for each platform of a build."""

    def __init__(self, places: Places, prepared: Prepared) -> None:
        self._places = places
        many, name = len(prepared.plans) > 1, prepared.name
        self._parts: list[tuple[str, LastTime, frozenset[StepId]]] = []
        for plan in prepared.plans:
            # Not the name: it may be a URL with credentials.
            place = digest_json([name, str(plan.platform)] if many else name)
            self._parts.append((place, LastTime(places.get(place), plan.graph), frozenset(plan.graph.steps)))

    def key(self, step: StepId) -> str | None:
        """See `LastTime.key`; of a step that platforms share, as the first of them remembers it."""
        return next((last.key(step) for _, last, steps in self._parts if step in steps), None)

    def note(self, keys: Mapping[StepId, str]) -> None:
        """For the next `--explain`; what is as it was is not written again, what cannot be written is forgotten."""
        for place, last, _ in self._parts:
            text = last.noted(keys)
            if text is not None:
                with suppress(StoreError):
                    self._places.put(place, text)
