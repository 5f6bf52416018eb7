"""`slimstage check` as its users call it."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from support.command import Done, slimstage

BAD = "FROM debian:12 as Builder\nenv a b\nEXPOSE 80/TCP\n# why\nCMD python3 app.py\n"
MENDED = 'FROM debian:12 AS builder\nENV a=b\nEXPOSE 80/tcp\n# why\nCMD ["python3", "app.py"]\n'


def check(directory: Path, *args: object, status: int | None = 0, stdin: bytes | None = None, **env: str) -> Done:
    return slimstage("check", *args, root=directory / "no-store", cwd=directory, status=status, stdin=stdin, env=env)


def write(directory: Path, text: str | bytes, name: str = "Dockerfile") -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text)
    return path


def rules_of(done: Done) -> list[str]:
    return [each["rule"] for each in done.json()["diagnostics"]]


# Which files -------------------------------------------------------------------------------------------------


def test_the_dockerfile_here_is_checked_and_the_store_is_not_touched(tmp_path: Path) -> None:
    write(tmp_path, BAD)
    done = check(tmp_path, "--rule", "buildkit", status=1)
    assert "Dockerfile:1:16: warning: FromAsCasing: 'as' and 'FROM' keywords' casing do not match" in done.out
    assert "    1 | FROM debian:12 as Builder" in done.out
    assert done.err.startswith("Dockerfile: 6 warnings; --fix mends 6")
    assert not (tmp_path / "no-store").exists()


@pytest.mark.parametrize("name", ["Dockerfile", "dockerfile", "Containerfile"])
def test_names_of_a_dockerfile_in_a_directory(name: str, tmp_path: Path) -> None:
    write(tmp_path, BAD, f"api/{name}")
    assert f"api/{name}:1:16: " in check(tmp_path, "api", "--rule", "FromAsCasing", status=1).out


def test_several_files_each_once(tmp_path: Path) -> None:
    for name in ("a.Dockerfile", "b.Dockerfile"):
        write(tmp_path, BAD, name)
    done = check(
        tmp_path, "a.Dockerfile", "b.Dockerfile", "-f", "a.Dockerfile", "--rule", "FromAsCasing", "--json", status=1
    )
    assert [each["file"] for each in done.json()["diagnostics"]] == ["a.Dockerfile", "b.Dockerfile"]


def test_a_file_and_the_directory_that_holds_it_are_one(tmp_path: Path) -> None:
    path = write(tmp_path, "FROM debian\n")
    done = check(tmp_path, "-f", path, tmp_path, status=1)
    assert done.out.count("LatestTag:") == 1


def test_stdin(tmp_path: Path) -> None:
    done = check(tmp_path, "-", "--rule", "FromAsCasing", status=1, stdin=BAD.encode())
    assert "Dockerfile:1:16: " in done.out
    assert check(tmp_path, "-", "--fix", status=2, stdin=b"").err.startswith("error: usage: --fix: stdin is no file")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((), 'there is no "Dockerfile" here'),
        (("nothing",), 'the Dockerfile "nothing" cannot be read'),
        (("--context", "nothing"), '--context: "nothing" is no directory'),
        (("--rule", "StagNameCasing", "."), 'did you mean "StageNameCasing"?'),
        (("--severity", "bad", "."), "it can be info, warning, error"),
        (("--json", "--format", "sarif"), "ask for different things"),
        (("--fix", "--diff"), "--fix changes files and --diff does not"),
    ],
)
def test_a_wrong_command_line_is_said(args: tuple[str, ...], says: str, tmp_path: Path) -> None:
    if "." in args:
        write(tmp_path, BAD)
    assert says in check(tmp_path, *args, status=2).err


def test_a_pipe_in_the_place_of_a_dockerfile_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "Dockerfile")
    assert '"./Dockerfile" is not a file' in check(tmp_path, status=2).err


# Which rules, and how it ends ---------------------------------------------------------------------------------


def test_skipping_and_choosing(tmp_path: Path) -> None:
    write(tmp_path, BAD)
    only = check(tmp_path, "--rule", "FromAsCasing,StageNameCasing", "--skip", "StageNameCasing", "--json", status=1)
    assert rules_of(only) == ["FromAsCasing"]
    assert rules_of(check(tmp_path, "--rule", "buildkit", "--skip", "buildkit", "--json")) == []


def test_an_experimental_rule_is_run_when_it_is_named(tmp_path: Path) -> None:
    write(tmp_path, "# no name\nFROM debian:12 AS base\n")
    assert rules_of(check(tmp_path, "--rule", "buildkit", "--json", status=1)) == ["InvalidDefinitionDescription"]
    assert "InvalidDefinitionDescription" not in check(tmp_path, status=None).out


@pytest.mark.parametrize(("fail_on", "status"), [("info", 1), ("warning", 1), ("error", 0), ("never", 0)])
def test_what_ends_with_status_1(fail_on: str, status: int, tmp_path: Path) -> None:
    write(tmp_path, BAD)
    check(tmp_path, "--rule", "buildkit", "--fail-on", fail_on, status=status)


def test_what_is_below_the_severity_is_counted_only(tmp_path: Path) -> None:
    write(tmp_path, "FROM ghcr.io/org/app:1\nCOPY $APP_HOME /x/\n")
    done = check(tmp_path, "--rule", "UndefinedVar", "--severity", "warning")
    assert done.out == ""
    assert "nothing found; 1 below --severity not shown" in done.err


def test_error_true_ends_with_status_1_whatever_the_limit(tmp_path: Path) -> None:
    write(tmp_path, "# check=error=true\n" + BAD)
    check(tmp_path, "--fail-on", "never", status=1)
    check(tmp_path, "--fail-on", "never", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=error=false", status=0)
    assert "BUILDKIT_DOCKERFILE_CHECK" in check(tmp_path, "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=x", status=2).err


def test_faults_of_the_file_and_what_stands_in_front_of_them(tmp_path: Path) -> None:
    write(tmp_path, "FROM debian:12 as x\nRUNN true\nMAINTAINER me\n")
    done = check(tmp_path, "--json", status=2)
    assert rules_of(done) == ["unknown-instruction", "FromAsCasing"]
    assert done.json()["diagnostics"][0]["url"] is None


def test_what_planning_refuses_is_said_too(tmp_path: Path) -> None:
    write(tmp_path, "FROM debian:12 AS a\nCOPY --from=b /x /x\nFROM a AS b\nEXPOSE 99999\n")
    done = check(tmp_path, "--rule", "buildkit", "--json", status=2)
    assert "stage-later" in rules_of(done) or "stage-cycle" in rules_of(done)


def test_arguments_and_environment(tmp_path: Path) -> None:
    write(tmp_path, "ARG V\nFROM debian:$V\n")
    assert rules_of(check(tmp_path, "--rule", "buildkit", "--json", status=2)) == [
        "bad-reference",
        "InvalidDefaultArgInFrom",
    ]
    given = check(tmp_path, "--rule", "buildkit", "--json", "--build-arg", "V", status=1, V="12")
    assert rules_of(given) == ["InvalidDefaultArgInFrom"]


def test_the_settings_beside_the_file(tmp_path: Path) -> None:
    write(tmp_path, BAD)
    settings = '[check]\nrule = ["buildkit"]\nskip = ["FromAsCasing", "StageNameCasing"]\nfail-on = "never"\n'
    write(tmp_path, settings, "slimstage.toml")
    found = rules_of(check(tmp_path, "--json"))
    assert found == ["ConsistentInstructionCasing", "LegacyKeyValueFormat", "ExposeProtoCasing", "JSONArgsRecommended"]
    check(tmp_path, "--fail-on", "warning", status=1)
    write(tmp_path, '[check]\nskip = "NoSuchRule"\n', "slimstage.toml")
    assert 'slimstage.toml:2:1: unknown-rule: --skip: no rule is called "NoSuchRule"' in check(tmp_path, status=2).err
    write(tmp_path, '[check]\nskipp = "x"\n', "slimstage.toml")
    assert 'unknown key "skipp" in [check]' in check(tmp_path, status=2).err


def test_the_ignore_file_that_a_build_would_take(tmp_path: Path) -> None:
    write(tmp_path, "FROM debian:12\nCOPY data /data\n")
    write(tmp_path, "data\n", ".dockerignore")
    done = check(tmp_path, "--rule", "CopyIgnoredFile", status=1)
    assert 'Attempting to Copy file "data" that is excluded by .dockerignore' in done.out
    assert '.dockerignore:1:1 keeps it out: "data"' in done.out
    write(tmp_path, "other\n", "Dockerfile.dockerignore")
    check(tmp_path, "--rule", "CopyIgnoredFile")
    write(tmp_path, "FROM debian:12\nCOPY data /data\n", "docker/Dockerfile")
    check(tmp_path, "docker/Dockerfile", "--rule", "CopyIgnoredFile")
    check(tmp_path, "docker/Dockerfile", "--context", ".", "--rule", "CopyIgnoredFile", status=1)


def test_no_character_of_the_file_reaches_the_terminal_raw(tmp_path: Path) -> None:
    write(tmp_path, b"FROM debian:12 as x\x1b[31m\n# \xff \xe2\x80\xae\nLABEL a b\x1b]0;x\x07\xe2\x80\xae\n")
    for kind in ("text", "json", "sarif", "junit", "github"):
        done = check(tmp_path, "--format", kind, status=None)
        assert "\x1b" not in done.out + done.err
        assert "\u202e" not in done.out + done.err


def test_hidden_characters_are_found_with_their_place(tmp_path: Path) -> None:
    write(tmp_path, "FROM debian:12\nRUN true \u202e# x\u2069\nRUN a\u200bb\rc\n")
    found = check(tmp_path, "--rule", "security", "--json", status=1).json()["diagnostics"]
    assert [(each["line"], each["column"]) for each in found] == [(2, 10), (2, 14), (3, 6), (3, 8)]


def test_a_secret_in_a_build_argument_is_warned_of(tmp_path: Path) -> None:
    write(tmp_path, "FROM debian:12\nARG TOKEN\nRUN true\n")
    done = check(tmp_path, "--build-arg", "TOKEN=hunter2", status=1)
    assert 'SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG "TOKEN")' in done.out
    assert "hunter2" not in done.out + done.err


# Documents ----------------------------------------------------------------------------------------------------


def test_json_has_places_and_fixes(tmp_path: Path) -> None:
    write(tmp_path, "FROM debian:12\nEXPOSE 80/TCP\n")
    (found,) = check(tmp_path, "--rule", "ExposeProtoCasing", "--json", status=1).json()["diagnostics"]
    assert found == {
        "rule": "ExposeProtoCasing",
        "severity": "warning",
        "file": "Dockerfile",
        "line": 2,
        "column": 8,
        "end_line": 2,
        "end_column": 14,
        "message": "Defined protocol '80/TCP' in EXPOSE instruction should be lowercase",
        "notes": [],
        "hint": None,
        "url": "https://docs.docker.com/go/dockerfile/rule/expose-proto-casing/",
        "saving_bytes": None,
        "fix": {
            "title": "write it in lower case",
            "edits": [{"line": 2, "column": 8, "end_line": 2, "end_column": 14, "text": "80/tcp"}],
            "files": [],
        },
    }


def test_junit_is_xml_with_a_case_for_each_finding(tmp_path: Path) -> None:
    write(tmp_path, b'FROM debian:12\nENV a "<&>\x01\xff"\n')
    write(tmp_path, "FROM debian:12\n", "ok.Dockerfile")
    done = check(tmp_path, ".", "ok.Dockerfile", "--rule", "LegacyKeyValueFormat", "--format", "junit", status=1)
    root = ET.fromstring(done.out)
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("2", "1", "0")
    assert [suite.get("name") for suite in root] == ["Dockerfile", "ok.Dockerfile"]
    failure = root[0][0][0]
    assert failure.get("type") == "warning"
    assert "<&>\\x01\\xff" in (failure.text or "")


def test_annotations_are_escaped(tmp_path: Path) -> None:
    write(tmp_path, "FROM debian:12\nEXPOSE 80/TCP\n", "a,b:c.Dockerfile")
    done = check(tmp_path, "a,b:c.Dockerfile", "--rule", "ExposeProtoCasing", "--format", "github", status=1)
    assert done.out.startswith(
        "::warning file=a%2Cb%3Ac.Dockerfile,line=2,endLine=2,col=8,endColumn=14,title=ExposeProtoCasing::"
    )


def test_rules_are_listed_and_explained(tmp_path: Path) -> None:
    listed = check(tmp_path, "--list").out.splitlines()
    assert listed[0].split() == ["RULE", "GROUP", "SEVERITY", "FIX", "WHAT", "IS", "WRONG"]
    names = [each["name"] for each in check(tmp_path, "--list", "--json").json()]
    assert len(names) == len(listed) - 1
    assert check(tmp_path, "--explain", "UndefinedVar").out.startswith("# UndefinedVar\n")
    assert 'did you mean "UndefinedVar"?' in check(tmp_path, "--explain", "UndefinedVr", status=2).err


# Mending ------------------------------------------------------------------------------------------------------


def test_fix_mends_in_place_and_says_what(tmp_path: Path) -> None:
    path = write(tmp_path, BAD)
    path.chmod(0o640)
    done = check(tmp_path, "--rule", "buildkit", "--fix")
    assert path.read_text() == MENDED
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert "mended Dockerfile:3:8: ExposeProtoCasing: write it in lower case\n" in done.err
    assert done.err.endswith("Dockerfile: nothing found\n")
    assert os.listdir(tmp_path) == ["Dockerfile"]


def test_diff_shows_the_same_and_changes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, BAD)
    done = check(tmp_path, "--rule", "buildkit", "--diff", status=1)
    assert path.read_text() == BAD
    lines = done.out.splitlines()
    assert lines[:2] == ["--- Dockerfile", "+++ Dockerfile"]
    assert [line[1:] for line in lines[2:] if line[0] in " +"] == MENDED.splitlines()
    write(tmp_path, MENDED)
    assert check(tmp_path, "--rule", "buildkit", "--diff").out == ""


def test_fix_follows_a_symlink_and_keeps_it(tmp_path: Path) -> None:
    write(tmp_path, BAD, "real/Dockerfile")
    (tmp_path / "Dockerfile").symlink_to("real/Dockerfile")
    check(tmp_path, "--rule", "buildkit", "--fix")
    assert (tmp_path / "Dockerfile").is_symlink()
    assert (tmp_path / "real/Dockerfile").read_text() == MENDED


def test_fix_keeps_line_ends_the_mark_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = write(tmp_path, b"\xef\xbb\xbfFROM debian:12 as x\r\n# \xff\xfe\r\nEXPOSE 80/TCP\r\n")
    check(tmp_path, "--rule", "buildkit", "--fix")
    assert path.read_bytes() == b"\xef\xbb\xbfFROM debian:12 AS x\r\n# \xff\xfe\r\nEXPOSE 80/tcp\r\n"


def test_a_file_with_faults_is_not_touched(tmp_path: Path) -> None:
    text = "FROM debian:12 as x\nRUNN true\n"
    path = write(tmp_path, text)
    check(tmp_path, "--fix", status=2)
    assert path.read_text() == text


def test_a_read_only_directory_is_said(tmp_path: Path) -> None:
    write(tmp_path, BAD, "in/Dockerfile")
    (tmp_path / "in").chmod(0o555)
    try:
        if os.access(tmp_path / "in", os.W_OK):
            pytest.skip("root may write everywhere")
        assert 'cannot write "in/Dockerfile"' in check(tmp_path, "in", "--fix", status=2).err
    finally:
        (tmp_path / "in").chmod(0o755)


def test_the_document_of_code_scanning(tmp_path: Path) -> None:
    write(tmp_path, BAD, "a b/Dockerfile")
    log = json.loads(check(tmp_path, "a b", "--rule", "buildkit", "--format", "sarif", status=1).out)
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert (log["version"], driver["name"]) == ("2.1.0", "slimstage check")
    for result in run["results"]:
        assert driver["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "a%20b/Dockerfile"
        assert place["region"]["startLine"] >= 1
        assert result["level"] in ("none", "note", "warning", "error")
        assert result["message"]["text"]
    assert sum("fixes" in result for result in run["results"]) == 6


def test_lines_go_to_the_end_of_the_ignore_file(tmp_path: Path) -> None:
    write(tmp_path, "FROM debian:12\nCOPY . /app\n")
    write(tmp_path, "*.md", ".dockerignore")
    write(tmp_path, b"\0" * 2_000_000, ".git/objects/pack/a.pack")
    diff = check(tmp_path, "--rule", "IgnoreMissesLargeFiles", "--diff", status=1).out
    assert "+.git" in diff
    assert (tmp_path / ".dockerignore").read_text() == "*.md"
    done = check(tmp_path, "--rule", "IgnoreMissesLargeFiles", "--fix")
    assert "added to .dockerignore" in done.err
    assert (tmp_path / ".dockerignore").read_text() == "*.md\n.git\n"
    check(tmp_path, "--rule", "IgnoreMissesLargeFiles", "--fix")
    assert (tmp_path / ".dockerignore").read_text() == "*.md\n.git\n"
