"""Docker and podman of their own for tests: pull, run, commit and push, with everything they keep below one directory.

The daemon is Debian's (docker.io), or whatever dockerd is on PATH. It has no bridge, changes no firewall and is ended by
its pid; its containers have no network.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
_LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000")


@dataclass(frozen=True)
class Engine:
    """`words`: how each of its commands begins; insecure: what lets pull and push do without TLS."""

    words: tuple[str, ...]
    insecure: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, *args: object) -> str:
        done = self._run(*args)
        assert done.returncode == 0, f"{self.words[0]} {args[0]}: {done.stderr[-2000:]}"
        return done.stdout

    def _run(self, *args: object) -> subprocess.CompletedProcess[str]:
        command = [*self.words, *map(str, args)]
        environment = {**os.environ, "PATH": _PATH, **self.environment}
        return subprocess.run(command, check=False, capture_output=True, text=True, env=environment, timeout=120)

    def pull(self, name: str) -> dict[str, Any]:
        """What it says of the image that it then has."""
        self("pull", "-q", *self.insecure, name)
        (document,) = json.loads(self("image", "inspect", name))
        return dict(document)

    def push(self, name: str) -> None:
        self("push", *self.insecure, name)

    def run(self, *args: object) -> str:
        """What a container prints. Skips the test where this host lets the engine start none."""
        done = self._run("run", "--network", "none", *_LIMITS, *args)
        told = done.stderr.strip().splitlines() or [""]
        if done.returncode in (125, 126) and ("cgroup" in done.stderr or "not permitted" in done.stderr):
            pytest.skip(f"this host does not let {self.words[0]} run a container: {told[-1]}")
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def running_docker() -> Iterator[Engine]:
    """Skips the test where there is no dockerd."""
    if os.geteuid() != 0 or shutil.which("dockerd", path=_PATH) is None or shutil.which("docker", path=_PATH) is None:
        pytest.skip("needs root and a dockerd, Debian's package docker.io")
    top = Path(tempfile.mkdtemp(prefix="docker-"))  # the name of a socket has room for 108 characters
    environment = {"DOCKER_HOST": f"unix://{top}/s", "DOCKER_CONFIG": str(top)}
    docker = Engine(("docker",), environment=environment)
    with (top / "log").open("wb") as log:
        process = subprocess.Popen(
            ["dockerd", "--data-root", top / "data", "--exec-root", top / "exec", "-H", f"unix://{top}/s", "-p", top / "pid",
             "--storage-driver", "vfs", "--iptables=false", "--bridge=none", "--ip-forward=false"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env={**os.environ, "PATH": _PATH},
        )  # fmt: skip
    try:
        for _ in range(300):
            if (top / "s").exists() and docker._run("version").returncode == 0:
                break
            if process.poll() is not None:
                pytest.skip(f"dockerd does not start on this host: {(top / 'log').read_text().strip()[-400:]}")
            time.sleep(0.1)  # until it listens
        else:
            raise AssertionError(f"dockerd does not answer: {(top / 'log').read_text()[-2000:]}")
        yield docker
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(top, ignore_errors=True)


@contextmanager
def own_podman() -> Iterator[Engine]:
    """Skips the test where there is no podman that works."""
    if os.geteuid() != 0 or shutil.which("podman") is None:
        pytest.skip("needs root and podman")
    top = Path(tempfile.mkdtemp(prefix="podman-"))  # podman allows 50 characters for one of its paths
    runtime = ("--runtime", "runc") if shutil.which("runc") else ()
    words = ("podman", "--root", f"{top}/root", "--runroot", f"{top}/run", "--tmpdir", f"{top}/tmp",
             "--storage-driver", "vfs", *runtime)  # fmt: skip
    podman = Engine(words, ("--tls-verify=false",), {"REGISTRY_AUTH_FILE": f"{top}/auth.json"})
    (top / "auth.json").write_text("{}")
    try:
        probe = podman._run("info")
        if probe.returncode:
            pytest.skip(f"podman does not work on this host: {probe.stderr.strip().splitlines()[-1]}")
        yield podman
        podman._run("rm", "--all", "--force")
        podman._run("rmi", "--all", "--force")
    finally:
        shutil.rmtree(top, ignore_errors=True)
