"""The backend that needs nothing but the kernel: one small process (the zygote) that forks a supervisor for each step.

Here is the builder's side: it starts the zygote on first use, sends plans, hands output on, and turns what comes back into
`Exit` and SandboxError. What happens over there is in `zygote.py`, `step.py`, `attach.py`.
"""

from __future__ import annotations

import marshal
import os
import signal
import socket
import sys
import threading
import weakref
from pathlib import Path

from slimstage.errors import Interrupted, SandboxError
from slimstage.sandbox import plan, syscalls
from slimstage.sandbox.attend import Attendant, Channels
from slimstage.sandbox.mounts import Action, sockets
from slimstage.sandbox.refusal import sandbox_error
from slimstage.sandbox.spec import Exit, Output, SandboxSpec

_PACKAGES = str(Path(__file__).resolve().parents[2])
_MAIN = "import sys; sys.path.append({!r}); from slimstage.sandbox.zygote import main; main()"
_PATIENCE_S = 0.05
"""How often a waiting `run` looks whether it was cancelled."""


class _Zygote:
    """The process that starts steps. Requests may come from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._pid = 0

    def send(self, fds: list[int]) -> None:
        """One request. Starts the process when it is not there, or not there any more."""
        with self._lock:
            for attempt in (1, 2):
                if self._socket is None:
                    self._start()
                assert self._socket is not None
                try:
                    socket.send_fds(self._socket, [b"s"], fds)
                    return
                except OSError as error:
                    self._end()
                    if attempt == 2:
                        raise sandbox_error("start the process that starts steps", error.errno or 0) from error

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        code = _MAIN.format(_PACKAGES)
        environment = {k: v for k, v in os.environ.items() if k in ("LD_LIBRARY_PATH", "PYTHONHOME")}
        with theirs:
            fd = os.dup(theirs.fileno()) if theirs.fileno() == 3 else theirs.fileno()
            root = _readonly_root()
            program = os.path.realpath(sys.executable)
            try:
                self._pid = os.posix_spawn(
                    sys.executable if root is None else f"/proc/self/fd/{root}{program}",
                    [sys.executable, "-I", "-S", "-X", "utf8", "-c", code],
                    environment,
                    file_actions=[
                        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                        (os.POSIX_SPAWN_DUP2, fd, 3),
                    ],
                    setsid=True,  # Ctrl-C on the terminal is ours to handle
                    setsigmask=(),
                )
            except OSError as error:
                ours.close()
                raise sandbox_error(f'start "{sys.executable}"', error.errno or 0) from error
            finally:
                if fd != theirs.fileno():
                    os.close(fd)
                if root is not None:
                    os.close(root)
        self._socket = ours

    def _end(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            try:
                os.waitpid(self._pid, 0)  # it ends as soon as its socket does
            except ChildProcessError:
                pass

    def close(self) -> None:
        with self._lock:
            self._end()


def _readonly_root() -> int | None:
    """A descriptor of a read-only view of the root file system, when our interpreter lies on it.

    The first thing that a command can name is /proc/self/exe, which is our interpreter until the command is executed. By
    way of this view it cannot be opened for writing (CVE-2019-5736), not even on kernels that let busy programs be written.
    """
    try:
        descriptors = [os.open(path, os.O_PATH | os.O_CLOEXEC) for path in ("/", os.path.realpath(sys.executable))]
        try:
            if len({syscalls.mount_id(fd) for fd in descriptors}) > 1:
                return None  # the view would show it under another path, by which it might not find its libraries
            what = "make a read-only view of the root"
            try:
                view = syscalls.open_tree(descriptors[0], what)
            except syscalls.Refused:
                view = syscalls.open_tree(descriptors[0], what, is_recursive=True)  # without root, mounts stay together
            syscalls.mount_setattr(view, syscalls.MOUNT_ATTR_RDONLY, what)
        finally:
            for fd in descriptors:
                os.close(fd)
    except (OSError, syscalls.Refused):
        return None
    return view


class NativeRunning:
    """A command that was started; see `spec.Running`."""

    def __init__(self, pid: int, pidfd: int, attendant: Attendant) -> None:
        self._pid, self._attendant = pid, attendant
        self._end_pidfd = weakref.finalize(self, os.close, pidfd)
        self._pidfd = pidfd

    @property
    def pid(self) -> int:
        return self._pid

    def wait(self) -> Exit:
        self._attendant.ended.wait()
        if self._attendant.failure is not None:
            raise self._attendant.failure
        return self._attendant.exit

    def ended_within(self, seconds: float) -> bool:
        """True when it has ended by then."""
        return self._attendant.ended.wait(seconds)

    def signal(self, number: int) -> None:
        try:
            signal.pidfd_send_signal(self._pidfd, number)
        except ProcessLookupError:
            pass

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    def resize(self, rows: int, columns: int) -> None:
        """Tells a terminal its size; nothing happens without one."""
        self._attendant.resize(rows, columns)


class NativeSandbox:
    """Runs one command, confined by namespaces, capabilities and a seccomp filter; see `spec.Sandbox`."""

    name = "native"

    def __init__(self, *, legacy_overlay: bool = False) -> None:
        """legacy_overlay: mount overlays as kernels before 6.8 need it (for tests)."""
        self._zygote = _Zygote()
        self._legacy_overlay = legacy_overlay
        self.close = weakref.finalize(self, self._zygote.close)

    def start(self, spec: SandboxSpec, output: Output | None, stdin: int | None = None) -> NativeRunning:
        if os.geteuid() != 0:
            raise SandboxError(
                "the sandbox needs root, or a user namespace in which this process is root",
                code="sandbox-not-root",
                hint="run slimstage by its command, which makes the namespace; `slimstage doctor` says whether it may",
            )
        mounts = plan.actions(spec)
        has_pipes = output is not None and not spec.has_terminal
        compiled = self._compiled(spec, mounts, has_pipes)
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        channels = Channels(control=control)
        plan_fd, given = -1, []
        try:
            plan_fd = _in_memory(compiled)
            given = _stdio(channels, output, stdin, has_terminal=spec.has_terminal)
            self._zygote.send([plan_fd, theirs.fileno(), *given])
        except BaseException:
            channels.close()
            raise
        finally:
            theirs.close()
            for fd in {plan_fd, *given} - {-1, 0, 1, 2}:
                os.close(fd)
        try:
            pid, pidfd, rest = _answer(control)
        except BaseException:
            channels.close()
            raise
        if spec.has_terminal:
            channels.terminal = rest.pop(0)
        agents = list(zip(rest, (mount.source for mount in sockets(mounts)), strict=True))
        return NativeRunning(pid, pidfd, Attendant(channels, output, agents, stdin, pidfd))

    def _compiled(self, spec: SandboxSpec, mounts: tuple[Action, ...], has_pipes: bool) -> bytes:
        return plan.compiled(spec, mounts, has_pipes=has_pipes, legacy_overlay=self._legacy_overlay)

    def run(self, spec: SandboxSpec, output: Output, cancel: threading.Event) -> Exit:
        if cancel.is_set():
            raise Interrupted("the step was not started: the build was interrupted")
        running = self.start(spec, output)
        while not running.ended_within(_PATIENCE_S):
            if cancel.is_set():
                running.kill()
                running.wait()
                raise Interrupted("the step was interrupted")
        return running.wait()


def _in_memory(data: bytes) -> int:
    """A descriptor of a file that holds the bytes and is nowhere on disk."""
    fd = os.memfd_create("plan", os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _stdio(channels: Channels, output: Output | None, stdin: int | None, *, has_terminal: bool) -> list[int]:
    """What the command gets as 0, 1, 2; our ends of new pipes go to `channels`. Of it, 0 to 2 are our own."""
    if has_terminal:
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        return [null, null, null]  # replaced by the terminal over there
    if output is None:
        return [0 if stdin is None else os.dup(stdin), 1, 2]
    given = [os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) if stdin is None else os.dup(stdin)]
    for stream in (1, 2):
        ours, theirs = os.pipe()
        channels.streams[ours] = stream
        given.append(theirs)
    return given


def _answer(control: socket.socket) -> tuple[int, int, list[int]]:
    """The first report of a supervisor: (pid, pidfd, other descriptors). Raises SandboxError."""
    message, fds, _, _ = socket.recv_fds(control, 65536, 64)
    for fd in fds:
        os.set_inheritable(fd, False)
    if not message:
        raise SandboxError("the process that starts steps ended unexpectedly", code="sandbox-lost")
    kind, *values = marshal.loads(message)
    if kind == "refused":
        raise sandbox_error(*values)
    return values[0], fds[0], fds[1:]
