"""The files of docs/ci: they can be read, and every command in them has the options that it is given."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml  # type: ignore[import-untyped] # it has no types

from slimstage.cli.catalogue import BY_NAME
from slimstage.cli.program import Program
from support.command import PROJECT

CI = PROJECT / "docs/ci"
FILES = sorted(path for path in CI.iterdir() if path.suffix != ".md")
_COMMAND = re.compile(r"(?:\bslimstage|\$SLIMSTAGE) ([a-z]+)((?:[^\n|;&)#`]|\)(?=\"))*)")


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """(command, its flags) of each call in a file."""
    joined = re.sub(r"\\\n\s*|>\n\s+(?=\$SLIMSTAGE)|\n\s+(?=--)", " ", text)
    for name, rest in _COMMAND.findall(joined):
        if name in BY_NAME:
            yield name, re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_flag_of_every_command_is_one(path: Path) -> None:
    found = list(commands(path.read_text()))
    assert {"build", "inspect"} <= {name for name, _ in found}
    program = Program("slimstage")
    for name, flags in found:
        command = program.get_command(click.Context(program), name)
        assert command is not None
        known = {
            option
            for each in command.params
            if isinstance(each, click.Option) and not each.hidden
            for option in each.opts
        }
        assert set(flags) <= known, f"{path.name}: slimstage {name}"


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.suffix in (".yml", ".yaml")], ids=lambda path: path.name
)
def test_it_is_yaml_of_the_system_it_is_for(path: Path) -> None:
    document = yaml.safe_load(path.read_text())
    key = {"github-actions.yml": "jobs", "gitlab-ci.yml": "stages", "tekton.yaml": "spec", "argo.yaml": "spec"}[
        path.name
    ]
    assert key in document


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_builds_tests_packages_measures_and_pushes(path: Path) -> None:
    text = path.read_text()
    for words in ("--target", "test", "Size", "--push", "--cache-from", "mode=max"):
        assert words in text, words
    assert not re.search(r"--password[ =]|-p +\$", text), "a password on a command line is seen by others"


def test_the_page_explains_each_file() -> None:
    page = (CI / "README.md").read_text()
    for path in FILES:
        assert f"]({path.name})" in page
    lengths = [len(part.strip().splitlines()) for part in page.split("\n## ")[1:]]
    assert max(lengths) <= 11, "ten lines each"


def test_shell_in_the_files_can_be_split() -> None:
    for path in FILES:
        for line in re.findall(r"^ *(?:- )?(slimstage [^\n]*[^\\\n])$", path.read_text(), re.MULTILINE):
            shlex.split(line)
