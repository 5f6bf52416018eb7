"""A tiny root file system for sandbox tests: Debian's static busybox, and what a test adds to it."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from slimstage.sandbox.spec import Exit, HostPath, OverlayRoot, Sandbox, SandboxSpec

BUSYBOX = "/bin/busybox"
_APPLETS = (
    "cat chmod chown cp cut date dd df echo env find grep head hostname id ifconfig kill ln ls mkdir mknod mount nc ps pwd"
    " readlink rm rmdir sed sh sleep sort stat stty su tail test touch tr true tty umount unshare wc whoami"
)


def has_busybox() -> bool:
    return os.access(BUSYBOX, os.X_OK)


needs_sandbox = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for namespaces and mounts"),
    pytest.mark.skipif(not has_busybox(), reason="needs Debian's busybox-static"),
]


def make_rootfs(directory: Path) -> Path:
    """A layer directory with /bin/busybox and its applets, /etc/passwd and /tmp; mode 0755."""
    (directory / "bin").mkdir(parents=True)
    directory.chmod(0o755)
    shutil.copy(BUSYBOX, directory / "bin/busybox")
    for name in _APPLETS.split():
        (directory / "bin" / name).symlink_to("busybox")
    (directory / "etc").mkdir()
    (directory / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home:/bin/sh\n")
    (directory / "tmp").mkdir()
    (directory / "tmp").chmod(0o1777)
    return directory


PYTHON = os.path.realpath(sys.executable)
"""The interpreter that runs the tests, for commands that need more than busybox (with `python_mounts`)."""


def python_mounts() -> tuple[HostPath, ...]:
    """Mounts that make PYTHON work in a root: its own directory and the host's shared libraries, read-only."""
    places = {"/usr", "/lib", "/lib64", sys.base_prefix}
    present = sorted(place for place in places if os.path.isdir(place) and place != "/")
    return tuple(HostPath(place, place, is_readonly=True) for place in present)


def tree_of(directory: Path) -> dict[str, str]:
    """Every path below a directory with what it is: "dir", "-> target", "whiteout" or a file's text."""
    found = {}
    for path in sorted(directory.rglob("*")):
        facts = path.lstat()
        if path.is_symlink():
            value = "-> " + os.readlink(path)
        elif path.is_dir():
            value = "dir"
        elif path.is_file():
            value = path.read_text(errors="replace")
        else:
            value = "whiteout" if facts.st_rdev == 0 else "other"
        found[str(path.relative_to(directory))] = value
    return found


@dataclass
class Bench:
    """Runs commands over a root file system with one sandbox, each in a fresh upper directory."""

    sandbox: Sandbox
    base: Path
    lower: Path
    upper: Path = field(init=False)
    work: Path = field(init=False)
    out: bytes = b""
    err: bytes = b""
    _count: int = 0

    def fresh(self) -> OverlayRoot:
        self._count += 1
        self.upper, self.work = self.base / f"upper{self._count}", self.base / f"work{self._count}"
        self.upper.mkdir()
        self.upper.chmod(0o755)
        self.work.mkdir()
        return OverlayRoot((str(self.lower),), str(self.upper), str(self.work))

    def spec(self, *argv: str, **values: Any) -> SandboxSpec:
        values.setdefault("env", (("PATH", "/bin"), ("BENCH", str(self.base))))
        root = values.pop("root", None) or self.fresh()
        return SandboxSpec(root=root, argv=argv, **values)

    def run(self, *argv: str, **values: Any) -> Exit:
        """The exit; what was printed is in `out` and `err`."""
        self.out = self.err = b""
        return self.sandbox.run(self.spec(*argv, **values), self.collect, threading.Event())

    def collect(self, stream: int, data: bytes) -> None:
        if stream == 1:
            self.out += data
        else:
            self.err += data

    def processes(self) -> list[int]:
        """Processes of this bench's commands that run now, told by their environment; zombies are none."""
        mark = f"BENCH={self.base}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    environment = (entry / "environ").read_bytes()
                except OSError:
                    continue
                if mark in environment.split(b"\0"):
                    found.append(int(entry.name))
        return found

    def sh(self, script: str, **values: Any) -> str:
        """What a script printed to stdout. Fails the test when it exits other than with 0."""
        ended = self.run("sh", "-c", script, **values)
        assert ended.status == 0, (ended, self.out, self.err)
        return self.out.decode()
