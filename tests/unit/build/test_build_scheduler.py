"""Which steps are done, in which order, and what a cached one spares."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from slimstage.build.executor import StepOutcome, StepTask, ThreadExecutor
from slimstage.build.scheduler import Scheduler
from slimstage.cache.keys import EMPTY_TREE, base_key, content_key, definition_key, tree_key
from slimstage.errors import Interrupted, StepFailed
from slimstage.plan.graph import AnyStep, BaseStep, CopyStep, FromStep, Graph, RunStep
from slimstage.store.records import Record
from slimstage.store.snapshots import LayerId


def base(id: str, stage: int) -> BaseStep:
    return BaseStep(
        id=id, stage=stage, parent=None, line=1, end_line=1, title="FROM", reference="b", digest="d", platform="p"
    )


def run(id: str, stage: int, parent: str, command: str) -> RunStep:
    return RunStep(
        id=id, stage=stage, parent=parent, line=1, end_line=1, title=f"RUN {command}", argv=(command,), env=(), cwd="/",
        user="",
    )  # fmt: skip


def copy(id: str, stage: int, parent: str, source: str) -> CopyStep:
    return CopyStep(
        id=id, stage=stage, parent=parent, line=1, end_line=1, title="COPY", source=FromStep(source), paths=("x",),
        destination="/x", from_is_stage=True,
    )  # fmt: skip


def graph(*steps: AnyStep) -> Graph:
    return Graph({step.id: step for step in steps}, (), 0)


@dataclass
class MemoryCache:
    records: dict[str, Record] = field(default_factory=dict)

    def find(self, key: str) -> Record | None:
        return self.records.get(key)

    def keep(self, record: Record, *also_under: str) -> None:
        for key in (record.key, *also_under):
            self.records[key] = record

    def peek(self, key: str) -> Record | None:
        return None


TWO_STAGES = graph(
    base("s0.0", 0), run("s0.1", 0, "s0.0", "make"), base("s1.0", 1), copy("s1.1", 1, "s1.0", "s0.1"),
    run("s1.2", 1, "s1.1", "check"),
)  # fmt: skip


class Fixture:
    def __init__(self, the_graph: Graph, cache: MemoryCache, forced: frozenset[str] = frozenset()) -> None:
        self.done: list[str] = []
        self.cached: list[str] = []
        self.tasks: dict[str, StepTask] = {}
        self.fails: dict[str, BaseException] = {}
        self.graph = the_graph
        self.executor = ThreadExecutor(self.work, jobs=2)
        self.scheduler = Scheduler(
            the_graph, cache, self.executor, extra=lambda _: {},
            forced_by=lambda step: "--no-cache" if step.id in forced else "",
            last_key=lambda _: None, digests=self.digests, on_cached=lambda step, _: self.cached.append(step.id),
            on_done=lambda step, _: None,
        )  # fmt: skip

    def digests(self, step: AnyStep) -> list[Any]:
        raise AssertionError("nothing here reads a context")

    def work(self, task: StepTask) -> StepOutcome:
        self.tasks[task.step.id] = task
        if task.step.id in self.fails:
            raise self.fails[task.step.id]
        self.done.append(task.step.id)
        key = base_key(task.step) if isinstance(task.step, BaseStep) else f"key of {task.step.id}"
        return StepOutcome(task.step.id, "run", key, (LayerId(task.step.id),))

    def run(self, target: str, cancel: threading.Event | None = None) -> Any:
        self.scheduler.probe()
        try:
            return self.scheduler.run([target], cancel or threading.Event())
        finally:
            self.executor.close()


def all_cached() -> MemoryCache:
    """What a build of TWO_STAGES leaves behind."""
    cache = MemoryCache()
    keys = {"s0.0": base_key(base("s0.0", 0)), "s1.0": base_key(base("s1.0", 1))}
    make, copied, check = (TWO_STAGES.steps[each] for each in ("s0.1", "s1.1", "s1.2"))
    cache.keep(Record(content_key(make, keys["s0.0"], (), {}), "made", LayerId("l-make")))
    keys["s0.1"] = "made"
    cache.keep(Record(definition_key(copied, keys, {}), "copied", LayerId("l-copy")))
    cache.keep(Record(content_key(check, "copied", (), {}), "checked", LayerId("l-check")))
    return cache


def test_inputs_come_first_and_stacks_are_base_first() -> None:
    fixture = Fixture(TWO_STAGES, MemoryCache())
    progress = fixture.run("s1.2")
    assert fixture.done.index("s0.1") < fixture.done.index("s1.1") < fixture.done.index("s1.2")
    assert progress.stack(TWO_STAGES, "s1.2") == ("s1.0", "s1.1", "s1.2")
    assert fixture.tasks["s1.1"].parent == ("s1.0",)
    assert fixture.tasks["s1.1"].sources == (("s0.1", ("s0.0", "s0.1")),)
    assert (fixture.tasks["s1.2"].above, fixture.tasks["s1.2"].has_above_run) == ("COPY", True)
    assert fixture.tasks["s1.1"].above == ""


def test_nothing_runs_when_all_is_cached_and_the_earlier_stage_is_not_even_fetched() -> None:
    fixture = Fixture(TWO_STAGES, all_cached())
    progress = fixture.run("s1.2")
    assert fixture.done == ["s1.0"]
    assert progress.stack(TWO_STAGES, "s1.2") == ("s1.0", "l-copy", "l-check")
    assert sorted(fixture.cached) == ["s0.1", "s1.1", "s1.2"]


def test_a_lost_step_of_an_earlier_stage_runs_again_because_its_result_is_unknown() -> None:
    cache = all_cached()
    del cache.records[content_key(TWO_STAGES.steps["s0.1"], base_key(base("s0.0", 0)), (), {})]
    fixture = Fixture(TWO_STAGES, cache)
    fixture.run("s1.2")
    assert "s0.1" in fixture.done


def test_a_forced_step_runs_and_what_stands_on_it_is_asked_anew() -> None:
    fixture = Fixture(TWO_STAGES, all_cached(), forced=frozenset({"s0.1"}))
    fixture.run("s1.2")
    assert "s0.1" in fixture.done
    assert dict(fixture.tasks["s1.1"].keys)["s0.1"] == "key of s0.1"


def test_the_first_failure_is_raised_and_nothing_new_begins() -> None:
    fixture = Fixture(TWO_STAGES, MemoryCache())
    fixture.fails["s0.1"] = StepFailed("no", status=1)
    with pytest.raises(StepFailed):
        fixture.run("s1.2")
    assert "s1.1" not in fixture.tasks


def test_a_cancelled_build_is_interrupted() -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Interrupted):
        Fixture(TWO_STAGES, MemoryCache()).run("s1.2", cancel)


def test_an_interrupted_sibling_does_not_hide_the_real_error() -> None:
    siblings = graph(
        base("s0.0", 0), run("s0.1", 0, "s0.0", "a"), run("s1.1", 1, "s0.0", "b"), copy("s2.1", 2, "s0.1", "s1.1")
    )
    fixture = Fixture(siblings, MemoryCache())
    fixture.fails["s0.1"] = Interrupted("stopped")
    fixture.fails["s1.1"] = StepFailed("no", status=3)
    with pytest.raises(StepFailed):
        fixture.run("s2.1")


def test_scratch_has_the_key_of_the_empty_tree() -> None:
    step = copy("s0.1", 0, "", "s1.0")
    assert content_key(step, EMPTY_TREE, (), {}) != content_key(step, "other", (), {})


def test_a_thousand_stages_in_a_row_are_scheduled() -> None:
    steps: list[AnyStep] = [base("s0.0", 0)]
    steps += [run(f"s{n}.1", n, steps[0].id, f"c{n}") for n in range(1, 1000)]
    fixture = Fixture(graph(*steps), MemoryCache())
    fixture.scheduler.probe()
    fixture.scheduler.run([step.id for step in steps], threading.Event())
    fixture.executor.close()
    assert len(fixture.done) == 1000


def test_a_step_on_a_linked_copy_runs_when_what_is_below_the_copy_is_another() -> None:
    """A linked COPY is cached whatever it stands on; its layer is no name for the tree."""
    linked = replace(copy("s0.2", 0, "s0.1", "s0.0"), is_link=True)
    steps = (base("s0.0", 0), run("s0.1", 0, "s0.0", "make"), linked, run("s0.3", 0, "s0.2", "check"))
    cache = MemoryCache()
    keys = {"s0.0": base_key(base("s0.0", 0)), "s0.1": "made"}
    cache.keep(Record(content_key(steps[1], keys["s0.0"], (), {}), "made", LayerId("l-make")))
    cache.keep(Record(definition_key(linked, keys, {}), "copied", LayerId("l-copy")))
    below = tree_key(linked, "made", "copied")
    cache.keep(Record(content_key(steps[3], below, (), {}), "checked", LayerId("l-check")))
    same = Fixture(graph(*steps), cache)
    same.run("s0.3")
    assert same.done == ["s0.0"]
    other = (steps[0], run("s0.1", 0, "s0.0", "make all"), *steps[2:])
    changed = Fixture(graph(*other), cache)
    changed.run("s0.3")
    below = tree_key(linked, "key of s0.1", "key of s0.2")
    assert changed.tasks["s0.3"].keys == (("s0.2", below),)
