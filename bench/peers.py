"""The builders that are measured: slimstage, BuildKit inside dockerd, buildah. Each behind the same few commands.

Programs are looked for on PATH (Debian packages docker.io and buildah); `BENCH_PATH` is put in front of it for newer
ones. Everything that they keep lies under one directory.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import time
from pathlib import Path
from typing import Protocol

BASES = {
    "debian:slim": "ca-certificates",
    "python:slim": "ca-certificates,python3,python3-pip,python3-venv",
    "python:full": "ca-certificates,python3,python3-pip,python3-venv,build-essential,python3-dev,git",
}
REGISTRY = "127.0.0.1:5000"
"""Only part of a name here: the workloads' default base names have it, nothing is pulled from it."""


def environment() -> dict[str, str]:
    extra = os.environ.get("BENCH_PATH")
    return {"PATH": f"{extra}:{os.environ['PATH']}"} if extra else {}


def call(*command: object, check: bool = True, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **environment(), **(env or {})},
    )
    if check and done.returncode:
        raise SystemExit(f"exit status {done.returncode}: {' '.join(map(str, command))}\n{done.stderr[-2000:]}")
    return done.stdout


class Peer(Protocol):
    name: str
    daemons: list[int]
    env: dict[str, str]

    def prepare(self, bases: Path) -> None:
        """Starts what it needs and takes the base images in."""

    def clear(self) -> None:
        """Forgets all builds; the base images stay."""

    def build(self, context: Path, extra: list[str], tag: str) -> list[str]: ...

    def export(self, context: Path, extra: list[str], tag: str, to: Path) -> list[str]:
        """An OCI layout directory, gzip layers, of what `build` built."""

    def close(self) -> None: ...


class Slimstage:
    name = "slimstage"

    def __init__(self, home: Path, command: list[str]) -> None:
        self.root, self.command = home / "slimstage", command
        self.daemons: list[int] = []
        # An installed package has its modules compiled; a checkout compiles them at its first start, if it may.
        self.env = {"SLIMSTAGE_ROOT": str(self.root), "PYTHONDONTWRITEBYTECODE": ""}
        self.contexts: list[str] = []
        self.is_clear = False

    def prepare(self, bases: Path) -> None:
        self.contexts = []
        for name in BASES:
            self.contexts += ["--build-context", f"{REGISTRY}/{name}=oci-layout://{bases / name.replace(':', '-')}"]
        self.clear()

    def clear(self) -> None:
        # The whole store goes, so that no digest of a context's file is remembered either; then, as for the others, the
        # base images are unpacked before anything is timed.
        if self.is_clear:
            return
        shutil.rmtree(self.root, ignore_errors=True)
        warm = self.root.parent / "warm"
        warm.mkdir(parents=True, exist_ok=True)
        for number, name in enumerate(BASES):
            (warm / "Dockerfile").write_text(f"FROM {REGISTRY}/{name}\nLABEL warm=yes\n")
            call(*self.build(warm, [], f"warm:{number}"), env=self.env)
        self.is_clear = True

    def build(self, context: Path, extra: list[str], tag: str) -> list[str]:
        self.is_clear = False
        return [*self.command, "build", "--progress=plain", *self.contexts, *extra, "-t", tag, str(context)]

    def export(self, context: Path, extra: list[str], tag: str, to: Path) -> list[str]:
        return [*self.build(context, extra, tag), "--output", f"type=oci,dest={to},tar=false"]

    def close(self) -> None:
        pass


