"""A process is killed at any moment; what it leaves is found, repaired, and the next one gives the same result."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from slimstage.store.collect import prune
from slimstage.store.doctor import examine
from slimstage.store.leftovers import dead_sessions
from slimstage.store.store import Store

_WORK = """
import os, sys
from pathlib import Path
from slimstage.store.packed import PackedLayer, Packing
from slimstage.store.records import Record
from slimstage.store.snapshots import LayerId
from slimstage.store.store import Store

print("begin", flush=True)
with Store.open(Path(sys.argv[1])) as store:
    for number in range(int(sys.argv[2])):
        layer = LayerId(f"{number:032x}")
        if not store.snapshots.has((layer,)):
            draft = store.snapshots.draft(layer)
            for name in "abc":
                Path(draft.path, name).write_text(f"{number} {name}")
            store.snapshots.freeze(draft, size_bytes=3)
        digest, size = store.blobs.put([f"blob {number}".encode()] * 3000)
        store.records.put(Record(f"k{number}", digest, layer), f"also{number}")
        with store.caches.acquire(f"cache{number}") as lease:
            Path(lease.path, "f").write_text("x")
print("end", flush=True)
"""
ROUNDS = 20
STEPS = 12


def work(root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", _WORK, str(root), str(STEPS)], stdout=subprocess.PIPE, text=True)


def result(root: Path) -> object:
    """All that the work makes, as a value."""
    with Store.open(root) as store:
        layers = {
            layer: {name: Path(store.snapshots.path(layer), name).read_text() for name in "abc"}
            for layer in store.snapshots.list()
        }
        records = [store.records.get(f"k{number}") for number in range(STEPS)]
        assert all(record is not None for record in records)
        return layers, list(store.blobs.list()), [record and record.content_key for record in records]


@dataclass(frozen=True)
class Whole:
    """A run that nothing disturbs: what it makes, and how long that takes here."""

    result: object
    duration_s: float


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    root = tmp_path_factory.mktemp("whole") / "s"
    child = work(root)
    assert child.stdout
    assert child.stdout.readline() == "begin\n"
    began = time.monotonic()
    assert child.communicate()[0] == "end\n"
    duration_s = time.monotonic() - began
    with Store.open(root) as store:
        assert examine(store) == []
    return Whole(result(root), duration_s)


@pytest.mark.slow
def test_killed_at_random_moments_the_store_heals(tmp_path: Path, whole: Whole) -> None:
    chance = random.Random(20)
    killed = 0
    for round_number in range(ROUNDS):
        # A new store every few rounds, so that the beginning of one is hit as well.
        root = tmp_path / f"s{round_number // 5}"
        child = work(root)
        assert child.stdout
        assert child.stdout.readline() == "begin\n"
        # The moment is the test's subject: anywhere between the first system call and the last.
        try:
            child.wait(timeout=chance.random() * whole.duration_s * 0.9)
        except subprocess.TimeoutExpired:
            child.kill()
        killed += child.wait() == -9
        child.stdout.close()
        with Store.open(root) as store:
            examine(store, repair=True)
            assert examine(store) == [], f"round {round_number}"
            assert list(dead_sessions(str(root))) == []
            for layer in store.snapshots.list():
                path = Path(store.snapshots.path(layer))
                assert sorted(os.listdir(path)) == ["a", "b", "c"], "half a layer is visible"
    assert killed > ROUNDS // 4, "the kills came too late to show anything"
    for number in range(ROUNDS // 5):
        root = tmp_path / f"s{number}"
        out, _ = work(root).communicate()
        assert out == "begin\nend\n"
        assert result(root) == whole.result


def test_two_processes_do_the_same_at_once(tmp_path: Path, whole: Whole) -> None:
    children = [work(tmp_path / "s") for _ in range(4)]
    assert [child.communicate()[0] for child in children] == ["begin\nend\n"] * 4
    assert result(tmp_path / "s") == whole.result
    with Store.open(tmp_path / "s") as store:
        assert examine(store) == []


def test_prune_beside_working_processes_breaks_none_of_them(tmp_path: Path) -> None:
    children = [work(tmp_path / "s") for _ in range(2)]
    rounds = 0
    while any(child.poll() is None for child in children):
        with Store.open(tmp_path / "s") as store:
            prune(store, all_=True)
            rounds += 1
    assert [child.communicate()[0] for child in children] == ["begin\nend\n"] * 2
    assert rounds
    out, _ = work(tmp_path / "s").communicate()
    assert out == "begin\nend\n"
    with Store.open(tmp_path / "s") as store:
        assert examine(store) == []
