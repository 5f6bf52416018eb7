"""URLs: fetched from a server in this process, verified, and refused where they lead to a metadata service."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from slimstage.context import remote
from slimstage.context.remote import Known, fetch_url, is_refused, name_of, shown_url
from slimstage.digest import Digest, digest_bytes
from slimstage.errors import ContextError, RegistryError

BODY = b"weights" * 1000


class Handler(BaseHTTPRequestHandler):
    seen: ClassVar[list[tuple[str, dict[str, str]]]] = []

    def do_GET(self) -> None:
        self.seen.append((self.path, dict(self.headers)))
        if self.path.startswith("/redirect"):
            self.send_response(302)
            self.send_header("Location", self.path.partition("?to=")[2])
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path.startswith("/status"):
            self.send_response(int(self.path[7:10]))
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.headers.get("If-None-Match") == '"v1"':
            self.send_response(304)
            self.end_headers()
        else:
            self.send_response(200)
            short = self.path.startswith("/short")
            self.send_header("Content-Length", str(len(BODY) + (10 if short else 0)))
            self.send_header("Last-Modified", "Tue, 14 Nov 2023 22:13:20 GMT")
            self.send_header("ETag", '"v1"')
            self.end_headers()
            self.wfile.write(BODY)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    Handler.seen.clear()
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    thread.join()
    running.server_close()


def test_a_file_arrives_with_its_name_mode_and_time(server: str, tmp_path: Path) -> None:
    name = fetch_url(f"{server}/a/model%20x.bin?token=1", str(tmp_path))
    assert name == "model x.bin"
    status = (tmp_path / name).stat()
    assert (status.st_mode & 0o7777, status.st_mtime) == (0o600, 1_700_000_000)
    assert (tmp_path / name).read_bytes() == BODY


def test_progress_tells_bytes_and_hides_the_query(server: str, tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    fetch_url(f"{server}/f?token=secret", str(tmp_path), progress=lambda *what: told.append(what))
    assert told[-1] == (f"{server}/f?xxxxx", len(BODY), len(BODY))


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_checksum_that_fits_is_accepted(server: str, tmp_path: Path, algorithm: str) -> None:
    fetch_url(f"{server}/f", str(tmp_path), checksum=f"{algorithm}:{hashlib.new(algorithm, BODY).hexdigest()}")
    assert (tmp_path / "f").exists()


def test_a_checksum_that_does_not_fit_fails_and_leaves_nothing(server: str, tmp_path: Path) -> None:
    with pytest.raises(ContextError, match="want sha256:0000") as caught:
        fetch_url(f"{server}/f", str(tmp_path), checksum="sha256:" + "0" * 64)
    assert caught.value.code == "checksum-mismatch"
    assert list(tmp_path.iterdir()) == []


def test_redirects_are_followed_and_the_name_stays(server: str, tmp_path: Path) -> None:
    assert fetch_url(f"{server}/redirect/x?to=/other", str(tmp_path)) == "x"
    assert [path for path, _ in Handler.seen] == ["/redirect/x?to=/other", "/other"]


def test_endless_redirects_end(server: str, tmp_path: Path) -> None:
    with pytest.raises(ContextError, match="redirects too often"):
        fetch_url(f"{server}/redirect/x?to=" + "/redirect/x?to=" * 20, str(tmp_path))


@pytest.mark.parametrize("status", ["404", "401"])
def test_a_refusal_is_the_inputs_fault(server: str, tmp_path: Path, status: str) -> None:
    with pytest.raises(ContextError, match=f"the server says {status}"):
        fetch_url(f"{server}/status{status}", str(tmp_path))


def test_a_failing_server_is_temporary(server: str, tmp_path: Path) -> None:
    with pytest.raises(RegistryError) as caught:
        fetch_url(f"{server}/status503", str(tmp_path))
    assert caught.value.is_temporary


def test_a_download_that_breaks_off_is_an_error(server: str, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="broke off"):
        fetch_url(f"{server}/short", str(tmp_path))


def test_user_and_password_go_to_their_origin_only_and_are_never_shown(server: str, tmp_path: Path) -> None:
    url = server.replace("http://", "http://user:pa%3Ass@") + "/status404?x=1"
    with pytest.raises(ContextError) as caught:
        fetch_url(url, str(tmp_path))
    assert Handler.seen[-1][1]["Authorization"] == "Basic dXNlcjpwYTpzcw=="
    assert "pa" not in str(caught.value).replace("path", "")
    port = server.rpartition(":")[2]
    fetch_url(
        server.replace("http://", "http://user:secret@") + f"/redirect/f?to=http://localhost:{port}/f", str(tmp_path)
    )
    assert "Authorization" not in Handler.seen[-1][1]


class Remembering:
    def __init__(self, kept: Path) -> None:
        self.kept, self.known = kept, dict[str, Known]()

    def find(self, url: str) -> Known | None:
        return self.known.get(url)

    def keep(self, url: str, etag: str, last_modified: str, digest: Digest, path: str) -> None:
        self.kept.write_bytes(Path(path).read_bytes())
        self.known[url] = Known(etag, last_modified, digest, str(self.kept))


def test_an_unchanged_file_is_not_transferred_again_but_is_verified(server: str, tmp_path: Path) -> None:
    memory = Remembering(tmp_path / "kept")
    for number in ("1", "2"):
        (tmp_path / number).mkdir()
        fetch_url(f"{server}/f", str(tmp_path / number), revalidation=memory)
    assert Handler.seen[-1][1]["If-None-Match"] == '"v1"'
    assert (tmp_path / "2/f").read_bytes() == BODY
    assert (tmp_path / "2/f").stat().st_mtime == 1_700_000_000
    assert memory.known[f"{server}/f"].digest == digest_bytes(BODY)
    (tmp_path / "kept").write_bytes(b"tampered")
    (tmp_path / "3").mkdir()
    with pytest.raises(ContextError, match="other bytes"):
        fetch_url(f"{server}/f", str(tmp_path / "3"), checksum=digest_bytes(BODY), revalidation=memory)


# Where a URL may lead --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/",
        "http://[fe80::1]/x",
        "http://[::ffff:169.254.169.254]/x",
        "http://[fd00:ec2::254]/x",
        "http://100.100.100.200/x",
    ],
)
def test_metadata_addresses_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ContextError) as caught:
        fetch_url(url, str(tmp_path))
    assert caught.value.code == "url-refused-address"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/x", "gopher://x", "http://", "http://[bad/"])
def test_only_http_is_fetched(tmp_path: Path, url: str) -> None:
    with pytest.raises(ContextError) as caught:
        fetch_url(url, str(tmp_path))
    assert caught.value.code in ("url-scheme", "bad-url")


def test_a_redirect_to_a_refused_place_is_refused(server: str, tmp_path: Path) -> None:
    for target in ("http://169.254.169.254/latest", "file:///etc/passwd"):
        with pytest.raises(ContextError) as caught:
            fetch_url(f"{server}/redirect?to={target}", str(tmp_path))
        assert caught.value.code in ("url-refused-address", "url-scheme")


def test_a_name_is_judged_by_the_address_it_connects_to(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peer of the connected socket counts, not what a lookup said before."""
    monkeypatch.setattr(remote, "_REFUSED", (ipaddress.ip_network("127.0.0.0/8"),))
    with pytest.raises(ContextError) as caught:
        fetch_url(server.replace("127.0.0.1", "localhost") + "/f", str(tmp_path))
    assert caught.value.code == "url-refused-address"
    assert Handler.seen == []


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1", "192.168.1.1", "8.8.8.8", "::1", "2001:db8::1"])
def test_other_addresses_are_allowed(address: str) -> None:
    assert not is_refused(ipaddress.ip_address(address))


def test_addresses_in_disguise_are_refused() -> None:
    for address in ("::ffff:169.254.0.1", "2002:a9fe:a9fe::1", "64:ff9b::169.254.169.254", "168.63.129.16"):
        assert is_refused(ipaddress.ip_address(address)), address


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://h/a/b.tar.gz?x#y", "b.tar.gz"),
        ("http://h/", "__unnamed__"),
        ("http://h", "__unnamed__"),
        ("http://h/dir/", "dir"),
        ("http://h/%2e%2e", "__unnamed__"),
        ("http://h/a%2Fb", "b"),
    ],
)
def test_the_name_is_the_last_part_of_the_path(url: str, name: str) -> None:
    assert name_of(url) == name


def test_what_is_shown_hides_user_and_query() -> None:
    assert shown_url("https://u:p@h:1/x?token=1#f") == "https://xxxxx@h:1/x?xxxxx"
