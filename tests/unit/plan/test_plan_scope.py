"""ARG and ENV: who sees what, from which line on."""

from __future__ import annotations

import pytest

from slimstage.dockerfile.parse import parse
from slimstage.oci.descriptor import Platform
from slimstage.plan.graph import FromContext, Url
from slimstage.plan.request import PlanRequest
from slimstage.plan.scope import Expander, automatic_args, global_args
from support.planning import AMD64, ARM64, environment, planned, refused, runs, said, target


def shared(text: str, **request: object) -> dict[str, str]:
    asked = PlanRequest(AMD64, **request)  # type: ignore[arg-type]  # each test gives fields of the right type
    return global_args(parse(text + "\nFROM busybox\n"), asked, Expander("\\"))


def test_automatic_arguments_tell_both_platforms_and_the_target() -> None:
    found = automatic_args(PlanRequest(AMD64, platform=Platform("linux", "arm", "v7")), None)
    assert found == {
        "BUILDPLATFORM": "linux/amd64",
        "BUILDOS": "linux",
        "BUILDOSVERSION": "",
        "BUILDARCH": "amd64",
        "BUILDVARIANT": "",
        "TARGETPLATFORM": "linux/arm/v7",
        "TARGETOS": "linux",
        "TARGETOSVERSION": "",
        "TARGETARCH": "arm",
        "TARGETVARIANT": "v7",
        "TARGETSTAGE": "default",
    }


def test_the_target_stage_is_named() -> None:
    text = "FROM busybox AS a\nFROM busybox AS last\nARG TARGETSTAGE\nRUN x\n"
    assert environment(runs(planned(text))[0])["TARGETSTAGE"] == "last"
    text = "FROM busybox AS a\nARG TARGETSTAGE\nRUN x\n"
    assert environment(runs(planned(text, target="a"))[0])["TARGETSTAGE"] == "a"


def test_an_automatic_argument_is_seen_in_from_but_in_a_stage_only_when_declared() -> None:
    graph = planned("FROM --platform=$TARGETPLATFORM busybox\nRUN a\nARG TARGETARCH\nRUN b\n", platform=ARM64)
    first, second = runs(graph)
    assert "TARGETARCH" not in environment(first)
    assert environment(second)["TARGETARCH"] == "arm64"


def test_a_build_argument_overrides_an_automatic_one() -> None:
    assert shared("", build_args={"TARGETOS": "plan9"})["TARGETOS"] == "plan9"


def test_defaults_use_earlier_arguments_and_themselves() -> None:
    found = shared('ARG A=1 B="x $A"\nARG A=$A.2\nARG C=${B:+set}')
    assert (found["A"], found["B"], found["C"]) == ("1.2", "x 1", "set")


def test_a_given_argument_hides_its_default_and_the_faults_in_it() -> None:
    text = 'ARG FOO=${NO:?"missing"}'
    assert shared(text, build_args={"FOO": "x"})["FOO"] == "x"
    error = refused(f"{text}\nFROM busybox\n")
    assert (error.code, str(error.diagnostics[0].span)) == ("variable-required", "Dockerfile:1:1")


def test_an_argument_given_as_none_is_not_given() -> None:
    assert shared("ARG A=1", build_args={"A": None})["A"] == "1"


def test_a_global_argument_is_invisible_in_a_stage_until_declared() -> None:
    graph = planned("ARG V=1\nFROM busybox\nENV a=x$V\nARG V\nENV b=x$V\nARG V=2\nENV c=x$V\n")
    assert target(graph).config.env[1:] == ("a=x", "b=x1", "c=x2")


def test_an_argument_without_value_is_unset_and_an_empty_one_is_set() -> None:
    graph = planned("FROM busybox\nARG A\nARG B=\nENV a=${A-unset} b=${B-unset} c=${B:-empty}\nRUN x\n")
    assert target(graph).config.env[1:] == ("a=unset", "b=", "c=empty")
    assert {"A", "B"} & environment(runs(graph)[0]).keys() == {"B"}
    assert said(graph)[0:2] == ["ARG A", "ARG B="]
    assert said(graph)[-1] == "RUN |2 A= B= /bin/sh -c x # buildkit"


def test_an_empty_build_argument_counts_as_given() -> None:
    graph = planned("FROM busybox\nARG X=${N:?never}\nENV x=${X:-d}\n", build_args={"X": ""})
    assert target(graph).config.env[1:] == ("x=d",)


def test_arguments_reach_the_children_of_a_stage_and_no_other() -> None:
    graph = planned("FROM busybox AS a\nARG X=1\nFROM a AS b\nRUN child\nFROM busybox\nCOPY --from=b / /\nRUN other\n")
    child, other = runs(graph)
    assert environment(child)["X"] == "1"
    assert "X" not in environment(other)
    assert graph.stage(1).history[-1].created_by == "RUN |1 X=1 /bin/sh -c child # buildkit"


def test_env_after_arg_wins_and_arg_after_env_changes_only_the_build() -> None:
    graph = planned("FROM busybox AS a\nENV X=env\nARG X=arg\nRUN 1\nENV X=again\nRUN 2\nARG X=last\nFROM a\nRUN 3\n")
    assert [environment(run)["X"] for run in runs(graph)] == ["arg", "again", "again"]
    assert target(graph).config.env[1:] == ("X=again",)


def test_one_instruction_sees_only_what_was_before_it() -> None:
    graph = planned("FROM busybox\nENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc\n")
    assert target(graph).config.env[1:] == ("abc=bye", "def=hello", "ghi=bye")


