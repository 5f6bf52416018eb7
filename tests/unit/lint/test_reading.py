"""A Dockerfile as rules see it: who stands on whom, who reads whom, and which values are known."""

from __future__ import annotations

import pytest

from slimstage.dockerfile.instructions import Copy, Env, Instruction, Run
from slimstage.dockerfile.parse import parse
from slimstage.lint.reading import Reading, base_image
from slimstage.lint.subject import BaseImage, ImageFacts, StageView
from slimstage.oci.descriptor import Platform
from slimstage.plan.request import PlanRequest

AMD64 = Platform("linux", "amd64")


def reading(text: str, *, target: str | None = None, contexts: dict[str, str] | None = None, **args: str) -> Reading:
    return Reading(parse(text), PlanRequest(AMD64, target=target, build_args=args, contexts=contexts or {}))


def at(subject: Reading, line: int) -> tuple[StageView, Instruction]:
    return next((view, each) for view in subject.stages for each in view.instructions if each.span.line == line)


STAGES = """\
ARG BASE=debian
FROM $BASE:12 AS one
FROM one AS Two
FROM alpine AS three
COPY --from=two /a /a
FROM scratch
COPY --from=1 /b /b
RUN --mount=from=three,target=/x true
"""


def test_stages_are_tied_by_from_copy_and_mounts() -> None:
    one, two, three, last = reading(STAGES).stages
    assert (one.base, two.base, three.base, last.base) == (
        BaseImage("debian", "12"), None, BaseImage("alpine"), BaseImage("scratch"),
    )  # fmt: skip
    assert (one.parent, two.parent) == (None, one)
    assert [(reader.name, by.keyword) for reader, by in one.readers] == [("two", "FROM")]
    assert [(reader.name, by.keyword) for reader, by in two.readers] == [("three", "COPY"), ("stage-3", "COPY")]
    assert [by.keyword for _, by in three.readers] == ["RUN"]
    assert (last.is_final, two.root(), [*two.chain()]) == (True, BaseImage("debian", "12"), [two, one])


def test_the_target_is_final_and_what_it_does_not_need_is_not_needed() -> None:
    subject = reading(STAGES, target="TWO")
    assert [view.is_needed for view in subject.stages] == [True, True, False, False]
    assert subject.final is subject.stages[1]
    assert reading(STAGES, target="nothing").final.name == "stage-3"


def test_a_named_context_takes_the_place_of_an_image_or_stage() -> None:
    subject = reading(STAGES, contexts={"alpine": "docker-image://example.org/a:1", "one": "/somewhere"})
    assert subject.stages[2].base == BaseImage("example.org/a", "1")
    assert (subject.stages[1].parent, subject.stages[1].base) == (None, None)


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("python", BaseImage("python")),
        ("docker.io/library/python:3.12", BaseImage("python", "3.12")),
        ("nvidia/cuda:12.4.1-runtime", BaseImage("nvidia/cuda", "12.4.1-runtime")),
        ("ghcr.io/org/app@sha256:" + "a" * 64, BaseImage("ghcr.io/org/app", None, "sha256:" + "a" * 64)),
        ("debian://bookworm", BaseImage("debian://bookworm", has_scheme=True)),
        ("Not A Name", None),
    ],
)
def test_images_by_their_names(text: str, image: BaseImage | None) -> None:
    assert base_image(text) == image


def test_a_from_that_cannot_be_known_has_no_base_and_breaks_nothing() -> None:
    subject = reading(
        "ARG V\nFROM busybox:$V AS a\nFROM ${X:?none} AS b\nFROM a\nCOPY --from=9 /x /x\nCOPY --from=later /x /x\n"
    )
    assert [view.base for view in subject.stages] == [None, None, None]
    assert subject.stages[2].parent is subject.stages[0]


SCOPES = """\
ARG SHARED=s
FROM debian AS one
ARG GIVEN=default OPEN LATER=$GIVEN
ARG SHARED
ENV E="$GIVEN-$SHARED" U=$OPEN
ENV F=$E G=$U
RUN true
FROM one
RUN true
FROM debian
RUN true
"""


