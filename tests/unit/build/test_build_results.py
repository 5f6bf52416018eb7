"""What a build says of itself: sizes of stages, what was copied on, what stayed behind."""

from __future__ import annotations

from slimstage.build.executor import StepOutcome
from slimstage.build.request import StageCopy, StayedBehind
from slimstage.build.results import stage_results, stayed_behind, step_results
from slimstage.oci.config import ImageConfig
from slimstage.plan.graph import BaseStep, Graph
from support.planning import BUSYBOX, planned

BASE_BYTES = {"busybox": 1_000, "big": 50_000}
IMAGES: dict[str, ImageConfig] = {"big": BUSYBOX}


def bases(graph: Graph) -> dict[str, int]:
    return {step.id: BASE_BYTES[step.reference] for step in graph.steps.values() if isinstance(step, BaseStep)}


def behind(graph: Graph, sizes: dict[str, int]) -> StayedBehind:
    return stayed_behind(graph, {}, bases(graph), sizes)


def test_a_builder_leaves_behind_its_base_and_what_it_made_but_for_what_was_handed_on() -> None:
    graph = planned("FROM big AS b\nRUN make\nFROM busybox\nCOPY --from=b /x /x\n", IMAGES)
    assert behind(graph, {"s0.1": 700, "s1.1": 30}) == StayedBehind(50_000 + 700 - 30, ("b",))


def test_the_base_that_the_image_stands_on_itself_is_not_behind() -> None:
    graph = planned("FROM busybox AS b\nRUN make\nFROM busybox\nCOPY --from=b /x /x\n")
    assert behind(graph, {"s0.1": 700, "s1.1": 30}) == StayedBehind(670, ("b",))


def test_a_stage_that_the_image_stands_on_leaves_nothing_behind() -> None:
    graph = planned("FROM busybox AS a\nRUN one\nFROM a\nRUN two\n")
    assert behind(graph, {"s0.1": 700, "s1.1": 30}) == StayedBehind()


def test_layers_that_several_stages_stand_on_count_once() -> None:
    text = (
        "FROM big AS tools\nRUN install\nFROM tools AS train\nRUN train\nFROM tools AS check\nRUN check\n"
        "FROM busybox\nCOPY --from=train /m /m\nCOPY --from=check /ok /ok\n"
    )
    graph = planned(text, IMAGES)
    sizes = {"s0.1": 4_000, "s1.1": 300, "s2.1": 20, "s3.1": 5, "s3.2": 1}
    assert behind(graph, sizes) == StayedBehind(50_000 + 4_000 + 300 + 20 - 6, ("tools", "train", "check"))


def test_a_stage_beside_the_image_on_the_same_parent_leaves_only_its_own() -> None:
    graph = planned("FROM big AS a\nRUN one\nFROM a AS t\nRUN test\nFROM a\nCOPY --from=t /ok /ok\n", IMAGES)
    assert behind(graph, {"s0.1": 700, "s1.1": 90, "s2.1": 2}) == StayedBehind(88, ("t",))


def test_files_of_the_context_and_of_images_are_not_taken_off() -> None:
    text = "FROM busybox AS b\nRUN make\nFROM busybox\nCOPY . /\nCOPY --from=big /y /y\nCOPY --from=b /x /x\n"
    graph = planned(text, IMAGES)
    assert behind(graph, {"s0.1": 700, "s1.1": 600, "s1.2": 500, "s1.3": 30}).size_bytes == 670


def test_more_handed_on_than_made_is_nothing_behind_not_less() -> None:
    graph = planned("FROM scratch AS b\nCOPY x /x\nFROM busybox\nCOPY --from=b /x /a\nCOPY --from=b /x /b\n")
    assert behind(graph, {"s0.1": 10, "s1.1": 10, "s1.2": 10}) == StayedBehind()


def test_sizes_of_stages_hold_their_bases_and_copies_say_from_where() -> None:
    graph = planned("FROM big AS b\nRUN make\nFROM b AS c\nRUN more\nFROM busybox\nCOPY --from=c /x /x\n", IMAGES)
    outcomes = {"s1.1": StepOutcome("s1.1", "run", "", (), layer_bytes=40, why="new")}
    found = stage_results(graph, outcomes, bases(graph), {"s0.1": 700, "s2.1": 30})
    assert [(each.name, each.status, each.size_bytes) for each in found] == [
        ("b", "cached", 50_700),
        ("c", "built", 50_740),
        ("stage-2", "cached", 1_030),
    ]
    assert found[2].copied_from == (StageCopy("c", ("/x",), 30),)


def test_the_whole_tree_of_a_stage_is_its_root() -> None:
    graph = planned("FROM busybox AS b\nRUN x\nFROM scratch\nCOPY --from=b / /\n")
    assert stage_results(graph, {}, bases(graph), {"s1.1": 9})[1].copied_from == (StageCopy("b", ("/",), 9),)


def test_skipped_stages_have_no_size_and_say_why() -> None:
    graph = planned("FROM busybox AS a\nFROM busybox AS unused\nRUN x\nFROM a\n")
    skipped = next(each for each in stage_results(graph, {}, bases(graph), {}) if each.name == "unused")
    assert (skipped.status, skipped.size_bytes) == ("skipped", 0)
    assert skipped.why


def test_a_step_that_was_not_needed_at_all_is_a_cached_one() -> None:
    graph = planned("FROM busybox\nRUN x\n")
    assert [each.status for each in step_results(graph, {}, {}, {})] == ["cached", "cached"]
