"""A real BuildKit, and slimstage behind the same two calls: build a case, and say what came of it.

Programs are looked for on PATH (Debian's docker.io); `BENCH_PATH` is put in front of it for newer ones, and
`BENCH_DOCKER_CONFIG` names a directory whose `cli-plugins` has their buildx. The daemon is ours alone: its data, its
sockets and its pid lie in one directory, it has no bridge, and it is ended by its pid.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Protocol

from support import forking
from support.base_image import Member, write_busybox
from support.buildkit_case import Case
from support.buildkit_observe import Base, Observed, observe, read_base
from support.buildkit_web import Web

BUILD_TIMEOUT_S = 60
_TIMED_OUT = 124
_OURS = re.compile(r"Dockerfile:\d+:\d+: ")
"""With it begins what we say of a place; notes follow."""
_LOST = re.compile(r"failed to commit \S+ to \S+ during finalize: .* snapshot \S+ does not exist: not found")
"""What BuildKit says once in a thousand builds, when it loses a snapshot of its own; the same build again is built."""


class Builder(Protocol):
    name: str

    def build(self, case: Case, place: Path, *more: str) -> Observed:
        """What came of a case that is laid out in `place`: an image as data, or `ok` false and the message."""

    def files(self, case: Case, place: Path, to: Path) -> None:
        """Writes the files of the case's image to a new directory. Raises RuntimeError when it is not built."""

    def forget(self) -> None:
        """Drops what earlier builds left."""


class Bases:
    """What both builders are given beside the case: the images that a FROM may name, `base`, and `rich` with a config,
    users' files, links and ONBUILD; and what an ADD may fetch.
    """

    def __init__(self, home: Path) -> None:
        self.web = Web(home)
        self.layouts = {"rich": home / "rich", "base": home / "base"}
        if not self.layouts["base"].exists():
            write_busybox(self.layouts["base"])
        if not self.layouts["rich"].exists():
            write_busybox(self.layouts["rich"], RICH_CONFIG, RICH_LAYER, RICH_SECOND)
        self.known: dict[str, Base] = {name: read_base(layout) for name, layout in self.layouts.items()}

    def options(self) -> list[str]:
        # Before those of the case, which may stand in their place.
        named = (("--build-context", f"{name}=oci-layout://{path}:latest") for name, path in self.layouts.items())
        return [word for pair in named for word in pair]


RICH_CONFIG = {
    "Env": ["PATH=/usr/bin:/bin", "A=from-base", "BASE=1"],
    "Entrypoint": ["/bin/sh", "-c"],
    "Cmd": ["true"],
    "User": "app",
    "WorkingDir": "/home/app",
    "Labels": {"base": "rich", "k": "base"},
    "Volumes": {"/var/data": {}},
    "ExposedPorts": {"80/tcp": {}},
    "StopSignal": "SIGINT",
    "Shell": ["/bin/sh", "-ec"],
    "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000},
    "OnBuild": ["ENV TRIGGERED=yes", "RUN echo onbuild > /tmp/onbuild"],
}
_DIR, _FILE, _LINK, _HARD = b"5", b"0", b"2", b"1"
RICH_LAYER: list[Member] = [
    ("opt", _DIR, 0o755, b""),
    ("opt/d", _DIR, 0o2775, b""),
    ("opt/d/f", _FILE, 0o640, b"one\n"),
    ("opt/d/g", _FILE, 0o4755, b"two\n"),
    ("opt/d/h", _HARD, 0o640, "opt/d/f"),
    ("opt/d/up", _LINK, 0o777, "../../etc/passwd"),
    ("opt/l", _LINK, 0o777, "d"),
    ("opt/abs", _LINK, 0o777, "/opt/d"),
    ("opt/dang", _LINK, 0o777, "/opt/later"),
    ("opt/loop", _LINK, 0o777, "loop"),
    ("opt/gone", _FILE, 0o644, b"gone\n"),
    ("opt/o", _DIR, 0o700, b""),
    ("opt/o/old", _FILE, 0o644, b"old\n"),
]
RICH_SECOND: list[Member] = [
    ("opt", _DIR, 0o755, b""),
    ("opt/.wh.gone", _FILE, 0o600, b""),
    ("opt/o", _DIR, 0o711, b""),
    ("opt/o/.wh..wh..opq", _FILE, 0o600, b""),
    ("opt/o/new", _FILE, 0o600, b"new\n"),
]


def _environment() -> dict[str, str]:
    extra = os.environ.get("BENCH_PATH")
    return {**os.environ, "PATH": f"{extra}:{os.environ['PATH']}"} if extra else dict(os.environ)


def find_dockerd() -> str | None:
    """The daemon that would be started."""
    return shutil.which("dockerd", path=_environment()["PATH"])


