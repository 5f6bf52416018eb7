"""Certificates, proxies, and peers that are slow on purpose."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from slimstage.errors import Interrupted, RegistryError, UsageError
from slimstage.oci.reference import Reference
from slimstage.registry.certificates import Certificates, certificate_finder
from slimstage.registry.client import RegistryClient
from slimstage.registry.connections import Patience, proxy_of
from slimstage.registry.hosts import Hosts, Origin, read_hosts
from slimstage.registry.retry import Backoff, Pauses
from slimstage.registry.transport import Transport
from support.certificates import authority, server_context
from support.fake_registry import FakeRegistry, fake_registry
from support.proxy import connect_proxy

SERVER, CLIENTS = authority("servers"), authority("clients")
ME = CLIENTS.issue("me.example")


@contextmanager
def secure_registry(*names: str, wants_certificate: bool = False) -> Iterator[FakeRegistry]:
    issued = SERVER.issue(*names or ("127.0.0.1",))
    context = server_context(issued, CLIENTS if wants_certificate else None)
    with fake_registry(tls=context) as registry:
        registry.manifests["1"] = ("application/json", b"inside")
        yield registry


@pytest.fixture(autouse=True)
def _no_proxy_of_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


class Files:
    """A home with certificates, where Docker or Podman look for them or elsewhere."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def authority(self, path: str) -> str:
        return self._write(path, SERVER.certificate)

    def mine(self, path: str) -> str:
        return self._write(path, ME.certificate)

    def key(self, path: str) -> str:
        return self._write(path, ME.key)

    def _write(self, path: str, data: bytes) -> str:
        place = self.home / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        return str(place)

    def get(
        self, registry: FakeRegistry, settings: dict[str, dict[str, object]] | None = None, name: str = ""
    ) -> bytes:
        pauses = Pauses(Backoff(1), wait=lambda _: None)
        client = RegistryClient(settings or {}, environ={"HOME": str(self.home)}, pauses=pauses)
        try:
            return client.get(Reference(name or registry.host, "a", "1"), "manifests/1", "get it", 1_000).body
        finally:
            client.close()


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


# Certificates -------------------------------------------------------------------------------------------------------------


def test_a_client_certificate_of_the_settings_is_shown(files: Files) -> None:
    with secure_registry(wants_certificate=True) as registry:
        settings: dict[str, object] = {"ca": files.authority("ca.pem")}
        with pytest.raises(RegistryError, match=r"wants to know who we are|TLS failed|connection was lost"):
            files.get(registry, {registry.host: settings})
        assert registry.requests == []
        settings |= {"client-cert": files.mine("me.pem"), "client-key": files.key("me.key")}
        assert files.get(registry, {registry.host: settings}) == b"inside"


def test_a_client_certificate_may_hold_its_key(files: Files) -> None:
    both = files._write("both.pem", ME.key + ME.certificate)
    with secure_registry(wants_certificate=True) as registry:
        settings: dict[str, object] = {"ca": files.authority("ca.pem"), "client-cert": both}
        assert files.get(registry, {registry.host: settings}) == b"inside"


@pytest.mark.parametrize("tool", ["docker", "containers"])
def test_certificates_lie_where_docker_and_podman_look_for_them(files: Files, tool: str) -> None:
    """A directory for a registry on loopback also says that it speaks TLS."""
    with secure_registry(wants_certificate=True) as registry:
        place = f".config/{tool}/certs.d/{registry.host}"
        files.authority(f"{place}/ca.crt")
        files.mine(f"{place}/client.cert")
        files.key(f"{place}/client.key")
        assert files.get(registry) == b"inside"


def test_the_settings_go_before_those_directories(files: Files) -> None:
    with secure_registry() as registry:
        files._write(f".config/docker/certs.d/{registry.host}/ca.crt", CLIENTS.certificate)
        with pytest.raises(RegistryError, match="authority is not known here"):
            files.get(registry)
        assert files.get(registry, {registry.host: {"ca": files.authority("ca.pem")}}) == b"inside"


