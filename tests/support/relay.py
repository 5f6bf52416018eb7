"""A relay on loopback between a client and a server: counts what comes down, and does something after so many bytes."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Relay:
    """host: `127.0.0.1:PORT`. down_bytes: what the server sent so far.

    cut_after: once so many came down, all connections break, and before that `before_cut` is called; None: never.
    """

    target: tuple[str, int]
    cut_after: int | None = None
    before_cut: Callable[[], object] = lambda: None
    host: str = ""
    down_bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    open: list[socket.socket] = field(default_factory=list)

    def came_down(self, count: int) -> bool:
        """Counts; False when it is time to break the connection."""
        with self.lock:
            self.down_bytes += count
            if self.cut_after is None or self.down_bytes < self.cut_after:
                return True
            self.cut_after = None
            self.before_cut()
            for each in self.open:
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue
            return False


@contextmanager
def relay(host: str) -> Iterator[Relay]:
    """One to `ADDRESS:PORT`, as long as the context lasts."""
    address, _, port = host.rpartition(":")
    with socket.create_server(("127.0.0.1", 0)) as server:
        made = Relay((address, int(port)), host=f"127.0.0.1:{server.getsockname()[1]}")
        threading.Thread(target=_accept, args=(server, made), daemon=True).start()
        yield made


def _accept(server: socket.socket, made: Relay) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(client, made), daemon=True).start()


def _serve(client: socket.socket, made: Relay) -> None:
    with client:
        try:
            with socket.create_connection(made.target, timeout=20) as server:
                with made.lock:
                    made.open.append(client)
                _move(client, server, made)
        except OSError:
            return


def _move(client: socket.socket, server: socket.socket, made: Relay) -> None:
    while True:
        ready, _, _ = select.select([client, server], [], [], 60)
        if not ready:
            return
        for end in ready:
            data = end.recv(65536)
            if not data or (end is server and not made.came_down(len(data))):
                return
            (client if end is server else server).sendall(data)
