"""A real registry on loopback for tests: Debian's docker-registry, on a free port, with a directory of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.certificates import Authority, Issued

needs_registry = pytest.mark.skipif(
    shutil.which("docker-registry") is None, reason="needs Debian's docker-registry and skopeo"
)

_CONFIG = """\
version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {storage}}}
  delete: {{enabled: true}}
http:
  addr: 127.0.0.1:{port}
{more}
"""


@contextmanager
def running_registry(
    directory: Path,
    *,
    mirror_of: str | None = None,
    htpasswd: str | None = None,
    tls: Issued | None = None,
    clients: Authority | None = None,
    port: int | None = None,
) -> Iterator[str]:
    """`127.0.0.1:PORT` of a registry that lives as long as the context; on the same directory, what it held is there.

    mirror_of: a URL that it is a cache of. htpasswd: the users (bcrypt) that may enter; None: everybody may. tls: what it
    shows; None: plain http. clients: who signed the certificates that it wants to be shown. port: None: a free one.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if port is None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    more = f"proxy: {{remoteurl: {mirror_of}}}" if mirror_of else ""
    if htpasswd is not None:
        (directory / "htpasswd").write_text(htpasswd)
        more += f"\nauth: {{htpasswd: {{realm: tests, path: {directory / 'htpasswd'}}}}}\n"
    tls_lines = ""
    if tls is not None:
        (directory / "server.pem").write_bytes(tls.certificate)
        (directory / "server.key").write_bytes(tls.key)
        wanted = ""
        if clients is not None:
            (directory / "clients.pem").write_bytes(clients.certificate)
            wanted = f", clientcas: [{directory / 'clients.pem'}]"
        tls_lines = f"  tls: {{certificate: {directory / 'server.pem'}, key: {directory / 'server.key'}{wanted}}}\n"
    more = tls_lines + more
    (directory / "config.yml").write_text(_CONFIG.format(storage=directory / "data", port=port, more=more))
    with open(directory / "log", "wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(directory / "config.yml")],
            stdout=log,
            stderr=log,
            env={"PATH": "/usr/bin:/bin", "OTEL_TRACES_EXPORTER": "none"},
        )
    try:
        if tls is None:
            _await(f"http://127.0.0.1:{port}/v2/", process, directory / "log")
        else:
            _await_port(port, process, directory / "log")
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def copy_image(source: str, target: str) -> None:
    """`skopeo copy`, between anything it knows; registries without TLS."""
    command = ["skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false"]
    subprocess.run([*command, source, target], check=True, capture_output=True, timeout=120)


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(400):
        assert process.poll() is None, f"docker-registry ended: {log.read_text()}"
        try:
            with opener.open(url, timeout=5):
                return
        except urllib.error.HTTPError as answer:
            answer.close()
            if answer.code != 401:  # it listens, and wants a login
                raise
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.025)  # until it listens
    raise AssertionError(f"docker-registry does not answer: {log.read_text()}")


def _await_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(400):
        assert process.poll() is None, f"docker-registry ended: {log.read_text()}"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except ConnectionError:
            time.sleep(0.025)  # until it listens
    raise AssertionError(f"docker-registry does not listen: {log.read_text()}")
