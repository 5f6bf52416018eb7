"""What each step of a Dockerfile came from the last time it was built: what `--explain` compares with.

A step is found again by its text, wherever in its stage it stands now; what stands between two steps that are found
again is compared in order. The memory is one small text for each Dockerfile, kept beside the store's records, and it is
written only when something of it changed: a build that finds all as it was writes nothing. Pure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from slimstage.plan.graph import AnyStep, BaseStep, Graph, StepId

_Entries: TypeAlias = list[tuple[str, str]]
"""(what the step is, key of its record) of one stage, in order."""


class LastTime:
    """The memory of one Dockerfile, for one graph of it."""

    def __init__(self, text: str, graph: Graph) -> None:
        """`text`: what `noted` gave the last time; "" or anything broken is no memory."""
        self._text = text
        names = {stage.index: stage.name for stage in graph.stages}
        self._steps: dict[str, list[tuple[StepId, str]]] = {name: [] for name in names.values()}
        for step in graph.steps.values():
            if not isinstance(step, BaseStep):
                self._steps.setdefault(names.get(step.stage, ""), []).append((step.id, _identity(step)))
        self._old = _parsed(text)
        self._known_stages = {*self._steps, *(stage.name for stage in graph.skipped)}
        self._keys: dict[StepId, str | None] | None = None

    def key(self, step: StepId) -> str | None:
        """The key of the record that the step had; None when its stage was not built, "" when it is new in it."""
        if self._keys is None:
            self._keys = {}
            for stage, steps in self._steps.items():
                old = self._old.get(stage)
                found = _aligned(old, [what for _, what in steps]) if old is not None else [None] * len(steps)
                self._keys.update((id_, key) for (id_, _), key in zip(steps, found, strict=True))
        return self._keys.get(step)

    def noted(self, keys: Mapping[StepId, str]) -> str | None:
        """The memory with what the steps came from now; None when it is what it was.

        Stages that this build left alone stay, those that the Dockerfile no longer has go.
        """
        stages = {name: entries for name, entries in self._old.items() if name in self._known_stages}
        for name, steps in self._steps.items():
            entries = [(what, keys[step] if step in keys else self.key(step) or "") for step, what in steps]
            if any(key for _, key in entries):
                stages[name] = entries
        text = json.dumps(stages, separators=(",", ":"))
        return None if text == self._text else text


def _identity(step: AnyStep) -> str:
    text = f"{type(step).__name__}\0{step.title}"
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _parsed(text: str) -> dict[str, _Entries]:
    try:
        document = json.loads(text) if text else {}
        return {str(name): [(str(what), str(key)) for what, key in entries] for name, entries in document.items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def _aligned(old: Sequence[tuple[str, str]], now: Sequence[str]) -> list[str | None]:
    """For each step of now the key of the old one that it is, or that stood in its place; "" where there was none."""
    if [what for what, _ in old] == list(now):
        return [key for _, key in old]
    from difflib import SequenceMatcher  # only when a stage has other steps than the last time

    found: list[str | None] = [""] * len(now)
    matcher = SequenceMatcher(None, [what for what, _ in old], list(now), autojunk=False)
    for _, from_, to, at, until in matcher.get_opcodes():
        for (_, key), number in zip(old[from_:to], range(at, until), strict=False):
            found[number] = key
    return found
