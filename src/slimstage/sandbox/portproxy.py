"""Published ports: a small process that listens on the host and connects inside a container's network namespace.

For `slimstage run -p`. It starts on the host's side with the listening socket, enters the container's namespace, where
every connection it makes begins, and carries bytes. Nothing of the image is read or executed by it. Runs as a process of
its own, so that a detached container keeps its ports: `python -m slimstage.sandbox.portproxy` is not for users.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Literal

_BLOCK_BYTES = 1 << 16
_MOST_UDP_PEERS = 1024
_CONNECT_TIMEOUT_S = 10
_MAIN = "import sys; sys.path.append({!r}); from slimstage.sandbox.portproxy import main; main(sys.argv[1:])"


def start_proxy(
    pid: int, host: str, host_port: int, container_port: int, protocol: Literal["tcp", "udp"] = "tcp"
) -> ProxyProcess:
    """Publishes a port: what reaches host:host_port goes to container_port in the network namespace of `pid`.

    host_port 0 takes a free one. The process ends when the container does, or by `stop`.
    Raises SandboxError: the address is in use or not ours, the process is gone.
    """
    from slimstage.errors import SandboxError

    where = f"{host}:{host_port}/{protocol}"
    try:
        listener = _listen(host, host_port, protocol)
    except (OSError, OverflowError) as error:
        words = (getattr(error, "strerror", None) or str(error)).lower()
        raise SandboxError(
            f'cannot publish "{where}": {words}', code="port-refused", hint="choose another port: -p HOST_PORT:PORT"
        ) from error
    with listener:
        port: int = listener.getsockname()[1]
        pidfd = -1
        try:
            pidfd = os.pidfd_open(pid)
            namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        except OSError as error:
            if pidfd >= 0:
                os.close(pidfd)
            raise SandboxError(f'cannot publish "{where}": process {pid} has ended', code="port-refused") from error
        try:
            process = subprocess.Popen(
                [
                    sys.executable, "-I", "-S", "-c", _MAIN.format(str(Path(__file__).resolve().parents[2])),
                    str(listener.fileno()), str(namespace), str(pidfd), str(container_port), protocol,
                ],
                pass_fds=(listener.fileno(), namespace, pidfd), start_new_session=True, cwd="/",
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip
        finally:
            os.close(namespace)
            os.close(pidfd)
    return ProxyProcess(process, port)


class ProxyProcess:
    """A proxy that was started; `pid` may be kept by a detached container's record, `port` is the host's."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self._process, self.pid, self.port = process, process.pid, port

    def stop(self) -> None:
        """Ends it. Idempotent."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()

    def detach(self) -> None:
        """Leaves it running after us; it ends with its container."""
        self._process.returncode = 0  # no waiting, and no warning that we did not


def _listen(host: str, port: int, protocol: str) -> socket.socket:
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    family, _, _, _, address = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_PASSIVE)[0]
    listener = socket.socket(family, kind)
    try:
        if protocol == "tcp":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        if protocol == "tcp":
            listener.listen(128)
    except BaseException:
        listener.close()
        raise
    return listener


# -- the process ------------------------------------------------------------------------------------------------------


def main(arguments: list[str]) -> None:
    from slimstage.sandbox.syscalls import CLONE_NEWNET, PR_SET_DUMPABLE, prctl, setns

    listener_fd, namespace, pidfd, port = map(int, arguments[:4])
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    prctl(PR_SET_DUMPABLE, 0, "hide from the container")
    setns(namespace, CLONE_NEWNET)
    os.close(namespace)
    listener = socket.socket(fileno=listener_fd)
    serve = _serve_tcp if arguments[4] == "tcp" else _serve_udp
    threading.Thread(target=serve, args=(listener, port), daemon=True).start()
    with selectors.DefaultSelector() as selector:
        selector.register(pidfd, selectors.EVENT_READ)
        selector.select()  # the container has ended
    os._exit(0)


def _serve_tcp(listener: socket.socket, port: int) -> None:
    while True:
        try:
            outside, _ = listener.accept()
        except OSError:
            continue  # the peer went away between its SYN and now
        threading.Thread(target=_connect, args=(outside, port), daemon=True).start()


def _connect(outside: socket.socket, port: int) -> None:
    with outside:
        for address in ("127.0.0.1", "::1"):
            try:
                inside = socket.create_connection((address, port), timeout=_CONNECT_TIMEOUT_S)
            except OSError:
                continue
            with inside:
                inside.settimeout(None)
                back = threading.Thread(target=_carry, args=(inside, outside), daemon=True)
                back.start()
                _carry(outside, inside)
                back.join()
            return


def _carry(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(_BLOCK_BYTES):
            target.sendall(data)
    except OSError:
        pass
    try:
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def _serve_udp(listener: socket.socket, port: int) -> None:
    """One socket inside for each peer outside, the longest unused goes first."""
    peers: dict[object, socket.socket] = {}
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            try:
                if key.fileobj is listener:
                    data, peer = listener.recvfrom(_BLOCK_BYTES)
                    inside = peers.pop(peer, None) or _new_peer(selector, peer, port)
                    peers[peer] = inside
                    inside.send(data)
                    if len(peers) > _MOST_UDP_PEERS:
                        oldest = peers.pop(next(iter(peers)))
                        selector.unregister(oldest)
                        oldest.close()
                elif isinstance(key.fileobj, socket.socket):
                    listener.sendto(key.fileobj.recv(_BLOCK_BYTES), key.data)
            except OSError:
                continue  # nobody listens inside: datagrams are lost, as they are


def _new_peer(selector: selectors.BaseSelector, peer: object, port: int) -> socket.socket:
    inside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    inside.connect(("127.0.0.1", port))
    selector.register(inside, selectors.EVENT_READ, peer)
    return inside
