"""Debian's docker-registry as a process that a test may kill and start again: same port, same directory, same secret."""

from __future__ import annotations

import base64
import socket
import subprocess
import time
from pathlib import Path

from support.certificates import authority

_CONFIG = """\
version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {directory}/data}}
  delete: {{enabled: true}}
{storage}
http:
  addr: 127.0.0.1:{port}
  secret: of-these-tests
{http}
{more}
"""


class RegistryProcess:
    """`host`: `127.0.0.1:PORT`. Started at once; `close` ends it."""

    def __init__(
        self, directory: Path, *, has_tls: bool = False, htpasswd: str | None = None, is_read_only: bool = False
    ) -> None:
        """has_tls: whose authority is `directory/cert.pem`. htpasswd: who may enter; None: everybody."""
        self.directory = directory
        directory.mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.host = f"127.0.0.1:{self._port}"
        http = more = storage = ""
        if has_tls:
            made = authority("tests").issue("127.0.0.1")
            (directory / "cert.pem").write_bytes(authority("tests").certificate)
            (directory / "server.pem").write_bytes(made.certificate)
            (directory / "key.pem").write_bytes(made.key)
            http = f"  tls: {{certificate: {directory}/server.pem, key: {directory}/key.pem}}"
        if htpasswd is not None:
            (directory / "htpasswd").write_text(htpasswd)
            more = f"auth: {{htpasswd: {{realm: tests, path: {directory}/htpasswd}}}}"
        if is_read_only:
            storage = "  maintenance: {readonly: {enabled: true}}"
        text = _CONFIG.format(directory=directory, port=self._port, http=http, more=more, storage=storage)
        (directory / "config.yml").write_text(text)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Returns when it listens."""
        with open(self.directory / "log", "ab") as log:
            self._process = subprocess.Popen(
                ["docker-registry", "serve", str(self.directory / "config.yml")],
                stdout=log,
                stderr=log,
                env={"PATH": "/usr/bin:/bin", "OTEL_TRACES_EXPORTER": "none"},
            )
        for _ in range(800):
            assert self._process.poll() is None, (self.directory / "log").read_text()
            try:
                socket.create_connection(("127.0.0.1", self._port), 5).close()
                return
            except ConnectionRefusedError:
                time.sleep(0.0125)  # until it listens
        raise AssertionError("docker-registry does not listen")

    def kill(self) -> None:
        """As a power cut would end it: nothing is flushed or answered."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def has_blob(self, digest: str) -> bool:
        """Whether its bytes are in the registry's storage."""
        name = digest.partition(":")[2]
        return (self.directory / "data/docker/registry/v2/blobs/sha256" / name[:2] / name / "data").exists()

    def uploads(self) -> list[str]:
        """Sessions that are not over."""
        return [str(path) for path in (self.directory / "data").glob("docker/registry/v2/repositories/**/_uploads/*")]


def docker_login(home: Path, host: str, user: str, password: str) -> None:
    """What `docker login` leaves in a home directory."""
    import json

    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    (home / ".docker").mkdir(parents=True, exist_ok=True)
    (home / ".docker" / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
