"""Memory runs out, for a step or for slimstage itself: a sentence that says so, and a store that is sound."""

from __future__ import annotations

import os

import pytest

from slimstage.sandbox import cgroup
from support.building import Project
from support.faults import limited_build, unsound
from support.rootfs import needs_sandbox

pytestmark = needs_sandbox


def has_memory_limits() -> bool:
    point, _ = cgroup.layout().get("memory", ("", False))
    return bool(point) and os.access(point, os.W_OK)


@pytest.mark.skipif(not has_memory_limits(), reason="this host has no memory cgroup that can be written")
@pytest.mark.parametrize(
    "script",
    [
        pytest.param("tail /dev/zero", id="the command itself"),
        pytest.param("sh -c 'tail /dev/zero' || exit 9", id="a child of it"),
    ],
)
def test_a_step_that_wants_more_memory_than_it_may(script: str, project: Project) -> None:
    project.dockerfile(f"FROM base\nRUN {script}\n")
    done = project.build("--memory", "32m", status=1)
    assert "the kernel killed it for memory: raise --memory" in done.err
    assert unsound(project.root) == []
    project.dockerfile("FROM base\nRUN head -c 1000000 /dev/zero | tail -c 1 > /x\n")
    project.build("--memory", "32m")


@pytest.mark.parametrize("megabytes", [40, 90, 160, 300])
def test_slimstage_itself_with_little_memory(megabytes: int, project: Project) -> None:
    project.dockerfile("FROM base\nCOPY big /\nRUN echo done > /done\n")
    project.write("big", os.urandom(3 << 20))
    out = f"type=oci,dest={project.path.parent}/out.tar"
    done = limited_build(project, f"--as={megabytes << 20}", args=("-o", out))
    assert done.status in (0, 1, 3), done.err
    if done.status:
        lines = [line for line in done.err.splitlines() if not line.startswith("#")]
        assert lines, "nothing was said"
        assert megabytes > 40 or "out-of-memory: there is not enough memory for slimstage itself" in done.err
        assert "internal" not in done.err, done.err
        assert not (project.path.parent / "out.tar").exists()
    if (project.root / "version").exists():
        assert unsound(project.root) == []
    project.build()


def test_few_open_files(project: Project) -> None:
    project.dockerfile("FROM base\nCOPY tree /tree\nRUN echo done > /done\n")
    for number in range(60):
        project.write("tree/" + "/".join(["d"] * (number % 12)) + f"/{number}", "x")
    wanted = project.layout("wanted", "--reproducible").digest
    project.root = project.root.with_name("other")
    results = []
    for count in (16, 24, 40, 256):
        done = limited_build(project, f"--nofile={count}:{count}", args=("--no-cache",))
        results.append(done.status)
        assert done.status in (0, 3), done.err
        assert done.status == 0 or "internal" not in done.err, done.err
        assert done.status == 0 or "too many open files" in done.err.lower(), done.err
        assert unsound(project.root) == []
    assert results[0] == 3
    assert results[-1] == 0
    assert project.layout("again", "--reproducible").digest == wanted
