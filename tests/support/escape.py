"""What escape tests share: the probe of system calls, and one run of all attempts for each backend."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from slimstage.sandbox.native import NativeSandbox
from slimstage.sandbox.runc import RuncSandbox
from slimstage.sandbox.spec import Sandbox

_SOURCE = Path(__file__).with_name("escape_probe.c")
_FLAGS = (
    "-O1", "-Wall", "-Wextra", "-Werror", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fno-pie",
    "-no-pie", "-fcf-protection=none",
)  # fmt: skip


def compile_probe(target: Path, *, bits: int = 64) -> Path:
    """`escape_probe.c` as a static program at the path. Skips the test where it cannot be built."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    if bits == 32 and os.uname().machine != "x86_64":
        pytest.skip("only x86_64 runs 32-bit programs here")
    flags = [flag for flag in _FLAGS if os.uname().machine == "x86_64" or not flag.startswith("-fcf")]
    subprocess.run(["gcc", *(["-m32"] if bits == 32 else []), *flags, "-o", str(target), str(_SOURCE)], check=True)
    return target


def answers(text: str) -> dict[int, str]:
    """What the probe printed: number → errno as text, or "ended"; a call that returned twice was done."""
    found: dict[int, str] = {}
    for line in text.splitlines():
        number, answer = line.split()
        found[int(number)] = answer
    return found


def hides_abstract_sockets() -> bool:
    """True where Landlock of this kernel has scopes (Linux 6.12)."""
    libc = ctypes.CDLL(None)
    return int(libc.syscall(444, None, ctypes.c_size_t(0), 1)) >= 6


def native() -> Sandbox:
    return NativeSandbox()


def runc() -> Sandbox:
    if shutil.which("runc") is None:
        pytest.skip("runc is not installed")
    return RuncSandbox()


BACKENDS: dict[str, Callable[[], Sandbox]] = {"native": native, "runc": runc}