def test_arguments_of_one_instruction_see_each_other() -> None:
    assert said(planned("FROM busybox\nARG a=1 b=$a.2\n")) == ["ARG a=1 b=1.2"]


def test_history_of_run_has_latest_values_in_order_of_first_declaration() -> None:
    graph = planned("FROM busybox\nARG foo=bar1\nARG bar=123\nARG foo=bar2\nRUN ls\nENV bar=env\nRUN ls\n")
    assert said(graph)[3] == "RUN |2 foo=bar2 bar=123 /bin/sh -c ls # buildkit"
    assert said(graph)[5] == "RUN |2 foo=bar2 bar=env /bin/sh -c ls # buildkit"


def test_an_argument_only_reaches_steps_behind_it() -> None:
    graph = planned("FROM busybox\nRUN a\nARG X=1\nRUN b\n", build_args={"X": "2", "UNUSED": "3"})
    before, after = runs(graph)
    assert environment(before).keys() == {"PATH"}
    assert environment(after)["X"] == "2"


def test_an_argument_for_a_scan_is_no_variable() -> None:
    graph = planned("FROM busybox\nARG BUILDKIT_SBOM_SCAN_STAGE=true\nRUN x\n")
    assert environment(runs(graph)[0]).keys() == {"PATH"}


def test_the_escape_directive_holds_for_words() -> None:
    assert target(planned("# escape=`\nFROM busybox\nENV a=c:\\x b=`$x\n")).config.env[1:] == ("a=c:\\x", "b=$x")


# Bounds ------------------------------------------------------------------------------------------------------------------


def test_a_variable_that_doubles_is_stopped_with_its_line() -> None:
    error = refused("FROM busybox\nENV A=xxxxxxxx\n" + "ENV A=$A$A\n" * 40)
    assert error.code in ("expansion-too-large", "environment-too-large")
    assert error.diagnostics[0].span is not None
    assert 15 < error.diagnostics[0].span.line < 25


def test_many_large_variables_are_stopped() -> None:
    text = "FROM busybox\nENV A=" + "x" * 60_000 + "\n" + "".join(f"ENV A{n}=$A\n" for n in range(100))
    error = refused(text)
    assert error.code == "environment-too-large"
    assert "60000 characters" in error.diagnostics[0].notes[0]


def test_labels_that_grow_are_stopped() -> None:
    text = "FROM busybox\nENV A=" + "x" * 60_000 + "\nENV A=$A$A$A$A$A$A$A$A\n"
    text += "".join(f"LABEL l{n}=$A\n" for n in range(200))
    assert refused(text).code == "expansion-too-large"


def test_many_steps_share_one_environment() -> None:
    graph = planned("FROM busybox\nENV A=1\n" + "RUN x\n" * 5)
    assert len({id(step.env) for step in runs(graph)}) == 1


# SOURCE_DATE_EPOCH -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("head", ["", "ARG SOURCE_DATE_EPOCH=1\n"])
def test_an_epoch_is_a_number_and_the_argument_wins(head: str) -> None:
    assert planned(f"{head}FROM busybox\n", build_args={"SOURCE_DATE_EPOCH": "77"}).source_date_epoch_s == 77
    assert planned(f"{head}FROM busybox\n").source_date_epoch_s == (1 if head else None)


def test_an_epoch_may_be_taken_from_a_download_or_the_context() -> None:
    text = (
        "ARG SOURCE_DATE_EPOCH=src\nARG V=2\nFROM scratch AS src\nADD https://h/x-$V.tar /\n"
        "FROM busybox\nARG SOURCE_DATE_EPOCH\nRUN x\n"
    )
    graph = planned(text)
    assert graph.epoch_source == Url("https://h/x-2.tar")
    assert "SOURCE_DATE_EPOCH" not in environment(runs(graph)[0])
    graph = planned("FROM busybox\n", build_args={"SOURCE_DATE_EPOCH": "context"})
    assert graph.epoch_source == FromContext("")
    assert graph.source_date_epoch_s is None


@pytest.mark.parametrize(
    "stage",
    [
        "FROM busybox AS src\nADD https://h/x /",
        "FROM scratch AS src\nRUN x",
        "FROM scratch AS src",
        "FROM scratch AS src\nADD x /",
    ],
)
def test_an_epoch_stage_has_one_download_only(stage: str) -> None:
    error = refused(f"{stage}\nFROM busybox\n", build_args={"SOURCE_DATE_EPOCH": "src"})
    assert (error.code, str(error.diagnostics[0].span)) == ("bad-source-date-epoch", "Dockerfile:1:1")


def test_an_epoch_of_nothing_is_refused_with_a_near_name() -> None:
    error = refused("ARG SOURCE_DATE_EPOCH=sauce\nFROM scratch AS source\nFROM busybox\n")
    assert (error.code, error.hint) == ("bad-source-date-epoch", 'did you mean "source"?')
    assert error.diagnostics[0].span is not None
    assert error.diagnostics[0].span.line == 1


def test_an_epoch_of_a_named_context_is_that_of_its_files_or_none() -> None:
    text = "FROM busybox\nARG SOURCE_DATE_EPOCH\nRUN x\n"
    asked = {"SOURCE_DATE_EPOCH": "src"}
    assert planned(text, build_args=asked, contexts={"src": "./dir"}).epoch_source == FromContext("src")
    graph = planned(text, build_args=asked, contexts={"src": "docker-image://x"})
    assert (graph.epoch_source, graph.source_date_epoch_s) == (None, None)
    assert "SOURCE_DATE_EPOCH" not in environment(runs(graph)[0])
