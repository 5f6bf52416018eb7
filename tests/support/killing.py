"""Commands that are killed with SIGKILL at a chosen moment, or at a chosen system call; and what has to hold afterwards.

Starting Python takes longer than most of what is to be hit. So one process has imported all of slimstage and forks itself
for each command: what runs in the fork is the command's own entry, in a session of its own. That process is the
subreaper of all it starts: when a command has been killed, whatever outlives it becomes its child, and is found.
"""

from __future__ import annotations

import collections
import ctypes
import importlib
import json
import os
import pkgutil
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, Self, TypeAlias

from slimstage.store.collect import prune
from slimstage.store.doctor import examine
from slimstage.store.session import Session
from slimstage.store.store import Store
from support.building import mounts_below, processes_with

Whom: TypeAlias = Literal["main", "all", "zygote"]
"""Only the process that was started; it and all it started, in any order; only the process that starts steps."""

SEED = int(os.environ.get("SLIMSTAGE_TEST_SEED", "0")) or int.from_bytes(os.urandom(3), "big")
TIMES = float(os.environ.get("SLIMSTAGE_TEST_KILLS", "1"))
"""How many times as many kills as usual."""

Healer: TypeAlias = Literal["doctor", "prune", "session"]
"""What removes leftovers; the last is what every command begins with that writes."""

HEALERS: tuple[Healer | None, ...] = ("doctor", "prune", "session", None)

LEFT_BY_A_KILL = {"dead-session", "stale-lock", "leftover-file"}
"""What `doctor` may find right after one: nothing is wrong but that something is left over."""

CALLS = ("rename", "renameat2", "link", "linkat", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "fsync", "fdatasync",
         "ftruncate", "pwrite64", "fchmod", "utimensat", "symlinkat", "flock")  # fmt: skip
"""What changes a store, or makes a change last."""
_PATIENCE_S = 60.0
_OWN_PATH = "TEST_PYTHONPATH"


@dataclass(frozen=True)
class _Request:
    args: list[str]
    cwd: str
    environment: dict[str, str]
    errors: str
    after_s: float | None
    whom: Whom
    trace: list[str]


@dataclass(frozen=True)
class Ended:
    """status: as `waitstatus_to_exitcode` has it. left: command lines of processes that did not end by themselves."""

    status: int
    took_s: float
    left: list[str] = field(default_factory=list)
    was_hit: bool = False
    """The moment came before it had ended."""
    err: str = ""

    @property
    def was_killed(self) -> bool:
        return self.status == -signal.SIGKILL


