"""Chooses what of the found inputs is committed: `python -m fuzz.minimise TARGET…`.

A feature of an input is a step that the program takes with it, from one line to the next, and about how often. The inputs
are chosen so that together they have every feature that any has: the one with the most new ones for its size first; in
the end those go whose features others have as well. Regressions, and what was written by hand, always stay. Needs no fuzzer.
"""

from __future__ import annotations

import functools
import gc
import heapq
import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType
from typing import TypeAlias

import slimstage
from fuzz.harness import CORPUS, Target, load, targets
from fuzz.run import WORK

_PACKAGE = str(Path(slimstage.__file__).parent)
_MOST_FILES, _MOST_BYTES, _LARGEST = 300, 160_000, 4096
_KEPT = ("regression-", "hand-")
_FILE_COSTS = 64
"""Bytes that a file costs beside its own."""

Step = tuple[int, int, int]
Features: TypeAlias = "array[int]"


def main(names: list[str]) -> int:
    for name in names or targets():
        _minimise(name)
    return 0


def _minimise(name: str) -> None:
    target = load(name)
    committed, found = CORPUS / name, WORK / name / "corpus"
    committed.mkdir(parents=True, exist_ok=True)
    kept = [path for path in committed.iterdir() if path.name.startswith(_KEPT)]
    everything = {data for path in (*found.glob("*"), *committed.glob("*")) if (data := path.read_bytes())}
    fixed = [path.read_bytes() for path in kept]
    inputs = sorted((each for each in everything.difference(fixed) if len(each) <= _LARGEST), key=_cost)
    tracer = Tracer(target, [*target.seeds(), *fixed, *inputs])
    seen = {feature for data in fixed for feature in tracer.features(data)}
    chosen = choose(inputs, [tracer.features(data) for data in inputs], seen)
    for path in committed.iterdir():
        if path not in kept:
            path.unlink()
    width = len(str(len(chosen)))
    for number, data in enumerate(chosen):
        (committed / f"{number:0{width}}").write_bytes(data)
    print(f"{name}: {len(inputs)} inputs, {len(chosen)} chosen, {len(kept)} kept, {tracer.count} features")


def _cost(data: bytes) -> tuple[int, bytes]:
    return len(data), data


def choose(inputs: Sequence[bytes], features: Sequence[Iterable[int]], seen: Iterable[int]) -> list[bytes]:
    """Inputs that together have all features which `seen` has not, smallest first; as many as may be committed."""
    covered = set(seen)
    sets = [frozenset(each) - covered for each in features]
    costs = [len(data) + _FILE_COSTS for data in inputs]
    heap = [(-len(each) / costs[number], number) for number, each in enumerate(sets) if each]
    heapq.heapify(heap)
    taken: list[int] = []
    while heap:
        _, number = heapq.heappop(heap)
        gain = -len(sets[number] - covered) / costs[number]
        # What it is worth falls only, so the first that is still worth what the heap says of the next is the best.
        if gain and heap and gain > heap[0][0]:
            heapq.heappush(heap, (gain, number))
        elif gain:
            taken.append(number)
            covered |= sets[number]
    owners = Counter(feature for number in taken for feature in sets[number])
    for number in sorted(taken, key=lambda number: -costs[number]):
        if all(owners[feature] > 1 for feature in sets[number]):
            taken.remove(number)
            owners.subtract(sets[number])
    while len(taken) > _MOST_FILES or sum(len(inputs[number]) for number in taken) > _MOST_BYTES:
        taken.pop()
    return sorted((inputs[number] for number in taken), key=_cost)


class Tracer:
    """What inputs have the program do. Everything that is done once only, like an import, was done before.

    count: features seen so far.
    """

    def __init__(self, target: Target, inputs: Iterable[bytes]) -> None:
        self._target, self._numbers = target, dict[tuple[Step, int], int]()
        for data in inputs:
            target.check(data)
        self._caches = [each for each in gc.get_objects() if isinstance(each, functools._lru_cache_wrapper)]

    @property
    def count(self) -> int:
        return len(self._numbers)

    def features(self, data: bytes) -> Features:
        """Of one input: each feature is a number."""
        for cache in self._caches:
            cache.cache_clear()
        found, numbers = self._steps(data), self._numbers
        return array("I", (numbers.setdefault((step, n.bit_length()), len(numbers)) for step, n in found.items()))

    def _steps(self, data: bytes) -> dict[Step, int]:
        """The steps from line to line that the package takes with this input, and how often."""
        found: dict[Step, int] = {}
        last: dict[int, int] = {}

        def on_line(frame: FrameType, event: str, _: object) -> object:
            line = frame.f_lineno
            step = (id(frame.f_code), last.get(id(frame), 0), line)
            found[step] = found.get(step, 0) + 1
            last[id(frame)] = line
            return on_line

        def on_call(frame: FrameType, event: str, argument: object) -> object:
            if not frame.f_code.co_filename.startswith(_PACKAGE):
                return None
            last.pop(id(frame), None)
            return on_line(frame, event, argument)

        sys.settrace(on_call)  # type: ignore[arg-type]  # the hook that returns itself has no finite type
        try:
            self._target.check(data)
        finally:
            sys.settrace(None)
        return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
