"""What pushes and pulls: slimstage, skopeo, podman and docker, each behind the same few commands, on stores of their own.

slimstage, podman and docker pull into a store, unpacked. skopeo has no store: it copies between a registry and an OCI
layout, so its pushes begin there, and where it would pull it has nothing to show.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from peers import Dockerd, call, environment

SCENARIOS = ("pull", "pull again", "push", "push again", "push built", "push after build", "copy")


@dataclass(frozen=True)
class Image:
    """layout: an OCI layout of it with gzip layers; archive: a docker archive with the same layers, not compressed, of
    the name `local`. context: what it can be built from; None where that takes too long.
    """

    name: str
    layout: Path
    archive: Path
    context: Path | None = None

    def at(self, host: str) -> str:
        return f"{host}/bench/{self.name}:1"

    @property
    def local(self) -> str:
        return f"localhost/bench/{self.name}:1"

    def manifest(self) -> bytes:
        (entry,) = json.loads((self.layout / "index.json").read_text())["manifests"]
        return (self.layout / "blobs" / entry["digest"].replace(":", "/")).read_bytes()


class Tool(Protocol):
    name: str
    daemons: list[int]
    env: dict[str, str]

    def start(self) -> None: ...

    def clear(self) -> None:
        """Forgets all images."""

    def load(self, image: Image, host: str) -> None:
        """Takes the archive in, under the name that it is pushed by."""

    def build(self, image: Image, host: str) -> bool:
        """Builds it from its context under the name that it is pushed by; False where the tool builds nothing."""

    def command(self, scenario: str, image: Image, host: str, scratch: Path) -> list[str] | None:
        """None where the tool has no such thing. scratch: a directory that is not there yet."""

    def close(self) -> None: ...


class Slimstage:
    name = "slimstage"

    def __init__(self, home: Path, command: list[str]) -> None:
        self.root, self.words = home / "slimstage-registry", command
        self.daemons: list[int] = []
        # An installed package has its modules compiled; a checkout compiles them at its first start, if it may.
        self.env = {"SLIMSTAGE_ROOT": str(self.root), "PYTHONDONTWRITEBYTECODE": ""}

    def start(self) -> None:
        pass

    def clear(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)

    def load(self, image: Image, host: str) -> None:
        call(*self.words, "load", "-q", "-i", image.archive, env=self.env)
        call(*self.words, "tag", image.local, image.at(host), env=self.env)

    def build(self, image: Image, host: str) -> bool:
        call(*self.words, "build", "-q", "-t", image.at(host), image.context, env=self.env)
        return True

    def command(self, scenario: str, image: Image, host: str, scratch: Path) -> list[str] | None:
        if scenario == "copy":
            return [*self.words, "copy", "-q", image.at(host), f"oci:{scratch}:1"]
        return [*self.words, scenario.split()[0], "-q", image.at(host)]

    def close(self) -> None:
        self.clear()


class Skopeo:
    name = "skopeo"
    words = ("skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false")

    def __init__(self) -> None:
        self.daemons: list[int] = []
        self.env = environment()

    def start(self) -> None:
        pass

    def clear(self) -> None:
        pass

    def load(self, image: Image, host: str) -> None:
        pass

    def build(self, image: Image, host: str) -> bool:
        return False

    def command(self, scenario: str, image: Image, host: str, scratch: Path) -> list[str] | None:
        there = f"docker://{image.at(host)}"
        ways = {
            "push": (f"oci:{image.layout}", there),
            "push again": (f"oci:{image.layout}", there),
            "push built": (f"docker-archive:{image.archive}", there),
            "copy": (there, f"oci:{scratch}:1"),
        }
        return [*self.words, *ways[scenario]] if scenario in ways else None

    def close(self) -> None:
        pass


class Podman:
    name = "podman"

    def __init__(self, home: Path) -> None:
        self.home = home / "podman"
        self.words = ["podman", "--root", f"{self.home}/root", "--runroot", f"{self.home}/run"]
        self.words += ["--tmpdir", f"{self.home}/tmp", "--storage-driver", "overlay"]
        self.daemons: list[int] = []
        self.env = environment()

    def start(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)

    def clear(self) -> None:
        call(*self.words, "rmi", "--all", "--force")

    def load(self, image: Image, host: str) -> None:
        call(*self.words, "load", "-q", "-i", image.archive)
        call(*self.words, "tag", image.local, image.at(host))

    def build(self, image: Image, host: str) -> bool:
        call(*self.words, "build", "-q", "-t", image.at(host), image.context)
        return True

    def command(self, scenario: str, image: Image, host: str, scratch: Path) -> list[str] | None:
        if scenario == "copy":
            return None
        return [*self.words, scenario.split()[0], "-q", "--tls-verify=false", image.at(host)]

    def close(self) -> None:
        self.clear()
        # Its storage is a mount of its own as long as anything runs; by now nothing does.
        subprocess.run(["umount", f"{self.home}/root/overlay"], check=False, capture_output=True)
        shutil.rmtree(self.home, ignore_errors=True)


class Docker:
    name = "docker"

    def __init__(self, home: Path) -> None:
        self.dockerd = Dockerd(home / "docker-registry")
        self.daemons: list[int] = []
        self.env = self.dockerd.env

    def start(self) -> None:
        self.daemons = [self.dockerd.start()]

    def clear(self) -> None:
        call("docker", "image", "prune", "--all", "--force", env=self.env)

    def load(self, image: Image, host: str) -> None:
        call("docker", "load", "-q", "-i", image.archive, env=self.env)
        call("docker", "tag", image.local, image.at(host), env=self.env)

    def build(self, image: Image, host: str) -> bool:
        call("docker", "build", "-q", "-t", image.at(host), image.context, env=self.env)
        return True

    def command(self, scenario: str, image: Image, host: str, scratch: Path) -> list[str] | None:
        return None if scenario == "copy" else ["docker", scenario.split()[0], "-q", image.at(host)]

    def close(self) -> None:
        if self.dockerd.process:
            self.clear()
        self.dockerd.close()


CONFIG = """\
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {data}}}, delete: {{enabled: true}}}}
http: {{addr: "{host}"}}
"""


def free_host() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@contextmanager
def serving(host: str, data: Path) -> Iterator[None]:
    """Debian's docker-registry at the address, with what the directory holds."""
    config = data.with_suffix(".yml")
    data.mkdir(parents=True, exist_ok=True)
    config.write_text(CONFIG.format(data=data, host=host))
    env = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
    with data.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=log, stderr=log, env=env)
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for _ in range(200):
            try:
                opener.open(f"http://{host}/v2/", timeout=5).close()
                break
            except OSError:
                time.sleep(0.05)
        else:
            raise SystemExit(f"docker-registry does not answer: {data.with_suffix('.log').read_text()[-2000:]}")
        yield
    finally:
        process.terminate()
        process.wait()


def manifest_at(host: str, image: Image) -> bytes:
    """What the registry has under the image's name now."""
    accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
    request = urllib.request.Request(f"http://{host}/v2/bench/{image.name}/manifests/1", headers={"Accept": accept})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as answer:
        raw: bytes = answer.read()
        return raw
