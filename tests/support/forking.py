"""The command as a process that is forked from one which has imported all of it, in place of a new interpreter.

Most of a small build is starting Python and importing: some 0.2 s of 0.25. A forked command is a process of its own with
its own arguments, environment, directory, umask and streams, runs the entry that `python -m slimstage` runs, and ends as
that does. What only a new interpreter does differently is kept where it matters: a variable that the interpreter or the
loader reads at its start (PYTHONPATH, LD_PRELOAD, LANG, TZ...) makes it one. Successive commands are forked from two
processes in turn, whose sets have different orders, so that what depends on one still shows between two builds.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import itertools
import json
import os
import pkgutil
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence

_READ_AT_START = ("PYTHON", "LD_", "LC_", "LANG", "TZ", "MALLOC_", "GLIBC_", "GCONV_", "OPENSSL_")
_SOCKET_FD = 3

Done = subprocess.CompletedProcess[bytes]


def _read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_READ_AT_START)}


_OURS = _read_at_start(os.environ)


def run(
    args: Sequence[object],
    *,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    input: bytes = b"",
    timeout: float,
    merged: bool = False,
) -> Done:
    """Runs `slimstage ARGS` and returns what it wrote. As `subprocess.run` with both streams captured.

    merged: stderr goes where stdout goes. Raises subprocess.TimeoutExpired.
    """
    words, environment = [str(arg) for arg in args], dict(os.environ if env is None else env)
    command = [sys.executable, "-m", "slimstage", *words]
    if _read_at_start(environment) != _OURS:
        return subprocess.run(
            command, check=False, cwd=cwd, env=environment, input=input, timeout=timeout,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT if merged else subprocess.PIPE,
        )  # fmt: skip
    request = {"args": words, "cwd": os.path.abspath(cwd or os.getcwd()), "env": environment, "umask": _umask()}
    with _Streams(merged) as streams:
        own, theirs = socket.socketpair()
        with own:
            with theirs:
                _next_server().start(request, (*streams.theirs, theirs.fileno()))
            streams.started()
            pid = int.from_bytes(_exactly(own, 4), "little")
            until_s = time.monotonic() + timeout
            try:
                out, err = streams.talk(input, until_s)
                own.settimeout(max(0.1, until_s - time.monotonic()))
                status = int.from_bytes(_exactly(own, 4), "little", signed=True)
            except BaseException as error:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                if isinstance(error, TimeoutError):
                    raise subprocess.TimeoutExpired(command, timeout) from None
                raise
    return Done(command, status, out, err)


def as_text(done: Done) -> subprocess.CompletedProcess[str]:
    """The same with its output as text."""
    out, err = (data.decode(errors="replace") for data in (done.stdout, done.stderr))
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)


def _umask() -> int:
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("Umask:")).split()[1], 8)


def _exactly(stream: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = stream.recv(count - len(data))
        if not more:
            raise RuntimeError("the process that forks commands has ended")
        data += more
    return data


class _Streams:
    """Pipes to a command: `theirs` are its stdin, stdout and stderr."""

    def __init__(self, merged: bool) -> None:
        stdin, self._in = os.pipe()
        self._out, stdout = os.pipe()
        self._err: int | None = None
        if merged:
            stderr = os.dup(stdout)
        else:
            self._err, stderr = os.pipe()
        self.theirs = (stdin, stdout, stderr)
        self._open = {*self.theirs, self._in, self._out, *([] if self._err is None else [self._err])}

    def started(self) -> None:
        """The command has its own by now."""
        for fd in self.theirs:
            self._close(fd)

    def talk(self, data: bytes, until_s: float) -> tuple[bytes, bytes]:
        """Writes all of the input and reads all that is written. Raises TimeoutError."""
        found: dict[int, list[bytes]] = {fd: [] for fd in (self._out, self._err) if fd is not None}
        os.set_blocking(self._in, False)
        left = memoryview(data)
        with selectors.DefaultSelector() as selector:
            for fd in found:
                selector.register(fd, selectors.EVENT_READ)
            selector.register(self._in, selectors.EVENT_WRITE)
            while selector.get_map():
                ready = selector.select(max(0.0, until_s - time.monotonic()))
                if not ready:
                    raise TimeoutError
                for key, _ in ready:
                    if key.fd == self._in:
                        try:
                            left = left[os.write(key.fd, left[:65536]) :] if left else left
                        except BrokenPipeError:
                            left = left[:0]
                        is_done = not left
                    else:
                        found[key.fd].append(os.read(key.fd, 65536))
                        is_done = not found[key.fd][-1]
                    if is_done:
                        selector.unregister(key.fd)
                        self._close(key.fd)
        return b"".join(found[self._out]), b"" if self._err is None else b"".join(found[self._err])

    def _close(self, fd: int) -> None:
        self._open.discard(fd)
        os.close(fd)

    def __enter__(self) -> _Streams:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in list(self._open):
            self._close(fd)


class _Server:
    """One process that forks commands, until its socket is closed."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        tests = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        code = f"import sys; sys.path.append({tests!r}); from support.forking import serve; serve()"
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"import os; os.dup2({theirs.fileno()}, {_SOCKET_FD}); {code}"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                cwd="/",
                env={name: value for name, value in os.environ.items() if not name.startswith(_READ_AT_START)} | _OURS,
            )

    def start(self, request: object, descriptors: Sequence[int]) -> None:
        """Has a command started that gets stdin, stdout, stderr, and a socket that tells its pid and its status."""
        with open(os.memfd_create("request"), "w+") as file:
            json.dump(request, file)
            file.flush()
            socket.send_fds(self._socket, [b"x"], [file.fileno(), *descriptors])

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