def test_certificates_of_one_server_are_not_shown_to_another(files: Files) -> None:
    """A mirror behind a certificate is shown it; the registry itself is not, and is not trusted by its authority."""
    with secure_registry(wants_certificate=True) as mirror, secure_registry() as registry:
        settings: dict[str, dict[str, object]] = {
            registry.host: {"mirrors": [f"https://{mirror.host}"], "ca": files.authority("ca.pem")},
            mirror.host: {
                "ca": files.authority("ca.pem"),
                "client-cert": files.mine("me.pem"),
                "client-key": files.key("me.key"),
            },
        }
        hosts = read_hosts(settings)
        own = hosts.endpoints(registry.host)[-1].origin
        assert hosts.settings_of(own).client_cert is None
        assert files.get(registry, settings) == b"inside"
        assert registry.requests == []
        assert len(mirror.requests) == 1


def test_what_is_found_for_a_host(files: Files) -> None:
    find = certificate_finder({"HOME": str(files.home)})
    assert find("a.example") == Certificates()
    assert not find("a.example")
    place = ".config/containers/certs.d/b.example:5000"
    first, second = files.authority(f"{place}/a.crt"), files.authority(f"{place}/b.crt")
    files._write(f"{place}/notes.txt", b"")
    assert find("b.example:5000") == Certificates((first, second))
    files.authority(".config/docker/certs.d/b.example:5000/c.crt")
    assert certificate_finder({"HOME": str(files.home)})("b.example:5000").authorities == (first, second)


@pytest.mark.parametrize("suffix", ["cert", "key"])
def test_half_a_pair_is_a_mistake(files: Files, suffix: str) -> None:
    files.mine(f".config/docker/certs.d/a.example/me.{suffix}")
    with pytest.raises(UsageError, match="is missing beside") as caught:
        certificate_finder({"HOME": str(files.home)})("a.example")
    assert caught.value.code == "bad-ca"


def test_an_encrypted_key_is_said_and_nothing_is_asked(files: Files) -> None:
    plain = serialization.load_pem_private_key(ME.key, None)
    form, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    encrypted = plain.private_bytes(form, kind, serialization.BestAvailableEncryption(b"x123"))
    key = files._write("me.key", encrypted)
    transport = Transport(read_hosts({"a.example": {"client-cert": files.mine("me.pem"), "client-key": key}}))
    with pytest.raises(UsageError, match="the key is encrypted"):
        transport.request("GET", "https://a.example/v2/")


def test_a_file_that_is_no_certificate_is_named(files: Files) -> None:
    path = files._write("ca.pem", b"nothing")
    transport = Transport(read_hosts({"a.example": {"ca": path}}))
    with pytest.raises(UsageError, match=r"ca\.pem") as caught:
        transport.request("GET", "https://a.example/v2/")
    assert caught.value.code == "bad-ca"


# Proxies ------------------------------------------------------------------------------------------------------------------


