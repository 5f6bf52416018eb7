"""What killed processes left is removed, what living ones make is not."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from slimstage.store.collect import prune
from slimstage.store.doctor import examine
from slimstage.store.leftovers import beside
from slimstage.store.store import Store


def killed_after(work: Callable[[], object]) -> None:
    """Does the work in a process that is then killed."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL


def half_an_export(root: Path, place: Path) -> None:
    with Store.open(root) as store:
        store.blobs.put(b"something, so that it has a lease")
        Path(store.session.beside(str(place))).mkdir()
        Path(store.session.beside(str(place)), "inner").mkdir(parents=True)
        Path(store.session.beside(f"{place}.tar")).write_text("half")
        Path(store.session.temporary("blob-")).write_text("half")
        os.kill(os.getpid(), signal.SIGKILL)


def names(path: Path) -> list[str]:
    return sorted(os.listdir(path))


@pytest.mark.parametrize("who", ["next session", "prune", "doctor"])
def test_what_a_killed_process_was_making_outside_the_store_goes(tmp_path: Path, who: str) -> None:
    root, out = tmp_path / "s", tmp_path / "out"
    out.mkdir()
    (out / "image.tar").write_text("old")
    killed_after(lambda: half_an_export(root, out / "image"))
    assert len(names(out)) == 4
    with Store.open(root) as store:
        if who == "next session":
            store.session.directory()
            store.session.close()
        elif who == "prune":
            prune(store)
        else:
            assert [finding.code for finding in examine(store, repair=True)] == ["dead-session"]
        assert names(out) == ["image.tar"]
        store.session.close()
        assert names(root / "tmp") == []
        assert [name for name in names(root / "locks") if name.startswith("session-")] == []
        assert examine(store) == []


def test_what_a_living_process_makes_stays(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as one, Store.open(tmp_path / "s") as two:
        place = Path(one.session.beside(str(tmp_path / "out")))
        place.write_text("half")
        two.session.directory()
        prune(two, all_=True)
        examine(two, repair=True)
        assert place.read_text() == "half"


def test_only_names_that_we_give_are_removed(tmp_path: Path) -> None:
    victim = tmp_path / "precious"
    victim.write_text("x")

    def work() -> None:
        with Store.open(tmp_path / "s") as store:
            Path(store.session.directory(), "outside").write_bytes(os.fsencode(victim) + b"\0")
            os.kill(os.getpid(), signal.SIGKILL)

    killed_after(work)
    with Store.open(tmp_path / "s") as store:
        prune(store)
        assert victim.exists()
        assert names(tmp_path / "s/tmp") == [store.session.name]


def test_the_directory_that_held_it_may_be_gone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    killed_after(lambda: half_an_export(tmp_path / "s", out / "image"))
    for name in names(out):
        (out / name).rename(tmp_path / name)
    out.rmdir()
    with Store.open(tmp_path / "s") as store:
        store.session.directory()
        assert names(tmp_path / "s/tmp") == [store.session.name]


def test_a_name_beside_fits_where_the_longest_name_fits(tmp_path: Path) -> None:
    place = tmp_path / ("é" * 127)
    place.mkdir()
    temporary = Path(beside(str(place)))
    temporary.mkdir()
    assert temporary.parent == tmp_path
    assert beside("a") != beside("a")


@pytest.mark.parametrize("name", ["containers/.new-1", "containers/.gone-1", "caches/ab/.new-1", ".new-1"])
@pytest.mark.parametrize("repair", ["prune", "doctor"])
def test_what_was_to_be_renamed_is_a_leftover_after_a_while(tmp_path: Path, name: str, repair: str) -> None:
    with Store.open(tmp_path / "s") as store:
        place = tmp_path / "s" / name
        (place / "upper").mkdir(parents=True)

        def clean() -> None:
            if repair == "prune":
                prune(store)
            else:
                examine(store, repair=True)

        clean()
        assert place.exists(), "somebody may just be making it"
        os.utime(place, (time.time() - 61,) * 2)
        assert [finding.code for finding in examine(store)] == ["leftover-file"]
        clean()
        assert not place.exists()
        assert examine(store) == []