@functools.cache
def _servers() -> Iterator[_Server]:
    """Two in turn, for ever; each is started when it is first needed."""

    def both() -> Iterator[_Server]:
        for _ in range(2):
            server = _Server()
            atexit.register(server.close)
            yield server

    return itertools.cycle(both())


_choosing = threading.Lock()


def _next_server() -> _Server:
    with _choosing:
        return next(_servers())


# The process that forks -------------------------------------------------------------------------------------------


def serve() -> None:
    """Forks a command for each request; comes back in a command, which then runs."""
    import slimstage

    for module in pkgutil.walk_packages(slimstage.__path__, "slimstage."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    gc.collect()
    gc.freeze()
    args = _await_command(socket.socket(fileno=_SOCKET_FD))
    if args is not None:
        from slimstage.cli.main import command

        sys.argv = [os.path.join(slimstage.__path__[0], "__main__.py"), *args]
        command()


def _await_command(requests: socket.socket) -> list[str] | None:
    """In a fork: the arguments. In the server: None, when nobody asks any more."""
    running: dict[int, tuple[int, int]] = {}
    poll = select.poll()
    poll.register(requests, select.POLLIN)
    while True:
        for ready, _ in poll.poll():
            if ready != requests.fileno():
                pid, answers = running.pop(ready)
                poll.unregister(ready)
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                _answer(answers, status)
                os.close(answers)
                os.close(ready)
                continue
            data, descriptors, _, _ = socket.recv_fds(requests, 1, 5)
            if not data:
                return None
            request, *streams, answers = descriptors
            pid = os.fork()
            if pid == 0:
                requests.detach()
                return _become_command(request, streams)
            _answer(answers, pid)
            for fd in (request, *streams):
                os.close(fd)
            pidfd = os.pidfd_open(pid)
            running[pidfd] = pid, answers
            poll.register(pidfd, select.POLLIN)


def _answer(answers: int, value: int) -> None:
    try:
        os.write(answers, value.to_bytes(4, "little", signed=True))
    except BrokenPipeError:
        pass  # who asked has given up


def _become_command(file: int, streams: Sequence[int]) -> list[str]:
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
    request = json.loads(os.pread(file, os.fstat(file).st_size, 0))
    os.closerange(_SOCKET_FD, 1 << 20)
    os.umask(request["umask"])
    os.chdir(request["cwd"])
    sys.path[0] = request["cwd"]
    os.environ.clear()
    os.environ.update(request["env"])
    args: list[str] = request["args"]
    return args
