"""The committed corpus, replayed: what fuzzing has reached stays without a crash, a hang or much memory.

Inputs named `regression-…` broke something once. No fuzzer is needed here (docs/fuzzing.md).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from fuzz.harness import CORPUS, MEMORY_BOUND_MB, check_bounded, corpus_of, load, targets

MOST_FILES, MOST_BYTES = 400, 250_000
_ALL_MOST_BYTES = 2_000_000


def peak_mb() -> int:
    """Megabytes of memory that this process had at most since `forget_peak`."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) // 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


@pytest.mark.parametrize("name", targets())
def test_every_input_of_the_corpus_holds_within_the_bounds(name: str) -> None:
    target, inputs = load(name), corpus_of(name)
    assert len(inputs) >= 20, "there is no corpus of this target"
    forget_peak()
    before = peak_mb()
    for path in inputs:
        try:
            check_bounded(target, path.read_bytes())
        except Exception as error:
            error.add_note(f"the input is {path}")
            raise
    assert peak_mb() - before < MEMORY_BOUND_MB


@pytest.mark.parametrize("name", targets())
def test_the_seeds_of_a_target_hold(name: str) -> None:
    target = load(name)
    seeds = list(target.seeds())
    assert seeds
    for seed in seeds:
        assert len(seed) <= target.MAX_BYTES
        check_bounded(target, seed)


def test_the_corpus_is_small_and_belongs_to_targets() -> None:
    assert sorted(path.name for path in CORPUS.iterdir()) == targets()
    sizes = {name: [path.stat().st_size for path in corpus_of(name)] for name in targets()}
    assert all(len(each) <= MOST_FILES and sum(each) <= MOST_BYTES for each in sizes.values()), sizes
    assert sum(map(sum, sizes.values())) <= _ALL_MOST_BYTES


def test_replaying_needs_no_fuzzer() -> None:
    for name in targets():
        load(name)
    assert "atheris" not in sys.modules
