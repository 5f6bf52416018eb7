"""Processes named so that a number used again is not mistaken for them."""

from __future__ import annotations

import os
import select
import signal

from slimstage.errors import SandboxError
from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class ProcessId:
    """`started`: clock ticks since boot at which it began; with the boot's ID, the pair names one process for ever.

    Source: proc_pid_stat(5), field 22; random(4), boot_id.
    """

    pid: int
    started: int
    boot: str = ""

    def is_alive(self) -> bool:
        """False when it ended (also when nobody has waited for it yet)."""
        return started_at(self.pid) == self.started and (not self.boot or self.boot == boot_id())

    def open(self) -> int | None:
        """A pidfd, which the caller closes; None when it has ended. Signals by it cannot reach another process."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return None
        if self.is_alive():
            return descriptor
        os.close(descriptor)
        return None


def this_process() -> ProcessId:
    """The caller's own."""
    started = started_at(os.getpid())
    return ProcessId(os.getpid(), started if started is not None else -1, boot_id())


def started_at(pid: int) -> int | None:
    """When the process began, in ticks since boot; None when it is not there or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    # The program's name, in parentheses, may hold blanks and parentheses itself.
    fields = text[text.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def signal_number(text: str) -> int:
    """The number of `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`. Raises SandboxError for what is none."""
    name = text.strip().upper()
    if name.isdigit():
        number = int(name)
    else:
        base, plus, offset = name.removeprefix("SIG").partition("+")
        found = getattr(signal, f"SIG{base}", None)
        if not isinstance(found, signal.Signals) or (plus and not offset.isdigit()):
            raise SandboxError(f'"{text}" is not a signal', code="bad-signal")
        number = int(found) + (int(offset) if plus else 0)
    if not 1 <= number <= signal.SIGRTMAX:
        raise SandboxError(f'"{text}" is not a signal', code="bad-signal")
    return number


def wait_ended(descriptor: int, timeout_s: float) -> bool:
    """True once the process of the pidfd has ended; False after `timeout_s`."""
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return bool(poller.poll(max(0, int(timeout_s * 1000))))
