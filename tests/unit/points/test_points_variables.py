"""What a Dockerfile means, point by point: ARG, ENV and what is expanded (points 16 to 26)."""

from __future__ import annotations

from typing import Any

import pytest

from slimstage.oci.config import ImageConfig
from support.planning import (
    AMD64,
    PATH,
    Images,
    environment,
    planned,
    refused,
    runs,
    said,
    target,
)

WITH_ENV = {"based": ImageConfig("amd64", "linux", env=(f"PATH={PATH}", "a=base"))}


def seen(text: str, **request: Any) -> dict[str, str]:
    """The environment of the last RUN, PATH left out."""
    found = environment(runs(planned(text, **request))[-1])
    found.pop("PATH")
    return found


def test_point_16_all_expansions_of_one_instruction_use_the_values_before_it() -> None:
    assert seen("FROM busybox\nENV abc=hello\nENV abc=bye def=$abc\nRUN x\n") == {"abc": "bye", "def": "hello"}
    labels = dict(target(planned("FROM busybox\nENV a=1\nLABEL a=$a b=$a\n")).config.labels)
    assert labels == {"a": "1", "b": "1"}


def test_point_17_from_sees_global_arguments_and_platform_arguments_only() -> None:
    images = Images({"amd64-image": ImageConfig("amd64", "linux"), "img": ImageConfig("amd64", "linux")})
    planned("ARG I=img\nFROM $TARGETARCH-image\nARG I=inner\nFROM $I\nCOPY --from=0 / /\n", images)
    assert sorted(name for name, _ in images.asked) == ["amd64-image", "img"]
    assert refused("FROM busybox\nARG X=busybox\nFROM $X\n").code == "blank-base"


def test_point_17_a_global_argument_is_invisible_in_a_stage_until_it_is_declared_again() -> None:
    assert seen("ARG x=1\nFROM busybox\nRUN y\n") == {}
    assert seen("ARG x=1\nFROM busybox\nARG x\nRUN y\n") == {"x": "1"}
    assert seen("ARG x=1\nFROM busybox\nARG x=2\nRUN y\n") == {"x": "2"}
    assert seen("FROM busybox\nRUN y\n", build_platform=AMD64) == {}
    assert seen("FROM busybox\nARG TARGETARCH\nRUN y\n") == {"TARGETARCH": "amd64"}


def test_point_18_a_child_stage_sees_the_arguments_of_its_parent_and_no_other_stage_does() -> None:
    stages = "FROM busybox AS a\nARG x=1\nFROM a AS b\nRUN y\nFROM busybox AS c\nCOPY --from=b /f /f\nRUN z\n"
    first, second = (environment(step) for step in runs(planned(stages)))
    assert (first.get("x"), second.get("x")) == ("1", None)


def test_point_19_an_argument_without_value_is_unset_and_an_empty_one_is_empty() -> None:
    assert seen("FROM busybox\nARG x\nARG y=\nRUN z\n") == {"y": ""}
    assert said(planned("FROM busybox\nARG x\nARG y=\nENV z=${x-unset}${y-unset}\n"))[-1] == "ENV z=unset"


def test_point_20_an_empty_build_argument_counts_and_the_default_is_never_evaluated() -> None:
    text = "ARG X=${Y:?never}\nFROM busybox\nARG X\nARG Z=${Y:?never}\nENV v=${X:-d} w=${X-d}\nRUN z\n"
    assert seen(text, build_args={"X": "", "Z": "1"}) == {"X": "", "Z": "1", "v": "d", "w": ""}
    assert refused(text, build_args={"Z": "1"}).code == "variable-required"


def test_point_21_the_text_of_run_is_never_expanded() -> None:
    (step,) = runs(planned("FROM busybox\nARG a=1\nENV b=2\nRUN b=3; echo '$a' \"$b\" ${c:-d}\n"))
    assert step.argv == ("/bin/sh", "-c", "b=3; echo '$a' \"$b\" ${c:-d}")
    (step,) = runs(planned('FROM busybox\nARG a=1\nRUN ["echo", "$a"]\n'))
    assert step.argv == ("echo", "$a")


def test_point_22_a_variable_in_from_of_copy_or_of_a_mount_is_an_error_that_says_the_way_around() -> None:
    for line in ("COPY --from=$X a b", "COPY --from=a${X} a b", "RUN --mount=from=$X,target=/m true"):
        error = refused(f"ARG X=busybox\nFROM busybox\nARG X\n{line}\n")
        assert error.code == "from-variable"
        assert "AS NAME" in (error.hint or "")


def test_point_23_proxies_work_undeclared_prefer_lower_case_and_are_in_no_history_and_no_key() -> None:
    given = {"HTTP_PROXY": "http://upper", "http_proxy": "http://lower", "NO_PROXY": "x"}
    graph = planned("FROM busybox\nRUN y\n", build_args=given)
    (step,) = runs(graph)
    proxies = dict(step.proxy_env)
    assert proxies["HTTP_PROXY"] == proxies["http_proxy"] == "http://lower"
    assert proxies["no_proxy"] == "x"
    assert not {"HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"} & set(environment(step))
    assert said(graph) == ["RUN /bin/sh -c y # buildkit"]


def test_point_23_a_declared_proxy_is_an_argument_like_any_other() -> None:
    graph = planned("FROM busybox\nARG http_proxy\nRUN y\n", build_args={"http_proxy": "p"})
    assert environment(runs(graph)[0])["http_proxy"] == "p"
    assert said(graph)[-1] == "RUN |1 http_proxy=p /bin/sh -c y # buildkit"


def test_point_24_env_after_arg_wins_in_build_and_image() -> None:
    graph = planned("FROM busybox\nARG a=arg\nENV a=env\nRUN x\n", build_args={"a": "given"})
    assert environment(runs(graph)[0])["a"] == "env"
    assert "a=env" in target(graph).config.env


def test_point_24_arg_after_env_changes_the_build_and_not_the_image() -> None:
    graph = planned("FROM based\nARG a=arg\nRUN x\nENV b=$a\n", WITH_ENV)
    assert environment(runs(graph)[0])["a"] == "arg"
    assert target(graph).config.env == (f"PATH={PATH}", "a=base", "b=arg")


def test_point_25_expose_expands_first_then_splits_words_and_ranges_and_sorts() -> None:
    graph = planned('FROM busybox\nARG p="9000-9002 80/udp"\nENV q=443/TCP\nEXPOSE $p ${q} 22\n')
    assert target(graph).config.exposed_ports == ("22/tcp", "443/tcp", "80/udp", "9000/tcp", "9001/tcp", "9002/tcp")


@pytest.mark.parametrize("text", ['ARG y="${x:?say it}"\nFROM busybox\n', 'FROM busybox\nENV y="${x:?say it}"\n'])
def test_point_26_a_required_variable_fails_with_the_authors_words_in_global_arguments_too(text: str) -> None:
    error = refused(text)
    assert error.code == "variable-required"
    assert "say it" in error.message
    assert error.diagnostics[0].span is not None
