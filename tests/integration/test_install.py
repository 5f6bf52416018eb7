"""The wheel, installed as its users do: where there is no compiler."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.command import PROJECT


def run(*words: object, **env: str) -> str:
    done = subprocess.run([*map(str, words)], check=False, capture_output=True, text=True, env={**os.environ, **env})
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("wheel")
    run(*PIP, "wheel", "--no-deps", "--no-build-isolation", "-w", top, PROJECT)
    (made,) = top.glob("slimstage-*.whl")
    return made


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """The command in an environment of its own, whose packages all came as wheels."""
    top = tmp_path_factory.mktemp("install")
    run(sys.executable, "-m", "venv", "--without-pip", top / "venv")
    without_compiler = top / "bin"
    without_compiler.mkdir()
    python = top / "venv/bin/python"
    run(*PIP, "--python", python, "install", "--only-binary", ":all:", wheel, PATH=str(without_compiler))
    return top / "venv/bin/slimstage"


def test_the_wheel_needs_no_compiler_and_the_command_builds(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "context").mkdir()
    (tmp_path / "context/Dockerfile").write_text("FROM scratch\nCOPY <<EOF /f\nhello\nEOF\n")
    out = tmp_path / "out"
    run(installed, "build", "--root", tmp_path / "root", "-o", out, tmp_path / "context", PYTHONPATH="")
    assert (out / "f").read_text() == "hello\n"


def test_the_wheel_says_its_version_and_brings_its_licence(installed: Path) -> None:
    assert run(installed, "--version").startswith("slimstage ")
    assert [*installed.parent.parent.glob("lib/python*/site-packages/slimstage-*.dist-info/licenses/LICENSE")]


def test_pipx_runs_the_wheel_and_leaves_nothing_on_the_path(wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY <<EOF /f\nhello\nEOF\n")
    places = {"PIPX_HOME": tmp_path / "pipx", "PIPX_BIN_DIR": tmp_path / "bin", "PIPX_MAN_DIR": tmp_path / "man"}
    build = ("build", "--root", tmp_path / "root", "-o", tmp_path / "out", tmp_path)
    env = {name: str(path) for name, path in places.items()}
    run(sys.executable, "-m", "pipx", "run", "--spec", wheel, "slimstage", *build, PYTHONPATH="", **env)
    assert (tmp_path / "out/f").read_text() == "hello\n"
    assert [*tmp_path.glob("bin/*")] == []
