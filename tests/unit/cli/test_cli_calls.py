"""`build --check`, `--call`, and what a build tells of BuildKit's checks at its end."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from support.command import Done, slimstage

BAD = "FROM scratch AS unused\nENV c d\nFROM scratch as last\nCOPY f /f\nENV a b\n"


def build(directory: Path, *args: object, text: str | None = BAD, status: int | None = 0, **env: str) -> Done:
    if text is not None:
        (directory / "Dockerfile").write_text(text)
    (directory / "f").write_text("f")
    return slimstage("build", *args, directory, root=directory.parent / "store", cwd=directory, status=status, env=env)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    path = tmp_path / "context"
    path.mkdir()
    return path


def test_a_check_shows_each_warning_with_its_lines(context: Path) -> None:
    done = build(context, "--check", text="FROM scratch as base\nCOPY f /f\n", status=1)
    assert done.out == (
        "Check complete, 1 warning has been found!\n"
        "\n"
        "WARNING: FromAsCasing - https://docs.docker.com/go/dockerfile/rule/from-as-casing/\n"
        "'as' and 'FROM' keywords' casing do not match\n"
        "Dockerfile:1\n"
        "--------------------\n"
        "   1 | >>> FROM scratch as base\n"
        "   2 |     COPY f /f\n"
        "   3 |     \n"
        "--------------------\n"
    )
    assert not (context.parent / "store").exists()


def test_a_check_that_finds_nothing(context: Path) -> None:
    assert (
        build(context, "--call=check", text="FROM scratch\nCOPY f /f\n").out == "Check complete, no warnings found.\n"
    )


def test_a_check_looks_at_all_stages_unless_one_is_named(context: Path) -> None:
    assert "4 warnings" not in build(context, "--check", status=1).out
    assert "Check complete, 3 warnings have been found!" in build(context, "--check", status=1).out
    named = build(context, "--check", "--target", "last", status=1).out
    assert "Check complete, 2 warnings have been found!" in named
    assert "ENV c d" not in named.partition("LegacyKeyValueFormat")[2].partition(">>>")[2]


def test_a_check_as_json(context: Path) -> None:
    done = build(context, "--call=check,format=json", text="FROM scratch as base\n", status=1)
    (warning,) = done.json()["warnings"]
    assert warning["ruleName"] == "FromAsCasing"
    assert warning["description"] == "The 'as' keyword should match the case of the 'from' keyword"
    assert warning["location"] == {"ranges": [{"start": {"line": 1}, "end": {"line": 1}}]}
    (source,) = done.json()["sources"]
    assert base64.b64decode(source["data"]) == b"FROM scratch as base\n"
    build(context, "--call=check,format=json,ignorestatus=true", text="FROM scratch as base\n")


def test_a_check_of_a_file_with_a_fault(context: Path) -> None:
    done = build(context, "--check", text="FROM scratch as base\nBADCMD\n", status=2)
    assert "WARNING: FromAsCasing" in done.out
    assert 'Dockerfile:2:1: unknown-instruction: unknown instruction "BADCMD"' in done.out
    document = build(context, "--call=check,format=json", text="FROM scratch as base\nBADCMD\n", status=2).json()
    assert document["buildError"]["location"]["ranges"][0]["start"]["line"] == 2


def test_a_check_marks_all_lines_of_an_instruction(context: Path) -> None:
    text = "FROM scratch\nENV A=1 \\\n  B=2 TOKEN=x\nCOPY f /f\n"
    assert "   2 | >>> ENV A=1 \\\n   3 | >>>   B=2 TOKEN=x\n" in build(context, "--check", text=text, status=1).out
    (warning,) = build(context, "--call=check,format=json", text=text, status=1).json()["warnings"]
    assert warning["location"] == {"ranges": [{"start": {"line": 2}, "end": {"line": 3}}]}


def test_targets(context: Path) -> None:
    text = "# base is below all\nFROM scratch AS base\nFROM base\nFROM base AS last\n"
    assert build(context, "--call", "targets", text=text).out.splitlines() == [
        "TARGET          DESCRIPTION",
        "base            is below all",
        "last (default)",
    ]
    found = build(context, "--call=targets,format=json", text=text).json()["targets"]
    assert [(each.get("name"), each.get("default")) for each in found] == [("base", None), (None, None), ("last", True)]
    assert found[0]["description"] == "is below all"
    assert found[0]["location"] == {"ranges": [{"start": {"line": 2}, "end": {"line": 2}}]}


OUTLINED = """\
ARG UNUSED=1
# VARIANT which of them
ARG VARIANT=slim
ARG TAG=12-$VARIANT
FROM debian:$TAG AS base
# PORT where it listens
ARG PORT=80
ARG VARIANT
RUN --mount=type=secret,id=token,required=true --mount=type=ssh true
FROM debian AS other
ARG ELSE
FROM base
RUN --mount=type=secret,target=/run/x/key true
"""


def test_the_outline_of_a_target(context: Path) -> None:
    out = build(context, "--call=outline", "--build-arg", "PORT=81", text=OUTLINED).out
    assert out.splitlines() == [
        "BUILD ARG  VALUE    DESCRIPTION",
        "VARIANT    slim     which of them",
        "TAG        12-slim",
        "PORT       81       where it listens",
        "",
        "SECRET  REQUIRED",
        "token   true",
        "key",
        "",
        "SSH      REQUIRED",
        "default",
    ]
    other = build(context, "--call=outline,format=json", "--target", "other", text=OUTLINED).json()
    assert [each["name"] for each in other["args"]] == ["ELSE"]
    assert other["name"] == "other"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--call", "chck"), 'did you mean "check"?'),
        (("--call=check,format=xml",), '--call format: "xml" is not known'),
        (("--call=check,x=y",), '--call: "x=y" is not known'),
        (("--check", "--call", "targets"), "--check and --call ask for different things"),
    ],
)
def test_a_wrong_call_is_said(args: tuple[str, ...], says: str, context: Path) -> None:
    assert says in build(context, *args, status=2).err


WARNED = """
 2 warnings found (slimstage check tells more):
 - FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 3)
 - LegacyKeyValueFormat: "ENV key=value" should be used instead of legacy "ENV key value" format (line 5)
