"""Rules about stages: real files in which they have nothing to say, and what they say where it matters."""

from __future__ import annotations

import pytest

from slimstage.lint import catalogue
from slimstage.lint.examples import check_example
from slimstage.lint.fix import fix_all
from slimstage.lint.rule import Example

GO = "FROM golang:1.23 AS builder\nWORKDIR /src\nCOPY . .\nRUN go build -o /out/app .\n"

APT = "RUN apt-get update && apt-get install -y "
PY = "FROM python:3.12-slim\n"
SERVE = "CMD python serve.py\n"

SILENT: dict[str, dict[str, str | Example]] = {
    "SingleStageBuildTools": {
        "nothing but libraries": PY + APT + "libgl1 curl\nRUN pip install a\n" + SERVE,
        "removed in the same RUN": PY + APT + "gcc && pip install a && apt-get purge -y gcc\n" + SERVE,
        "a virtual package of apk": (
            "FROM python:3.12-alpine\nRUN apk add --virtual .b gcc musl-dev && pip install a && apk del .b\n" + SERVE
        ),
        "an image to work in": "FROM python:3.12\n" + APT + "gcc git\nCMD bash\n",
        "an image for CI": PY + APT + "gcc make git\n",
        "a development container": "FROM python:3.12 AS dev\n" + APT + "gcc\nCMD sleep infinity\n",
        "notebooks": PY + APT + "build-essential\nRUN pip install jupyterlab\nCMD jupyter lab\n",
        "kernels are compiled while it runs": PY + APT + "gcc\nRUN pip install vllm\n" + SERVE,
        "git is what the service uses": PY + APT + "git\nRUN pip install a\n" + SERVE,
        "tests are run": "FROM golang:1.23\nCOPY . .\nCMD go test ./...\n",
        "several stages": PY + "FROM python:3.12\n" + SERVE,
        "by requirement files": Example(
            PY + APT + "gcc\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\n" + SERVE,
            files={"requirements.txt": "numba==0.60\n"},
        ),
    },
    "BuildToolsInFinalStage": {
        "tools in the builder": "FROM python:3.12 AS b\n" + APT + "gcc\n\n" + PY + "COPY --from=b /v /v\n" + SERVE,
        "one stage": "FROM python:3.12\n" + SERVE,
        "a slim base by name": "FROM python:3.12-slim AS base\n\nFROM base\n" + SERVE,
        "a target to work in": "FROM python:3.12 AS base\nRUN x\n\nFROM base AS dev\n" + APT + "gcc\nCMD bash\n",
        "a final stage for tests": PY + "\nFROM python:3.12 AS test\nCOPY . .\nCMD pytest\n",
        "removed again": "FROM a AS x\n\n" + PY + APT + "gcc && pip install a && apt-get remove -y gcc\n" + SERVE,
        "a base of the organisation": "FROM a AS x\n\nFROM ghcr.io/org/python:3.12\n" + SERVE,
        "what it inherits from a builder": "FROM python:3.12-slim AS builder\n" + APT + "gcc\n\nFROM builder\n" + SERVE,
    },
    "FinalStageFromBuilder": {
        "a common base": "FROM python:3.12-slim AS base\n" + APT + "libgl1\n\nFROM base\n" + SERVE,
        "a builder without tools": "FROM python:3.12-slim AS builder\nRUN pip install a\n\nFROM builder\n" + SERVE,
        "copied from": "FROM python:3.12-slim AS builder\n"
        + APT
        + "gcc\n\n"
        + PY
        + "COPY --from=builder /v /v\n"
        + SERVE,
        "tests on the builder": "FROM python:3.12-slim AS builder\n"
        + APT
        + "gcc\n\nFROM builder AS test\nCMD pytest\n",
        "a shell on the builder": "FROM python:3.12-slim AS builder\n" + APT + "gcc\n\nFROM builder\nCMD bash\n",
        "tools that a base has, which is BuildToolsInFinalStage": (
            "FROM python:3.12-slim AS base\n" + APT + "gcc\n\nFROM base\n" + SERVE
        ),
    },
    "WholeBuildDirectoryCopied": {
        "the program": GO + "FROM scratch\nCOPY --from=builder /out/app /app\nCMD x\n",
        "a part of the directory": "FROM a AS b\nWORKDIR /s\nCOPY . .\nRUN make\n\nFROM c\nCOPY --from=b /s/dist /d\nCMD x\n",
        "a program of Python": (
            "FROM a AS b\nWORKDIR /app\nCOPY . .\nRUN make proto\n\nFROM c\nCOPY --from=b /app /app\nCMD python /app/a.py\n"
        ),
        "installed elsewhere": (
            "FROM a AS b\nWORKDIR /s\nCOPY . .\nRUN make install DESTDIR=/out\n\nFROM c\nCOPY --from=b /out/ /\nCMD x\n"
        ),
        "nothing is compiled": "FROM a AS b\nWORKDIR /s\nCOPY . .\nRUN ls\n\nFROM c\nCOPY --from=b /s /s\nCMD x\n",
        "a virtual environment": "FROM a AS b\nRUN pip install x\n\nFROM c\nCOPY --from=b /opt/venv /opt/venv\nCMD x\n",
        "sources that are not of the context": "FROM a AS b\nWORKDIR /s\nRUN make\n\nFROM c\nCOPY --from=b /s /s\nCMD x\n",
    },
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
        "files for --output": GO
        + "FROM scratch AS build-output\nCOPY --from=builder /out/app /\n\nFROM a\nCOPY --from=builder /x /\n",
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


def test_tools_of_a_common_base_are_told_where_they_are_installed() -> None:
    text = (
        PY.replace("\n", " AS base\n")
        + APT
        + "libgl1 gcc\n\nFROM base AS worker\nCMD work\n\nFROM base AS api\nCMD serve\n"
    )
    assert messages("BuildToolsInFinalStage", text) == [
        ("2:49-52", '"base", on which the final stage stands, installs "gcc", which only building needs')
    ]


def test_a_full_base_is_told_at_its_name() -> None:
    assert messages("SingleStageBuildTools", "FROM python:3.12-bookworm\nCOPY a.py .\nCMD python a.py\n") == [
        ("1:6-26", '"python:3.12-bookworm" holds compilers, headers and git, and there is no second stage without them')
    ]
    checked = check_example(Example("FROM a AS x\n\nFROM golang\nCMD x\n"), [catalogue.rule("BuildToolsInFinalStage")])
    assert [each.hint for each in checked.findings] == [
        "end on a base that has what running takes, and copy the program"
    ]


def test_what_keeps_a_stage_whole_is_said_in_a_note() -> None:
    text = PY + APT + "gcc\nRUN ./configure && make\nRUN pip install a\n" + SERVE
    (finding,) = check_example(Example(text), [catalogue.rule("SingleStageBuildTools")]).findings
    assert finding.fix is None
    assert finding.notes == (
        '"gcc" alone adds 183 MB to a small Debian 12, 287 MB with what it recommends',
        'the split is not written for you, because of line 3: "./configure" is started in a way that is not understood',
    )


def test_a_full_base_is_left_whole_for_packages_that_need_its_libraries() -> None:
    text = "FROM python:3.12\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\nCMD python a.py\n"
    for names, reason in (
        ("psycopg2\n", '"psycopg2" needs what the slim base has not'),
        ("-r more.txt\n", '"requirements.txt" asks for is not known'),
        ("git+https://example.org/x.git\n", "has no name"),
    ):
        given = Example(text, files={"requirements.txt": names})
        (finding,) = check_example(given, [catalogue.rule("SingleStageBuildTools")]).findings
        assert finding.fix is None
        assert reason in finding.notes[0]
    given = Example(text, files={"requirements.txt": "numpy\nfastapi\n"})
    (finding,) = check_example(given, [catalogue.rule("SingleStageBuildTools")]).findings
    assert finding.fix is not None
    assert "FROM python:3.12-slim\n" in finding.fix.edits[0].text


@pytest.mark.parametrize("name", ["SingleStageBuildTools", "BuildToolsInFinalStage"])
def test_the_page_shows_what_the_fix_writes(name: str) -> None:
    rule = catalogue.rule(name)
    assert fix_all(rule.bad.dockerfile, lambda text: check_example(rule.bad, [rule], text)).text == rule.good.dockerfile


@pytest.mark.parametrize(
    ("install", "hint"),
    [
        ("RUN pip install a", "into a virtual environment"),
        ("RUN npm ci", "copy the result"),
        ("RUN make", "copy the program alone"),
    ],
)
def test_the_hint_is_about_what_is_built(install: str, hint: str) -> None:
    text = "FROM debian:12\n" + APT + "gcc\nCOPY . .\n" + install + "\nCMD serve\n"
    (finding,) = check_example(Example(text), [catalogue.rule("SingleStageBuildTools")]).findings
    assert finding.hint is not None
    assert hint in finding.hint


def test_git_stays_behind_only_where_the_installation_asks_for_a_repository() -> None:
    text = PY + APT + "gcc git\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\n" + SERVE
    for names, is_fixed in (("numpy\n", False), ("x @ git+https://example.org/x.git@1\n", True)):
        given = Example(text, files={"requirements.txt": names})
        (finding,) = check_example(given, [catalogue.rule("SingleStageBuildTools")]).findings
        assert (finding.fix is not None) == is_fixed
        assert ("whether the program uses git is not known" in finding.notes[-1]) != is_fixed


@pytest.mark.parametrize(
    ("install", "tools"),
    [
        (
            "apt-get update && apt-get install -y --no-install-recommends g++-12=12.2.0 libpq-dev curl",
            '"g++-12" and "libpq-dev"',
        ),
        ("apk add --no-cache build-base py3-pip", '"build-base"'),
        ("dnf install -y gcc-c++ openssl-devel tar", '"gcc-c++" and "openssl-devel"'),
        ("dnf groupinstall -y 'Development Tools'", '"Development Tools"'),
        ("conda install -y -c conda-forge cxx-compiler cmake numpy", '"cxx-compiler" and "cmake"'),
        ("if true; then apt-get update && apt-get install -y gcc git; fi", '"gcc" and "git"'),
    ],
)
def test_tools_of_every_manager_are_known(install: str, tools: str) -> None:
    text = f"FROM base:1\nRUN {install}\nCMD serve\n"
    ((_, message),) = messages("SingleStageBuildTools", text)
    assert message == f"{tools} {'stay' if ' and ' in tools else 'stays'} in the image, and only building needs them"


MADE = "FROM a AS b\nWORKDIR {}\nCOPY . .\nRUN make\nFROM c\nCOPY --from=b {} /app\nCMD python /app/a.py\n"


@pytest.mark.parametrize(
    ("directory", "files", "count"),
    [
        ("/app", {"a.py": 1, "Makefile": "all:\n"}, 0),
        ("/app", {"a.py": 1, "fast.pyx": 10}, 1),
        ("/build", None, 1),
        ("/service", None, 0),
    ],
)
def test_a_directory_that_python_runs_is_told_when_it_holds_more(
    directory: str, files: dict[str, str | int] | None, count: int
) -> None:
    assert len(messages("WholeBuildDirectoryCopied", MADE.format(directory, directory), files)) == count
