"""A file of the context that changes between being found, digested and copied is an error that names it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slimstage.build.add import Source
from slimstage.build.copy import copy_step
from slimstage.build.memory import StoreMemory
from slimstage.context.changes import changed_since_opened
from slimstage.context.fingerprint import selection_digest
from slimstage.context.select import select
from slimstage.errors import ContextError
from slimstage.store.store import Store
from support.changing import be_rewritten_with_its_old_time, become_a_link, become_a_pipe, grow
from support.copying import Bench, copy_of


def shrink(path: Path) -> None:
    os.truncate(path, 1)


def become_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def be_replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    status = path.stat()
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.rename(path)


def its_directory_become_a_link(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))
    path.parent.symlink_to("moved")


CHANGES = [grow, shrink, Path.unlink, become_a_link, become_a_pipe, become_a_directory, be_replaced,
           be_rewritten_with_its_old_time]  # fmt: skip


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[StoreMemory]:
    with Store.open(tmp_path / "store") as store:
        yield StoreMemory(store.digests)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("when", ["before it is digested", "before it is copied"])
@pytest.mark.parametrize("size", [10, 300_000])
def test_a_file_that_changes_on_the_way_is_named(
    tmp_path: Path, memory: StoreMemory, change: Callable[[Path], None], when: str, size: int
) -> None:
    bench = Bench(tmp_path)
    with bench.context({"a/file": "x" * size + "y", "a/same": "same"}) as context:
        selection = select(context, ["a"])
        if when == "before it is copied":
            selection_digest(selection, context, memory)
        change(bench.top / "context/a/file")

        def go_on() -> None:
            selection_digest(selection, context, memory)
            copy_step(copy_of(["a"], "/a"), [], [Source(context, selection)], bench.draft(), memory=memory)

        with pytest.raises(ContextError) as caught:
            go_on()
    assert caught.value.code == "context-changes"
    assert '"a/file"' in caught.value.message


def test_a_directory_that_becomes_a_link_on_the_way_is_not_followed(tmp_path: Path, memory: StoreMemory) -> None:
    bench = Bench(tmp_path)
    with bench.context({"a/file": "x"}) as context:
        selection = select(context, ["a"])
        its_directory_become_a_link(bench.top / "context/a/file")
        with pytest.raises(ContextError) as caught:
            selection_digest(selection, context, memory)
    assert caught.value.code == "context-changes"


def tick(place: Path) -> None:
    """Comes back when the kernel's clock for files, which may be some milliseconds late, has passed this moment."""
    now_ns = time.time_ns()
    while True:
        (place / "tick").write_text("")
        if (place / "tick").stat().st_ctime_ns > now_ns:
            return


def test_what_changed_since_a_context_was_opened_is_known_by_name(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with bench.context({"a/one": "x", "a/two": "x", "a/three": "x"}) as context:
        assert changed_since_opened(select(context, ["a"]), context) == []
        tick(bench.top)
        top = bench.top / "context/a"
        be_rewritten_with_its_old_time(top / "two")
        assert changed_since_opened(select(context, ["a"]), context) == ["a/two"]
        assert changed_since_opened(select(context, ["a/one"]), context) == []
        (top / "one").unlink()
        assert changed_since_opened(select(context, ["a"]), context) == ["a/two"]
    with bench.top_context() as context:
        tick(bench.top)
        (top / "three").unlink()
        assert changed_since_opened(select(context, ["a"]), context) == ["a/"]
        assert changed_since_opened(select(context, ["."]), context) == ["a/"]
