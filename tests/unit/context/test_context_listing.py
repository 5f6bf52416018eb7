"""context/listing.py: listings that do not fit into memory are what they would be there."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimstage.context.entry import ContextEntry
from slimstage.context.listing import BLOCK, MOST_IN_MEMORY, Changed, Item, Scratch
from slimstage.context.local import LocalContext
from slimstage.context.select import select
from slimstage.tree.entry import Entry
from slimstage.values import replace
from support.trees import make_tree

LONG = 3 * MOST_IN_MEMORY // 2


def some(count: int) -> Iterator[Item]:
    for number in range(count):
        path = f"d{number // 100}/\udcff-{number}"
        yield path, ContextEntry(f"above/{path}", "file", 0o644, 0, 1 << 32, number, -number, "", ctime_ns=number << 40)
    yield (
        "link",
        Entry("above/link", "symlink", 0o777, 1, 2, 0, 3, "\udcfe/target", identity=(1 << 63, 1 << 63), nlink=2),
    )
    yield "null", Entry("above/null", "char", 0o666, 0, 0, rdev=(1, 3))
    yield "renamed", Entry("elsewhere", "dir", 0o755, 0, 0, xattrs={"user.a": b"\0\xff"}, is_opaque=True)


@pytest.mark.parametrize("count", [0, BLOCK - 4, BLOCK - 3, BLOCK, LONG])
def test_a_listing_gives_its_items_each_time(tmp_path: Path, count: int) -> None:
    listing = Scratch(lambda: str(tmp_path)).keep(some(count))
    for _ in range(2):
        assert list(listing) == list(some(count))
    assert len(listing) == count + 3


def test_what_was_written_has_no_name_and_ends_with_its_listing(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    listing = Scratch(lambda: str(tmp_path)).keep(some(LONG))
    assert os.listdir(tmp_path) == []
    assert len(set(os.listdir("/proc/self/fd")) - before) == 1
    del listing
    assert set(os.listdir("/proc/self/fd")) <= before


def test_short_listings_touch_no_disk() -> None:
    def fail() -> str:
        raise AssertionError

    assert len(Scratch(fail).keep(some(MOST_IN_MEMORY - BLOCK))) == MOST_IN_MEMORY - BLOCK + 3


def test_many_listings_together_hold_no_more_than_one(tmp_path: Path) -> None:
    scratch = Scratch(lambda: str(tmp_path))
    listings = [scratch.keep(some(3 * BLOCK)) for _ in range(20)]
    assert sum(isinstance(each, tuple) for each in listings) <= MOST_IN_MEMORY // (3 * BLOCK)
    assert all(list(each) == list(some(3 * BLOCK)) for each in listings)


def test_threads_may_share_a_scratch(tmp_path: Path) -> None:
    scratch = Scratch(lambda: str(tmp_path))
    found: list[bool] = []

    def work() -> None:
        found.append(list(scratch.keep(some(LONG))) == list(some(LONG)))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 3


def test_a_changed_listing_is_worked_out_anew(tmp_path: Path) -> None:
    listing = Changed(Scratch(lambda: str(tmp_path)).keep(some(LONG)), lambda entry: replace(entry, mode=0o700))
    assert len(listing) == LONG + 3
    for _ in range(2):
        assert {entry.mode for _, entry in listing} == {0o700}


@pytest.mark.parametrize("parents", [False, True])
def test_a_selection_is_the_same_from_memory_and_from_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parents: bool
) -> None:
    monkeypatch.setattr("slimstage.context.listing.BLOCK", 3)
    monkeypatch.setattr("slimstage.context.listing.FEW", 0)
    monkeypatch.setattr("slimstage.context.listing.MOST_IN_MEMORY", 3)
    root = make_tree(tmp_path / "context", {f"a/b{number % 5}/f{number}": str(number) for number in range(40)})
    (tmp_path / "room").mkdir()
    with LocalContext(root) as context:
        keep = Scratch(lambda: str(tmp_path / "room")).keep
        for paths, excludes in (
            (["a"], []),
            (["a"], ["b3", "!b3/f8"]),
            (["a/b*"], ["f7"]),
            (["./a/**/f*"], ["**/f1?"]),
        ):
            if "**" in paths[0] and not parents:
                continue
            plain = select(context, paths, excludes=excludes, keeps_parents=parents)
            spilled = select(context, paths, excludes=excludes, keeps_parents=parents, keep=keep)
            assert [list(each.below) for each in spilled] == [list(each.below) for each in plain]
            assert [each.passing for each in spilled] == [each.passing for each in plain]
            assert any(not isinstance(each.below, tuple) for each in spilled)
