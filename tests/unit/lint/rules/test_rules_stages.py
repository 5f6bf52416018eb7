"""Rules about stages: real files in which they have nothing to say, and what they say where it matters."""

from __future__ import annotations

import pytest

from slimstage.lint import catalogue
from slimstage.lint.examples import check_example
from slimstage.lint.fix import fix_all
from slimstage.lint.rule import Example

GO = "FROM golang:1.23 AS builder\nWORKDIR /src\nCOPY . .\nRUN go build -o /out/app .\n"

SILENT: dict[str, dict[str, str | Example]] = {
    "UnnamedStage": {
        "one stage": "FROM python:3.12-slim\nCOPY a .\n",
        "the last one has no name": GO + "FROM scratch\nCOPY --from=builder /out/app /app\n",
        "an image is copied from": "FROM python:3.12-slim\nCOPY --from=ghcr.io/astral-sh/uv:0.5 /uv /bin/uv\n",
        "nobody reads it": "FROM alpine:3.20\nRUN true\n\nFROM alpine:3.20\nCMD true\n",
        "named and read by name": "FROM node:22 AS web\nRUN npm ci\n\nFROM nginx:1.27\nCOPY --from=web /dist /srv\n",
    },
    "CopyFromByIndex": {
        "by name": GO + "FROM scratch\nCOPY --from=builder /out/app /app\n",
        "it has no name": "FROM alpine:3.20\nRUN touch /a\n\nFROM scratch\nCOPY --from=0 /a /a\n",
        "an image whose tag is a number": "FROM alpine:3.20\nCOPY --from=registry:2 /bin/registry /\n",
        "no from": "FROM alpine:3.20 AS a\nCOPY 0 /0\n",
        "a named context": "FROM alpine:3.20 AS a\nFROM alpine:3.20\nCOPY --from=sources /0 /0\n",
    },
    "UnusedStage": {
        "a test stage": GO
        + "FROM builder AS test\nRUN go test ./...\n\nFROM scratch\nCOPY --from=builder /out/app /\n",
        "a development stage": (
            "FROM python:3.12 AS base\nWORKDIR /a\n\nFROM base AS dev\nRUN pip install pytest\n\nFROM base\nCMD x\n"
        ),
        "several services of one file": (
            "FROM python:3.12 AS base\nWORKDIR /a\n\nFROM base AS worker-build\nCMD work\n\nFROM base AS api\nCMD serve\n"
        ),
        "read by a stage that is no target": (
            "FROM alpine AS deps\nRUN touch /x\n\nFROM alpine AS test\nCOPY --from=deps /x /\n\n"
            "FROM alpine AS base\nFROM base\nCMD x\n"
        ),
        "read by a mount": (
            "FROM alpine AS wheels\nRUN touch /x\n\nFROM alpine AS a\n\nFROM a\nRUN --mount=from=wheels,target=/w ls /w\n"
        ),
        "stages behind the target": "FROM alpine AS base\n\nFROM base AS x\nCMD x\n\nFROM base AS y\nCMD y\n",
    },
    "StageCopiesNothing": {
        "one stage": "FROM alpine:3.20\nCMD x\n",
        "stands on it": "FROM alpine:3.20 AS builder\nRUN x\n\nFROM builder\nCMD x\n",
        "copies from it": GO + "FROM scratch\nCOPY --from=builder /out/app /app\n",
        "mounts it": "FROM alpine AS builder\nRUN x\n\nFROM alpine\nRUN --mount=from=builder,target=/b cp /b/x /x\n",
        "two services": "FROM python:3.12 AS api\nCMD serve\n\nFROM python:3.12 AS worker\nCMD work\n",
        "a test before it": "FROM alpine:3.20 AS lint\nRUN shellcheck x\n\nFROM alpine:3.20\nCMD x\n",
    },
    "MultiStageWithoutGain": {
        "squashed on scratch": "FROM debian:bookworm AS builder\nRUN x\n\nFROM scratch\nCOPY --from=builder / /\nCMD x\n",
        "another base": "FROM python:3.12 AS b\nRUN x\n\nFROM python:3.12-slim\nCOPY --from=b /usr /usr\n",
        "one directory": "FROM python:3.12 AS b\nRUN x\n\nFROM python:3.12\nCOPY --from=b /usr/local/lib /usr/local/lib\n",
        "a root of its own": "FROM alpine AS b\nRUN x\n\nFROM alpine\nCOPY --from=b /out/ /\n",
        "an image": "FROM alpine\nCOPY --from=alpine / /old\n",
        "nothing but two stages": GO + "FROM golang:1.23\nCOPY --from=builder /out/app /app\n",
    },
    "SameFilesCopiedTwice": {
        "requirements first": Example(
            "FROM python:3.12\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\nCOPY . .\n",
            files={"requirements.txt": "numpy\n", "big.py": 2_000_000},
        ),
        "two directories": Example(
            "FROM python:3.12\nCOPY src/ src/\nCOPY model/ model/\n",
            files={"src/a.py": 2_000_000, "model/m.onnx": 9_000_000},
        ),
        "left out the second time": Example(
            "FROM python:3.12\nCOPY model/ model/\nCOPY --exclude=model . .\n",
            files={"a.py": 2_000, "model/m.onnx": 9_000_000},
        ),
        "kept out by the ignore file": Example(
            "FROM python:3.12\nCOPY a.py .\nCOPY . .\n", files={"a.py": 2_000, "m.onnx": 9_000_000}, ignore="m.onnx\n"
        ),
        "a result of the builder and the sources": Example(
            "FROM golang:1.23 AS b\nCOPY . /src\nRUN go build\n\nFROM alpine\nCOPY --from=b /src/bin/app /app\nCOPY . /app/\n",
            files={"main.go": 2_000_000},
        ),
        "two stages that each need it": Example(
            "FROM a AS x\nCOPY model/ m/\nFROM b\nCOPY model/ m/\n", files={"model/m.onnx": 9_000_000}
        ),
        "unknown sizes": "FROM python:3.12\nCOPY requirements.txt .\nCOPY . .\n",
    },
}