class Dockerd:
    """A dockerd of our own: its data, sockets and pid lie below one directory; it has no bridge and touches no firewall."""

    def __init__(self, home: Path) -> None:
        self.home, self.socket = home, home / "docker.sock"
        self.env = {
            **environment(), "DOCKER_BUILDKIT": "1", "DOCKER_HOST": f"unix://{self.socket}",
            # Newer docker programs want BuildKit's client, buildx, in a `cli-plugins` there.
            "DOCKER_CONFIG": os.environ.get("BENCH_DOCKER_CONFIG", str(home / "cfg")),
        }  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> int:
        """Its pid, once it answers."""
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / "cfg").mkdir(exist_ok=True)
        with (self.home / "dockerd.log").open("wb") as log:
            self.process = subprocess.Popen(
                ["dockerd", "--data-root", self.home / "data", "--exec-root", self.home / "exec", "-H", f"unix://{self.socket}",
                 "-p", self.home / "pid", "--iptables=false", "--bridge=none", "--ip-forward=false"],
                stdout=log, stderr=log, start_new_session=True, env={**os.environ, **environment()},
            )  # fmt: skip
        env = {**os.environ, **self.env}
        for _ in range(150):
            if subprocess.run(["docker", "info"], capture_output=True, check=False, env=env).returncode == 0:
                return self.process.pid
            if self.process.poll() is not None:
                break
            time.sleep(0.2)
        self.close()
        raise SystemExit(f"dockerd does not answer: {(self.home / 'dockerd.log').read_text()[-2000:]}")

    def close(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(30)
            self.process = None


class BuildKit:
    """BuildKit as it is built into dockerd, with the overlay2 graph driver."""

    name = "buildkit"

    def __init__(self, home: Path) -> None:
        self.dockerd = Dockerd(home / "docker")
        self.home, self.env = self.dockerd.home, self.dockerd.env
        self.daemons: list[int] = []

    def prepare(self, bases: Path) -> None:
        self.daemons = [self.dockerd.start()]
        for name in BASES:
            if not call("docker", "images", "-q", f"{REGISTRY}/{name}", env=self.env):
                archive = self.home / "base.tar"
                call(
                    "skopeo",
                    "copy",
                    "-q",
                    "--insecure-policy",
                    f"oci:{bases / name.replace(':', '-')}",
                    f"docker-archive:{archive}:{REGISTRY}/{name}",
                )
                call("docker", "load", "-i", archive, env=self.env)
                archive.unlink()

    def clear(self) -> None:
        names = call("docker", "images", "--format", "{{.Repository}}:{{.Tag}}", env=self.env).split()
        drop = [name for name in names if name not in {f"{REGISTRY}/{base}" for base in BASES}]
        if drop:
            call("docker", "rmi", "-f", *drop, check=False, env=self.env)
        call("docker", "builder", "prune", "-af", env=self.env)
        call("docker", "image", "prune", "-f", env=self.env)

    def build(self, context: Path, extra: list[str], tag: str) -> list[str]:
        return ["docker", "build", "--network=host", "--progress=plain", *extra, "-t", tag, str(context)]

    def export(self, context: Path, extra: list[str], tag: str, to: Path) -> list[str]:
        # A graph driver has no OCI exporter: save, then gzip into a layout.
        copy = f"skopeo copy -q --insecure-policy docker-archive:{to}.tar oci:{to}:latest"
        return ["sh", "-c", f"docker save {tag} -o {to}.tar && {copy}; code=$?; rm -f {to}.tar; exit $code"]

    def close(self) -> None:
        self.dockerd.close()


class Buildah:
    name = "buildah"

    def __init__(self, home: Path) -> None:
        self.home = home / "buildah"
        self.base = [
            "buildah",
            "--root",
            str(self.home / "root"),
            "--runroot",
            str(self.home / "run"),
            "--storage-driver",
            "overlay",
        ]
        self.daemons: list[int] = []
        self.env = environment()

    def prepare(self, bases: Path) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        known = {name for image in self._images() for name in image.get("names") or []}
        for name in BASES:
            if f"{REGISTRY}/{name}" not in known:
                image = call(*self.base, "pull", "-q", f"oci:{bases / name.replace(':', '-')}").split()[-1]
                call(*self.base, "tag", image, f"{REGISTRY}/{name}")

    def _images(self) -> list[dict[str, list[str]]]:
        return list(json.loads(call(*self.base, "images", "-a", "--json") or "null") or [])

    def clear(self) -> None:
        keep = {f"{REGISTRY}/{base}" for base in BASES}
        drop = [str(image["id"]) for image in self._images() if not keep & set(image.get("names") or [])]
        if drop:
            call(*self.base, "rmi", "-f", *drop, check=False)
        shutil.rmtree("/var/lib/containers/cache", ignore_errors=True)

    def build(self, context: Path, extra: list[str], tag: str) -> list[str]:
        return [
            *self.base,
            "build",
            "--layers",
            "--network=host",
            "--isolation=chroot",
            *_ulimits(),
            *extra,
            "-t",
            tag,
            str(context),
        ]

    def export(self, context: Path, extra: list[str], tag: str, to: Path) -> list[str]:
        return [*self.base, "push", "-q", tag, f"oci:{to}:latest"]

    def close(self) -> None:
        pass


def _ulimits() -> list[str]:
    """Newer buildah asks for 1048576 open files and processes, which not every kernel or container gives."""
    asked = (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC))
    given = {name: resource.getrlimit(limit)[1] for name, limit in asked}
    return [f"--ulimit={name}={hard}:{hard}" for name, hard in given.items() if 0 <= hard < 1 << 20]


def make_base(name: str, packages: str, to: Path) -> None:
    """An OCI layout of a Debian system, once, from the mirror that this host's apt uses."""
    if (to / "index.json").exists():
        return
    shutil.rmtree(to, ignore_errors=True)
    to.parent.mkdir(parents=True, exist_ok=True)
    archive = to.with_suffix(".tar")
    call("mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}", "bookworm", archive)
    call("umoci", "init", "--layout", to)
    call("umoci", "new", "--image", f"{to}:latest")
    call("umoci", "raw", "add-layer", "--image", f"{to}:latest", archive)
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    call("umoci", "config", "--image", f"{to}:latest", "--config.cmd", "/bin/sh", "--config.env", path)
    call("umoci", "gc", "--layout", to)
    archive.unlink()
