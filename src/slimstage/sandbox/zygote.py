"""The small process that starts steps.

The builder has many threads and must not fork itself. It starts this process once, on first use; each request comes over
a socket with descriptors (plan, control socket, stdin, stdout, stderr), and is answered by a fork that supervises the step
(`step.py`). It holds nothing open and knows nothing of a step; when the builder ends, however it ends, the socket ends and
so does this process, and each supervisor sees its own socket end and kills its step.
"""

from __future__ import annotations

import gc
import os
import signal
import socket


def main(request_fd: int = 3) -> None:
    from slimstage.sandbox import syscalls
    from slimstage.sandbox.step import supervise

    # Plans hold secrets: no core file of this process or of a supervisor, whatever ends it. Exec gives it back.
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0, "leave no core files")
    os.chdir("/")
    os.umask(0o022)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ}:
        signal.signal(number, signal.SIG_DFL)  # whoever started the builder may have ignored some (nohup)
    syscalls.reset_internal_signals()
    gc.disable()  # nothing here lives long; and a collection would copy the pages that forks share
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # supervisors report to the builder; the kernel reaps them
    requests = socket.socket(fileno=request_fd)
    requests.set_inheritable(False)
    while True:
        message, fds, _, _ = socket.recv_fds(requests, 16, 8)
        if not message:
            return
        if os.fork() == 0:
            try:
                requests.close()
                plan, control, *stdio = fds
                for fd in fds:
                    os.set_inheritable(fd, False)
                supervise(plan, socket.socket(fileno=control), stdio)
            finally:
                os._exit(0)
        for fd in fds:
            os.close(fd)
