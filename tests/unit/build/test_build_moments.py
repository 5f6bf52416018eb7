"""How old heredocs and checkouts are: as old as the first of their like in this store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimstage.build.copy import copy_step
from slimstage.build.moments import Moments
from slimstage.dockerfile.instructions import Heredoc
from slimstage.plan.graph import Git
from slimstage.store.store import Store
from support.copying import Bench, copy_of

COMMIT = "ab" * 20


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as opened:
        yield opened


def test_the_same_heredoc_was_made_once(store: Store) -> None:
    first = Moments(store).of_heredoc(Heredoc("a", "text\n", expands=False))
    assert Moments(store).of_heredoc(Heredoc("a", "text\n", expands=False)) == first
    others = (Heredoc("b", "text\n", expands=False), Heredoc("a", "other\n", expands=False))
    assert len({first, *(Moments(store).of_heredoc(each) for each in others)}) == 3


def test_a_store_remembers_it_when_it_is_opened_again(tmp_path: Path) -> None:
    heredoc, moments = Heredoc("a", "\udcff", expands=False), []
    for _ in range(2):
        with Store.open(tmp_path / "store") as store:
            moments.append(Moments(store).of_heredoc(heredoc))
    assert moments[0] == moments[1]


def test_those_that_make_it_at_the_same_time_agree(store: Store) -> None:
    heredoc, found, gate = Heredoc("a", "", expands=False), [], threading.Barrier(8)

    def make() -> None:
        gate.wait()
        found.append(Moments(store).of_heredoc(heredoc))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_a_commit_is_the_same_checkout_from_wherever_it_comes_unless_git_is_kept(store: Store) -> None:
    moments = Moments(store)
    first = moments.of_checkout(Git("https://h/a.git", "main"), COMMIT)
    assert moments.of_checkout(Git("https://u:secret@mirror/a.git", "v1"), COMMIT) == first
    kept = [Git(f"https://{host}/a.git", keep_git_dir=True) for host in ("h", "mirror")]
    others = [*kept, Git("https://h/a.git", subdir="sub"), Git("https://h/a.git", submodules=False)]
    assert len({first, *(moments.of_checkout(each, COMMIT) for each in others)}) == 5
    assert moments.of_checkout(Git("https://h/a.git"), "cd" * 20) != first


def test_no_token_of_a_remote_is_kept(store: Store) -> None:
    Moments(store).of_checkout(Git("https://u:secret@h/a.git", keep_git_dir=True), COMMIT)
    assert "secret" not in str(store.database.query("SELECT * FROM records"))


def test_a_record_that_makes_no_sense_is_made_anew(store: Store) -> None:
    heredoc = Heredoc("a", "", expands=False)
    first = Moments(store).of_heredoc(heredoc)
    store.database.change("UPDATE records SET explain = ?", ('[["made_ns","yesterday"]]',))
    second = Moments(store).of_heredoc(heredoc)
    assert second > first
    assert Moments(store).of_heredoc(heredoc) == second


@pytest.mark.root
def test_a_heredoc_has_the_time_that_is_said(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    step = copy_of([], "/h", inline=(Heredoc("h", "x", expands=False),))
    copy_step(step, (), (), draft := bench.draft(), made_ns=lambda heredoc: 7_000_000_001)
    assert (Path(draft.path) / "h").stat().st_mtime_ns == 7_000_000_001
