"""A registry's bytes, counted: a proxy on loopback before a real registry that notes every blob's bytes as they go out."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Counted:
    """`host`: where the proxy listens; registry: what it stands before.

    blobs: bytes handed out for each digest; requests: how often it was asked for.
    """

    host: str
    blobs: dict[str, int] = field(default_factory=dict)
    requests: dict[str, int] = field(default_factory=dict)
    registry: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, digest: str, count: int) -> None:
        with self.lock:
            self.blobs[digest] = self.blobs.get(digest, 0) + count
            self.requests[digest] = self.requests.get(digest, 0) + 1

    def clear(self) -> None:
        with self.lock:
            self.blobs.clear()
            self.requests.clear()

    @property
    def total(self) -> int:
        return sum(self.blobs.values())


@contextmanager
def counting(registry: str) -> Iterator[Counted]:
    """A proxy of the registry at HOST:PORT, for reading only."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    counted = Counted(f"127.0.0.1:{server.server_address[1]}", registry=registry)
    server.RequestHandlerClass = _handler(registry, counted)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield counted
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(registry: str, counted: Counted) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            connection = http.client.HTTPConnection(registry, timeout=60)
            try:
                connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                for key, value in self.headers.items():  # one by one: podman gives Accept several times
                    connection.putheader(key, value)
                connection.endheaders()
                answer = connection.getresponse()
                body = answer.read()
            finally:
                connection.close()
            if "/blobs/" in self.path and self.command == "GET":
                counted.note(self.path.rpartition("/")[2], len(body))
            self.send_response(answer.status)
            for key, value in answer.getheaders():
                if key.lower() not in ("transfer-encoding", "connection", "content-length", "date", "server"):
                    self.send_header(key, value)
            length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(body))
            self.send_header("Content-Length", length or "0")
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
