"""Connections to a socket in a step, carried to a socket of the host (an ssh agent).

The agent sees the builder's user, whoever the step's user is, and the step never holds a descriptor of the host.
"""

from __future__ import annotations

import socket
import threading

_BLOCK_BYTES = 1 << 16
_MOST_AT_ONCE = 64
"""Connections that are carried at once; a step that opens more waits, and does not use up our threads and descriptors."""


class Relay:
    """Answers a listening socket until closed. Two threads for each connection, which is a short one."""

    def __init__(self, listener: int, path: str) -> None:
        self._listener, self._path = socket.socket(fileno=listener), path
        self._lock = threading.Lock()
        self._open: set[socket.socket] | None = set()
        self._free = threading.BoundedSemaphore(_MOST_AT_ONCE)
        self._thread = threading.Thread(target=self._accept, name="slimstage-relay", daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            self._free.acquire()
            try:
                inside, _ = self._listener.accept()
            except OSError:
                return
            outside = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                outside.connect(self._path)
            except OSError:
                inside.close()
                outside.close()
                self._free.release()
                continue
            with self._lock:
                if self._open is None:
                    inside.close()
                    outside.close()
                    return
                self._open |= {inside, outside}
            back = threading.Thread(target=_carry, args=(outside, inside), daemon=True)
            back.start()
            threading.Thread(target=self._serve, args=(inside, outside, back), daemon=True).start()

    def _serve(self, inside: socket.socket, outside: socket.socket, back: threading.Thread) -> None:
        _carry(inside, outside)
        back.join()
        with self._lock:
            if self._open is not None:
                self._open -= {inside, outside}
        inside.close()
        outside.close()
        self._free.release()

    def close(self) -> None:
        """Ends all connections. Idempotent."""
        with self._lock:
            connections, self._open = self._open or set(), None
        for each in (self._listener, *connections):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._thread.join()
        self._listener.close()


def _carry(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(_BLOCK_BYTES):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass
