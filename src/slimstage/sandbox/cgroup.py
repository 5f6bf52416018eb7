"""Limits of memory, CPU and processes: a control group for one step.

Runs in the supervisor, which enters the group before it makes the cgroup namespace, forks the command and steps out
again. Version 2 alone, version 1, and both side by side (hybrid) are served.
"""

from __future__ import annotations

import os

from slimstage.sandbox.syscalls import CLONE_NEWCGROUP, Refused, setns

_BASE = "/sys/fs/cgroup"
_PARENT = "slimstage"
_PERIOD_US = 100_000


def layout() -> dict[str, tuple[str, bool]]:
    """Where each controller's tree is: controller → (mount point, is version 2), read from the mount table.

    A controller that only exists in an unlisted tree is absent.
    """
    found: dict[str, tuple[str, bool]] = {}
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return found
    for line in lines:
        left, _, right = line.partition(" - ")
        point, kind, options = left.split(" ")[4], right.split(" ")[0], right.split(" ")[-1]
        if kind == "cgroup":
            for name in options.split(","):
                if name in ("memory", "cpu", "pids"):
                    found[name] = (point, False)
        elif kind == "cgroup2":
            try:
                with open(f"{point}/cgroup.controllers", encoding="ascii") as controllers:
                    names = controllers.read().split()
            except OSError:
                continue
            for name in names:
                if name in ("memory", "cpu", "pids"):
                    found.setdefault(name, (point, True))
    return found


class Group:
    """The group of one step. limits: ("memory", bytes), ("cpu", millionths of a CPU), ("pids", count)."""

    def __init__(self, limits: tuple[tuple[str, int], ...]) -> None:
        self._limits = dict(limits)
        self._name = f"{os.getpid()}-{os.urandom(4).hex()}"
        self._directories: dict[str, bool] = {}
        self._memory: tuple[str, bool] | None = None
        self._homes: list[int] = []
        self._namespace = os.open("/proc/self/ns/cgroup", os.O_RDONLY | os.O_CLOEXEC)

    def enter(self) -> None:
        """Makes the group, sets its limits, moves this process in. Raises Refused naming the limit that cannot be set."""
        trees = layout()
        for controller in self._limits:
            if controller not in trees:
                raise Refused(f"limit {controller}", 95, f"this host has no {controller} cgroup controller")
        for controller, value in self._limits.items():
            point, is_v2 = trees[controller]
            what = f"limit {controller} by cgroup"
            try:
                directory = self._make(point, is_v2)
                self._write_limit(directory, is_v2, controller, value)
            except OSError as error:
                raise Refused(what, error.errno or 0, f"{error.filename}: {error.strerror}") from None
            if controller == "memory":
                self._memory = (directory, is_v2)
        try:
            for directory in self._directories:
                home = f"{os.path.dirname(os.path.dirname(directory))}{self._own(directory)}/cgroup.procs"
                self._homes.append(os.open(home, os.O_WRONLY | os.O_CLOEXEC))
                _write(f"{directory}/cgroup.procs", str(os.getpid()))
        except OSError as error:
            raise Refused("enter a control group", error.errno or 0) from None

    def _make(self, point: str, is_v2: bool) -> str:
        parent = f"{point}/{_PARENT}"
        directory = f"{parent}/{self._name}"
        if directory in self._directories:
            return directory
        os.makedirs(parent, exist_ok=True)
        if is_v2:
            wanted = " ".join(f"+{name}" for name in self._limits)
            for above in (point, parent):
                _write(f"{above}/cgroup.subtree_control", wanted)
        _sweep(parent)
        os.mkdir(directory)
        self._directories[directory] = is_v2
        return directory

    @staticmethod
    def _write_limit(directory: str, is_v2: bool, controller: str, value: int) -> None:
        if controller == "memory" and is_v2:
            _write(f"{directory}/memory.max", str(value))
            _try_write(f"{directory}/memory.swap.max", "0")
            _try_write(f"{directory}/memory.oom.group", "0")
        elif controller == "memory":
            _write(f"{directory}/memory.limit_in_bytes", str(value))
            _try_write(f"{directory}/memory.memsw.limit_in_bytes", str(value))
        elif controller == "cpu" and is_v2:
            _write(f"{directory}/cpu.max", f"{max(1000, value * _PERIOD_US // 1_000_000)} {_PERIOD_US}")
        elif controller == "cpu":
            _write(f"{directory}/cpu.cfs_period_us", str(_PERIOD_US))
            _write(f"{directory}/cpu.cfs_quota_us", str(max(1000, value * _PERIOD_US // 1_000_000)))
        else:
            _write(f"{directory}/pids.max", str(value))

    def _own(self, directory: str) -> str:
        """Where this process is now in the tree that `directory` belongs to, from that tree's root."""
        is_v2 = self._directories[directory]
        point = os.path.dirname(os.path.dirname(directory))
        controllers = {name for name, (where, _) in layout().items() if where == point}
        with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            for line in file.read().splitlines():
                number, names, path = line.split(":", 2)
                if (is_v2 and number == "0") or (not is_v2 and controllers & set(names.split(","))):
                    return path if path != "/" and not path.startswith("/..") else ""
        return ""

    def leave(self) -> None:
        """This process steps out; the command, forked meanwhile, stays in."""
        setns(self._namespace, CLONE_NEWCGROUP)
        pid = str(os.getpid()).encode()
        for fd in self._homes:
            try:
                os.write(fd, pid)
            except OSError as error:
                raise Refused("leave a control group", error.errno or 0) from None
            finally:
                os.close(fd)
        self._homes = []

    def was_out_of_memory(self) -> bool:
        """True when the kernel killed a process of the group for memory."""
        if self._memory is None:
            return False
        directory, is_v2 = self._memory
        try:
            with open(f"{directory}/{'memory.events' if is_v2 else 'memory.oom_control'}", encoding="ascii") as file:
                values = dict(line.split() for line in file.read().splitlines())
        except (OSError, ValueError):
            return False
        return int(values.get("oom_kill", "0")) > 0

    def remove(self) -> None:
        """Removes the group, empty by now. What a kill -9 leaves is removed by the next step that needs a group."""
        for fd in self._homes:  # it was never left: step out, or the group could not be removed
            try:
                os.write(fd, str(os.getpid()).encode())
            except OSError:
                pass
            os.close(fd)
        for directory in self._directories:
            try:
                os.rmdir(directory)
            except OSError:
                pass
        self._directories, self._homes = {}, []


def _sweep(parent: str) -> None:
    for name in os.listdir(parent):
        pid = name.partition("-")[0]
        if pid.isdigit() and os.path.isdir(f"{parent}/{name}") and not os.path.exists(f"/proc/{pid}"):
            try:
                os.rmdir(f"{parent}/{name}")
            except OSError:
                pass  # still in use


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        os.close(fd)


def _try_write(path: str, text: str) -> None:
    try:
        _write(path, text)
    except OSError:
        pass  # without swap accounting there is nothing to say
