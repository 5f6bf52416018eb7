"""Where a system is put together: in memory where that is plentiful, else on the disk.

dpkg writes and syncs tens of thousands of small files, and on a disk that takes longer than all else. The tmpfs is in a
mount namespace of the one process that uses it, so it is gone with that process, however it ends.
"""

from __future__ import annotations

import os
import shutil

_ENOUGH = 6 << 30
"""Bytes of free memory from which on half of them may hold a system while it is made."""

_MOUNT = 'mount -t tmpfs -o "mode=0755,size=$1" slimstage "$2"; shift 2; exec "$@"'
"""A mount that fails costs only time: the directory is there all the same."""

_LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""What a container around us may have, and has."""


def spare_memory(meminfo: str = "/proc/meminfo", limits: tuple[tuple[str, str], ...] = _LIMITS) -> int:
    """Bytes of memory that a system may fill: half of what is free; 0 when that is little or cannot be told or used."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return 0
    try:
        with open(meminfo, encoding="ascii") as file:
            free = next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return 0
    for limit, used in limits:
        try:
            with open(limit, encoding="ascii") as limit_file, open(used, encoding="ascii") as used_file:
                free = min(free, int(limit_file.read()) - int(used_file.read()))
        except (OSError, ValueError):
            continue  # no such control group, or "max"
    return free // 2 if free >= _ENOUGH else 0


def in_memory(command: list[str], directory: str, size_bytes: int) -> list[str]:
    """The command, run so that it alone sees a tmpfs of that size on the directory; itself for a size of 0."""
    if not size_bytes:
        return command
    private = ["unshare", "--mount", "--propagation", "private"]
    return [*private, "sh", "-c", _MOUNT, "sh", str(size_bytes), directory, *command]
