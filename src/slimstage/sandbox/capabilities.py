"""Names and numbers: capabilities and resource limits. Pure.

Source: linux/capability.h, asm-generic/resource.h.
"""

from __future__ import annotations

import resource
from collections.abc import Iterable

from slimstage.diagnostics import did_you_mean
from slimstage.errors import UsageError

NAMES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
    "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip
"""In the kernel's order: the index is the number."""

ALL = (1 << len(NAMES)) - 1

_LIMITS = {
    "core": resource.RLIMIT_CORE, "cpu": resource.RLIMIT_CPU, "data": resource.RLIMIT_DATA,
    "fsize": resource.RLIMIT_FSIZE, "locks": 10, "memlock": resource.RLIMIT_MEMLOCK,
    "msgqueue": resource.RLIMIT_MSGQUEUE, "nice": resource.RLIMIT_NICE, "nofile": resource.RLIMIT_NOFILE,
    "nproc": resource.RLIMIT_NPROC, "rss": resource.RLIMIT_RSS, "rtprio": resource.RLIMIT_RTPRIO,
    "rttime": resource.RLIMIT_RTTIME, "sigpending": resource.RLIMIT_SIGPENDING, "stack": resource.RLIMIT_STACK,
    "as": resource.RLIMIT_AS,
}  # fmt: skip


def mask(names: Iterable[str]) -> int:
    """Bit N for capability N. Names in any case, with or without `CAP_`. Raises UsageError for an unknown one."""
    result = 0
    for name in names:
        full = name.upper() if name.upper().startswith("CAP_") else "CAP_" + name.upper()
        if full not in NAMES:
            raise UsageError(f'"{name}" is not a capability', code="bad-capability", hint=did_you_mean(full, NAMES))
        result |= 1 << NAMES.index(full)
    return result


def rlimits(ulimits: Iterable[tuple[str, int, int]]) -> tuple[tuple[str, int, int, int], ...]:
    """(name, number of the resource, soft, hard) for each. Raises UsageError: unknown name, soft above hard."""
    result = []
    for name, soft, hard in ulimits:
        if name not in _LIMITS:
            raise UsageError(f'"{name}" is not a ulimit', code="bad-ulimit", hint=did_you_mean(name, _LIMITS))
        if hard != -1 and (soft == -1 or soft > hard):
            raise UsageError(f"ulimit {name}: the soft limit {soft} is above the hard limit {hard}", code="bad-ulimit")
        result.append((name, _LIMITS[name], soft, hard))
    return tuple(result)
