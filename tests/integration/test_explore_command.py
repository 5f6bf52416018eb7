"""`slimstage explore` where there is no terminal, and what it opens."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time

from support.building import Project
from support.rootfs import needs_sandbox

pytestmark = needs_sandbox


def built(project: Project) -> None:
    project.write("hello.txt", "hello")
    project.dockerfile("FROM scratch\nCOPY hello.txt /srv/\n")
    project.build("-t", "app")


def test_without_a_terminal_it_says_what_shows_the_same(project: Project) -> None:
    built(project)
    done = project.run("explore", "app", status=2)
    assert "needs a terminal" in done.err
    assert "slimstage analyze" in done.err
    assert project.run("explore", "--json", "app").json() == project.run("analyze", "--json", "app").json()


def test_on_a_terminal_it_shows_the_files_and_q_ends_it(project: Project) -> None:
    built(project)
    ours, theirs = pty.openpty()
    env = {**os.environ, "SLIMSTAGE_ROOT": str(project.root), "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    command = [sys.executable, "-m", "slimstage", "explore", "app"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True)
    os.close(theirs)
    seen = b""
    try:
        end = time.monotonic() + 60
        while b"srv/" not in seen and time.monotonic() < end:
            if select.select([ours], [], [], 1)[0]:
                seen += os.read(ours, 65536)
        assert b"srv/" in seen
        os.write(ours, b"q")
        while process.poll() is None and time.monotonic() < end:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    os.read(ours, 65536)
                except OSError:  # the other side is closed
                    break
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
