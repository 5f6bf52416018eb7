"""One step given to runc: our mounts, its confinement.

Runs in the supervisor (`step.py`), in a mount namespace of its own. The root with its mounts lies on the stage; the bundle
and runc's state are there too, so they vanish with the step. The container's first process becomes our child when
`runc create` has ended, and from there on is treated as the native backend's.
"""

from __future__ import annotations

import json
import marshal
import os
import signal
import socket
import subprocess
from collections.abc import Callable

from slimstage.sandbox import syscalls
from slimstage.sandbox.attach import Assembly
from slimstage.sandbox.supervising import give_pipes, number_of, oom_kills, wait
from slimstage.sandbox.syscalls import Refused

_PR_SET_CHILD_SUBREAPER = 36
_ID = "step"
_NOT_FOUND = ("executable file not found", "no such file or directory", "chdir to cwd")
_NOT_EXECUTABLE = ("permission denied", "is a directory", "exec format error")


def supervise_runc(
    plan: dict[str, object], assembly: Assembly, control: socket.socket, stdio: list[int], leave: Callable[[], None]
) -> None:
    """As `step.supervise`, by runc. `leave` leaves the mount namespace and cleans up."""
    given = plan["runc"]
    assert isinstance(given, tuple)
    program: str = given[0]
    config: bytes = given[1]
    syscalls.prctl(_PR_SET_CHILD_SUBREAPER, 1, "adopt the container's first process")
    assembly.build()
    if plan["network"] != "none" and not plan["privileged"]:
        syscalls.leave_abstract_sockets()  # what is held from us is held from runc and from the command
    stage = assembly.stage_path
    root = os.readlink(f"/proc/self/fd/{assembly.root_fd}")
    os.mkdir(f"{stage}/bundle", 0o700)
    with open(f"{stage}/bundle/config.json", "wb") as file:
        file.write(config.replace(b"@ROOT@", json.dumps(root)[1:-1].encode()))
    if plan["own_pipes"]:
        give_pipes(stdio[1:], number_of(plan, "uid"), number_of(plan, "gid"))
    command = [program, "--root", f"{stage}/state", "--log", f"{stage}/log", "--log-format", "json"]
    kills = oom_kills()
    passed: list[int] = []
    console = None
    arguments = ["create", "--bundle", f"{stage}/bundle", "--pid-file", f"{stage}/pid", _ID]
    if plan["terminal"]:
        console = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        console.bind(f"{stage}/console")
        console.listen(1)
        arguments[1:1] = ["--console-socket", f"{stage}/console"]
    code = _call([*command, *arguments], stdio)
    if code != 0:
        status = _status_of(_last_error(f"{stage}/log"))
        _delete(command)
        leave()
        nobody = os.fork()
        if nobody == 0:
            os._exit(0)
        socket.send_fds(control, [marshal.dumps(("started", nobody))], [os.pidfd_open(nobody), *assembly.listeners])
        control.send(marshal.dumps(("exit", status, False)))
        return
    if console is not None:
        with console, console.accept()[0] as connection:
            passed += socket.recv_fds(connection, 4096, 1)[1]
    passed += assembly.listeners
    with open(f"{stage}/pid", encoding="ascii") as file:
        pid = int(file.read())
    pidfd = os.pidfd_open(pid)
    code = _call([*command, "start", _ID], stdio)
    if code != 0:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    for fd in set(stdio):
        os.close(fd)
    try:
        socket.send_fds(control, [marshal.dumps(("started", pid))], [pidfd, *passed])
    except OSError:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    for fd in passed:
        os.close(fd)
    status = wait(pid, pidfd, control)
    _delete(command)
    leave()
    killed = status == 128 + signal.SIGKILL and oom_kills() > kills
    try:
        control.send(marshal.dumps(("exit", status, killed)))
    except OSError:
        pass


def _call(command: list[str], stdio: list[int]) -> int:
    """Runs runc with the command's descriptors, nothing of our environment but a PATH."""
    return subprocess.run(
        command, stdin=stdio[0], stdout=stdio[1], stderr=stdio[2], env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, check=False
    ).returncode  # fmt: skip


def _delete(command: list[str]) -> None:
    subprocess.run(
        [*command, "delete", "--force", _ID], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, check=False, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )  # fmt: skip


def _last_error(log: str) -> str:
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            messages = [json.loads(line) for line in file if line.startswith("{")]
    except (OSError, ValueError):
        return ""
    errors = [str(message.get("msg", "")) for message in messages if message.get("level") == "error"]
    return errors[-1] if errors else ""


def _status_of(error: str) -> int:
    """The exit status for a command that runc could not execute. Raises Refused when the fault is not the command's."""
    if "exec:" in error or "chdir to cwd" in error:
        if any(words in error for words in _NOT_FOUND):
            return 127
        if any(words in error for words in _NOT_EXECUTABLE):
            return 126
    raise Refused("start the command with runc", 0, error or "it failed without a word")
