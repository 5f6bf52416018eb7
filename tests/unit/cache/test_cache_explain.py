"""`--explain`: one sentence that says what changed."""

from __future__ import annotations

from slimstage.cache.explain import Before, Now, facts, why_it_ran
from slimstage.store.records import Record

PAIRS = (
    ("parent", "p"),
    ("command", "1"),
    ("variable A", "1"),
    ("file app.py", facts(0o644, "", "sha256:" + "1" * 64, "")),
)
LAST = Record("k", "k", None, explain=PAIRS)


def why(*pairs: tuple[str, str], last: Record = LAST, key: str = "other", above: str = "", ran: bool = False) -> str:
    return why_it_ran(Now(pairs, (key,), "", above, ran), Before(last.key, last))


def with_file(value: str) -> tuple[tuple[str, str], ...]:
    return (*PAIRS[:-1], ("file app.py", value))


def test_the_first_time_is_said() -> None:
    assert why_it_ran(Now(PAIRS), Before()) == "it has not been built here before"
    assert why_it_ran(Now(PAIRS), Before("")) == "it is new here"


def test_the_option_that_asks_for_it_is_said_first() -> None:
    assert why_it_ran(Now((), forced_by="--no-cache"), Before("k", LAST)) == "--no-cache asks for it"


def test_what_of_a_file_changed_is_named() -> None:
    one, two = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    assert why(*with_file(facts(0o644, "", two, ""))) == "file app.py changed"
    assert why(*with_file(facts(0o755, "", one, ""))) == "mode of file app.py changed"
    assert why(*with_file(facts(0o644, "1:1", one, ""))) == "owner of file app.py changed"
    assert why(*with_file(facts(0o644, "", one, "aa"))) == "attributes of file app.py changed"
    assert why(*with_file(facts(0o755, "", two, ""))) == "file app.py changed"


def test_the_target_of_a_symlink_is_named() -> None:
    last = Record("k", "k", None, explain=(("symlink a", facts(0, "", "x", "")),))
    assert why(("symlink a", facts(0, "", "y", "")), last=last) == "target of symlink a changed"


def test_new_and_gone_inputs_are_named() -> None:
    said = why(*PAIRS[:2], PAIRS[3], ("file b.py", "1"))
    assert said == "file b.py is new; variable A is gone"


def test_many_changes_are_counted() -> None:
    last = Record("k", "k", None, explain=tuple((f"file {n}", "1") for n in range(9)))
    assert why(*((f"file {n}", "2") for n in range(9)), last=last) == "file 0, file 1, file 2 and 6 more changed"


def test_an_order_that_changed_is_named() -> None:
    last = Record("k", "k", None, explain=(("variable A", "1"), ("variable B", "1"), ("file x", "1"), ("file y", "1")))
    a, b, x, y = last.explain
    assert why(b, a, x, y, last=last) == "the order of the variables changed"
    assert why(a, b, y, x, last=last) == "the order of the sources changed"
    assert why(("variable C", "1"), a, b, x, y, last=last) == "variable C is new"


def test_a_parent_that_is_another_is_the_reason_when_nothing_else_changed() -> None:
    same = PAIRS[1:]
    assert why(("parent", "q"), *same, above="RUN make", ran=True) == "the step above it ran again (RUN make)"
    assert why(("parent", "q"), *same, above="RUN make") == "the step above it is another (RUN make)"
    assert why(("base image", "b"), *same) == "the step above it is gone"


def test_a_base_that_is_another_is_the_reason_when_nothing_else_changed() -> None:
    last = Record("k", "k", None, explain=(("base image", "b1"), ("command", "1")))
    assert why(("base image", "b2"), ("command", "1"), last=last) == "base image changed"
    assert why(("parent", "p"), ("command", "1"), last=last, above="COPY a", ran=True).endswith("ran again (COPY a)")


def test_a_lost_result_is_said() -> None:
    lost = "its result is no longer in the store"
    assert why(*PAIRS, key="k") == lost
    assert why_it_ran(Now(PAIRS, ("k",)), Before("k")) == lost
    assert why_it_ran(Now(PAIRS, ("z",)), Before("k")) == f"it is not what it was, and {lost}"
    assert why_it_ran(Now(PAIRS, ("z",), above="COPY a", has_above_run=True), Before("k")).endswith("again (COPY a)")
