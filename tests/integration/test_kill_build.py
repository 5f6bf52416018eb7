"""A build is interrupted: it ends at once, with all that it started, and says so. Kills are in test_kills_builds.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.building import Project, mounts_below, processes_with
from support.rootfs import needs_sandbox

pytestmark = needs_sandbox


def start(project: Project, *args: object) -> subprocess.Popen[str]:
    """A build as a process of its own, its progress on a pipe.

    Its processes are known by the store's path: slimstage's own have it as SLIMSTAGE_ROOT, a step's as no_proxy, which is
    in every step's environment and in no key.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "slimstage", "build", "--progress=plain", "--build-context",
         f"base=oci-layout://{project.base}", "--build-arg", f"no_proxy={project.root}", *map(str, args), "."],
        cwd=project.path,
        env={**os.environ, "SLIMSTAGE_ROOT": str(project.root)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )  # fmt: skip


def wait_for(child: subprocess.Popen[str], text: str) -> None:
    assert child.stderr is not None
    for line in child.stderr:
        if text in line:
            return
    raise AssertionError(f"the build ended with {child.wait()} before it said {text!r}")


def soon_gone(root: Path) -> bool:
    """True when no process of a build on this store lives any more; the kernel ends the last ones after their parent."""
    for _ in range(500):
        if not processes_with(str(root)):
            return True
        time.sleep(0.02)
    return False


def test_doctor_repairs_what_a_killed_build_left(project: Project) -> None:
    project.dockerfile("FROM base\nRUN echo be''gun; sleep 1000\n")
    with start(project) as child:
        wait_for(child, " begun")
        child.kill()
    assert soon_gone(project.root)
    found = project.run("doctor", "--json", status=None).json()["store"]["findings"]
    assert {finding["code"] for finding in found} <= {"dead-session", "stale-lock"}
    assert "is gone" in " ".join(finding["what"] for finding in found)
    project.run("doctor", "--repair", status=None)
    assert project.run("doctor", "--json", status=None).json()["store"]["findings"] == []


@contextmanager
def begun_build(project: Project, script: str) -> Iterator[subprocess.Popen[str]]:
    """A build whose step has begun."""
    project.dockerfile(f"FROM base\nRUN {script}\n")
    with start(project) as child:
        try:
            wait_for(child, " begun")
            yield child
        finally:
            if child.poll() is None:
                child.kill()


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
@pytest.mark.parametrize(
    "script",
    [
        pytest.param("echo be''gun; sleep 1000", id="one process"),
        pytest.param(
            "trap '' INT TERM HUP; (setsid sleep 1000 &) ; sleep 1001 & echo be''gun; wait", id="deaf children"
        ),
        pytest.param("echo be''gun; while :; do :; done", id="busy"),
    ],
)
def test_an_interrupt_ends_all_of_the_step(name: str, status: int, script: str, project: Project) -> None:
    with begun_build(project, script) as child:
        assert processes_with(f"no_proxy={project.root}")
        child.send_signal(getattr(signal, name))
        _, said = child.communicate(timeout=30)
        assert child.returncode == status
        # Gone when the command ends, not some time later.
        assert processes_with(str(project.root)) == []
        assert mounts_below(project.root) == []
        assert "Traceback" not in said
        assert "interrupted" in said
    assert project.run("doctor", "--json", status=None).json()["store"]["findings"] == []
    assert os.listdir(project.root / "tmp") == []


def test_ctrl_c_of_a_terminal_reaches_every_process_of_the_group(project: Project) -> None:
    with begun_build(project, "echo be''gun; sleep 1000") as child:
        os.killpg(child.pid, signal.SIGINT)
        _, said = child.communicate(timeout=30)
        assert child.returncode == 130
        assert processes_with(str(project.root)) == []
        assert "Traceback" not in said


def test_a_failing_step_ends_the_steps_beside_it(project: Project) -> None:
    meet = "RUN --mount=type=cache,target=/c"
    project.dockerfile(
        f"FROM base AS slow\n{meet} touch /c/here; sleep 1000\n"
        f"FROM base AS bad\n{meet} until [ -e /c/here ]; do sleep 0.02; done; exit 7\n"
        "FROM scratch\nCOPY --from=slow /etc/passwd /a\nCOPY --from=bad /etc/passwd /b\n"
    )
    done = project.build("--jobs", "4", "--build-arg", f"no_proxy={project.root}", status=1, timeout_s=60)
    assert "exit status 7" in done.err
    assert "Dockerfile:4" in done.err
    assert processes_with(str(project.root)) == []
    assert os.listdir(project.root / "tmp") == []


def test_a_build_that_waits_for_another_can_be_interrupted(project: Project) -> None:
    with begun_build(project, "echo be''gun; sleep 1000") as first:
        with start(project) as second:
            wait_for(second, "base")
            second.send_signal(signal.SIGINT)
            _, said = second.communicate(timeout=30)
            assert second.returncode == 130, said
        assert processes_with(f"no_proxy={project.root}"), "the first build was disturbed"
        first.send_signal(signal.SIGINT)
        assert first.wait(timeout=30) == 130