@pytest.mark.parametrize(
    ("rule", "given"),
    [
        pytest.param(rule, given, id=f"{rule}: {name}")
        for rule, cases in SILENT.items()
        for name, given in cases.items()
    ],
)
def test_has_nothing_to_say(rule: str, given: str | Example) -> None:
    example = Example(given) if isinstance(given, str) else given
    checked = check_example(example, [catalogue.rule(rule)])
    assert not checked.faults
    assert not checked.findings


def messages(rule: str, dockerfile: str, files: dict[str, str | int] | None = None) -> list[tuple[str, str]]:
    """Place and message of each finding."""
    checked = check_example(Example(dockerfile, files), [catalogue.rule(rule)])
    return [(f"{each.span.line}:{each.span.column}-{each.span.end_column}", each.message) for each in checked.findings]


def fixed(rule: str, dockerfile: str) -> str:
    return fix_all(dockerfile, lambda text: check_example(Example(text), [catalogue.rule(rule)])).text


def test_every_reference_of_an_unnamed_stage_gets_its_name() -> None:
    text = "FROM a\nRUN x\n# b\nFROM c\nCOPY --from=0 /x \\\n  /y\nCOPY --chown=1:1  --from=0 /z /z\n"
    assert fixed("UnnamedStage", text) == (
        "FROM a AS builder\nRUN x\n# b\nFROM c\nCOPY --from=builder /x \\\n  /y\nCOPY --chown=1:1  --from=builder /z /z\n"
    )


def test_several_unnamed_stages_get_the_names_that_builds_show() -> None:
    text = "FROM a\nRUN x\nFROM b\nRUN y\nFROM c\nCOPY --from=0 /x /x\nCOPY --from=1 /y /y\n"
    assert fixed("UnnamedStage", text) == (
        "FROM a AS stage-0\nRUN x\nFROM b AS stage-1\nRUN y\nFROM c\nCOPY --from=stage-0 /x /x\nCOPY --from=stage-1 /y /y\n"
    )


def test_a_name_is_not_that_of_a_base() -> None:
    assert "FROM a AS stage-0\n" in fixed("UnnamedStage", "FROM a\nFROM builder\nCOPY --from=0 /x /x\n")


def test_an_index_is_read_as_the_name_in_its_own_case() -> None:
    assert messages("CopyFromByIndex", "FROM a AS Build\nFROM b\nCOPY --from=0 /x /x\n") == [
        ("3:6-14", '"Build" is read by its number 0')
    ]


def test_an_index_of_a_name_that_stands_twice_is_left() -> None:
    text = "FROM a AS x\nFROM b AS x\nFROM c\nCOPY --from=0 /x /x\n"
    assert fixed("CopyFromByIndex", text) == text


def test_same_files_are_told_with_size_and_the_first_line() -> None:
    files: dict[str, str | int] = {"model/m.onnx": 9_000_000, "a.py": 10}
    assert messages("SameFilesCopiedTwice", "FROM a\nCOPY model/ /m/\nCOPY . /app/\n", files) == [
        ("3:6-7", '"model/m.onnx" (9 MB) is in the image twice: line 2 copies it as well')
    ]


def test_same_files_by_way_of_a_builder() -> None:
    text = "FROM a AS b\nWORKDIR /app\nCOPY . .\nRUN x\nFROM c\nCOPY --from=b /app /app\nCOPY m.onnx /app/\n"
    assert messages("SameFilesCopiedTwice", text, {"m.onnx": 9_000_000, "a.py": 10}) == [
        ("7:6-12", '"m.onnx" (9 MB) is in the image twice: line 6 copies it as well')
    ]


def test_everything_twice_is_told_without_a_context() -> None:
    text = "FROM a AS b\nCOPY . /app\nFROM b\nCOPY . /app\n"
    ((place, message),) = messages("SameFilesCopiedTwice", text)
    assert (place, message) == ("4:6-7", "everything of the context is copied a second time, after line 2")


def test_all_of_a_stage_on_the_same_base_is_told_at_the_path() -> None:
    text = "FROM python:3.12 AS b\nRUN x\nFROM python:3.12\nCOPY --from=b /usr/ /usr/\n"
    assert [place for place, _ in messages("MultiStageWithoutGain", text)] == ["4:15-20"]


def test_a_builder_that_was_forgotten_is_told_at_its_name() -> None:
    text = "FROM a AS builder\nRUN x\nFROM a AS other-build\nRUN y\nFROM c\nCOPY --from=builder /x /x\n"
    assert messages("UnusedStage", text) == [("3:11-22", 'no stage reads "other-build"')]
