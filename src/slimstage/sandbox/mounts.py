"""What is mounted in a sandbox, as values in the order of mounting.

`planned(spec, …)` lists it, `describe` says one in a line, `wire` is its form on the way to the process that starts
steps, where `attach.py` applies it. Pure.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from slimstage.errors import SandboxError
from slimstage.sandbox.spec import FileMount, HostPath, Mount, SandboxSpec, SocketMount, StackPath, Tmpfs
from slimstage.values import dataclass

MASKED_PATHS = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
    "/sys/firmware",
)  # fmt: skip
"""Hidden from the command; absent ones do not matter. Source: Docker, oci/defaults.go."""

READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_OWN = ("/proc", "/sys", "/dev")
"""Mount points that are ours: an image that has a symlink there is refused."""


@dataclass(frozen=True, slots=True)
class Dev:
    """A fresh /dev: the usual nodes, pts, shm of so many bytes, mqueue, and these devices of the host (source, target).

    shm_bytes None: /dev/shm is only a directory, something else is mounted there.
    """

    shm_bytes: int | None
    devices: tuple[tuple[str, str], ...] = ()
    target: str = "/dev"


@dataclass(frozen=True, slots=True)
class Proc:
    """A fresh /proc of the new PID namespace; masked paths are empty, read-only ones cannot be written."""

    masked: tuple[str, ...] = ()
    readonly: tuple[str, ...] = ()
    target: str = "/proc"


@dataclass(frozen=True, slots=True)
class Sys:
    """/sys, read-only unless privileged, with the command's own cgroup tree where the host has version 2 alone."""

    masked: tuple[str, ...] = ()
    is_readonly: bool = True
    target: str = "/sys"


Action: TypeAlias = Mount | Dev | Proc | Sys


def planned(spec: SandboxSpec, resolv_conf: bytes, hidden: tuple[str, ...] = MASKED_PATHS) -> tuple[Action, ...]:
    """All that is mounted on the root, in order: a mount point above comes before one below.

    hidden: paths of /proc and /sys that are masked unless the command is privileged.
    /etc/resolv.conf and /etc/hosts are ours unless the caller mounts something there.
    Raises SandboxError when a target is no absolute path, or lies in /proc.
    """
    masked = () if spec.is_privileged else hidden
    readonly = () if spec.is_privileged else READONLY_PATHS
    given = [_checked(mount) for mount in spec.mounts]
    targets = {mount.target for mount in given}
    # A tmpfs of the user's own at /dev/shm is that, and not one over another.
    shm_bytes = None if "/dev/shm" in targets else spec.limits.shm_bytes
    own: list[Action] = [
        Proc(tuple(p for p in masked if p.startswith("/proc/")), readonly),
        Sys(tuple(p for p in masked if p.startswith("/sys/")), not spec.is_privileged),
        Dev(shm_bytes, tuple(device_paths(device) for device in spec.devices)),
    ]
    for target, content in (("/etc/hosts", hosts_file(spec)), ("/etc/resolv.conf", resolv_conf)):
        if target not in targets and "/etc" not in targets:
            own.append(FileMount(target, content, mode=0o644))
    return tuple(own + sorted(given, key=lambda mount: mount.target.count("/")))


def _checked(mount: Mount) -> Mount:
    target = posixpath.normpath(mount.target)
    if not target.startswith("/") or target.strip("/") == "" or "\0" in target:
        raise SandboxError(f'"{mount.target}" cannot be a mount point', code="bad-mount-target")
    target = "/" + target.lstrip("/")
    if target in _OWN or target.startswith("/proc/"):
        raise SandboxError(f'"{target}" is mounted by the sandbox itself', code="bad-mount-target")
    if isinstance(mount, HostPath):
        return HostPath(target, mount.source, mount.beneath, mount.is_readonly, mount.is_discarded)
    if isinstance(mount, StackPath):
        return StackPath(target, mount.lowers, mount.path, mount.is_writable)
    if isinstance(mount, Tmpfs):
        return Tmpfs(target, mount.size_bytes, mount.mode)
    if isinstance(mount, FileMount):
        return FileMount(target, mount.content, mount.mode, mount.uid, mount.gid, mount.is_readonly)
    return SocketMount(target, mount.source, mount.mode, mount.uid, mount.gid)