def test_tls_goes_through_a_proxy_without_being_seen_by_it(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name exists for the proxy alone. Its password goes to it, and to nobody else."""
    with (
        secure_registry("registry.test") as registry,
        connect_proxy({"registry.test:443": registry.host}, login="me:pr0xy-word") as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:pr0xy-word@{proxy.host}")
        settings: dict[str, dict[str, object]] = {"registry.test": {"ca": files.authority("ca.pem")}}
        assert files.get(registry, settings, "registry.test") == b"inside"
        (head,) = proxy.asked
        assert head.startswith("CONNECT registry.test:443 HTTP/1.")
        assert "manifests" not in head
        (request,) = registry.requests
        assert "proxy-authorization" not in request.headers

        monkeypatch.setenv("HTTPS_PROXY", f"http://me:wr0ng-word@{proxy.host}")
        with pytest.raises(RegistryError, match="proxy") as caught:
            files.get(registry, settings, "registry.test")
        assert "wr0ng-word" not in str(caught.value)

        monkeypatch.setenv("NO_PROXY", "other.example,registry.test")
        with pytest.raises(RegistryError, match="no address is known"):
            files.get(registry, settings, "registry.test")
        assert len(proxy.asked) == 2


@pytest.mark.parametrize(
    ("host", "no_proxy", "is_asked"),
    [
        ("10.1.2.3", "10.0.0.0/8", False),
        ("11.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "192.168.0.0/16, 10.1.2.3/32", False),
        ("fd00::1", "fd00::/8", False),
        ("10.1.2.3", "10.1.2.3", False),
        ("registry.example", "10.0.0.0/8,nonsense/99", True),
        ("registry.example", "*", False),
        ("a.b.example", ".example", False),
    ],
)
def test_whom_no_proxy_stands_for(monkeypatch: pytest.MonkeyPatch, host: str, no_proxy: str, is_asked: bool) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.lan:3128")
    monkeypatch.setenv("no_proxy", no_proxy)
    assert (proxy_of(Origin("https", host, 5000)) is not None) == is_asked


# Slow peers ---------------------------------------------------------------------------------------------------------------

QUICK = Patience(connect_s=5, read_s=0.25, storing_s=0.25, slow_s=0.25, slow_bytes=1 << 10)


@contextmanager
def trickling(first: bytes, drop: bytes, pause_s: float = 0.02) -> Iterator[str]:
    """`127.0.0.1:PORT` of a server that answers with `first`, and then with one `drop` after the other, without end."""
    is_over = threading.Event()

    def serve(client: socket.socket) -> None:
        with client:
            try:
                client.recv(65536)
                client.sendall(first)
                while not is_over.wait(pause_s):
                    client.sendall(drop)
            except OSError:
                pass

    def accept() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        is_over.set()


@pytest.mark.parametrize(
    ("first", "drop"),
    [
        (b"", b""),
        (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-", b"a"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
    ids=["silent", "headers", "one-header", "body", "chunks"],
)
def test_a_peer_that_trickles_is_left(first: bytes, drop: bytes) -> None:
    with trickling(first, drop) as host:
        transport = Transport(Hosts(), QUICK)
        with pytest.raises(RegistryError) as caught:
            transport.request("GET", f"http://{host}/v2/").body(1 << 20)
        transport.close()
    assert caught.value.code in ("connection-lost", "unreachable")
    assert caught.value.is_temporary


def test_a_slow_peer_that_keeps_its_pace_is_not_left(tmp_path: Path) -> None:
    with trickling(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b"x" * 2000) as host:
        transport = Transport(Hosts(), QUICK)
        assert len(transport.request("GET", f"http://{host}/v2/").body(1 << 20)) == 60_000
        transport.close()


def test_what_came_before_a_cut_is_given_first() -> None:
    with trickling(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"y" * 5000, b"") as host:
        transport = Transport(Hosts(), QUICK)
        blocks = transport.request("GET", f"http://{host}/v2/").blocks()
        assert next(blocks) == b"y" * 5000
        with pytest.raises(RegistryError):
            next(blocks)
        transport.close()


def test_closing_wakes_who_waits_for_a_silent_peer(tmp_path: Path) -> None:
    """Ctrl-C does not wait for a peer's silence to be long enough: the sockets themselves are shut."""
    with trickling(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx", b"") as host:
        client = RegistryClient({}, environ={"HOME": str(tmp_path)}, patience=Patience(read_s=600))
        raised: list[BaseException] = []
        is_reading = threading.Event()
        endpoint = client.endpoints(Reference(host, "a"))[0]

        def work() -> None:
            def ask() -> bytes:
                response = client.open(endpoint, "a", "manifests/1", "get it")
                is_reading.set()
                return response.body(1_000)

            try:
                client.repeated(endpoint, ask)
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        assert is_reading.wait(60)
        client.close()
        thread.join(60)
        assert not thread.is_alive()
    assert isinstance(raised[0], Interrupted)
