"""Whether programs of another architecture run on this host, and by what: asked by running one.

For each architecture there is a program of a few bytes that only ends. It is run as RUN steps run theirs, in a root of
its own, so an interpreter of binfmt_misc counts only when it was registered with the flag F (opened in advance): any
other is looked for inside the root and is not there. Source: the kernel's admin-guide/binfmt-misc.rst; elf(5); exit of
each architecture's system call table.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from slimstage.values import dataclass

BINFMT = "/proc/sys/fs/binfmt_misc"
HINT = (
    "apt-get install qemu-user-static binfmt-support, or where Docker is: "
    "docker run --privileged --rm tonistiigi/binfmt --install {architecture}"
)
EVERY_HINT = HINT.format(architecture="all")
_TIMEOUT_S = 20
_MAIN = "import sys; sys.path.append({!r}); from slimstage.sandbox.emulation import main; main()"
_LOAD = 0x400000


@dataclass(frozen=True, slots=True)
class Machine:
    """How programs of an architecture look: ELF's machine number and flags, width, byte order, and code that ends."""

    number: int
    code: bytes
    flags: int = 0
    is_64: bool = True
    order: str = "<"


MACHINES: Mapping[str, Machine] = {
    "amd64": Machine(62, bytes.fromhex("31ff b83c000000 0f05")),
    "arm64": Machine(183, bytes.fromhex("000080d2 a80b80d2 010000d4")),
    "arm": Machine(40, bytes.fromhex("0000a0e3 0170a0e3 000000ef"), 0x05000000, is_64=False),
    "386": Machine(3, bytes.fromhex("31db b801000000 cd80"), is_64=False),
    "ppc64le": Machine(21, bytes.fromhex("00006038 01000038 02000044"), 2),
    "s390x": Machine(22, bytes.fromhex("a7290000 0a01"), order=">"),
    "riscv64": Machine(243, bytes.fromhex("13050000 9308d005 73000000")),
    "mips64le": Machine(8, bytes.fromhex("00000424 c2130224 0c000000"), 0x80000007),
    "loong64": Machine(258, bytes.fromhex("04008003 0b748103 00002b00"), 0x43),
}
"""By Go's names of the architectures."""


@dataclass(frozen=True, slots=True)
class Runs:
    """Whether an architecture's programs run. by: what runs them, or why nothing does."""

    architecture: str
    is_runnable: bool
    by: str


def runs(architectures: Iterable[str]) -> dict[str, Runs]:
    """For each architecture (Go's name) whether its programs run here. One of which no program is known is said to run.

    Takes the start of an interpreter, 30 ms; changes nothing on the host. Raises nothing.
    """
    wanted = list(dict.fromkeys(architectures))
    tried = [name for name in wanted if name in MACHINES]
    answers = _answers(tried) if tried else {}
    found: dict[str, Runs] = {}
    for name in wanted:
        interpreter = registered(name)
        if name not in answers:
            found[name] = Runs(name, name not in MACHINES, "not known to this program")
        elif not answers[name]:
            found[name] = Runs(name, True, interpreter.path if interpreter else "this host's processor")
        else:
            found[name] = Runs(name, False, _why_not(answers[name], interpreter))
    return found


def program(architecture: str) -> bytes:
    """A whole static program of the architecture that ends with status 0. Source: elf(5)."""
    machine = MACHINES[architecture]
    order, is_64 = machine.order, machine.is_64
    header_size, entry_size = (64, 56) if is_64 else (52, 32)
    size = header_size + entry_size + len(machine.code)
    identity = b"\x7fELF" + bytes([2 if is_64 else 1, 1 if order == "<" else 2, 1]) + bytes(9)
    entry = _LOAD + header_size + entry_size
    fields = (2, machine.number, 1, entry, header_size, 0, machine.flags, header_size, entry_size, 1, 0, 0, 0)
    header = identity + struct.pack(order + ("HHIQQQIHHHHHH" if is_64 else "HHIIIIIHHHHHH"), *fields)
    if is_64:
        segment = struct.pack(order + "IIQQQQQQ", 1, 5, 0, _LOAD, _LOAD, size, size, 0x10000)
    else:
        segment = struct.pack(order + "IIIIIIII", 1, 0, _LOAD, _LOAD, size, size, 5, 0x10000)
    return header + segment + machine.code


# binfmt_misc -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Interpreter:
    """An entry of binfmt_misc that is switched on."""

    path: str
    flags: str


def registered(architecture: str, directory: str = BINFMT) -> Interpreter | None:
    """What binfmt_misc runs the architecture's programs with; None: nothing, or that cannot be seen."""
    if architecture not in MACHINES:
        return None
    head = program(architecture)[:128]
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return None
    for name in names:
        if name not in ("register", "status"):
            found = _entry(os.path.join(directory, name), head)
            if found is not None:
                return found
    return None


def _entry(path: str, head: bytes) -> Interpreter | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read(4096).splitlines()
    except OSError:
        return None
    fields = {name: value.strip() for name, _, value in (line.partition(" ") for line in lines)}
    if not lines or lines[0] != "enabled" or "magic" not in fields:
        return None
    try:
        magic = bytes.fromhex(fields["magic"])
        mask = bytes.fromhex(fields["mask"]) if "mask" in fields else b"\xff" * len(magic)
        offset = int(fields.get("offset", "0"))
    except ValueError:
        return None
    there = head[offset : offset + len(magic)]
    if len(there) < len(magic) or any((a ^ b) & m for a, b, m in zip(there, magic, mask, strict=True)):
        return None
    return Interpreter(fields.get("interpreter", ""), fields.get("flags:", ""))


def _why_not(answer: str, interpreter: Interpreter | None) -> str:
    if interpreter is None:
        if not os.path.exists(os.path.join(BINFMT, "status")):
            return "binfmt_misc is not mounted here, so no emulator is set up"
        return "no emulator is set up for it in binfmt_misc"
    if "F" not in interpreter.flags:
        return f"{interpreter.path} is set up without the flag F, so it is not there inside a step's own root"
    return f"{interpreter.path} is set up, but does not run it: {answer}"


# Trying ----------------------------------------------------------------------------------------------------------


def _answers(architectures: list[str]) -> dict[str, str]:
    """For each what went wrong when its program was run; "" when it ran."""
    packages = str(Path(__file__).resolve().parents[2])
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _MAIN.format(packages), *architectures],
            capture_output=True, timeout=_TIMEOUT_S, check=True, stdin=subprocess.DEVNULL, cwd="/",
        )  # fmt: skip
        return {str(name): str(words) for name, words in json.loads(done.stdout).items()}
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return dict.fromkeys(architectures, f"it could not be tried: {error}")


def main() -> None:
    """What `_answers` starts: runs each architecture's program in a root of its own, prints the answers as JSON."""
    with tempfile.TemporaryDirectory(prefix="slimstage-") as directory:
        os.chmod(directory, 0o755)
        json.dump({name: _tried(directory, name) for name in sys.argv[1:]}, sys.stdout)


def _tried(directory: str, architecture: str) -> str:
    path = os.path.join(directory, architecture)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o755)
    try:
        os.write(fd, program(architecture))
        os.fchmod(fd, 0o755)
    finally:
        os.close(fd)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid() == 0:
                os.chroot(directory)
                os.chdir("/")
                path = f"/{architecture}"
            os.execve(path, [path], {})
        except OSError as error:
            os.write(writer, (error.strerror or str(error)).encode())
        os._exit(127)
    os.close(writer)
    with open(reader, "rb") as stream:
        words = stream.read().decode(errors="replace")
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return words or (f"it ended with status {status}" if status else "")
