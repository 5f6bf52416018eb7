"""What `http://context.test/` is for both builders: the files of the case's context, and a repository, by a proxy on loopback.

A name that no one resolves, since a port in an address would stand in histories. `?as=NAME` sends the file under that name,
`/to/PATH` leads to PATH, and `/repo.git` is a repository with the same commits everywhere: tag `v1`, then `main`, and `dev`.
"""

from __future__ import annotations

import contextlib
import email.utils
import hashlib
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

ORIGIN = "http://context.test"
_COMMITTED_S = 1_300_000_000


class Web:
    """The proxy, from when it is made until `close`."""

    def __init__(self, home: Path) -> None:
        self.top = home / "nothing"
        """The directory whose files are given."""
        self.repository = home / "web" / "repo.git"
        if not self.repository.exists():
            _make_repository(self.repository)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def environment(self) -> dict[str, str]:
        """By which a program comes to it."""
        proxy = f"http://127.0.0.1:{self._server.server_address[1]}"
        return {"http_proxy": proxy, "HTTP_PROXY": proxy}

    def close(self) -> None:
        """Ends it; what it gave stays."""
        self._server.shutdown()
        self._server.server_close()


def _make_repository(bare: Path) -> None:
    work = bare.parent / "work"
    work.mkdir(parents=True)

    def git(*words: str) -> None:
        who = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in _IDENTITY.items()}
        subprocess.run(
            ["git", "-c", "init.defaultBranch=main", *words], cwd=work, check=True, capture_output=True,
            env={"PATH": os.environ["PATH"], "HOME": str(work), "GIT_CONFIG_NOSYSTEM": "1", **who},
        )  # fmt: skip

    git("init", "-q")
    (work / "f").write_text("first\n")
    (work / "sub/deep").mkdir(parents=True)
    (work / "sub/g").write_text("g\n")
    (work / "sub/deep/run").write_text("#!/bin/sh\n")
    (work / "sub/deep/run").chmod(0o755)
    (work / "l").symlink_to("sub/g")
    git("add", ".")
    git("commit", "-qm", "one")
    git("tag", "v1")
    (work / "f").write_text("second\n")
    git("commit", "-qam", "two")
    git("checkout", "-qb", "dev", "v1")
    (work / "sub/g").unlink()
    git("commit", "-qam", "three")
    git("checkout", "-q", "main")
    git("clone", "-q", "--bare", ".", str(bare))


_IDENTITY = {"NAME": "a", "EMAIL": "a@b", "DATE": f"@{_COMMITTED_S} +0000"}


def _handler(web: Web) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            path = unquote(parts.path)
            if parts.netloc != "context.test":
                self._answer(502)
            elif path.startswith("/repo.git/"):
                self._repository(path, parts.query)
            elif path.startswith("/to/"):
                self._answer(302, Location=ORIGIN + parts.path.removeprefix("/to"))
            else:
                self._file(web.top / path.lstrip("/"), parse_qs(parts.query).get("as"))

        do_HEAD = do_POST = do_GET

        def _file(self, path: Path, name: list[str] | None) -> None:
            if not path.is_file() or path.is_symlink():
                return self._answer(404)
            data, changed = path.read_bytes(), path.stat().st_mtime
            etag = '"' + hashlib.sha256(data + str((path, changed)).encode()).hexdigest() + '"'
            if self.headers.get("If-None-Match") == etag:
                return self._answer(304, ETag=etag)
            headers = {"ETag": etag, "Last-Modified": email.utils.formatdate(changed, usegmt=True)}
            if name:
                headers["Content-Disposition"] = f'attachment; filename="{name[0]}"'
            return self._answer(200, data, **headers)

        def _repository(self, path: str, query: str) -> None:
            """By git's own CGI program."""
            size = int(self.headers.get("Content-Length") or 0)
            done = subprocess.run(
                ["git", "http-backend"], input=self._body(size), capture_output=True, check=True,
                env={
                    "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(web.repository.parent), "GIT_HTTP_EXPORT_ALL": "1",
                    "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": self.command,
                    "CONTENT_TYPE": self.headers.get("Content-Type", ""), "REMOTE_ADDR": "127.0.0.1",
                    "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                    "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "GIT_CONFIG_COUNT": "1",
                    "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
                },
            )  # fmt: skip
            head, _, body = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            self._answer(int(headers.pop("Status", "200")[:3]), body, **headers)

        def _body(self, size: int) -> bytes:
            if self.headers.get("Transfer-Encoding", "") != "chunked":
                return self.rfile.read(size)
            made = b""
            while size := int(self.rfile.readline(), 16):
                made += self.rfile.read(size)
                self.rfile.readline()
            return made

        def _answer(self, status: int, data: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            if status != 304:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                with contextlib.suppress(ConnectionError):  # a client may end before it has read all
                    self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    return Handler
