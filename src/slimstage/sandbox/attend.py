"""A running step seen from the builder: its output handed on, its terminal and sockets served, its end awaited.

One thread for each step. The output callback is called from that thread alone.
"""

from __future__ import annotations

import errno
import fcntl
import marshal
import os
import select
import signal
import socket
import struct
import termios
import threading
import tty
from collections.abc import Sequence

from slimstage.sandbox.relay import Relay
from slimstage.sandbox.spec import Exit, Output
from slimstage.values import dataclass, field

_BLOCK_BYTES = 1 << 16
_RESIZE_EVERY_MS = 250


@dataclass(slots=True)
class Channels:
    """Our ends of what connects us to a step. streams: descriptor → 1 or 2."""

    control: socket.socket
    streams: dict[int, int] = field(default_factory=dict)
    terminal: int | None = None

    def close(self) -> None:
        self.control.close()
        for fd in (*self.streams, *([] if self.terminal is None else [self.terminal])):
            os.close(fd)
        self.streams, self.terminal = {}, None


class Attendant:
    """Serves one step until its end: `ended` is set, `exit` says how, `failure` is what the output callback raised."""

    def __init__(
        self,
        channels: Channels,
        output: Output | None,
        agents: Sequence[tuple[int, str]],
        stdin: int | None,
        pidfd: int,
    ) -> None:
        """agents: a listening socket of the step and the path of the host's socket that answers it, each."""
        self.ended = threading.Event()
        self.exit = Exit(128 + signal.SIGKILL)
        self.failure: BaseException | None = None
        self._channels, self._output, self._pidfd = channels, output, os.dup(pidfd)
        self._relays = [Relay(listener, path) for listener, path in agents]
        self._lock = threading.Lock()
        self._stdin = stdin if output is not None or stdin is not None else 0
        threading.Thread(target=self._attend, name="slimstage-step", daemon=True).start()

    def resize(self, rows: int, columns: int) -> None:
        with self._lock:
            if self._channels.terminal is not None:
                size = struct.pack("HHHH", rows, columns, 0, 0)
                fcntl.ioctl(self._channels.terminal, termios.TIOCSWINSZ, size)

    def _attend(self) -> None:
        try:
            if self._channels.terminal is None:
                self._pump()
            else:
                self._converse()
        except BaseException as error:
            self.failure = error
            self._kill()
            self._await_end()
        finally:
            for relay in self._relays:
                relay.close()
            with self._lock:
                self._channels.close()
            os.close(self._pidfd)
            self.ended.set()

    def _kill(self) -> None:
        try:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def _await_end(self) -> None:
        """Reads the last report. A supervisor that ended without one was killed; so is its command, then."""
        try:
            message = self._channels.control.recv(_BLOCK_BYTES)
        except ConnectionResetError:
            message = b""
        if not message:
            self._kill()
            return
        kind, *values = marshal.loads(message)
        if kind == "exit":
            self.exit = Exit(*values)

    def _pump(self) -> None:
        """Hands output on until the step has ended, and then what is left in the pipes."""
        poll, control, streams = select.poll(), self._channels.control.fileno(), dict(self._channels.streams)
        poll.register(control, select.POLLIN)
        for fd in streams:
            os.set_blocking(fd, False)
            poll.register(fd, select.POLLIN)
        has_ended = False
        while not has_ended:
            for fd, _ in poll.poll():
                if fd == control:
                    has_ended = True
                elif not self._hand_on(fd, streams[fd]):
                    poll.unregister(fd)
                    del streams[fd]
        self._await_end()
        for fd, stream in streams.items():
            while self._hand_on(fd, stream, is_last=True):
                pass

    def _hand_on(self, fd: int, stream: int, *, is_last: bool = False) -> bool:
        """False at the end of the stream (when `is_last`: also when nothing is there now)."""
        try:
            data = os.read(fd, _BLOCK_BYTES)
        except BlockingIOError:
            return not is_last
        if data and self._output is not None:
            self._output(stream, data)
        return bool(data)

    # -- a terminal ---------------------------------------------------------------------------------------------------

    def _converse(self) -> None:
        """Carries bytes between the step's terminal and ours (or stdin and the callback)."""
        stdin = self._stdin
        saved = None
        if self._output is None and stdin is not None and os.isatty(stdin):
            saved = termios.tcgetattr(stdin)
            self._follow_size(stdin)
            tty.setraw(stdin)
        try:
            self._exchange(stdin, follows_size=saved is not None)
        finally:
            if saved is not None and stdin is not None:
                termios.tcsetattr(stdin, termios.TCSADRAIN, saved)

    def _follow_size(self, stdin: int) -> None:
        size = os.get_terminal_size(stdin)
        self.resize(size.lines, size.columns)

    def _exchange(self, stdin: int | None, *, follows_size: bool) -> None:
        master, control = self._channels.terminal, self._channels.control.fileno()
        assert master is not None
        poll = select.poll()
        poll.register(control, select.POLLIN)
        poll.register(master, select.POLLIN)
        if stdin is not None:
            poll.register(stdin, select.POLLIN)
        has_ended = False
        while not has_ended:
            ready = poll.poll(_RESIZE_EVERY_MS if follows_size else None)
            if follows_size and stdin is not None:
                self._follow_size(stdin)
            for fd, _ in ready:
                if fd == control:
                    has_ended = True
                elif fd == master:
                    if not self._show(master):
                        poll.unregister(master)
                elif not self._type(fd, master):
                    poll.unregister(fd)
        self._await_end()
        os.set_blocking(master, False)
        while self._show(master):
            pass

    def _show(self, master: int) -> bool:
        """What the terminal says, to the callback or our stdout; False when nothing is left."""
        try:
            data = os.read(master, _BLOCK_BYTES)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.EIO:  # the other end is closed
                raise
            return False
        if self._output is not None:
            self._output(1, data)
        else:
            _write_all(1, data)
        return bool(data)

    @staticmethod
    def _type(stdin: int, master: int) -> bool:
        data = os.read(stdin, 4096)
        _write_all(master, data or b"\x04")  # at the end of our input the terminal sees an end of file
        return bool(data)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
