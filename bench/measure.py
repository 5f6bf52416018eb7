"""What a command costs as a whole: wall and CPU seconds, and the peak memory of the builder's own processes.

Peak memory is of the builder's own processes: those of its tree (client, and daemon where there is one) whose root
directory is the host's. What a RUN step runs has another root and is the user's, not the builder's.

CPU is of everything that the command started, however it ended and whoever reaped it: a control group of its own counts
it. The kernel's sums of reaped children would lack those that nobody waits for, as the processes of a step's PID
namespace when that ends.
"""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PAGE = resource.getpagesize()


@dataclass(frozen=True)
class Cost:
    wall_s: float
    cpu_s: float
    peak_mb: float
    others: float
    """The share of the machine that other work had meanwhile, 0 to 1: above 0.2 the row is not to be trusted."""


class CpuGroup(AbstractContextManager["CpuGroup"]):
    """A control group that counts the CPU time of a command and of all that comes of it; removed at the end.

    Raises SystemExit where this host lets us make none (it takes root, and cgroup version 2 or cpuacct of version 1).
    """

    def __init__(self) -> None:
        self._directory = _cgroup_tree() / f"slimstage-bench-{os.getpid()}-{time.monotonic_ns()}"
        self._directory.mkdir()

    def command(self, command: list[str]) -> list[str]:
        """The same command, begun inside: a shell enters the group and becomes it."""
        enter = 'echo $$ >"$0" && exec "$@"'
        return ["/bin/sh", "-c", enter, str(self._directory / "cgroup.procs"), *command]

    def seconds(self) -> float:
        """CPU time so far, user and system, of the living and the dead."""
        usage = self._directory / "cpuacct.usage"
        if usage.exists():
            return int(usage.read_text()) / 1e9
        return int((self._directory / "cpu.stat").read_text().split()[1]) / 1e6

    def wait_empty(self, limit_s: float = 5) -> None:
        """Until what the command left behind has ended, too: it dies with it, but a moment later."""
        end = time.monotonic() + limit_s
        while (self._directory / "cgroup.procs").read_text() and time.monotonic() < end:
            time.sleep(0.005)

    def __exit__(self, *_: object) -> None:
        for _ in range(200):  # a group is busy for a moment after its last process
            try:
                self._directory.rmdir()
                break
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                time.sleep(0.01)


def _cgroup_tree() -> Path:
    """Where a tree is that counts CPU time: version 2 does without any controller."""
    trees = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        if kind == "cgroup2" or (kind == "cgroup" and "cpuacct" in options.split(" ")[-1].split(",")):
            trees[kind] = Path(left.split(" ")[4])
    for kind in ("cgroup2", "cgroup"):
        if kind in trees and os.access(trees[kind], os.W_OK):
            return trees[kind]
    raise SystemExit("bench: no control group can be made here that counts CPU time; run it as root")


def _processes() -> dict[int, tuple[int, float, int]]:
    """pid → (parent, CPU seconds with reaped children, resident bytes)."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                text = Path("/proc", name, "stat").read_text()
            except OSError:
                continue
            rest = text[text.rindex(")") + 2 :].split()
            found[int(name)] = (int(rest[1]), sum(map(int, rest[11:15])) / TICK, int(rest[21]) * PAGE)
    return found


def _below(roots: list[int], processes: dict[int, tuple[int, float, int]]) -> list[int]:
    found = []
    for pid in processes:
        up = pid
        while up in processes and up not in roots:
            up = processes[up][0]
        if up in roots:
            found.append(pid)
    return found


def _is_of_the_host(pid: int) -> bool:
    try:
        return os.stat(f"/proc/{pid}/root").st_ino == os.stat("/").st_ino and os.readlink(f"/proc/{pid}/root") == "/"
    except OSError:
        return False


def _cpu(roots: list[int]) -> float:
    processes = _processes()
    return sum(processes[pid][1] for pid in _below(roots, processes))


def _busy() -> float:
    user, nice, system, _idle, _wait, irq, soft, *_ = map(
        int, Path("/proc/stat").read_text().split("\n")[0].split()[1:]
    )
    return (user + nice + system + irq + soft) / TICK


def resident(pid: int, stat_bytes: int) -> int:
    """Bytes of a process as `stat` has them: pages that several share count once for each."""
    return stat_bytes


def proportional(pid: int, stat_bytes: int) -> int:
    """Bytes of a process where a page that n processes share counts as an nth (PSS)."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:  # it ended, or is another's
        return 0
    return sum(int(line.split()[1]) << 10 for line in text.splitlines() if line.startswith("Pss:"))


class _Peak(threading.Thread):
    def __init__(self, roots: list[int], size: Callable[[int, int], int], every_s: float) -> None:
        super().__init__(daemon=True)
        self._size, self._every_s = size, every_s
        self.roots, self.peak, self.ended = roots, 0, threading.Event()

    def run(self) -> None:
        while not self.ended.wait(self._every_s):
            processes = _processes()
            mine = [pid for pid in _below(self.roots, processes) if _is_of_the_host(pid)]
            self.peak = max(self.peak, sum(self._size(pid, processes[pid][2]) for pid in mine))


def measure(
    command: list[str],
    *,
    daemons: list[int],
    env: dict[str, str],
    log: Path,
    size: Callable[[int, int], int] = resident,
    every_s: float = 0.05,
) -> Cost:
    """Runs the command to its end. Raises SystemExit with the end of its output when it fails.

    size: what counts as the memory of one process. every_s: how often it is looked at.
    """
    daemon_cpu, busy, start = _cpu(daemons), _busy(), time.monotonic()
    with CpuGroup() as group:
        with log.open("wb") as out:
            process = subprocess.Popen(
                group.command(command),
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **env},
                start_new_session=True,
            )
            peak = _Peak([process.pid, *daemons], size, every_s)
            peak.start()
            process.wait()
        wall, busy = time.monotonic() - start, _busy() - busy
        peak.ended.set()
        peak.join()
        group.wait_empty()
        cpu = group.seconds() + _cpu(daemons) - daemon_cpu
    if process.returncode:
        sys.stderr.write(log.read_text(errors="replace")[-3000:])
        raise SystemExit(f"exit status {process.returncode}: {' '.join(command)}")
    others = max(0.0, busy - cpu) / (wall * (os.cpu_count() or 1))
    return Cost(round(wall, 3), round(cpu, 3), round(peak.peak / 2**20, 1), round(others, 2))


def wait_for_quiet(limit_s: float = 20) -> None:
    """Until the machine does little else, but not for ever."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        before = _busy()
        time.sleep(1)
        if (_busy() - before) / (os.cpu_count() or 1) < 0.1:
            return


def drop_page_cache() -> None:
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")
