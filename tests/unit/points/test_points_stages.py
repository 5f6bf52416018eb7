"""What a Dockerfile means, point by point: stages, named contexts, triggers (points 27 to 34)."""

from __future__ import annotations

import pytest

from slimstage.oci.config import HistoryEntry, ImageConfig
from slimstage.plan.graph import BaseStep, CopyStep, FromContext, FromStep, RunStep, WorkdirStep
from support.planning import PATH, Images, copies, planned, refused, runs, steps, target

IMAGE = ImageConfig(
    "amd64",
    "linux",
    env=(f"PATH={PATH}", "from=image"),
    user="7",
    labels=(("l", "1"),),
    history=(HistoryEntry(created_by="one layer"),),
)


def test_point_27_names_ignore_case_and_a_stage_hides_an_image_of_its_name() -> None:
    images = Images({"debian": IMAGE})
    graph = planned("FROM busybox AS Debian\nRUN a\nFROM debian AS final\nCOPY --from=DEBIAN /f /f\n", images)
    assert [name for name, _ in images.asked if name == "debian"] == []
    assert target(graph).needs == (0,)
    assert planned("FROM busybox AS Debian\nFROM busybox\n", target="dEBIAN").target == 0


def test_point_27_a_number_is_an_index_in_from_of_copy_and_no_target() -> None:
    graph = planned("FROM busybox AS a\nRUN x\nFROM busybox\nCOPY --from=0 /f /f\n")
    assert copies(graph)[0].source == FromStep("s0.1")
    assert refused("FROM busybox AS a\nFROM busybox\n", target="0").code == "unknown-target"


def test_point_28_from_a_later_stage_is_looked_up_as_an_image() -> None:
    images = Images({"later": IMAGE})
    planned("FROM later AS a\nFROM busybox AS later\nCOPY --from=a /f /f\n", images)
    assert "later" in [name for name, _ in images.asked]


@pytest.mark.parametrize("source", ["later", "2"])
def test_point_28_copy_from_a_later_stage_is_an_error_and_no_pull(source: str) -> None:
    images = Images({"later": IMAGE})
    text = f"FROM busybox AS a\nFROM busybox AS b\nCOPY --from={source} /f /f\nFROM busybox AS later\n"
    assert refused(text, images, target="b").code == "stage-later"
    assert "later" not in [name for name, _ in images.asked]


def test_point_28_self_and_mutual_references_are_circular_dependencies() -> None:
    itself = refused("FROM busybox AS a\nCOPY --from=a /f /f\n")
    mutual = refused("FROM busybox AS a\nCOPY --from=b /f /f\nFROM busybox AS b\nCOPY --from=a /f /f\n")
    for error in (itself, mutual):
        assert error.code == "stage-cycle"
        assert "circular dependency" in str(error)


def test_point_29_unreachable_stages_their_images_and_contexts_are_never_resolved() -> None:
    images = Images()
    text = "FROM missing AS unused\nCOPY --from=ctx / /\nRUN --mount=from=gone,target=/m x\nFROM busybox\nRUN y\n"
    graph = planned(text, images, contexts={"ctx": "/nowhere", "gone": "docker-image://gone"})
    assert {name for name, _ in images.asked} == {"busybox"}
    assert graph.contexts == ()
    assert [stage.index for stage in graph.skipped] == [0]


def test_point_30_a_named_context_replaces_a_stage_completely() -> None:
    text = "FROM missing AS lib\nARG never\nRUN never\nFROM busybox\nCOPY --from=lib /f /f\nCOPY --from=img /g /g\n"
    graph = planned(text, {"docker-image://img": IMAGE}, contexts={"lib": "./dir", "img": "docker-image://img"})
    assert runs(graph) == []
    assert copies(graph)[0].source == FromContext("lib")
    base = graph.steps[copies(graph)[1].source.step]  # type: ignore[union-attr] # an image is a step
    assert isinstance(base, BaseStep)
    assert base.reference == "docker-image://img"


def test_point_31_copy_from_brings_files_and_nothing_of_the_stages_config_or_history() -> None:
    text = "FROM image AS a\nENV x=1\nLABEL y=2\nRUN z\nFROM busybox\nCOPY --from=a /f /f\n"
    plan = target(planned(text, {"image": IMAGE}))
    assert plan.config.env == (f"PATH={PATH}",)
    assert (plan.config.labels, plan.config.user) == ((), "")
    assert [entry.created_by for entry in plan.history] == ["COPY /f /f # buildkit"]
    assert [entry.created_by for entry in plan.base_history] == ["base layer"]


def test_point_32_sources_of_from_are_rooted_at_the_root_whatever_the_stages_directory() -> None:
    text = "FROM busybox AS a\nWORKDIR /deep/in\nFROM busybox\nWORKDIR /w\nCOPY --from=a f ../g ./\n"
    assert copies(planned(text))[0].paths == ("f", "g")


def test_point_33_triggers_of_an_image_run_once_and_first_and_are_cleared() -> None:
    image = ImageConfig("amd64", "linux", on_build=("RUN trigger", "COPY --from=extra /f /f"))
    images = Images({"parent": image, "extra": IMAGE})
    graph = planned("FROM parent AS a\nRUN own\nFROM a\nRUN last\n", images)
    assert [step.argv[-1] for step in runs(graph)] == ["trigger", "own", "last"]
    assert [type(step) for step in steps(graph, 0)] == [RunStep, CopyStep, RunStep]
    assert target(graph).config.on_build == ()
    assert "extra" in [name for name, _ in images.asked]


def test_point_33_triggers_of_a_stage_fire_in_its_child_and_may_need_further_stages() -> None:
    text = (
        "FROM busybox AS dep\nRUN dep\nFROM busybox AS a\nONBUILD RUN --mount=from=dep,target=/m trigger\n"
        "FROM a AS b\nRUN own\nFROM b\n"
    )
    graph = planned(text)
    assert [step.argv[-1] for step in runs(graph)] == ["dep", "trigger", "own"]
    assert target(graph).config.on_build == ()


def test_point_34_from_run_copy_add_and_workdir_are_steps_and_nothing_else_is_and_scratch_is_none() -> None:
    text = (
        "FROM busybox AS a\nRUN x\nCOPY f /f\nADD g /g\nWORKDIR /w\nENV e=1\nARG b\nLABEL l=1\nUSER 1\nEXPOSE 1\nVOLUME /v\n"
        'CMD x\nENTRYPOINT ["y"]\nSTOPSIGNAL 9\nHEALTHCHECK NONE\nSHELL ["s"]\nONBUILD RUN z\nMAINTAINER m\n'
        "FROM scratch\nCOPY --from=a /f /f\n"
    )
    graph = planned(text)
    kinds = [(step.stage, type(step)) for step in graph.steps.values()]
    assert kinds == [(0, BaseStep), (0, RunStep), (0, CopyStep), (0, CopyStep), (0, WorkdirStep), (1, CopyStep)]
