"""Names, indexes, what a target needs, named contexts, ONBUILD."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slimstage.dockerfile.parse import parse
from slimstage.errors import DockerfileError, PlanError
from slimstage.plan.graph import BaseStep, BindMount, CopyStep, FromContext, FromStep, Graph
from slimstage.plan.lower import bases_needed
from slimstage.plan.request import PlanRequest
from support.planning import AMD64, ARM64, BUSYBOX, Images, copies, planned, refused, runs, said, steps, target

THREE = """\
FROM busybox AS deps
RUN one
FROM busybox AS build
COPY --from=deps /a /a
FROM busybox AS serve
COPY --from=build /b /b
"""


def needed(graph: Graph) -> list[str]:
    return [stage.name for stage in graph.stages]


def test_the_last_stage_is_the_target_and_brings_what_it_reads() -> None:
    graph = planned(THREE)
    assert needed(graph) == ["deps", "build", "serve"]
    assert graph.target == 2
    assert [stage.needs for stage in graph.stages] == [(), (0,), (1,)]
    assert graph.skipped == ()


def test_target_prunes_what_it_does_not_need_and_says_why() -> None:
    graph = planned(THREE, target="build")
    assert needed(graph) == ["deps", "build"]
    assert [(each.index, each.name, each.line) for each in graph.skipped] == [(2, "serve", 5)]
    assert graph.skipped[0].why == '"build" does not need it'


@pytest.mark.parametrize("name", ["BUILD", "Build", "build"])
def test_target_ignores_case(name: str) -> None:
    assert planned(THREE, target=name).target == 1


def test_an_unknown_target_gets_a_near_name_and_the_list() -> None:
    error = refused(THREE, target="bulid")
    assert error.code == "unknown-target"
    assert error.hint == 'did you mean "build"?'
    assert "deps (line 1), build (line 3), serve (line 5)" in error.diagnostics[0].notes[0]


def test_a_number_is_no_target() -> None:
    error = refused(THREE, target="1")
    assert error.code == "unknown-target"
    assert "AS NAME" in (error.hint or "")


@pytest.mark.parametrize(
    "broken",
    [
        "FROM nowhere AS broken\nRUN x",
        "FROM busybox AS broken\nCOPY --from=later /a /b",
        "FROM busybox AS broken\nCOPY --chmod=99999 a b",
        "FROM busybox AS broken\nUSER 4294967296",
    ],
)
def test_a_broken_stage_that_nobody_needs_does_no_harm(broken: str) -> None:
    images = Images()
    graph = planned(f"{broken}\nFROM busybox AS later\nFROM busybox AS end\nRUN y\n", images)
    assert needed(graph) == ["end"]
    assert images.asked == [("busybox", "linux/amd64")]


def test_stages_are_found_by_index_and_by_name_in_any_case() -> None:
    graph = planned("FROM busybox AS Tools\nRUN a\nFROM busybox\nCOPY --from=0 /a /b\nCOPY --from=TOOLS /a /c\n")
    assert [copy.source for copy in copies(graph)] == [FromStep("s0.1"), FromStep("s0.1")]
    assert all(copy.from_is_stage for copy in copies(graph))


def test_of_two_stages_with_one_name_the_last_wins() -> None:
    graph = planned("FROM busybox AS a\nRUN 1\nFROM busybox AS a\nRUN 2\nFROM busybox\nCOPY --from=a / /x\n")
    assert copies(graph)[0].source == FromStep("s1.1")
    assert needed(graph) == ["a", "stage-2"]


def test_from_sees_the_nearest_earlier_stage_of_a_name() -> None:
    graph = planned("FROM busybox AS busybox\nRUN 1\nFROM busybox AS busybox\nRUN 2\nFROM busybox\nRUN 3\n")
    assert [stage.needs for stage in graph.stages] == [(), (0,), (1,)]
    assert target(graph).base == "s1.1"


def test_from_a_later_stage_is_an_image_and_the_error_says_so() -> None:
    error = refused("FROM later\nRUN x\nFROM busybox AS later\nFROM busybox\nCOPY --from=0 / /\n")
    assert error.code == "no-such-base"
    assert str(error.diagnostics[0].span) == "Dockerfile:1:1"
    assert "line 3 names a stage" in error.diagnostics[0].notes[0]


def test_a_missing_base_gets_the_near_stage_as_hint() -> None:
    error = refused("FROM busybox AS builder\nFROM buidler\n")
    assert error.hint == 'did you mean the stage "builder"?'


def test_from_a_stage_with_capitals_is_explained() -> None:
    error = refused("FROM busybox AS BUG_stage\nFROM BUG_stage\nRUN x\n")
    assert error.code == "stage-name-case"
    assert error.hint == "write FROM bug_stage"


def test_copy_from_a_later_stage_says_where_it_is_and_what_exists() -> None:
    error = refused(
        "FROM busybox AS one\nFROM busybox AS target\nCOPY --from=build /a /a\nFROM busybox AS build\n", target="target"
    )
    assert error.code == "stage-later"
    notes = error.diagnostics[0].notes
    assert notes == ('"build" is defined at line 4', "earlier stages: one (line 1)")
    assert error.diagnostics[0].span is not None
    assert error.diagnostics[0].span.line == 3


def test_copy_from_the_own_stage_is_a_cycle() -> None:
    error = refused("FROM busybox AS build\nCOPY --from=build foo foo2\n")
    assert (error.code, "circular" in error.diagnostics[0].notes[0]) == ("stage-cycle", True)


def test_a_cycle_over_three_stages_is_named() -> None:
    text = "FROM busybox AS a\nCOPY --from=c / /\nFROM a AS b\nFROM busybox AS c\nCOPY --from=b / /\n"
    error = refused(text)
    assert error.code == "stage-cycle"
    assert 'circular dependency between the stages "a" and "c"' in error.message


def test_a_stage_number_that_does_not_exist_says_how_many_there_are() -> None:
    error = refused("FROM busybox\nCOPY --from=3 a b\n")
    assert error.code == "stage-unknown"
    assert error.diagnostics[0].notes == ("this file has 1 stages, numbered from 0",)


def test_all_faults_of_names_are_reported_together_in_file_order() -> None:
    error = refused("FROM busybox AS a\nCOPY --from=9 a b\nCOPY --from=a a b\nRUN --mount=from=8,target=/x y\n")
    assert [each.span.line for each in error.diagnostics if each.span] == [2, 3, 4]


def test_a_variable_in_from_of_copy_is_refused() -> None:
    with pytest.raises((PlanError, DockerfileError)) as caught:
        planned("ARG X=a\nFROM busybox AS a\nFROM busybox\nARG X\nCOPY --from=$X /a /b\n")
    assert caught.value.code == "from-variable"


def test_an_unknown_name_in_copy_from_is_an_image_taken_for_its_files() -> None:
    graph = planned("FROM scratch\nCOPY --from=busybox /a /a\nCOPY --from=busybox /b /b\n")
    base = next(step for step in graph.steps.values() if isinstance(step, BaseStep))
    assert base.reference == "busybox"
    assert [copy.source for copy in copies(graph)] == [FromStep(base.id)] * 2
    assert target(graph).base is None
    assert list(graph.steps).index(base.id) < list(graph.steps).index("s0.1")


def test_files_from_scratch_come_from_an_empty_tree() -> None:
    graph = planned(
        "FROM scratch AS empty\nFROM busybox\nCOPY --from=empty /x* /y\nRUN --mount=from=scratch,target=/m z\n"
    )
    empty, copy = copies(graph)
    assert copy.source == FromStep(empty.id)
    assert (empty.parent, empty.paths, empty.inline) == (None, (), ())
    assert runs(graph)[0].mounts == (BindMount("/m", FromStep(empty.id)),)
    assert graph.contexts == ()


def test_platform_of_from_is_expanded_from_global_and_automatic_arguments() -> None:
    images = Images()
    planned(
        "FROM --platform=$BUILDPLATFORM busybox AS b\nRUN x\nFROM busybox\nCOPY --from=b / /x\n", images, platform=ARM64
    )
    assert sorted(set(images.asked)) == [("busybox", "linux/amd64"), ("busybox", "linux/arm64")]


@pytest.mark.parametrize(
    ("flag", "code"),
    [("$NOTHING", "empty-platform"), ("a/b/c/d", "bad-platform"), ("$BUILDPLATFROM", "empty-platform")],
)
def test_a_platform_that_is_none_is_refused(flag: str, code: str) -> None:
    error = refused(f"FROM --platform={flag} busybox\n")
    assert error.code == code
    if flag == "$BUILDPLATFROM":
        assert error.hint == 'did you mean "BUILDPLATFORM"?'


def test_a_blank_base_is_refused_with_the_rule() -> None:
    error = refused('ARG BASE_IMAGE=busybox\nFROM "${BASE_IMGE}"\n')
    assert (error.code, error.hint) == ("blank-base", 'did you mean "BASE_IMAGE"?')


@pytest.mark.parametrize(
    ("unneeded", "code"),
    [
        ("FROM $nothing", "blank-base"),
        ("FROM ${nothing:?missing}", "variable-required"),
        ("FROM --platform=a/b/c/d busybox", "bad-platform"),
        ("FROM missing AS a\nCOPY --from=7 /x /x", "stage-unknown"),
        ("FROM missing AS a\nCOPY --from=a /x /x", "stage-cycle"),
        ("FROM missing AS a\nRUN --mount=from=a,target=/m x", "stage-cycle"),
    ],
)
def test_a_stage_that_nobody_needs_must_still_have_a_meaning(unneeded: str, code: str) -> None:
    assert refused(f"{unneeded}\nFROM busybox\n").code == code


def test_a_stage_that_nobody_needs_may_name_a_later_one() -> None:
    planned("FROM missing AS a\nCOPY --from=later /x /x\nFROM missing AS later\nFROM busybox\n")


# Named contexts ------------------------------------------------------------------------------------------------------


def test_a_context_replaces_a_base_image_in_every_spelling() -> None:
    for name in ("busybox", "busybox:latest", "docker.io/library/busybox"):
        for key in ("busybox", "docker.io/library/busybox:latest"):
            images = Images({"oci-layout://x": BUSYBOX})
            planned(f"FROM {name}\n", images, contexts={key: "oci-layout://x"})
            assert images.asked == [("oci-layout://x", "linux/amd64")]


def test_a_context_for_the_platform_wins() -> None:
    images = Images({"oci-layout://any": BUSYBOX, "oci-layout://arm": BUSYBOX})
    contexts = {"busybox": "oci-layout://any", "busybox::linux/arm64": "oci-layout://arm"}
    planned("FROM busybox\n", images, contexts=contexts, platform=ARM64)
    planned("FROM busybox\n", images, contexts=contexts)
    assert images.asked == [("oci-layout://arm", "linux/arm64"), ("oci-layout://any", "linux/amd64")]


def test_a_context_replaces_a_stage_completely() -> None:
    images = Images({"docker-image://other": replace(BUSYBOX, env=("PATH=/p", "FROM_CONTEXT=1"))})
    text = "FROM nowhere AS base\nENV A=1\nRUN x\nFROM base\nRUN y\nCOPY --from=base /f /f\n"
    graph = planned(text, images, contexts={"base": "docker-image://other"})
    assert {reference for reference, _ in images.asked} == {"docker-image://other"}
    assert target(graph).config.env == ("PATH=/p", "FROM_CONTEXT=1")
    assert len(runs(graph)) == 1
    assert graph.skipped[0].why == 'replaced by the named context "base"'


def test_a_local_context_in_place_of_a_stage_is_read_directly() -> None:
    graph = planned("FROM nowhere AS data\nRUN x\nFROM busybox\nCOPY --from=data /f /f\n", contexts={"data": "./data"})
    copy = copies(graph)[0]
    assert (copy.source, copy.from_is_stage, copy.paths) == (FromContext("data"), False, ("f",))
    assert graph.contexts == ("data",)


def test_from_a_local_context_makes_its_files_the_base() -> None:
    graph = planned("FROM files\nRUN x\n", contexts={"files": "./dir"})
    base = graph.steps["s0.0"]
    assert isinstance(base, CopyStep)
    assert (base.source, base.paths, base.destination) == (FromContext("files"), (".",), "/")
    layers = [entry.step for entry in target(graph).history if entry.step]
    assert layers == ["s0.0", "s0.1"]
    assert target(graph).base_layers == 0


def test_scratch_as_context_is_an_empty_base() -> None:
    graph = planned("FROM busybox\nCOPY a /a\n", contexts={"busybox": "docker-image://scratch"})
    assert (target(graph).base, target(graph).config.cmd) == (None, None)


def test_scratch_and_context_cannot_be_replaced() -> None:
    graph = planned("FROM scratch\nCOPY a /a\n", contexts={"scratch": "./x", "context": "./y"})
    assert graph.contexts == ("",)


def test_a_context_that_nobody_uses_is_not_looked_at() -> None:
    images = Images()
    planned("FROM busybox\n", images, contexts={"other": "docker-image://nosuchimage", "x": "target:nothing"})
    assert images.asked == [("busybox", "linux/amd64")]


def test_a_target_context_is_another_stage_even_a_later_one() -> None:
    graph = planned(
        "FROM busybox\nCOPY --from=lib /l /l\nFROM busybox AS real\nRUN make\n",
        target=None,
        contexts={"lib": "target:real"},
    )
    assert graph.target == 1
    graph = planned(
        "FROM busybox AS app\nCOPY --from=lib /l /l\nFROM busybox AS real\nRUN make\n",
        target="app",
        contexts={"lib": "target:real"},
    )
    assert copies(graph)[0].source == FromStep("s1.1")
    assert list(graph.steps) == ["s1.0", "s1.1", "s0.0", "s0.1"]


def test_a_target_context_of_no_stage_or_in_a_circle_is_refused() -> None:
    text = "FROM busybox AS a\nCOPY --from=x / /\nFROM busybox AS b\nCOPY --from=a / /\n"
    assert refused(text, contexts={"x": "target:c"}).code == "unknown-target"
    assert refused(text, contexts={"x": "target:b"}).code == "stage-cycle"


# ONBUILD -------------------------------------------------------------------------------------------------------------


def test_triggers_of_an_image_fire_first_and_are_not_handed_on() -> None:
    images = Images({"trig": replace(BUSYBOX, on_build=("RUN first", "ENV A=1"))})
    graph = planned("FROM trig AS a\nRUN second\nFROM a\nRUN third\n", images)
    assert [run.argv[-1] for run in runs(graph)] == ["first", "second", "third"]
    assert runs(graph)[0].line == 1
    assert target(graph).config.on_build == ()


def test_triggers_of_a_stage_fire_in_its_child_and_stand_in_its_config() -> None:
    graph = planned(
        "FROM busybox AS a\nONBUILD RUN $X\nRUN own\nFROM a\nRUN child\nFROM a AS again\nCOPY --from=1 / /x\n"
    )
    assert [run.argv[-1] for run in runs(graph)] == ["own", "$X", "child", "$X"]
    assert graph.stage(0).config.on_build == ("RUN $X",)
    assert [entry.created_by for entry in graph.stage(0).history] == ["RUN /bin/sh -c own # buildkit"]


def test_triggers_add_stages_and_images_that_are_needed() -> None:
    images = Images(
        {
            "trig": replace(BUSYBOX, on_build=("COPY --from=tools /t /t", "RUN --mount=from=other,target=/o x")),
            "other": BUSYBOX,
        }
    )
    text = "FROM busybox AS tools\nRUN t\nFROM trig\n"
    graph = planned(text, images)
    assert [stage.name for stage in graph.stages] == ["tools", "stage-1"]
    assert ("other", "linux/amd64") in images.asked
    wanted = bases_needed(parse(text), PlanRequest(AMD64))
    assert [reference for reference, _, _ in wanted] == ["trig"]


def test_a_broken_trigger_is_an_error_at_the_from() -> None:
    error = refused("FROM busybox AS x\nFROM trig\n", {"trig": replace(BUSYBOX, on_build=("RNU x",))})
    assert error.diagnostics[0].span is not None
    assert error.diagnostics[0].span.line == 2


def test_triggers_of_a_replaced_stage_are_those_of_the_image() -> None:
    images = Images({"docker-image://i": replace(BUSYBOX, on_build=("RUN image",))})
    graph = planned(
        "FROM nowhere AS a\nONBUILD RUN stage\nFROM a\nRUN own\n", images, contexts={"a": "docker-image://i"}
    )
    assert [run.argv[-1] for run in runs(graph)] == ["image", "own"]


# What to resolve first ------------------------------------------------------------------------------------------------


def test_bases_needed_lists_images_of_needed_stages_once() -> None:
    text = (
        "ARG V=3\nFROM unused\nFROM --platform=$BUILDPLATFORM py:$V AS a\nFROM py:3 AS b\nRUN --mount=from=tool,target=/t x\n"
        "FROM py:3\nCOPY --from=a / /a\nCOPY --from=b / /b\nCOPY --from=tool / /c\n"
    )
    found = bases_needed(parse(text), PlanRequest(AMD64, platform=ARM64))
    assert [(reference, str(platform)) for reference, platform, _ in found] == [
        ("py:3", "linux/amd64"),
        ("py:3", "linux/arm64"),
        ("tool", "linux/arm64"),
    ]
    assert [span.line for _, _, span in found] == [3, 4, 5]


def test_the_graph_is_in_an_order_where_inputs_come_first() -> None:
    graph = planned(
        "FROM busybox AS a\nRUN 1\nFROM busybox AS b\nRUN --mount=from=a,target=/a 2\nFROM a\nCOPY --from=b / /\n"
    )
    seen: set[str] = set()
    for step in graph.steps.values():
        assert set(graph.inputs(step.id)) <= seen
        seen.add(step.id)


def test_the_target_alone_has_the_labels_and_platform_of_the_command_line() -> None:
    graph = planned(
        "FROM busybox AS a\nLABEL x=1 y=1\nFROM a\nLABEL y=2\n", labels={"y": "3", "z": "4"}, platform=ARM64
    )
    assert graph.stage(0).config.labels == (("x", "1"), ("y", "1"))
    assert target(graph).config.labels == (("x", "1"), ("y", "3"), ("z", "4"))
    assert target(graph).config.architecture == "arm64"


def test_a_child_stage_carries_history_and_base_layers_on() -> None:
    graph = planned("FROM busybox AS a\nRUN 1\nFROM a AS b\nENV X=1\nFROM b\nRUN 2\n")
    assert said(graph) == ["RUN /bin/sh -c 1 # buildkit", "ENV X=1", "RUN /bin/sh -c 2 # buildkit"]
    assert target(graph).base_layers == 1
    assert target(graph).base_history == BUSYBOX.history
    assert target(graph).base == "s0.1"
    assert [step.id for step in steps(graph)] == ["s2.1"]


def test_a_chain_of_a_thousand_stages_is_planned() -> None:
    text = "FROM busybox AS s0\n" + "".join(f"FROM s{n} AS s{n + 1}\nRUN {n}\n" for n in range(1000))
    assert len(planned(text).stages) == 1001


def test_warnings_of_the_reader_are_handed_on_as_lines() -> None:
    graph = planned("FROM busybox\nRUN a \\\n\n  b\n")
    assert len(graph.warnings) == 1
    assert graph.warnings[0].startswith("Dockerfile:")
    assert "\n" not in graph.warnings[0]


def test_many_faults_end_in_a_report_of_some() -> None:
    text = "FROM busybox AS s0\n" + "".join(f"COPY --from={n} / /\n" for n in range(100, 400))
    assert 50 <= len(refused(text).diagnostics) <= 51


def test_an_error_of_a_base_gets_the_place_of_its_from() -> None:
    error = refused("FROM busybox AS a\nFROM a\nCOPY --from=nowhere / /\n")
    assert (error.code, str(error.diagnostics[0].span)) == ("no-such-base", "Dockerfile:3:1")
