"""Foreign programs run for real: a user namespace whose own binfmt_misc has qemu, so that the host stays as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache

from slimstage.sandbox.emulation import MACHINES, program

QEMU = {"arm64": "qemu-aarch64-static", "arm": "qemu-arm-static", "riscv64": "qemu-riscv64-static",
        "s390x": "qemu-s390x-static", "ppc64le": "qemu-ppc64le-static", "mips64le": "qemu-mips64el-static",
        "loong64": "qemu-loongarch64-static"}  # fmt: skip
"""Debian's qemu-user-static, by Go's names of architectures."""

_SCRIPT = """
echo ready; read -r _
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc || exit 99
while [ "$1" != -- ]; do printf '%s' "$1" > /proc/sys/fs/binfmt_misc/register || exit 98; shift; done
shift
exec "$@"
"""


def entry(architecture: str, flags: str = "F", interpreter: str | None = None) -> str:
    """A line for binfmt_misc's register file. Any ABI, and libraries as well as programs, as Debian's entries have it."""
    head = bytearray(program(architecture)[:20])
    mask = bytearray(b"\xff" * 20)
    mask[7:9] = b"\x00\x00"  # the ABI and its version
    mask[16 if MACHINES[architecture].order == "<" else 17] = 0xFE
    path = interpreter or shutil.which(QEMU[architecture])
    quoted = ["".join(f"\\x{byte:02x}" for byte in part) for part in (head, mask)]
    return f":test-{architecture}:M::{quoted[0]}:{quoted[1]}:{path}:{flags}"


def run_with(
    entries: Sequence[str], command: Sequence[object], env: Mapping[str, str] | None = None, **more: object
) -> subprocess.CompletedProcess[bytes]:
    """Runs the command as root of a user namespace with these entries.

    Status 99: this kernel has no binfmt_misc in user namespaces; 98: it takes no such entry.
    """
    words = ["unshare", "--user", "--mount", "sh", "-c", _SCRIPT, "sh", *entries, "--", *map(str, command)]
    child = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, **more  # type: ignore[call-overload]  # cwd and the like
    )  # fmt: skip
    assert child.stdout
    head = child.stdout.readline()
    if head:
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{child.pid}/{name}", "w", encoding="ascii") as file:
                file.write("0 0 4294967295")
    try:
        out, err = child.communicate(b"\n", timeout=280)
    except BaseException:
        child.kill()
        raise
    return subprocess.CompletedProcess(words, child.returncode, out, err)


@cache
def why_not() -> str:
    """Why no foreign program can be run here; empty where it can."""
    if os.geteuid() != 0:
        return "a namespace with an emulator of its own needs root"
    if not shutil.which(QEMU["arm64"]):
        return "qemu-user-static is not installed"
    done = run_with([entry("arm64")], ["true"])
    if done.returncode:
        return f"this kernel has no binfmt_misc in user namespaces (status {done.returncode}: {done.stderr!r})"
    return ""