def device_paths(device: str) -> tuple[str, str]:
    """Where a device is on the host and inside, from `SOURCE[:TARGET[:PERMISSIONS]]` as in `docker run --device`."""
    parts = device.split(":")
    source, target = parts[0], parts[1] if len(parts) > 1 and parts[1] else parts[0]
    if not source.startswith("/dev/") or not posixpath.normpath(target).startswith("/dev/"):
        raise SandboxError(f'"{device}" is not a device below /dev', code="bad-device")
    return source, posixpath.normpath(target)


def hosts_file(spec: SandboxSpec) -> bytes:
    """The bytes of /etc/hosts: the loopback names with the host's, then the caller's lines. Source: BuildKit's executor."""
    own = f" {spec.hostname}" if spec.hostname else ""
    lines = [f"127.0.0.1\tlocalhost{own}", "::1\tlocalhost ip6-localhost ip6-loopback"]
    lines += [f"{address}\t{name}" for name, address in spec.extra_hosts]
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")


def describe(action: Action) -> str:
    """One line for people: what is mounted where. File content is never in it."""
    match action:
        case HostPath():
            origin = f"{action.beneath}:{action.source}" if action.beneath else action.source
            how = "ro" if action.is_readonly else "writes discarded" if action.is_discarded else "rw"
            return f"bind {origin} on {action.target} ({how})"
        case StackPath():
            how = "writes discarded" if action.is_writable else "ro"
            return f"{action.path} of a stack of {len(action.lowers)} layers on {action.target} ({how})"
        case Tmpfs():
            size = "" if action.size_bytes is None else f", {action.size_bytes} bytes"
            return f"tmpfs on {action.target} (mode {action.mode:04o}{size})"
        case FileMount():
            how = "ro" if action.is_readonly else "rw"
            return f"file of {len(action.content)} bytes on {action.target} ({how}, mode {action.mode:04o})"
        case SocketMount():
            return f"socket {action.source} on {action.target} (mode {action.mode:04o})"
        case Dev():
            extra = "".join(f", {target}" for _, target in action.devices)
            return f"devices on {action.target} (shm {action.shm_bytes} bytes{extra})"
        case Proc():
            return f"proc on {action.target} ({len(action.masked)} paths masked, {len(action.readonly)} read-only)"
        case Sys():
            return f"sysfs on {action.target} ({'ro' if action.is_readonly else 'rw'})"


Wire: TypeAlias = tuple[object, ...]
"""Tuples of str, bytes, int, bool and None only: what `marshal` carries."""


def wire(action: Action) -> Wire:
    match action:
        case HostPath():
            return (
                "bind", action.target, action.source, action.beneath, action.is_readonly, action.is_discarded,
            )  # fmt: skip
        case StackPath():
            return ("stack", action.target, action.lowers, action.path, action.is_writable)
        case Tmpfs():
            return ("tmpfs", action.target, action.size_bytes, action.mode)
        case FileMount():
            return (
                "file", action.target, action.content, action.mode, action.uid, action.gid, action.is_readonly,
            )  # fmt: skip
        case SocketMount():
            return ("socket", action.target, action.mode, action.uid, action.gid)
        case Dev():
            return ("dev", action.target, action.shm_bytes, action.devices)
        case Proc():
            return ("proc", action.target, action.masked, action.readonly)
        case Sys():
            return ("sys", action.target, action.masked, action.is_readonly)


def sockets(actions: Iterable[Action]) -> Sequence[SocketMount]:
    """The sockets among them, in order: each is served by a relay outside."""
    return [action for action in actions if isinstance(action, SocketMount)]
