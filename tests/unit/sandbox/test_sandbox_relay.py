"""The relay between a step and an agent's socket: a step cannot use up what the builder has."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimstage.sandbox.relay import _MOST_AT_ONCE, Relay


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    """A socket that answers each connection with what it was sent."""
    path = tmp_path / "agent"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(256)

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=echo, args=(connection,), daemon=True).start()

        def echo(connection: socket.socket) -> None:
            with connection:
                while data := connection.recv(100):
                    connection.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        yield path
        server.shutdown(socket.SHUT_RDWR)


def connected(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(20)
    client.connect(str(path))
    return client


def relay_at(path: Path, agent: Path) -> Relay:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(512)
    return Relay(listener.detach(), str(agent))


def test_a_step_that_opens_many_connections_waits(tmp_path: Path, agent: Path) -> None:
    relay = relay_at(tmp_path / "inside", agent)
    clients = [connected(tmp_path / "inside") for _ in range(_MOST_AT_ONCE + 40)]
    try:
        for client in clients[:_MOST_AT_ONCE]:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
        carried = [thread for thread in threading.enumerate() if "_serve" in thread.name]
        assert len(carried) == _MOST_AT_ONCE
        late = clients[-1]
        late.sendall(b"late")
        for client in clients[:50]:
            client.close()
        assert late.recv(4) == b"late"
    finally:
        for client in clients:
            client.close()
        relay.close()


def test_closing_ends_a_relay_that_is_full(tmp_path: Path, agent: Path) -> None:
    relay = relay_at(tmp_path / "inside", agent)
    clients = [connected(tmp_path / "inside") for _ in range(_MOST_AT_ONCE + 1)]
    for client in clients[:_MOST_AT_ONCE]:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    relay.close()
    relay.close()
    assert clients[0].recv(1) == b""
    for client in clients:
        client.close()


def test_an_agent_that_is_gone_frees_its_place(tmp_path: Path) -> None:
    relay = relay_at(tmp_path / "inside", tmp_path / "nobody")
    for _ in range(_MOST_AT_ONCE + 5):
        with connected(tmp_path / "inside") as client:
            assert client.recv(1) == b""
    relay.close()
