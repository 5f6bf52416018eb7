"""The filter, run by an interpreter of its own: which call gets which answer."""

from __future__ import annotations

import struct

import pytest

from slimstage.sandbox import capabilities
from slimstage.sandbox.seccomp import (
    ALLOW,
    AND,
    ARCHITECTURES,
    ENOSYS,
    EPERM,
    JUMP,
    JUMP_AT_LEAST,
    JUMP_EQUAL,
    LOAD,
    RETURN,
    default_program,
)
from slimstage.sandbox.seccomp_numbers import NEWEST, numbers
from slimstage.sandbox.seccomp_profile import default_profile
from slimstage.sandbox.spec import DEFAULT_CAPABILITIES

DEFAULT = capabilities.mask(DEFAULT_CAPABILITIES)
MACHINES = [("x86_64", "x86_64"), ("x86_64", "i386"), ("aarch64", "aarch64")]


def interpret(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """What the kernel's BPF machine would answer. Fails on a jump out of the program or an unknown instruction."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<IIQ6Q", number, architecture, 0, *padded)
    code = [struct.unpack_from("<HBBI", program, at) for at in range(0, len(program), 8)]
    at, accumulator = 0, 0
    for _ in range(len(code) + 1):
        operation, if_true, if_false, value = code[at]
        at += 1
        if operation == LOAD:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif operation == AND:
            accumulator &= value
        elif operation == RETURN:
            answer: int = value
            return answer
        elif operation == JUMP:
            at += value
        elif operation == JUMP_EQUAL:
            at += if_true if accumulator == value else if_false
        elif operation == JUMP_AT_LEAST:
            at += if_true if accumulator >= value else if_false
        else:
            raise AssertionError(f"unknown instruction {operation:#x}")
    raise AssertionError("the program does not end")


def ask(name: str, *arguments: int, machine: str = "x86_64", architecture: str = "x86_64", mask: int = DEFAULT) -> int:
    number = numbers(architecture)[name]
    return interpret(default_program(mask, machine), ARCHITECTURES[architecture], number, *arguments)


@pytest.mark.parametrize(("machine", "architecture"), MACHINES)
@pytest.mark.parametrize("mask", [DEFAULT, 0, capabilities.ALL])
def test_every_number_gets_the_answer_of_the_profile(machine: str, architecture: str, mask: int) -> None:
    profile, table = default_profile(mask), numbers(architecture)
    names = {number: name for name, number in table.items()}
    program = default_program(mask, machine)
    for number in range(NEWEST + 1):
        name = names.get(number, "")
        if name in profile.conditional:
            continue
        want = ALLOW if name in profile.allowed else ENOSYS if name in profile.absent else EPERM
        assert interpret(program, ARCHITECTURES[architecture], number) == want, (number, name)


@pytest.mark.parametrize(("machine", "architecture"), MACHINES)
def test_newer_calls_and_the_x32_numbers_do_not_exist(machine: str, architecture: str) -> None:
    program = default_program(DEFAULT, machine)
    for number in (NEWEST + 1, 1000, 0x40000000, 0x40000000 | 59, 0xFFFFFFFF):
        assert interpret(program, ARCHITECTURES[architecture], number) == ENOSYS


def test_another_architecture_is_answered_with_enosys() -> None:
    assert interpret(default_program(DEFAULT, "x86_64"), ARCHITECTURES["aarch64"], 0) == ENOSYS
    assert interpret(default_program(DEFAULT, "aarch64"), ARCHITECTURES["x86_64"], 0) == ENOSYS


@pytest.mark.parametrize(
    "name",
    [
        "mount",
        "umount2",
        "unshare",
        "setns",
        "bpf",
        "perf_event_open",
        "keyctl",
        "add_key",
        "request_key",
        "io_uring_setup",
        "io_uring_enter",
        "userfaultfd",
        "init_module",
        "kexec_load",
        "reboot",
        "swapon",
        "open_by_handle_at",
        "open_tree",
        "move_mount",
        "fsopen",
        "settimeofday",
    ],
)
def test_dangerous_calls_are_refused(name: str) -> None:
    assert ask(name) == EPERM
    assert ask(name, architecture="i386") == EPERM if name in numbers("i386") else True


@pytest.mark.parametrize(
    "name", ["read", "write", "openat", "execve", "fork", "clone", "chroot", "ptrace", "futex", "statx", "getrandom"]
)
def test_ordinary_calls_are_allowed(name: str) -> None:
    assert ask(name) == ALLOW


@pytest.mark.parametrize("flag", [0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000])
@pytest.mark.parametrize("architecture", ["x86_64", "i386"])
def test_clone_makes_processes_and_threads_but_no_namespaces(flag: int, architecture: str) -> None:
    assert ask("clone", 0x3D0F00, architecture=architecture) == ALLOW
    assert ask("clone", flag | 17, architecture=architecture) == EPERM
    assert ask("clone", flag | 17, architecture=architecture, mask=capabilities.ALL) == ALLOW


def test_clone3_looks_absent_so_that_libc_falls_back() -> None:
    assert ask("clone3") == ENOSYS
    assert ask("clone3", mask=capabilities.ALL) == ALLOW


@pytest.mark.parametrize("high", [0, 1 << 32, 0xFFFFFFFF << 32])
def test_typing_into_a_terminal_is_refused_whatever_the_high_bits(high: int) -> None:
    assert ask("ioctl", 0, high | 0x5412) == EPERM
    assert ask("ioctl", 0, high | 0x541C) == EPERM
    assert ask("ioctl", 0, high | 0x5413) == ALLOW


def test_sockets_other_than_vsock() -> None:
    assert ask("socket", 40) == EPERM
    assert ask("socket", 40 | 1 << 32) == EPERM
    assert [ask("socket", family) for family in (1, 2, 10, 16)] == [ALLOW] * 4


def test_personalities() -> None:
    assert [ask("personality", value) for value in (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)] == [ALLOW] * 5
    assert ask("personality", 0x40000) == EPERM  # ADDR_NO_RANDOMIZE


@pytest.mark.parametrize(
    ("name", "capability"),
    [
        ("mount", "SYS_ADMIN"), ("bpf", "BPF"), ("chroot", "SYS_CHROOT"), ("reboot", "SYS_BOOT"), ("syslog", "SYSLOG"),
        ("mbind", "SYS_NICE"), ("finit_module", "SYS_MODULE"), ("open_by_handle_at", "DAC_READ_SEARCH"),
    ],
)  # fmt: skip
def test_some_calls_come_with_a_capability(name: str, capability: str) -> None:
    assert ask(name, mask=0) == EPERM
    assert ask(name, mask=capabilities.mask([capability])) == ALLOW


def test_every_call_of_the_profile_has_a_number_somewhere() -> None:
    known = set(numbers("x86_64")) | set(numbers("i386")) | set(numbers("aarch64"))
    profile = default_profile(capabilities.ALL)
    assert profile.allowed | set(profile.conditional) <= known | {"recv", "send", "epoll_ctl_old", "epoll_wait_old"}


def test_numbers_are_the_kernels() -> None:
    """Spot checks against the tables in every manual."""
    assert (numbers("x86_64")["execve"], numbers("i386")["execve"], numbers("aarch64")["execve"]) == (59, 11, 221)
    assert (numbers("x86_64")["clone3"], numbers("i386")["clone3"], numbers("aarch64")["clone3"]) == (435, 435, 435)
    for architecture in ARCHITECTURES:
        values = list(numbers(architecture).values())
        assert len(values) == len(set(values))


def test_the_program_fits_and_is_made_once() -> None:
    program = default_program(DEFAULT, "x86_64")
    assert len(program) // 8 < 4096  # BPF_MAXINSNS
    assert default_program(DEFAULT, "x86_64") is program


def test_an_unknown_machine_has_no_filter() -> None:
    assert default_program(DEFAULT, "riscv64") == b""
