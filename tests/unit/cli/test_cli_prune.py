"""`prune`: a dry run removes nothing and names exactly what the real one removes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slimstage.cli.main import main
from slimstage.store.collect import prune, store_bytes
from slimstage.store.records import Record
from slimstage.store.store import Store


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with cached steps of different ages, a cache mount, a loose blob and a layer that nothing needs."""
    path = tmp_path / "root"
    monkeypatch.setenv("SLIMSTAGE_ROOT", str(path))
    with Store.open(path) as store:
        for number in range(6):
            draft = store.snapshots.draft()
            (Path(draft.path) / "f").write_bytes(bytes(1000))
            layer = store.snapshots.freeze(draft, size_bytes=1000)
            if number:
                store.records.put(Record(f"k{number}", "c", layer))
                store.database.change("UPDATE records SET used_s = ? WHERE key = ?", (number, f"k{number}"))
        store.caches.acquire("pip").release()
        store.blobs.put(b"loose")
    return path


def names(text: str) -> set[tuple[str, str]]:
    return {(thing["kind"], thing["name"]) for thing in json.loads(text)["removed"]}


@pytest.mark.parametrize(
    "arguments", [[], ["--all"], ["--older-than", "1h"], ["--filter", "until=1h", "--filter", "type=record"],
                  ["--keep-storage", "2500"], ["--keep-storage", "1t"], ["--filter", "type=blob"]],
)  # fmt: skip
def test_a_dry_run_names_what_the_real_one_removes(
    arguments: list[str], root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store.open(root) as store:
        before = (store_bytes(store), sorted(store.snapshots.list()), store.caches.list())
    assert main(["prune", "--dry-run", "--json", *arguments]) == 0
    would = names(capsys.readouterr().out)
    with Store.open(root) as store:
        assert (store_bytes(store), sorted(store.snapshots.list()), store.caches.list()) == before
    assert main(["prune", "--json", *arguments]) == 0
    assert names(capsys.readouterr().out) == would


def test_without_options_cached_steps_stay(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prune"]) == 0
    out = capsys.readouterr()
    assert "freed" in out.err
    assert out.out.splitlines()[0].split() == ["WHAT", "COUNT", "SIZE"]
    with Store.open(root) as store:
        assert len(list(store.snapshots.list())) == 5
        assert prune(store).removed == ()


def test_keep_storage_keeps_the_latest(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prune", "--keep-storage", "2500", "--filter", "type=record", "--filter", "type=layer"]) == 0
    with Store.open(root) as store:
        kept = {key for (key,) in store.database.query("SELECT key FROM records")}
    assert kept == {"k4", "k5"}
