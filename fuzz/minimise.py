"""Chooses what of the found inputs is committed: `python -m fuzz.minimise TARGET…`.

The smallest inputs first; one is kept when the program takes a step (from one line to the next) with it that none
before took, or takes one about twice as often. What is in `fuzz/corpus` already stays when it still does so;
regressions, and what was written by hand, always stay. Needs no fuzzer.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

import slimstage
from fuzz.harness import CORPUS, Target, load, targets
from fuzz.run import WORK

_PACKAGE = str(Path(slimstage.__file__).parent)
_MOST_FILES, _MOST_BYTES, _LARGEST = 300, 160_000, 4096
_KEPT = ("regression-", "hand-")

Step = tuple[int, int, int]
Feature = tuple[Step, int]


def main(names: list[str]) -> int:
    for name in names or targets():
        _minimise(name)
    return 0


def _minimise(name: str) -> None:
    target = load(name)
    committed, found = CORPUS / name, WORK / name / "corpus"
    committed.mkdir(parents=True, exist_ok=True)
    kept = [path for path in committed.iterdir() if path.name.startswith(_KEPT)]
    seen: set[Feature] = set()
    for path in kept:
        seen |= _steps(target, path.read_bytes())
    inputs = {data: path for path in (*found.glob("*"), *committed.glob("*")) if (data := path.read_bytes())}
    chosen: list[bytes] = []
    for data in sorted(inputs, key=lambda each: (len(each), each)):
        if len(data) > _LARGEST or len(chosen) == _MOST_FILES or sum(map(len, chosen)) + len(data) > _MOST_BYTES:
            continue
        new = _steps(target, data) - seen
        if new:
            chosen.append(data)
            seen |= new
    for path in committed.iterdir():
        if path not in kept:
            path.unlink()
    width = len(str(len(chosen)))
    for number, data in enumerate(chosen):
        (committed / f"{number:0{width}}").write_bytes(data)
    print(f"{name}: {len(inputs)} inputs, {len(chosen)} chosen, {len(kept)} kept, {len(seen)} features")


def _steps(target: Target, data: bytes) -> set[Feature]:
    """The steps from line to line that the package takes with this input, each with the magnitude of how often."""
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
        target.check(data)
    finally:
        sys.settrace(None)
    return {(step, count.bit_length()) for step, count in found.items()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
