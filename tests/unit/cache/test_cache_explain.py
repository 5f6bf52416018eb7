"""`--explain`: one sentence that says what changed."""

from __future__ import annotations

from slimstage.cache.explain import why_it_ran
from slimstage.store.records import Record

LAST = Record("k", "k", None, explain=(("parent", "p"), ("command", "1"), ("variable A", "1"), ("file app.py", "1")))


def why(*pairs: tuple[str, str], last: Record | None = LAST, parent: str | None = None, forced: bool = False) -> str:
    return why_it_ran(pairs, last, parent=parent, is_forced=forced)


def test_the_first_time_is_said() -> None:
    assert why(("command", "1"), last=None) == "it has not been built here before"


def test_no_cache_is_said_first() -> None:
    assert why(("command", "2"), forced=True) == "--no-cache asks for it"


def test_the_changed_file_is_named() -> None:
    assert why(("parent", "p"), ("command", "1"), ("variable A", "1"), ("file app.py", "2")) == "file app.py changed"


def test_new_and_gone_inputs_are_named() -> None:
    said = why(("parent", "p"), ("command", "1"), ("file app.py", "1"), ("file b.py", "1"))
    assert said == "file b.py is new; variable A is gone"


def test_many_changes_are_counted() -> None:
    last = Record("k", "k", None, explain=tuple((f"file {n}", "1") for n in range(9)))
    assert why(*((f"file {n}", "2") for n in range(9)), last=last) == "file 0, file 1, file 2 and 6 more changed"


def test_a_parent_that_ran_is_the_reason_when_nothing_else_changed() -> None:
    same = LAST.explain[1:]
    assert why(("parent", "q"), *same, parent="RUN make") == "the step above it ran again (RUN make)"
    assert why(("parent", "q"), *same) == "the steps above it changed"


def test_a_lost_result_is_said() -> None:
    assert why(*LAST.explain) == "its result is no longer in the store"