class Commands:
    """Runs one command after another. One for each test process."""

    def __init__(self, scratch: Path) -> None:
        self._errors = scratch / "errors"
        tests, own = str(Path(__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")
        self._server = subprocess.Popen(
            [sys.executable, "-m", "support.killing"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([tests, *filter(None, [own])]), _OWN_PATH: own},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self,
        *args: object,
        root: Path,
        cwd: Path,
        after_s: float | None = None,
        whom: Whom = "main",
        trace: Iterable[object] = (),
        status: int | None = None,
    ) -> Ended:
        """Runs `slimstage ARGS` and kills it after so many seconds, unless it ends before.

        trace: arguments of an strace that follows it and all it starts. status: what it has to be.
        """
        environment = {"SLIMSTAGE_ROOT": str(root), "NO_COLOR": "1"}
        request = _Request(
            [str(arg) for arg in args],
            str(cwd),
            environment,
            str(self._errors),
            after_s,
            whom,
            [str(each) for each in trace],
        )
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(asdict(request)) + "\n")
        self._server.stdin.flush()
        answer = json.loads(self._server.stdout.readline())
        ended = Ended(**answer, err=self._errors.read_text(errors="replace"))
        assert ended.left == [], f"still there after {args[0]}: {ended.left}"
        assert not re.search(r"Traceback|internal:", ended.err), ended.err[-4000:]
        if status is not None:
            assert ended.status == status, f"{args}\n{ended.err[-4000:]}"
        return ended

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.communicate()


@dataclass
class Kills:
    """The kills of one test: moments by a seed that is printed, and a count that has to be worth it."""

    commands: Commands
    chance: random.Random
    killed: int = 0
    missed: int = 0

    @classmethod
    def of(cls, commands: Commands, name: str) -> Kills:
        print(f"SLIMSTAGE_TEST_SEED={SEED}")
        return cls(commands, random.Random(f"{SEED} {name}"))

    def at_random(self, *args: object, root: Path, cwd: Path, within_s: float, whom: Whom = "main") -> Ended:
        """Kills the command at any moment of the time that it takes."""
        ended = self.commands.run(
            *args, root=root, cwd=cwd, after_s=self.chance.random() * within_s, whom=whom
        )  # fmt: skip
        self._count(ended)
        return ended

    def at_call(self, *args: object, root: Path, cwd: Path, call: str, number: int) -> Ended:
        """Kills the command just before one of its threads makes this system call for the n-th time."""
        trace = ["-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"]
        ended = self.commands.run(*args, root=root, cwd=cwd, trace=trace)
        self._count(ended)
        return ended

    def _count(self, ended: Ended) -> None:
        if ended.was_killed or ended.was_hit:
            self.killed += 1
        else:
            self.missed += 1

    def were_worth_it(self) -> None:
        print(f"{self.killed} killed, {self.missed} had ended before")
        assert self.killed >= (self.killed + self.missed) // 2, f"{self.missed} of the kills came too late"


def rounds(count: int) -> range:
    return range(max(1, round(count * TIMES)))


def calls_of(commands: Commands, *args: object, root: Path, cwd: Path, log: Path) -> dict[str, int]:
    """How often the command makes each of CALLS, in the thread that does so most often."""
    commands.run(*args, root=root, cwd=cwd, trace=["-o", log, "-e", "trace=" + ",".join(CALLS)], status=0)
    counts = collections.Counter(re.findall(r"^(\d+) +(\w+)\(", log.read_text(errors="replace"), re.MULTILINE))
    most: dict[str, int] = {}
    for (_, call), count in counts.items():
        most[call] = max(count, most.get(call, 0))
    return most


def assert_sound(root: Path, *, heal: Healer | None = "doctor") -> None:
    """Nothing is wrong with the store but what a kill may leave; and that goes, by `heal`."""
    assert mounts_below(root) == []
    assert processes_with(str(root)) == []
    with Store.open(root) as store:
        found = examine(store)
        assert {finding.code for finding in found} <= LEFT_BY_A_KILL, [str(finding) for finding in found]
        if heal is None:
            return
        if heal == "doctor":
            examine(store, repair=True)
        elif heal == "prune":
            prune(store)
        else:
            session = Session(str(store.root))
            session.directory()
            session.close()
        # Files that were to be renamed go with a prune or with doctor, a minute later.
        left = [str(each) for each in examine(store) if heal != "session" or each.code != "leftover-file"]
        assert left == [], f"after {heal}"
    assert os.listdir(root / "tmp") == []
    names = os.listdir(root / "locks")
    assert [name for name in names if name.startswith("session-")] == []
    assert free(root / "locks", names) == names, "a lock is still held"


def free(directory: Path, names: Iterable[str]) -> list[str]:
    """Which of the lock files nobody holds."""
    from slimstage.store.files import try_lock

    found = []
    for name in names:
        lock = try_lock(str(directory / name), creates=False)
        if lock is not None:
            lock.release()
            found.append(name)
    return found


def copy_store(template: Path, place: Path) -> None:
    """A store like the template, nothing of it shared."""
    if place.exists():
        shutil.rmtree(place)
    subprocess.run(["cp", "-a", str(template), str(place)], check=True)


def hidden(directory: Path) -> list[str]:
    """Names that a user does not see: what is made beside its place."""
    return sorted(name for name in os.listdir(directory) if name.startswith("."))


# The process that forks ---------------------------------------------------------------------------------------


def _serve() -> None:
    ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER
    import slimstage

    for module in pkgutil.walk_packages(slimstage.__path__, "slimstage."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    from slimstage.cli.main import main

    for line in sys.stdin:
        ended = _run(_Request(**json.loads(line)), main)
        answer = asdict(ended)
        del answer["err"]
        print(json.dumps(answer), flush=True)


def _run(request: _Request, main: Callable[[list[str]], int]) -> Ended:
    wait, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become_command(request, main, wait)
    os.close(wait)
    if request.trace:
        _attach(pid, request.trace)
    began = time.monotonic()
    os.write(go, b"x")
    os.close(go)
    pidfd = os.pidfd_open(pid)
    was_hit = request.after_s is not None and not select.select([pidfd], [], [], request.after_s)[0]
    if was_hit:
        _kill(pid, request.whom)
    if not select.select([pidfd], [], [], _PATIENCE_S)[0]:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return Ended(255, time.monotonic() - began, ["the command itself", *_end_children()])
    os.close(pidfd)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return Ended(status, time.monotonic() - began, _end_children(), was_hit)


def _attach(pid: int, trace: list[str]) -> None:
    """Starts the tracer; comes back when it has the process. (`--seccomp-bpf` would be faster, and injects no signals.)"""
    tracer = os.posix_spawnp("strace", ["strace", "-f", "-qqq", "-p", str(pid), *trace], os.environ)
    while b"TracerPid:\t0\n" in _read(f"/proc/{pid}/status"):
        assert os.waitpid(tracer, os.WNOHANG)[0] == 0, "strace cannot trace here"
        time.sleep(0.001)


def _become_command(request: _Request, main: Callable[[list[str]], int], wait: int) -> None:
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        errors = os.open(request.errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        for number, fd in enumerate((null, null, errors)):
            os.dup2(fd, number)
        os.chdir(request.cwd)
        os.environ["PYTHONPATH"] = os.environ.pop(_OWN_PATH)
        os.environ.update(request.environment)
        os.read(wait, 1)
        os.close(wait)
        status = main(request.args)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(70)


def _kill(pid: int, whom: Whom) -> None:
    own = _descendants(pid)
    if whom == "main":
        victims = [pid]
    elif whom == "all":
        victims = [pid, *own]
        random.shuffle(victims)
    else:
        # Without a step, or between two, there is none: the moment is as good for the main one.
        victims = [each for each in own if b"sandbox.zygote" in _words(each)][:1] or [pid]
    for victim in victims:
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for task in _names(f"/proc/{pid}/task"):
        for child in _read(f"/proc/{pid}/task/{task}/children").split():
            found += [int(child), *_descendants(int(child))]
    return found


def _end_children() -> list[str]:
    """Waits for all that came down to us; ends and names what is still there after a while."""
    until = time.monotonic() + 20
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return []
        if pid:
            continue
        if time.monotonic() > until:
            break
        time.sleep(0.002)
    left = _descendants(os.getpid())
    words = [_words(pid).replace(b"\0", b" ").decode(errors="replace")[:200] for pid in left]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return words


def _words(pid: int) -> bytes:
    return _read(f"/proc/{pid}/cmdline")


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def _names(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


if __name__ == "__main__":
    _serve()