"""


def test_a_build_tells_at_its_end_what_is_in_the_stages_it_went_through(context: Path) -> None:
    assert build(context).err.endswith(WARNED)
    assert build(context, text=None).err.endswith(WARNED)  # all is cached, the answer too
    assert "LegacyKeyValueFormat" not in build(context, "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=all").err
    assert "warnings found" not in build(context, text=BAD.replace("as last", "AS last").replace("a b", "a=b")).err
    assert "found" not in build(context, "--quiet").err


def test_the_document_of_a_build_has_them(context: Path) -> None:
    found = build(context, "--json", "--progress=json").json()["warnings"]
    assert [(each["code"], each["line"]) for each in found] == [("FromAsCasing", 3), ("LegacyKeyValueFormat", 5)]


def test_a_job_of_github_shows_them_at_their_lines(context: Path) -> None:
    err = build(context, GITHUB_ACTIONS="true").err
    assert "::warning file=Dockerfile,line=3,title=FromAsCasing::'as' and 'FROM' keywords' casing do not match\n" in err


def test_a_violation_ends_the_build_before_anything_runs(context: Path) -> None:
    done = build(context, text="# check=error=true\n" + BAD.replace("COPY f", "COPY nothing"), status=2)
    assert "Dockerfile:4:14: FromAsCasing: 'as' and 'FROM' keywords' casing do not match" in done.err
    assert "check-violated: lint violation found for rules: FromAsCasing, LegacyKeyValueFormat" in done.err
    assert "nothing" not in done.err
    build(context, "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=error=false", text="# check=error=true\n" + BAD)
    build(context, text="# check=error=true\nFROM scratch\nCOPY f /f\n")