class BuildKit:
    """BuildKit in a dockerd of our own, started when made and ended by `close`."""

    name = "buildkit"

    def __init__(self, home: Path, bases: Bases) -> None:
        self.bases = bases
        self.home = home / "docker"
        self.home.mkdir(parents=True, exist_ok=True)
        socket = f"unix://{self.home}/s"
        self.environment = {**_environment(), **bases.web.environment(), "DOCKER_HOST": socket, "DOCKER_BUILDKIT": "1"}
        self.environment["DOCKER_CONFIG"] = os.environ.get("BENCH_DOCKER_CONFIG", str(self.home))
        # Only with containerd's image store can a daemon's BuildKit read bases from layouts and write archives itself.
        (self.home / "daemon.json").write_text(json.dumps({"features": {"containerd-snapshotter": True}}))
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["dockerd", "--config-file", self.home / "daemon.json", "--data-root", self.home / "data",
                 "--exec-root", self.home / "exec", "-H", socket, "-p", self.home / "pid",
                 "--iptables=false", "--bridge=none", "--ip-forward=false"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=self.environment,
            )  # fmt: skip
        try:
            self.version = self._wait()
            self._buildx = self._find_buildx()
        except BaseException:
            self.close()
            raise

    def _wait(self) -> str:
        for _ in range(150):
            done = self._docker("version", "--format", "{{.Server.Version}}")
            if done.returncode == 0:
                return done.stdout.strip()
            if self.process.poll() is not None:
                break
            time.sleep(0.2)
        raise RuntimeError(f"dockerd did not start: {(self.home / 'log').read_text()[-2000:]}")

    def _find_buildx(self) -> str:
        """The plugin, to be started itself: `docker build` takes twice its time to find it."""
        one = '{{range .ClientInfo.Plugins}}{{if eq .Name "buildx"}}{{.Path}}{{end}}{{end}}'
        path = self._docker("info", "--format", one).stdout.strip()
        if not path:
            raise RuntimeError("docker has no buildx: BENCH_DOCKER_CONFIG names a directory whose cli-plugins has it")
        return path

    def _docker(self, *words: str) -> subprocess.CompletedProcess[str]:
        return _run(["docker", *words], self.environment)

    def build(self, case: Case, place: Path, *more: str) -> Observed:
        archive = place / "buildkit.tar"
        output = f"type=docker,dest={archive},compression=uncompressed"
        done = self._build(case, place, output, *more)
        if done.returncode and _LOST.search(done.stderr):
            done = self._build(case, place, output, *more)
        return _outcome(done, archive, self.bases)

    def files(self, case: Case, place: Path, to: Path) -> None:
        _must_be_built(self._build(case, place, f"type=local,dest={to}"))

    def _build(self, case: Case, place: Path, output: str, *more: str) -> subprocess.CompletedProcess[str]:
        self.bases.web.top = place / "context"
        return _run(
            [self._buildx, "build", "--progress=plain", "--network=none", "--provenance=false", "--no-cache",
             *self.bases.options(), "--output", output, *case.options(place), *more, str(place / "context")],
            self.environment,
        )  # fmt: skip

    def forget(self) -> None:
        self._docker("builder", "prune", "-af")

    def close(self) -> None:
        """Ends the daemon; its directory stays."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Slimstage:
    """The command of this checkout, on a store of its own."""

    name = "slimstage"

    def __init__(self, home: Path, bases: Bases) -> None:
        self.bases, self.root = bases, home / "root"

    def build(self, case: Case, place: Path, *more: str) -> Observed:
        archive = place / "slimstage.tar"
        return _outcome(self._build(case, place, f"type=docker,dest={archive}", *more), archive, self.bases)

    def files(self, case: Case, place: Path, to: Path) -> None:
        _must_be_built(self._build(case, place, f"type=local,dest={to}"))

    def _build(self, case: Case, place: Path, output: str, *more: str) -> subprocess.CompletedProcess[str]:
        self.bases.web.top = place / "context"
        args = ["build", "--progress=plain", "--network=none", "--no-cache"]
        args += [*self.bases.options(), "--output", output, *case.options(place), *more, str(place / "context")]
        environment = {**os.environ, **self.bases.web.environment(), "SLIMSTAGE_ROOT": str(self.root), "NO_COLOR": "1"}
        try:
            done = forking.as_text(forking.run(args, env=environment, timeout=BUILD_TIMEOUT_S))
        except subprocess.TimeoutExpired:
            return _too_long(args)
        if done.returncode not in (0, 1, 2, 3, _TIMED_OUT) or "Traceback (most recent call last)" in done.stderr:
            raise RuntimeError(f"slimstage ended with {done.returncode}: {done.stderr[-4000:]}")
        return done

    def forget(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)


def _run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The command's end; one that takes too long is ended, with a status of its own."""
    try:
        return subprocess.run(
            command, check=False, capture_output=True, text=True, errors="replace", env=environment,
            stdin=subprocess.DEVNULL, timeout=BUILD_TIMEOUT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return _too_long(command)


def _too_long(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess(command, _TIMED_OUT, "", f"error: ended after {BUILD_TIMEOUT_S} s")


def _must_be_built(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])


def _outcome(done: subprocess.CompletedProcess[str], archive: Path, bases: Bases) -> Observed:
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        telling = [line for line in lines if "rror" in line or _OURS.match(line)] or lines
        return {"ok": False, "message": telling[-1][:400] if telling else f"exit status {done.returncode}"}
    made = observe(archive, bases.known)
    archive.unlink()
    return made


def short_home() -> Path:
    """A new directory whose sockets' names are short enough, on a disk: overlays on a tmpfs are not those of users."""
    return Path(tempfile.mkdtemp(prefix="dt", dir="/var/tmp"))
