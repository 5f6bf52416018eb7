"""A proxy on loopback for tests: real CONNECT, with or without a password, to wherever the test says names lead."""

from __future__ import annotations

import base64
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class ConnectProxy:
    """host: `127.0.0.1:PORT`. names: `NAME:PORT` → where it is. asked: the heads of requests."""

    host: str
    names: dict[str, str]
    login: str | None = None
    asked: list[str] = field(default_factory=list)


@contextmanager
def connect_proxy(names: dict[str, str], login: str | None = None) -> Iterator[ConnectProxy]:
    """One that lives as long as the context. login: `user:password` that it wants."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        proxy = ConnectProxy(f"127.0.0.1:{server.getsockname()[1]}", names, login)
        threading.Thread(target=_accept, args=(server, proxy), daemon=True).start()
        yield proxy


def _accept(server: socket.socket, proxy: ConnectProxy) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(client, proxy), daemon=True).start()


def _serve(client: socket.socket, proxy: ConnectProxy) -> None:
    with client:
        client.settimeout(20)
        head = b""
        while b"\r\n\r\n" not in head:
            more = client.recv(4096)
            if not more:
                return
            head += more
        text = head.decode("latin-1")
        proxy.asked.append(text)
        method, target, _ = text.split(" ", 2)
        wanted = None if proxy.login is None else base64.b64encode(proxy.login.encode()).decode()
        if wanted is not None and f"proxy-authorization: basic {wanted}".lower() not in text.lower():
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        if method != "CONNECT" or target not in proxy.names:
            client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        address, _, port = proxy.names[target].rpartition(":")
        with socket.create_connection((address, int(port)), timeout=20) as server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            _relay(client, server)


def _relay(one: socket.socket, other: socket.socket) -> None:
    ends = {one: other, other: one}
    while True:
        ready, _, _ = select.select(list(ends), [], [], 20)
        for end in ready:
            try:
                data = end.recv(65536)
                if not data:
                    return
                ends[end].sendall(data)
            except OSError:
                return
        if not ready:
            return
