"""A store that cannot be written, or not be entered: one sentence, and nothing changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.building import Image, Project
from support.faults import unsound
from support.filesystems import MIB, image, memory, read_only
from support.rootfs import needs_sandbox

pytestmark = needs_sandbox


@pytest.fixture
def small(project: Project) -> Project:
    project.dockerfile("FROM base\nCOPY Dockerfile /\nRUN echo done > /done\n")
    project.more = ("--reproducible",)
    return project


def test_a_store_that_became_read_only(small: Project) -> None:
    first = small.layout("first", "-t", "it", "-o", "type=image")
    small.write("more", "more")
    with read_only(small.root):
        done = small.build("--no-cache", status=3)
        assert "read-only: " in done.err
        assert f'"{small.root}' in done.err
        assert "choose another place with --root or SLIMSTAGE_ROOT" in done.err
        small.run("prune", "--all", status=3)
        small.run("doctor", status=None)
    assert unsound(small.root) == []
    assert small.layout("again").digest == first.digest


def test_the_first_use_of_a_read_only_file_system(small: Project, tmp_path: Path) -> None:
    with memory(tmp_path / "small", MIB) as place:
        small.root = place / "deep" / "root"
        with read_only(place):
            done = small.build(status=3)
            assert "read-only: open the store" in done.err
            assert f'"{small.root}"' in done.err
        assert os.listdir(place) == []


def test_a_base_and_a_context_on_a_read_only_file_system(small: Project, tmp_path: Path) -> None:
    wanted = small.layout("wanted")
    with image("ext4", tmp_path / "media", 16 * MIB) as place:
        subprocess.run(["cp", "-a", small.base, place / "base"], check=True)
        subprocess.run(["cp", "-a", small.path, place / "context"], check=True)
        with read_only(place):
            other = Project(place / "context", tmp_path / "other", place / "base", small.more)
            other.build("-o", f"type=oci,tar=false,dest={tmp_path}/layout2")
    assert Image.of(tmp_path / "layout2").digest == wanted.digest


def test_a_store_directory_that_an_ordinary_user_may_not_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o755)
    done = as_user(locked / "root", "images")
    assert done.returncode == 3, done.stderr
    assert "not-permitted: " in done.stderr or "store-owner: " in done.stderr
    assert str(locked) in done.stderr
    assert "--root or SLIMSTAGE_ROOT" in done.stderr
    assert os.listdir(locked) == []


def test_a_store_of_another_user(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "theirs").mkdir(mode=0o777)
    (tmp_path / "theirs").chmod(0o777)
    done = as_user(tmp_path / "theirs", "images")
    assert done.returncode == 3
    assert "--root or SLIMSTAGE_ROOT" in done.stderr
    assert os.listdir(tmp_path / "theirs") == []


def as_user(root: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """The command of an ordinary user, without a namespace in which the user would be root."""
    code = (
        "import os, sys; from slimstage.store.store import Store; from slimstage.cli import failures, program\n"
        "import slimstage.cli.commands.images\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "session = program.Session()\n"
        "try: sys.exit(program.run(sys.argv[1:], session))\n"
        "except Exception as error: sys.exit(failures.report(error, session))\n"
    )
    env = {**os.environ, "SLIMSTAGE_ROOT": str(root), "NO_COLOR": "1"}
    return subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, env=env, check=False)
