"""What the cache remembers of places, and what of a machine it does not look at: directory, clock, umask."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.building import Project, statuses
from support.rootfs import needs_sandbox

pytestmark = needs_sandbox

DOCKERFILE = "FROM base\nWORKDIR /w\nCOPY a ./a\nRUN cp a b\nCOPY --link c /c\nRUN cat /w/a /c > /d\n"


def lay_out(project: Project) -> None:
    project.dockerfile(DOCKERFILE)
    project.write("a", "a\n", 0o644)
    project.write("c", "c\n", 0o644)


def whys(document: dict[str, Any]) -> dict[str, str]:
    return {step["instruction"]: step["why"] for step in document["steps"] if step["status"] == "run"}


def places(project: Project) -> list[tuple[str, float]]:
    with sqlite3.connect(f"file:{project.root}/store.db?mode=ro", uri=True) as connection:
        found = connection.execute("SELECT name, written_s FROM places ORDER BY name").fetchall()
    connection.close()
    return found


def elsewhere(project: Project, name: str) -> Project:
    """The same files in another directory, for the same store."""
    shutil.copytree(project.path, project.path.parent / name)
    return Project(project.path.parent / name, project.root, project.base, project.more)


def test_a_fully_cached_build_in_a_new_directory_is_remembered(project: Project) -> None:
    lay_out(project)
    project.document()
    other = elsewhere(project, "clone")
    assert set(other.steps().values()) == {"cached"}
    other.write("a", "other\n")
    said = whys(other.document())
    assert said["COPY a ./a"] == "file a changed"
    assert said["RUN cp a b"] == "the step above it ran again (COPY a ./a)"
    assert said["RUN cat /w/a /c > /d"].startswith("the step above it is another (COPY c /c)")


def test_a_build_that_finds_all_as_it_was_writes_nothing(project: Project) -> None:
    lay_out(project)
    project.document()
    project.document()
    before = places(project)
    assert len(before) == 2  # the steps, and what the checks found
    project.document()
    assert places(project) == before
    elsewhere(project, "clone").document()
    assert len(places(project)) == 4


def test_a_change_is_compared_with_the_last_build_and_not_with_the_newest_result(project: Project) -> None:
    lay_out(project)
    project.document()
    project.write("c", "another\n")
    project.document()
    project.write("c", "c\n")
    assert set(project.steps().values()) == {"cached"}
    project.write("a", "other\n")
    assert "COPY c /c" not in whys(project.document())


def test_what_a_failed_build_did_is_remembered(project: Project) -> None:
    lay_out(project)
    project.document()
    project.write("a", "first\n")
    project.dockerfile(DOCKERFILE.replace("cp a b", "false"))
    project.build(status=1)
    project.dockerfile(DOCKERFILE)
    said = whys(project.document())
    assert "COPY a ./a" not in said
    assert said["RUN cp a b"].startswith("the step above it is another (COPY a ./a)")


def test_a_linked_copy_stays_and_what_stands_on_it_does_not(project: Project) -> None:
    lay_out(project)
    project.document()
    project.write("a", "other\n")
    assert project.steps() == {
        "WORKDIR /w": "cached",
        "COPY a ./a": "run",
        "RUN cp a b": "run",
        "COPY c /c": "cached",
        "RUN cat /w/a /c > /d": "run",
    }
    assert project.layout().read("d") == b"other\nc\n"


def test_another_umask_changes_nothing(project: Project) -> None:
    """That of the process never; that of a checkout not with --reproducible, which takes modes as git records them."""
    lay_out(project)
    project.more = ("--reproducible",)
    first = project.document()
    words = ["build", "--json", "--build-context", f"base=oci-layout://{project.base}", *project.more, "."]
    done = subprocess.run(
        ["sh", "-c", 'umask 077; exec "$@"', "sh", sys.executable, "-m", "slimstage", *words],
        cwd=project.path,
        env={**os.environ, "SLIMSTAGE_ROOT": str(project.root)},
        capture_output=True,
        check=True,
    )
    assert b'"run"' not in done.stdout
    other = elsewhere(project, "clone")
    for name in ("a", "c"):
        (other.path / name).chmod(0o600)
    second = other.document()
    assert set(statuses(second).values()) == {"cached"}
    assert second["image_id"] == first["image_id"]


_LATER = """\
import runpy, time
real = time.time
time.time = lambda: real() + 40 * 86_400
runpy.run_module("slimstage", run_name="__main__", alter_sys=True)
"""


def test_a_later_day_changes_nothing(project: Project, tmp_path: Path) -> None:
    """The machine's clock is everybody's; what this program asks for the time is set forward instead."""
    lay_out(project)
    first = project.document()
    done = subprocess.run(
        [sys.executable, "-c", _LATER, "build", "--iidfile", str(tmp_path / "id"), "--json", "--build-context",
         f"base=oci-layout://{project.base}", "."],
        cwd=project.path, env={**os.environ, "SLIMSTAGE_ROOT": str(project.root)}, capture_output=True, check=True,
    )  # fmt: skip
    assert b'"run"' not in done.stdout
    assert (tmp_path / "id").read_text().strip() == first["image_id"]
