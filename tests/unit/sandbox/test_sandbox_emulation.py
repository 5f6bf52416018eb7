"""Which architectures' programs run here, and what is said of those that do not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from slimstage.oci.descriptor import host_platform
from slimstage.sandbox.emulation import BINFMT, MACHINES, program, registered, runs
from support.emulation import QEMU, entry, run_with, why_not

HOST = host_platform().architecture
_ASK = (
    "from slimstage.sandbox.emulation import runs\n"
    "for each in runs(['arm64', 'arm', 'riscv64']).values(): print(each.architecture, each.is_runnable, each.by)"
)


def test_this_hosts_own_programs_run() -> None:
    found = runs([HOST, HOST])
    assert list(found) == [HOST]
    assert found[HOST].is_runnable
    assert found[HOST].by == "this host's processor"


def test_an_architecture_of_which_nothing_is_known_is_left_to_the_kernel() -> None:
    found = runs(["pdp11"])["pdp11"]
    assert found.is_runnable
    assert "not known" in found.by


@pytest.mark.parametrize("architecture", sorted(QEMU))
def test_the_program_of_each_architecture_ends_well(architecture: str, tmp_path: Path) -> None:
    qemu = shutil.which(QEMU[architecture])
    if qemu is None:
        pytest.skip(f"{QEMU[architecture]} is not installed")
    path = tmp_path / "program"
    path.write_bytes(program(architecture))
    path.chmod(0o755)
    assert subprocess.run([qemu, path], check=False).returncode == 0


def test_an_entry_is_found_by_what_it_is_for(tmp_path: Path) -> None:
    head = program("arm64")[:20]
    mask = bytes.fromhex("ffffffffffffff00fffffffffffffffffeffffff")
    lines = ["enabled", "interpreter /usr/bin/q", "flags: OCF", "offset 0", f"magic {head.hex()}", f"mask {mask.hex()}"]
    (tmp_path / "qemu-aarch64").write_text("\n".join(lines) + "\n")
    (tmp_path / "status").write_text("enabled\n")
    (tmp_path / "broken").write_text("enabled\nmagic zz\n")
    (tmp_path / "python3.11").write_text(
        "enabled\ninterpreter /usr/bin/python3.11\nflags: \noffset 0\nmagic a70d0d0a\n"
    )
    found = registered("arm64", str(tmp_path))
    assert found is not None
    assert (found.path, found.flags) == ("/usr/bin/q", "OCF")
    assert registered("riscv64", str(tmp_path)) is None
    assert registered("pdp11", str(tmp_path)) is None
    assert registered("arm64", str(tmp_path / "missing")) is None
    lines[0] = "disabled"
    (tmp_path / "qemu-aarch64").write_text("\n".join(lines) + "\n")
    assert registered("arm64", str(tmp_path)) is None


@pytest.mark.root
def test_emulators_count_only_when_they_are_there_inside_a_root() -> None:
    if reason := why_not():
        pytest.skip(reason)
    done = run_with([entry("arm64"), entry("arm", flags="")], [sys.executable, "-c", _ASK], env=dict(os.environ))
    lines = done.stdout.decode().splitlines()
    assert lines[0] == f"arm64 True {shutil.which(QEMU['arm64'])}", done.stderr.decode()
    assert lines[1].startswith("arm False")
    assert "without the flag F" in lines[1]
    assert lines[2] == "riscv64 False no emulator is set up for it in binfmt_misc"


@pytest.mark.root
def test_an_emulator_that_does_not_work_is_named() -> None:
    if reason := why_not():
        pytest.skip(reason)
    false = shutil.which("false")
    done = run_with([entry("arm64", interpreter=false)], [sys.executable, "-c", _ASK], env=dict(os.environ))
    line = done.stdout.decode().splitlines()[0]
    assert line.startswith(f"arm64 False {false} is set up, but does not run it"), done.stderr.decode()


def test_what_is_not_set_up_is_said_with_the_reason() -> None:
    foreign = "riscv64" if HOST != "riscv64" else "s390x"
    found = runs([foreign])[foreign]
    if found.is_runnable:
        assert registered(foreign) is not None
    elif os.path.exists(f"{BINFMT}/status"):
        assert "set up" in found.by
    else:
        assert "not mounted" in found.by


def test_every_program_is_an_elf_file_of_its_machine() -> None:
    for name, machine in MACHINES.items():
        data = program(name)
        number = data[18:20] if machine.order == "<" else data[19:17:-1]
        assert data[:4] == b"\x7fELF"
        assert int.from_bytes(number, "little") == machine.number
        assert data.endswith(machine.code)
