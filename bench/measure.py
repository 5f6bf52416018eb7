"""What a command costs as a whole: wall and CPU seconds, and the peak memory of the builder's own processes.

A builder's own processes are those of its tree (client, and daemon where there is one) whose root directory is the
host's: what a RUN step runs has another root and is the user's, not the builder's.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading
import time
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


class _Peak(threading.Thread):
    def __init__(self, roots: list[int]) -> None:
        super().__init__(daemon=True)
        self.roots, self.peak, self.ended = roots, 0, threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.05):
            processes = _processes()
            mine = [pid for pid in _below(self.roots, processes) if _is_of_the_host(pid)]
            self.peak = max(self.peak, sum(processes[pid][2] for pid in mine))


def measure(command: list[str], *, daemons: list[int], env: dict[str, str], log: Path) -> Cost:
    """Runs the command to its end. Raises SystemExit with the end of its output when it fails."""
    daemon_cpu, busy, start = _cpu(daemons), _busy(), time.monotonic()
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env={**os.environ, **env}, start_new_session=True
        )
        peak = _Peak([process.pid, *daemons])
        peak.start()
        _, status, used = os.wait4(process.pid, 0)
    wall, busy = time.monotonic() - start, _busy() - busy
    process.returncode = os.waitstatus_to_exitcode(status)
    peak.ended.set()
    peak.join()
    if process.returncode:
        sys.stderr.write(log.read_text(errors="replace")[-3000:])
        raise SystemExit(f"exit status {process.returncode}: {' '.join(command)}")
    cpu = used.ru_utime + used.ru_stime + _cpu(daemons) - daemon_cpu
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