def test_values_are_known_as_far_as_arguments_are() -> None:
    subject = reading(SCOPES, GIVEN="g")
    known = subject.environment(*at(subject, 7))
    assert {name: known.get(name) for name in ("GIVEN", "LATER", "SHARED", "E", "F", "OPEN", "U", "G")} == {
        "GIVEN": "g", "LATER": "g", "SHARED": "s", "E": "g-s", "F": "g-s", "OPEN": None, "U": None, "G": None,
    }  # fmt: skip
    seen = subject.seen(*at(subject, 7))
    assert {"U", "G", "E"} <= seen.names
    assert seen.declared == {"GIVEN", "OPEN", "LATER", "SHARED"}
    assert subject.environment(*at(subject, 6)).get("F") is None
    assert subject.environment(*at(subject, 9))["F"] == "g-s"
    assert "GIVEN" not in subject.environment(*at(subject, 11))


def test_words_are_expanded_or_not_known() -> None:
    subject = reading("FROM debian\nARG OPEN\nENV A=x\nRUN true\n")
    place = at(subject, 4)
    words = ("$A/y", "'$A'", "$OPEN", "${OPEN:-z}", "${OPEN:-z}$OPEN", "$BASES", "plain", "${A?", "$PATH")
    assert [subject.expanded(*place, word) for word in words] == [
        "x/y", "$A", None, "z", None, None, "plain", None,
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ]  # fmt: skip


def test_triggers_come_in_front_and_their_values_are_seen() -> None:
    subject = reading("FROM debian AS base\nONBUILD ENV A=1\nONBUILD COPY x /x\nFROM base\nRUN true\n")
    child = subject.stages[1]
    assert [type(each) for each in child.triggers] == [Env, Copy]
    assert {each.span.line for each in child.triggers} == {4}
    assert subject.node(child.triggers[0]) is None
    assert subject.environment(*at(subject, 5))["A"] == "1"


def test_words_have_their_places_also_behind_continuations() -> None:
    subject = reading("FROM debian\nCOPY --chown=1 \\\n  # why\n  a b \\\n  /c/\n")
    node = subject.node(at(subject, 2)[1])
    assert node is not None
    spans = [node.span_of(word) for word in (*node.flags, *node.args)]
    assert [(span.line, span.column) for span in spans] == [(2, 6), (4, 3), (4, 5), (5, 3)]


def test_sources_of_copies() -> None:
    subject = reading("FROM debian AS a\nFROM debian\nCOPY --from=a /x /x\nCOPY --from=alpine:3 /y /y\nCOPY z /z\n")
    stage = subject.stages[1]
    copies = [each for each in stage.instructions if isinstance(each, Copy)]
    assert [subject.source_of(stage, each) for each in copies] == [subject.stages[0], BaseImage("alpine", "3"), None]


def test_commands_of_stages_in_order() -> None:
    subject = reading("FROM debian AS a\nRUN pip install x\nFROM a\nRUN pip install y\n")
    assert [run.span.line for _, run, _ in subject.all_commands(subject.final)] == [4]
    assert [run.span.line for _, run, _ in subject.all_commands(subject.final, inherited=True)] == [2, 4]
    assert isinstance(at(subject, 2)[1], Run)


def test_facts_are_asked_of_images_only_and_things_are_worked_out_once() -> None:
    asked: list[str] = []

    def facts(reference: str) -> ImageFacts | None:
        asked.append(reference)
        return ImageFacts(AMD64, {"A": "1"})

    subject = Reading(parse("FROM debian:12 AS a\nFROM a\nFROM scratch\n"), PlanRequest(AMD64), facts=facts)
    assert [subject.facts(view) is not None for view in subject.stages] == [True, False, False]
    assert asked == ["debian:12"]
    numbers = iter(range(9))
    assert [subject.once("key", lambda: next(numbers)) for _ in range(3)] == [0, 0, 0]
