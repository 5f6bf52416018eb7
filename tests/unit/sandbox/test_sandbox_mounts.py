from __future__ import annotations

import marshal
from typing import Any

import pytest

from slimstage.errors import SandboxError
from slimstage.sandbox.mounts import (
    MASKED_PATHS,
    READONLY_PATHS,
    Dev,
    Proc,
    Sys,
    describe,
    device_paths,
    hosts_file,
    planned,
    sockets,
    wire,
)
from slimstage.sandbox.spec import FileMount, HostPath, Mount, PlainRoot, SandboxSpec, SocketMount, StackPath, Tmpfs


def spec(*mounts: Mount, **values: object) -> SandboxSpec:
    return SandboxSpec(root=PlainRoot("/r"), argv=("x",), mounts=mounts, **values)  # type: ignore[arg-type]  # by name


def targets(made: SandboxSpec) -> list[str]:
    return [action.target for action in planned(made, b"")]


def test_what_every_sandbox_has_comes_first() -> None:
    assert targets(spec()) == ["/proc", "/sys", "/dev", "/etc/hosts", "/etc/resolv.conf"]


def test_mounts_come_by_depth_and_otherwise_in_their_order() -> None:
    made = spec(Tmpfs("/a/b/c"), Tmpfs("/z"), Tmpfs("/a/b"), Tmpfs("/b"))
    assert targets(made)[5:] == ["/z", "/b", "/a/b", "/a/b/c"]


def test_targets_are_cleaned() -> None:
    assert targets(spec(Tmpfs("/a//b/../c/"), Tmpfs("//d")))[5:] == ["/d", "/a/c"]


def test_a_callers_hosts_file_wins() -> None:
    assert targets(spec(FileMount("/etc/hosts", b"")))[3:] == ["/etc/resolv.conf", "/etc/hosts"]
    assert targets(spec(Tmpfs("/etc")))[3:] == ["/etc"]


@pytest.mark.parametrize("target", ["/", "", ".", "a", "//", "/..", "/proc", "/proc/1", "/sys", "/dev/", "/a\0b"])
def test_bad_targets(target: str) -> None:
    with pytest.raises(SandboxError):
        planned(spec(Tmpfs(target)), b"")


def test_below_sys_and_dev_is_allowed() -> None:
    assert targets(spec(Tmpfs("/dev/shm"), Tmpfs("/sys/fs/cgroup")))[5:] == ["/dev/shm", "/sys/fs/cgroup"]


def test_masks_are_gone_when_privileged() -> None:
    proc, sys, _ = planned(spec(), b"")[:3]
    assert isinstance(proc, Proc)
    assert isinstance(sys, Sys)
    assert set(proc.masked) | set(sys.masked) == set(MASKED_PATHS)
    assert proc.readonly == READONLY_PATHS
    assert sys.is_readonly
    proc, sys, _ = planned(spec(is_privileged=True), b"")[:3]
    assert proc == Proc()
    assert sys == Sys(is_readonly=False)


def test_hosts_file() -> None:
    made = spec(hostname="box", extra_hosts=(("a", "10.0.0.1"), ("b", "::2")))
    lines = hosts_file(made).decode().splitlines()
    assert lines[0] == "127.0.0.1\tlocalhost box"
    assert lines[2:] == ["10.0.0.1\ta", "::2\tb"]


@pytest.mark.parametrize(
    ("text", "want"),
    [("/dev/x", ("/dev/x", "/dev/x")), ("/dev/x:/dev/y", ("/dev/x", "/dev/y")), ("/dev/x::rw", ("/dev/x", "/dev/x")),
     ("/dev/a/b:/dev/c/../d:rwm", ("/dev/a/b", "/dev/d"))],
)  # fmt: skip
def test_device_paths(text: str, want: tuple[str, str]) -> None:
    assert device_paths(text) == want


@pytest.mark.parametrize("text", ["/etc/passwd", "x", "/dev/x:/etc/y", "/dev/x:/dev/../etc/y"])
def test_devices_stay_below_dev(text: str) -> None:
    with pytest.raises(SandboxError):
        device_paths(text)


ACTIONS = [
    (HostPath("/t", "/s"), "bind /s on /t (rw)"),
    (HostPath("/t", "s", beneath="/b", is_readonly=True), "bind /b:s on /t (ro)"),
    (HostPath("/t", "/s", is_discarded=True), "bind /s on /t (writes discarded)"),
    (StackPath("/t", ("/a", "/b"), "/p"), "/p of a stack of 2 layers on /t (ro)"),
    (Tmpfs("/t", 5, 0o755), "tmpfs on /t (mode 0755, 5 bytes)"),
    (FileMount("/t", b"secret"), "file of 6 bytes on /t (ro, mode 0400)"),
    (SocketMount("/t", "/s"), "socket /s on /t (mode 0600)"),
    (Dev(9, (("/dev/a", "/dev/b"),)), "devices on /dev (shm 9 bytes, /dev/b)"),
    (Proc(("/proc/x",)), "proc on /proc (1 paths masked, 0 read-only)"),
    (Sys(), "sysfs on /sys (ro)"),
]


@pytest.mark.parametrize(("action", "text"), ACTIONS)
def test_a_mount_says_what_it_is(action: Mount, text: str) -> None:
    assert describe(action) == text


@pytest.mark.parametrize(("action", "text"), ACTIONS)
def test_a_mount_travels_as_plain_values(action: Mount, text: str) -> None:
    sent: Any = wire(action)
    assert marshal.loads(marshal.dumps(sent)) == sent
    assert sent[1] == action.target


def test_a_secret_is_in_no_description_or_repr() -> None:
    assert "secret" not in describe(FileMount("/t", b"secret")) + repr(FileMount("/t", b"secret"))


def test_sockets_in_order() -> None:
    first, second = SocketMount("/a", "/1"), SocketMount("/b", "/2")
    assert list(sockets([first, Tmpfs("/x"), second])) == [first, second]
