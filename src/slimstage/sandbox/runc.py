"""The backend that lets runc confine the command: for hosts whose policy wants it, and as a check on our own.

The root and the mounts are ours, made as for the native backend; namespaces, capabilities, filter, devices and limits
are runc's, told by an OCI bundle. Source: OCI runtime-spec v1.0.2, config.md and config-linux.md.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Sequence

from slimstage.errors import SandboxError
from slimstage.sandbox import capabilities, plan
from slimstage.sandbox.mounts import READONLY_PATHS, Action, device_paths
from slimstage.sandbox.native import NativeSandbox
from slimstage.sandbox.seccomp_profile import Condition, default_profile
from slimstage.sandbox.spec import SandboxSpec
from slimstage.sandbox.syscalls import permitted_capabilities

_PERIOD_US = 100_000
_SAFE = ["nosuid", "noexec", "nodev"]


class RuncSandbox(NativeSandbox):
    """As NativeSandbox, with runc for all that is not a mount; see `spec.Sandbox`."""

    name = "runc"

    def __init__(self) -> None:
        """Raises SandboxError when runc is not installed."""
        super().__init__()
        found = shutil.which("runc", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin:/sbin:/bin")
        if found is None:
            raise SandboxError("runc is not installed", code="no-runc", hint="install it, or use the native sandbox")
        self._runc = found

    def _compiled(self, spec: SandboxSpec, mounts: tuple[Action, ...], has_pipes: bool) -> bytes:
        config = json.dumps(oci_config(spec), ensure_ascii=True).encode()
        return plan.compiled(spec, mounts, has_pipes=has_pipes, runc=(self._runc, config))


def oci_config(spec: SandboxSpec) -> dict[str, object]:
    """The bundle's config.json as a value; the root's path is @ROOT@. Text that is no UTF-8 cannot be told to runc.

    Raises SandboxError for such text.
    """
    texts = (*spec.argv, *(part for pair in spec.env for part in pair), spec.cwd)
    if any("\udc80" <= character <= "\udcff" for text in texts for character in text):
        raise SandboxError("runc takes UTF-8 only", code="runc-not-utf8", hint="use the native sandbox")
    mask = capabilities.ALL if spec.is_privileged else capabilities.mask(spec.capabilities)
    mask &= permitted_capabilities()
    names = [name for number, name in enumerate(capabilities.NAMES) if mask >> number & 1]
    effective = names if spec.uid == 0 else []
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": spec.has_terminal,
            "user": {"uid": spec.uid, "gid": spec.gid, "umask": 0o022, "additionalGids": list(spec.groups)},
            "args": list(spec.argv),
            "env": [f"{name}={value}" for name, value in spec.env],
            "cwd": spec.cwd,
            "capabilities": {"bounding": names, "effective": effective, "permitted": effective},
            "rlimits": [
                {"type": f"RLIMIT_{name.upper()}", "soft": soft % (1 << 64), "hard": hard % (1 << 64)}
                for name, _, soft, hard in capabilities.rlimits(spec.limits.ulimits)
            ],
            "noNewPrivileges": not spec.has_new_privileges,
        },
        "root": {"path": "@ROOT@", "readonly": bool(plan.is_readonly(spec))},
        "hostname": spec.hostname,
        "mounts": _mounts(spec),
        "linux": {
            "namespaces": [
                {"type": kind}
                for kind in ("pid", "ipc", "uts", "mount", "cgroup", *(("network",) if spec.network == "none" else ()))
            ],
            "maskedPaths": [] if spec.is_privileged else list(plan.masked_paths()),
            "readonlyPaths": [] if spec.is_privileged else list(READONLY_PATHS),
            # Of its own: under runc's default, its ID, steps that run at once would share one and remove it from others.
            "cgroupsPath": f"/slimstage-{secrets.token_hex(8)}",
            "resources": _resources(spec),
            "devices": [_device(*device_paths(device)) for device in spec.devices],
            **({} if spec.is_privileged else {"seccomp": _seccomp(mask)}),
        },
    }


def _mounts(spec: SandboxSpec) -> list[dict[str, object]]:
    def one(target: str, kind: str, *options: str) -> dict[str, object]:
        return {"destination": target, "type": kind, "source": kind, "options": list(options)}

    how = "rw" if spec.is_privileged else "ro"
    return [
        one("/proc", "proc", *_SAFE),
        one("/dev", "tmpfs", "nosuid", "mode=755", "size=65536k"),
        one("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        one("/dev/shm", "tmpfs", *_SAFE, "mode=1777", f"size={spec.limits.shm_bytes}"),
        one("/dev/mqueue", "mqueue", *_SAFE),
        one("/sys", "sysfs", *_SAFE, how),
    ]


def _device(source: str, target: str) -> dict[str, object]:
    facts = os.stat(source)
    kind = "c" if facts.st_mode & 0o170000 == 0o020000 else "b"
    numbers = {"major": os.major(facts.st_rdev), "minor": os.minor(facts.st_rdev)}
    return {"path": target, "type": kind, **numbers, "fileMode": facts.st_mode & 0o777}


def _resources(spec: SandboxSpec) -> dict[str, object]:
    limits = spec.limits
    result: dict[str, object] = {"devices": [{"allow": bool(spec.is_privileged), "access": "rwm"}]}
    if limits.memory_bytes is not None:
        result["memory"] = {"limit": limits.memory_bytes}
    if limits.cpus is not None:
        result["cpu"] = {"period": _PERIOD_US, "quota": round(limits.cpus * _PERIOD_US)}
    if limits.pids is not None:
        result["pids"] = {"limit": limits.pids}
    return result


def _seccomp(mask: int) -> dict[str, object]:
    profile = default_profile(mask)
    calls: list[dict[str, object]] = [{"names": sorted(profile.allowed), "action": "SCMP_ACT_ALLOW"}]
    for name, condition in profile.conditional.items():
        calls += [{"names": [name], "action": "SCMP_ACT_ALLOW", "args": args} for args in _arguments(condition)]
    if profile.absent:
        calls.append({"names": sorted(profile.absent), "action": "SCMP_ACT_ERRNO", "errnoRet": 38})
    architectures = ["SCMP_ARCH_AARCH64"] if os.uname().machine == "aarch64" else ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    return {
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": architectures, "syscalls": calls,
    }  # fmt: skip


def _arguments(condition: Condition) -> list[list[dict[str, object]]]:
    """Alternatives, each one comparison. runc compares 64 bits and the kernel reads 32, so only masked ones will do."""
    alternatives = [(condition.mask, value) for value in condition.values]
    if condition.is_negated:
        alternatives = _all_but(condition.values)
    return [
        [{"index": condition.argument, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}]
        for mask, value in alternatives
    ]


def _all_but(values: Sequence[int], bit: int = 31, prefix: int = 0) -> list[tuple[int, int]]:
    """(mask, value) pairs that match each number of 32 bits but these: the blocks of the binary tree without them."""
    if not values:
        return [(-(1 << (bit + 1)) & 0xFFFFFFFF, prefix)]
    if bit < 0:
        return []
    found = []
    for half in (prefix, prefix | 1 << bit):
        found += _all_but([each for each in values if each >> bit == half >> bit], bit - 1, half)
    return found
