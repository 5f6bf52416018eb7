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


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command in an environment of its own, whose packages all came as wheels."""
    top = tmp_path_factory.mktemp("install")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", top, PROJECT)
    (wheel,) = top.glob("slimstage-*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", top / "venv")
    without_compiler = top / "bin"
    without_compiler.mkdir()
    python = top / "venv/bin/python"
    run(*pip, "--python", python, "install", "--only-binary", ":all:", wheel, PATH=str(without_compiler))
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
