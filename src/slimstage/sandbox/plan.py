"""A spec → the plan that the zygote's side carries out: numbers, bytes and tuples only.

Reads of the host what a step is given of it: resolv.conf, whether this is a user namespace.
"""

from __future__ import annotations

import functools
import marshal
import os
import posixpath

from slimstage.errors import UsageError
from slimstage.regex import pattern
from slimstage.sandbox import capabilities, seccomp
from slimstage.sandbox.mounts import MASKED_PATHS, Action, planned, wire
from slimstage.sandbox.spec import OverlayRoot, SandboxSpec
from slimstage.userns import is_user_namespace

_CPUS = "/sys/devices/system/cpu"
_CPU = pattern(r"cpu[0-9]+\Z")
_HOSTNAME = pattern(r"[A-Za-z0-9_.-]{0,64}\Z")


def resolv_conf() -> bytes:
    """The host's, as it is: a step that shares the host's network reaches the same name servers."""
    try:
        with open("/etc/resolv.conf", "rb") as file:
            return file.read(1 << 20)
    except OSError:
        return b""


@functools.cache
def masked_paths() -> tuple[str, ...]:
    """What is hidden from a command on this host. Counts of throttling tell what others compute (GHSA-6fw5-f8r9-fgfm)."""
    throttles = [f"{_CPUS}/{name}/thermal_throttle" for name in _names(_CPUS) if _CPU.match(name)]
    return (*MASKED_PATHS, *(path for path in throttles if os.path.isdir(path)))


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError:
        return []


def is_readonly(spec: SandboxSpec) -> bool:
    return spec.is_readonly_root or (isinstance(spec.root, OverlayRoot) and spec.root.upper is None)


def actions(spec: SandboxSpec) -> tuple[Action, ...]:
    """The mounts of a spec on this host, in order."""
    return planned(spec, resolv_conf(), masked_paths())


def compiled(
    spec: SandboxSpec,
    mounts: tuple[Action, ...],
    *,
    has_pipes: bool,
    legacy_overlay: bool = False,
    runc: tuple[str, bytes] | None = None,
) -> bytes:
    """The plan as bytes. runc: its program and the bundle's config.json, when it is to confine the command.

    Raises UsageError: an empty argv, NUL bytes, a bad host name, limit or capability.
    """
    _check(spec)
    capability_mask = capabilities.ALL if spec.is_privileged else capabilities.mask(spec.capabilities)
    limits = []
    if spec.limits.memory_bytes is not None:
        limits.append(("memory", spec.limits.memory_bytes))
    if spec.limits.cpus is not None:
        limits.append(("cpu", round(spec.limits.cpus * 1_000_000)))
    if spec.limits.pids is not None:
        limits.append(("pids", spec.limits.pids))
    cwd = posixpath.normpath("/" + spec.cwd)
    cwd = "/" + cwd.lstrip("/")
    root = spec.root
    plan: dict[str, object] = {
        "root": ("overlay", root.lowers, root.upper, root.work)
        if isinstance(root, OverlayRoot)
        else ("plain", root.path),
        "readonly": is_readonly(spec),
        "mounts": tuple(wire(action) for action in mounts),
        "argv": spec.argv,
        "env": spec.env,
        "cwd": cwd,
        "make_cwd": not any(cwd == a.target or cwd.startswith(a.target + "/") for a in mounts) and cwd != "/",
        "uid": spec.uid,
        "gid": spec.gid,
        "groups": spec.groups,
        "network": spec.network,
        "hostname": spec.hostname,
        "rlimits": capabilities.rlimits(spec.limits.ulimits),
        "limits": tuple(limits),
        "capabilities": capability_mask,
        "seccomp": b"" if spec.is_privileged else seccomp.default_program(capability_mask),
        "has_new_privileges": spec.has_new_privileges,
        "privileged": spec.is_privileged,
        "terminal": spec.has_terminal,
        "own_pipes": has_pipes,
        "userxattr": is_user_namespace(),
        "legacy_overlay": legacy_overlay,
        "runc": runc,
    }
    return marshal.dumps(plan)


def _check(spec: SandboxSpec) -> None:
    if not spec.argv or not spec.argv[0]:
        raise UsageError("there is no command to run", code="no-command")
    texts = [*spec.argv, *(part for pair in spec.env for part in pair), spec.cwd]
    if any("\0" in text for text in texts):
        raise UsageError("a command, its environment and its working directory cannot hold NUL bytes", code="nul-byte")
    if any(not name or "=" in name for name, _ in spec.env):
        raise UsageError("an environment variable needs a name without =", code="bad-variable")
    if not _HOSTNAME.match(spec.hostname):
        raise UsageError(f'"{spec.hostname}" is not a host name', code="bad-hostname")
    if any(ord(c) < 33 for pair in spec.extra_hosts for text in pair for c in text):
        raise UsageError("a host name or address cannot hold blanks or control characters", code="bad-host")
    limits = spec.limits
    for name, value, least in (
        ("memory", limits.memory_bytes, 1 << 20), ("CPU", limits.cpus, 0.01), ("process", limits.pids, 1),
    ):  # fmt: skip
        if value is not None and value < least:
            raise UsageError(f"the {name} limit {value} is below {least}", code="bad-limit")
