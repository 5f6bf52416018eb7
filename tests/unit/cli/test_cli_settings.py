"""`slimstage.toml`: what it may say, and where its faults are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimstage.cli.settings import context_from, find_settings, parse_settings, read_settings
from slimstage.cli.toml_places import places_of
from slimstage.diagnostics import Source
from slimstage.errors import UsageError

PATH = "/project/slimstage.toml"


def faults(text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(UsageError) as caught:
        parse_settings(text, PATH)
    return [(d.span.line, d.span.column, d.message) for d in caught.value.diagnostics if d.span]


def test_everything_it_may_say() -> None:
    settings = parse_settings(
        """
        [contexts]
        "python:3.11-slim" = "debian://bookworm?variant=minbase&include=python3"
        data = "../data"

        [build]
        host-certs = true
        jobs = 4
        network = "none"
        tag = ["iris", "iris:1"]
        args = { VERSION = "1.2", DEBUG = 1 }
        secret = "id=token,src=token.txt"
        cpus = 1.5

        [registry."localhost:5000"]
        plain-http = true
        mirrors = ["mirror:5000"]
        ca = "ca.pem"
        """,
        PATH,
    )
    assert {name: setting.value for name, setting in settings.contexts.items()} == {
        "python:3.11-slim": "debian://bookworm?variant=minbase&include=python3",
        "data": "/data",
    }
    assert {name: setting.value for name, setting in settings.build.items()} == {
        "host-certs": True,
        "jobs": "4",
        "network": "none",
        "tag": ("iris", "iris:1"),
        "build-arg": {"VERSION": "1.2", "DEBUG": "1"},
        "secret": ("id=token,src=/project/token.txt",),
        "cpus": "1.5",
    }
    assert settings.registries == {
        "localhost:5000": {"plain-http": True, "mirrors": ("mirror:5000",), "ca": "/project/ca.pem"}
    }


def test_an_unknown_key_is_named_with_its_place_and_a_near_one() -> None:
    with pytest.raises(UsageError) as caught:
        parse_settings('[build]\njobs = 2\nnetwrok = "none"\n', PATH)
    (fault,) = caught.value.diagnostics
    assert fault.span is not None
    assert (fault.span.line, fault.span.column, fault.span.end_column) == (3, 1, 8)
    assert fault.message == 'unknown key "netwrok" in [build]'
    assert fault.hint == 'did you mean "network"?'
    assert "netwrok = " in str(caught.value)


def test_all_faults_are_reported_at_once_in_the_order_of_the_file() -> None:
    text = '[biuld]\nx = 1\n[build]\njobs = "many"\nhost-certs = "yes"\npull = 1\n[contexts]\na = 1\n'
    assert [(line, column) for line, column, _ in faults(text)] == [(1, 2), (5, 1), (6, 1), (8, 1)]


def test_a_build_key_at_the_top_is_told_where_it_belongs() -> None:
    with pytest.raises(UsageError) as caught:
        parse_settings("host-certs = true\n", PATH)
    assert caught.value.hint == "put it under [build]"


def test_an_unquoted_context_name_with_a_dot_is_explained() -> None:
    with pytest.raises(UsageError) as caught:
        parse_settings('[contexts]\npython.slim = "x"\n', PATH)
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("quote the name")


@pytest.mark.parametrize(
    "text",
    [
        "[build\n",
        "jobs = \n",
        "[build]\njobs = 1\njobs = 2\n",
        "x",
        '[build]\na = "\n',
        "[build]\n[build]\n",
        "a = 1979-",
    ],
)
def test_what_is_no_toml_has_a_place(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_settings(text, PATH)
    assert caught.value.code == "settings-syntax"
    assert caught.value.diagnostics[0].span is not None


@given(st.text(max_size=80))
def test_no_text_makes_it_fail_otherwise(text: str) -> None:
    try:
        parse_settings(text, PATH)
    except UsageError:
        pass


def test_places_survive_strings_of_several_lines_and_inline_tables() -> None:
    text = 'a = """\nb = 1\n"""\n[t."x.y"]\nc = { d = 1, e = 2 }\nf.g = 1\n'
    places = {path: (span.line, span.column) for path, span in places_of(Source("f", text)).items()}
    assert places == {
        ("a",): (1, 1),
        ("t", "x.y"): (4, 2),
        ("t", "x.y", "c"): (5, 1),
        ("t", "x.y", "c", "d"): (5, 7),
        ("t", "x.y", "c", "e"): (5, 14),
        ("t", "x.y", "f"): (6, 1),
        ("t", "x.y", "f", "g"): (6, 1),
    }


def test_a_wrong_type_says_what_it_wants_and_what_it_got() -> None:
    assert faults("[build]\njobs = true\n") == [(2, 1, '"jobs" wants a whole number, got true or false')]
    assert faults("[build]\ntag = [1]\n") == [(2, 1, '"tag" wants a text or a list of texts, got a list')]
    assert faults('[registry."a:1"]\nplain-http = 1\n') == [
        (2, 1, '"plain-http" wants true or false, got a whole number')
    ]


def test_plural_and_singular_say_the_same_and_not_twice() -> None:
    assert parse_settings('[build]\ntags = ["a"]\n', PATH).build["tag"].value == ("a",)
    assert len(faults('[build]\ntag = "a"\ntags = ["b"]\n')) == 1


@pytest.mark.parametrize(
    ("value", "wants"),
    [
        ("data", "/project/data"),
        ("/abs", "/abs"),
        ("oci-layout://images/base:1", "oci-layout:///project/images/base:1"),
        ("docker-archive:base.tar", "docker-archive:/project/base.tar"),
        ("docker-image://python:3.11", "docker-image://python:3.11"),
        ("https://example.org/x.git", "https://example.org/x.git"),
        ("target:base", "target:base"),
    ],
)
def test_paths_are_relative_to_the_file(value: str, wants: str) -> None:
    assert context_from(value, "/project") == wants


def test_it_is_looked_for_beside_the_dockerfile_then_in_the_context(tmp_path: Path) -> None:
    docker, context = tmp_path / "docker", tmp_path / "context"
    for directory in (docker, context):
        directory.mkdir()
    assert find_settings(str(docker / "Dockerfile"), str(context)) is None
    (context / "slimstage.toml").write_text("")
    assert find_settings(str(docker / "Dockerfile"), str(context)) == str(context / "slimstage.toml")
    assert find_settings(None, str(context)) == str(context / "slimstage.toml")
    (docker / "slimstage.toml").write_text("")
    assert find_settings(str(docker / "Dockerfile"), str(context)) == str(docker / "slimstage.toml")
    assert find_settings("-", "-") is None
    assert find_settings(None, "https://example.org/x.git") is None


def test_a_file_that_cannot_be_read_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a directory"):
        read_settings(str(tmp_path))
    (tmp_path / "latin").write_bytes(b"\xe9 = 1")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_settings(str(tmp_path / "latin"))
    os.symlink("nowhere", tmp_path / "slimstage.toml")
    found = find_settings(None, str(tmp_path))
    assert found is not None
    with pytest.raises(UsageError, match="no such file"):
        read_settings(found)
