"""A registry in this process for what a well-behaved one does not show: tokens, redirects, 429, cut connections, lies.

Requests are answered by `FakeRegistry.answer`, from `blobs`, `manifests` and `tags`; a test changes single answers with
`on(METHOD, PATH)`, and looks at `requests` afterwards. What is pushed is in `uploads`.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from slimstage.digest import digest_bytes
from support.fake_uploads import Uploads
from support.images import MemoryImage


@dataclass
class Request:
    method: str
    path: str
    """With its query."""
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes = b""


@dataclass
class Answer:
    """cut_after: bytes of the body after which the connection is broken. chunked: no Content-Length.

    before_cut: called once those bytes were sent, before the connection breaks.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    chunked: bool = False
    before_cut: Callable[[], object] = lambda: None


Reply = Callable[[Request], "Answer | None"]


class FakeRegistry:
    """`host`: as it stands in references."""

    def __init__(self, scheme: str = "http") -> None:
        self.scheme, self.host = scheme, ""
        self.requests: list[Request] = []
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, tuple[str, bytes]] = {}
        """Tag or digest → (media type, bytes)."""
        self.uploads = Uploads()
        self._replies: list[tuple[str, re.Pattern[str], Reply, list[int]]] = []
        self._lock = threading.Lock()

    @property
    def base(self) -> str:
        return f"{self.scheme}://{self.host}"

    def add(self, image: MemoryImage, tag: str = "1") -> None:
        """Serves the image, in every repository."""
        self.blobs |= {str(digest): data for digest, data in image.blobs.items()}
        manifest = image.manifest()
        self.put_manifest(manifest.media_type, manifest.raw, tag)

    def put_manifest(self, media_type: str, data: bytes, tag: str | None = None) -> str:
        digest = digest_bytes(data)
        self.manifests[digest] = (media_type, data)
        if tag:
            self.manifests[tag] = (media_type, data)
        return digest

    def on(self, method: str, path: str, reply: Reply | Answer, times: int = 1_000_000) -> None:
        """The next `times` requests whose path matches the expression get this reply; None: the ordinary one."""
        made: Reply = (lambda request: reply) if isinstance(reply, Answer) else reply
        self._replies.append((method, re.compile(path), made, [times]))

    def seen(self, path: str, method: str = "GET") -> list[Request]:
        """Requests so far whose path matches."""
        return [request for request in self.requests if request.method == method and re.search(path, request.path)]

    def answer(self, request: Request) -> Answer:
        with self._lock:
            self.requests.append(request)
            found = None
            for method, pattern, reply, left in self._replies:
                if method == request.method and left[0] and pattern.search(request.path):
                    left[0] -= 1
                    found = reply
                    break
        if found is not None and (answer := found(request)) is not None:
            return answer
        return self.ordinary(request)

    def ordinary(self, request: Request) -> Answer:
        """The answer when no test has changed it."""
        pushed = self.uploads.answer(request, self.blobs, self.manifests)
        if pushed is not None:
            return pushed
        path = request.path.partition("?")[0]
        match = re.fullmatch(r"/v2/(.+)/(manifests|blobs|tags)/([^/]+)", path)
        if not match:
            return Answer(200 if path == "/v2/" else 404)
        _, kind, name = match.groups()
        if kind == "tags":
            tags = [name for name in self.manifests if ":" not in name]
            return Answer(body=json.dumps({"name": match[1], "tags": tags}).encode())
        if kind == "manifests":
            if name not in self.manifests:
                return Answer(404, error_body("MANIFEST_UNKNOWN", "manifest unknown"))
            media_type, data = self.manifests[name]
            return Answer(body=data, headers={"Content-Type": media_type, "Docker-Content-Digest": digest_bytes(data)})
        data = self.uploads.blobs.get((match[1], name), self.blobs.get(name, b""))
        if not data and (match[1], name) not in self.uploads.blobs and name not in self.blobs:
            return Answer(404, error_body("BLOB_UNKNOWN", "blob unknown"))
        wanted = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
        if wanted:
            at = int(wanted[1])
            return Answer(206, data[at:], {"Content-Range": f"bytes {at}-{len(data) - 1}/{len(data)}"})
        return Answer(body=data)


def error_body(code: str, message: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message, "detail": None}]}).encode()


@contextmanager
def fake_registry(tls: ssl.SSLContext | None = None) -> Iterator[FakeRegistry]:
    """One that listens on loopback while the context lasts; with a server's TLS context it speaks https."""
    registry = FakeRegistry("https" if tls else "http")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(registry))
    server.daemon_threads = True
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    registry.host = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(registry: FakeRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20

        def handle(self) -> None:
            try:
                super().handle()
            except (OSError, ssl.SSLError):
                self.close_connection = True  # the client left, or distrusts us

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def _serve(self) -> None:
            cut = registry.uploads.cut_of(self.command, self.path)
            if cut is not None and cut.after is not None:
                part = self._body(cut.after)
                registry.uploads.broken(self.command, self.path, part if cut.keeps else b"")
                self._break()
                return
            body = self._body()
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = registry.answer(Request(self.command, self.path, headers, body))
            if cut is not None:
                self._break()
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            data = b"" if self.command == "HEAD" else answer.body
            if answer.chunked:
                self.send_header("Transfer-Encoding", "chunked")
                data = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data) if data else b"0\r\n\r\n"
            else:
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if answer.cut_after is not None:
                self.wfile.write(data[: answer.cut_after])
                self.wfile.flush()
                answer.before_cut()
                self._break()
                return
            self.wfile.write(data)

        def _body(self, limit: int = 1 << 40) -> bytes:
            """The request's body, or so much of its beginning; in chunks where it comes so (RFC 9112, section 7.1)."""
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(min(limit, int(self.headers.get("Content-Length") or 0)))
            body = bytearray()
            while len(body) < limit:
                head = self.rfile.readline()
                if not head:
                    raise ConnectionResetError("the client left in the middle of a body")
                size = int(head, 16)
                body += self.rfile.read(min(size, limit - len(body)))
                if len(body) < limit:
                    self.rfile.readline()
                if not size:
                    break
            return bytes(body)

        def _break(self) -> None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    return Handler


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    """A registry of the tests' own, for one test."""
    with fake_registry() as made:
        yield made


@pytest.fixture
def other() -> Iterator[FakeRegistry]:
    """A second one, at another origin."""
    with fake_registry() as made:
        yield made
