"""Makes system calls of slimstage's own processes fail, and its clock jump: a small preloaded library (faults.c).

Calls are counted over all threads and processes of one command, so "the Nth write below the store" is one moment of it.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from slimstage.store.doctor import examine
from slimstage.store.store import Store
from support.building import Project
from support.command import Done

SOURCE = Path(__file__).with_name("faults.c")

CHANGING = (
    "write", "create", "fsync", "rename", "link", "symlink", "mkdir", "mknod", "ftruncate", "chmod", "chown", "utime",
    "setxattr", "copy_file_range",
)  # fmt: skip
"""The calls that write; besides them there are "open", "read" and "unlink"."""

_STATE_BYTES = 8 + 8 + 4096


@dataclass(frozen=True)
class Injector:
    """What one command is started with. `env` goes into its environment."""

    library: Path
    state: Path

    def env(
        self, below: Path | None = None, *calls: str, error: int = 0, at: int = 0, count: int = 1
    ) -> dict[str, str]:
        """Calls number `at` to `at + count - 1` of these below the directory fail with `error`; at 0: only counts."""
        self.state.write_bytes(bytes(_STATE_BYTES))
        found = {"LD_PRELOAD": str(self.library), "FAULT_STATE": str(self.state)}
        if below is not None:
            found |= {"FAULT_BELOW": str(below), "FAULT_CALLS": f",{','.join(calls)},", "FAULT_ERRNO": str(error)}
            found |= {"FAULT_AT": str(at), "FAULT_FOR": str(count)}
        return found

    @property
    def count(self) -> int:
        """How many of the calls there were."""
        (count,) = struct.unpack_from("=q", self.state.read_bytes())
        return int(count)

    @property
    def failed(self) -> str:
        """The first call that was failed, with its path; empty when none was."""
        return self.state.read_bytes()[16:].split(b"\0", 1)[0].decode(errors="replace")

    def shift_clock(self, seconds: int) -> None:
        """The wall clock of the command, running or to be started with `env`, differs so much from now on."""
        with self.state.open("r+b") as file:
            file.seek(8)
            file.write(struct.pack("=q", seconds))


@pytest.fixture(scope="session")
def fault_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled library, made once a session."""
    if shutil.which("gcc") is None:
        pytest.skip("needs a C compiler")
    path = tmp_path_factory.mktemp("faults") / "faults.so"
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", str(path), str(SOURCE), "-ldl"], check=True)
    return path


@pytest.fixture
def injector(fault_library: Path, tmp_path: Path) -> Injector:
    return Injector(fault_library, tmp_path / "fault-state")


def unsound(root: Path) -> list[str]:
    """What the examination of a store finds after its users have ended, and what they left in `tmp/`: should be []."""
    with Store.open(root) as store:
        findings = [f"{finding.code}: {finding.what}" for finding in examine(store)]
        return findings + [f"left in tmp: {name}" for name in os.listdir(root / "tmp") if name != store.session.name]


def limited_build(project: Project, *limits: str, args: Sequence[str] = ()) -> Done:
    """A build as a process with resource limits, given as to prlimit(1): `--nofile=40`."""
    done = subprocess.run(
        ["prlimit", *limits, sys.executable, "-m", "slimstage", "build", "--reproducible", "--build-context",
         f"base=oci-layout://{project.base}", *args, "."],
        cwd=project.path,
        env={**os.environ, "SLIMSTAGE_ROOT": str(project.root), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr)
