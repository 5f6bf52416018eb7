"""What a Dockerfile's steps came from the last time: found again by text, else by place."""

from __future__ import annotations

from slimstage.cache.lasttime import LastTime
from slimstage.oci.config import ImageConfig
from slimstage.plan.graph import Graph, RunStep, SkippedStage, StagePlan


def graph(*titles: str, stage: str = "app", skipped: tuple[str, ...] = ()) -> Graph:
    steps = {
        f"s0.{number}": RunStep(
            id=f"s0.{number}", stage=0, parent=None, line=1, end_line=1, title=title, argv=(), env=(), cwd="/", user=""
        )
        for number, title in enumerate(titles, 1)
    }
    plan = StagePlan(0, stage, None, tuple(steps), None, ImageConfig("amd64", "linux"), (), 0, ())
    return Graph(dict(steps), (plan,), 0, tuple(SkippedStage(9, name, 1, "") for name in skipped))


def remembered(*titles: str, stage: str = "app") -> str:
    """The memory of a build in which each step had its title as key."""
    text = LastTime("", graph(*titles, stage=stage)).noted({f"s0.{n}": title for n, title in enumerate(titles, 1)})
    assert text is not None
    return text


def keys(text: str, *titles: str, stage: str = "app") -> list[str | None]:
    last = LastTime(text, graph(*titles, stage=stage))
    return [last.key(f"s0.{number}") for number, _ in enumerate(titles, 1)]


def test_the_same_steps_are_found_again() -> None:
    assert keys(remembered("a", "b"), "a", "b") == ["a", "b"]


def test_a_step_in_another_ones_place_is_compared_with_it() -> None:
    assert keys(remembered("a", "b", "c"), "a", "x", "c") == ["a", "b", "c"]


def test_a_step_put_between_is_new_and_moves_no_other() -> None:
    assert keys(remembered("a", "b", "c"), "a", "x", "b", "c") == ["a", "", "b", "c"]


def test_a_step_taken_out_moves_no_other() -> None:
    assert keys(remembered("a", "b", "c"), "a", "c") == ["a", "c"]


def test_a_stage_of_another_name_is_not_known() -> None:
    assert keys(remembered("a"), "a", stage="other") == [None]


def test_what_is_as_it_was_is_not_written_again() -> None:
    text = remembered("a", "b")
    assert LastTime(text, graph("a", "b")).noted({"s0.1": "a", "s0.2": "b"}) is None
    assert LastTime(text, graph("a", "b")).noted({}) is None
    assert LastTime(text, graph("a", "b")).noted({"s0.2": "B"}) is not None


def test_stages_that_were_left_alone_stay_and_those_that_are_no_more_go() -> None:
    text = remembered("a")
    kept = LastTime(text, graph("x", stage="other", skipped=("app",))).noted({"s0.1": "X"})
    assert kept is not None
    assert keys(kept, "a") == ["a"]
    dropped = LastTime(text, graph("x", stage="other")).noted({"s0.1": "X"})
    assert dropped is not None
    assert keys(dropped, "a") == [None]


def test_a_broken_memory_is_none() -> None:
    for text in ("", "{", "[]", '{"app": 3}', '{"app": [["a"]]}'):
        assert keys(text, "a") == [None]
