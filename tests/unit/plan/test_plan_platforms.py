"""Several platforms as one graph: what is shared, what is not, and how steps are called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from slimstage.errors import PlanError
from slimstage.oci.descriptor import Platform, parse_platform
from slimstage.plan.graph import BaseStep, RunStep, inputs_of
from slimstage.plan.platforms import Joined, join
from support.planning import planned

CROSS = """\
FROM --platform=$BUILDPLATFORM busybox AS build
RUN toolchain
ARG TARGETPLATFORM
RUN compile for $TARGETPLATFORM
FROM busybox
COPY --from=build /out /app
"""


def joined(text: str, platforms: Sequence[str] = ("linux/amd64", "linux/arm64"), **request: Any) -> Joined:
    wanted: list[Platform] = [parse_platform(each) for each in platforms]
    return join([(platform, planned(text, platform=platform, **request)) for platform in wanted])


def titles(found: Joined) -> dict[str, str]:
    return {step.id: step.title for step in found.graph.steps.values()}


def test_a_single_graph_stays_as_it_is() -> None:
    graph = planned(CROSS)
    found = join([(Platform("linux", "amd64"), graph)])
    assert found.graph is graph
    assert found.platforms[0].graph is graph
    assert found.labels["s0.1"] == "build"


def test_a_stage_of_the_build_platform_is_shared_up_to_a_target_argument() -> None:
    found = joined(CROSS)
    assert titles(found) == {
        "s0.0": "FROM busybox",
        "s0.1": "RUN toolchain",
        "s0.2": "RUN compile for $TARGETPLATFORM",
        "s1.0": "FROM busybox",
        "s1.1": "COPY --from=build /out /app",
        "linux/arm64:s0.2": "RUN compile for $TARGETPLATFORM",
        "linux/arm64:s1.0": "FROM busybox",
        "linux/arm64:s1.1": "COPY --from=build /out /app",
    }
    arm = found.graph.steps["linux/arm64:s1.1"]
    assert inputs_of(arm) == ("linux/arm64:s1.0", "linux/arm64:s0.2")
    assert inputs_of(found.graph.steps["linux/arm64:s0.2"]) == ("s0.1",)


def test_steps_are_called_as_buildx_calls_them() -> None:
    found = joined(CROSS)
    assert found.labels == {
        "s0.0": "linux/amd64 build",
        "s0.1": "linux/amd64 build",
        "s0.2": "linux/amd64 build",
        "linux/arm64:s0.2": "linux/amd64->arm64 build",
        "s1.0": "linux/amd64 stage-1",
        "s1.1": "linux/amd64 stage-1",
        "linux/arm64:s1.0": "linux/arm64 stage-1",
        "linux/arm64:s1.1": "linux/arm64 stage-1",
    }


def test_a_variant_is_named_behind_the_arrow() -> None:
    found = joined(CROSS, ("linux/amd64", "linux/arm"))
    assert found.labels["linux/arm/v7:s0.2"] == "linux/amd64->arm/v7 build"


def test_inputs_come_first_in_the_joined_graph() -> None:
    found = joined(CROSS, ("linux/arm64", "linux/amd64", "linux/arm/v6"))
    seen: set[str] = set()
    for step in found.graph.steps.values():
        assert seen.issuperset(inputs_of(step)), step.id
        seen.add(step.id)


def test_each_platform_has_its_own_view_with_the_joined_steps() -> None:
    found = joined(CROSS)
    for view, last in zip(found.platforms, ("s1.1", "linux/arm64:s1.1"), strict=True):
        assert view.target.last == last
        assert [entry.step for entry in view.target.history] == [last]
        assert view.graph.target == 1
        for step in view.graph.steps.values():
            assert step.id in found.graph.steps
            assert step.stage in {stage.index for stage in view.graph.stages}
    assert found.graph.targets == (("linux/amd64", 1), ("linux/arm64", 3))


def test_bases_differ_by_platform_and_that_of_the_build_does_not() -> None:
    bases = [step for step in joined(CROSS).graph.steps.values() if isinstance(step, BaseStep)]
    assert [base.platform for base in bases] == ["linux/amd64", "linux/amd64", "linux/arm64"]


def test_a_mount_of_a_shared_stage_keeps_the_step_shared() -> None:
    text = """\
FROM --platform=$BUILDPLATFORM busybox AS files
RUN make
FROM --platform=$BUILDPLATFORM busybox AS uses
RUN --mount=from=files,target=/x read
FROM busybox
COPY --from=uses / /
"""
    found = joined(text)
    assert [each for each in found.graph.steps if each.startswith("linux/arm64:")] == [
        "linux/arm64:s2.0",
        "linux/arm64:s2.1",
    ]


def test_files_on_scratch_are_shared_and_commands_on_them_are_not() -> None:
    found = joined('FROM scratch\nCOPY a /a\nRUN ["/a"]\n')
    runs = [step.id for step in found.graph.steps.values() if isinstance(step, RunStep)]
    assert runs == ["s0.2", "linux/arm64:s0.2"]
    assert found.graph.steps["linux/arm64:s0.2"].parent == "s0.1"


def test_config_and_skipped_stages_are_of_each_platform() -> None:
    text = "FROM busybox AS unused\nFROM busybox\nARG TARGETARCH\nENV ARCH=$TARGETARCH\n"
    found = joined(text)
    assert [view.target.config.architecture for view in found.platforms] == ["amd64", "arm64"]
    for view in found.platforms:
        assert f"ARCH={view.platform.architecture}" in view.target.config.env
    assert [(each.index, each.name) for each in found.graph.skipped] == [
        (0, "linux/amd64 unused"),
        (2, "linux/arm64 unused"),
    ]


def test_epochs_that_differ_are_refused() -> None:
    text = "ARG TARGETARCH\nARG SOURCE_DATE_EPOCH=${TARGETARCH/*64/1}\nFROM busybox\n"
    with pytest.raises(PlanError) as caught:
        joined(text.replace("${TARGETARCH/*64/1}", "${TARGETVARIANT:+1}"), ("linux/amd64", "linux/arm/v7"))
    assert caught.value.code == "epoch-differs"


def test_the_same_graphs_give_the_same_whole() -> None:
    assert joined(CROSS) == joined(CROSS)
