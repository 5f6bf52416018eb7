"""What both backends' supervisors do: wait for the command, hand it its pipes, notice that memory ran out."""

from __future__ import annotations

import os
import select
import signal
import socket
import stat


def wait(pid: int, pidfd: int, control: socket.socket) -> int:
    """The exit status of the command; when the builder goes away meanwhile, the command is killed."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(control, 0)  # its end only
    while True:
        ready = dict(poll.poll())
        if pidfd in ready:
            break
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        poll.unregister(control)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


def number_of(plan: dict[str, object], key: str) -> int:
    value = plan[key]
    assert isinstance(value, int)
    return value


def give_pipes(fds: list[int], uid: int, gid: int) -> None:
    """The command's user may open its own /dev/stdout: the pipes behind it are made the user's."""
    for fd in fds:
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            try:
                os.fchown(fd, uid, gid)
            except OSError:
                pass  # an id that this user namespace does not map is refused with words later


def oom_kills() -> int:
    """How many processes the kernel has killed for memory since it started."""
    try:
        with open("/proc/vmstat", "rb") as file:
            text = file.read()
    except OSError:
        return 0
    at = text.find(b"\noom_kill ")
    return int(text[at + 10 : text.index(b"\n", at + 1)]) if at >= 0 else 0
