"""Requests, redirects, TLS and logins, seen from a server of the tests."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from slimstage.errors import RegistryError, UsageError
from slimstage.oci.reference import Reference
from slimstage.registry.client import RegistryClient
from slimstage.registry.connections import proxy_of
from slimstage.registry.hosts import Hosts, Origin, origin_of, read_hosts
from slimstage.registry.retry import Backoff, Pauses
from slimstage.registry.transport import Transport
from support.certificates import Authority, server_context
from support.fake_registry import Answer, FakeRegistry, Reply, Request, error_body, fake_registry


@pytest.fixture
def transport() -> Iterator[Transport]:
    made = Transport(Hosts())
    yield made
    made.close()


def certificate(directory: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's context for 127.0.0.1, and the certificate of its authority, which nobody knows yet."""
    own = Authority("registry")
    path = directory / "ca.pem"
    path.write_bytes(own.certificate)
    return server_context(own.issue("127.0.0.1")), path


# Redirects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_port_is_followed_without_the_login(
    registry: FakeRegistry, other: FakeRegistry, transport: Transport, status: int
) -> None:
    """Conformance: security/authorization-cross-redirect."""
    registry.on("GET", "/start", Answer(status, headers={"Location": f"{other.base}/there"}))
    other.on("GET", "/there", Answer(body=b"found"))
    sent = {"Authorization": "Basic secret", "Cookie": "c", "Range": "bytes=3-", "Accept": "a/b"}
    response = transport.request("GET", f"{registry.base}/start", sent)
    assert response.body(100) == b"found"
    assert response.origin == origin_of(other.base)
    assert registry.requests[0].headers["authorization"] == "Basic secret"
    (arrived,) = other.requests
    assert not {"authorization", "cookie"} & arrived.headers.keys()
    assert (arrived.headers["range"], arrived.headers["accept"]) == ("bytes=3-", "a/b")


def test_a_login_does_not_come_back_with_a_redirect_back(
    registry: FakeRegistry, other: FakeRegistry, transport: Transport
) -> None:
    registry.on("GET", "/start", Answer(302, headers={"Location": f"{other.base}/there"}))
    other.on("GET", "/there", Answer(302, headers={"Location": f"{registry.base}/end"}))
    registry.on("GET", "/end", Answer(body=b"x"))
    transport.request("GET", f"{registry.base}/start", {"Authorization": "Basic secret"}).body(10)
    assert "authorization" not in registry.requests[1].headers


def test_a_redirect_on_the_same_origin_keeps_the_login(registry: FakeRegistry, transport: Transport) -> None:
    registry.on("GET", "/start", Answer(307, headers={"Location": "/end?a=b%2Fc"}))
    registry.on("GET", "/end", Answer(body=b"x"))
    transport.request("GET", f"{registry.base}/start", {"Authorization": "Basic secret"}).body(10)
    assert registry.requests[1].headers["authorization"] == "Basic secret"
    assert registry.requests[1].path == "/end?a=b%2Fc"


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("http://registry.example/v2/", "plain-http-refused"),
        ("http://169.254.169.254/latest/meta-data", "plain-http-refused"),
        ("file:///etc/passwd", "redirect-refused"),
        ("ftp://127.0.0.1/x", "redirect-refused"),
        ("http://user:hunter22@127.0.0.1/", "redirect-refused"),
        ("http://[::1/", "redirect-refused"),
        ("", "redirect-refused"),
    ],
)
def test_some_redirects_are_not_followed(
    registry: FakeRegistry, transport: Transport, location: str, code: str
) -> None:
    registry.on("GET", "/start", Answer(302, headers={"Location": location}))
    with pytest.raises(RegistryError) as caught:
        transport.request("GET", f"{registry.base}/start")
    assert caught.value.code == code
    assert "hunter22" not in str(caught.value)
    assert not caught.value.is_temporary


def test_https_never_leads_to_http(registry: FakeRegistry, tmp_path: Path) -> None:
    """Conformance: security/authorization-cross-redirect, https to http."""
    context, cert = certificate(tmp_path)
    with fake_registry(context) as secure:
        secure.on("GET", "/start", Answer(302, headers={"Location": f"{registry.base}/there"}))
        transport = Transport(read_hosts({secure.host: {"ca": str(cert)}}))
        with pytest.raises(RegistryError, match="from https to http") as caught:
            transport.request("GET", f"{secure.base}/start")
        transport.close()
    assert caught.value.code == "redirect-refused"
    assert registry.requests == []


def test_redirects_end(registry: FakeRegistry, transport: Transport) -> None:
    registry.on("GET", "/", Answer(302, headers={"Location": "/again"}))
    with pytest.raises(RegistryError) as caught:
        transport.request("GET", f"{registry.base}/start")
    assert caught.value.code == "too-many-redirects"
    assert len(registry.requests) == 7


def test_a_post_is_not_redirected(registry: FakeRegistry, other: FakeRegistry, transport: Transport) -> None:
    registry.on("POST", "/", Answer(307, headers={"Location": other.base}))
    response = transport.request("POST", f"{registry.base}/token", body=b"password=x")
    assert response.status == 307
    response.drop()
    assert other.requests == []


# Bodies, connections, TLS -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_is_bounded(registry: FakeRegistry, transport: Transport, chunked: bool) -> None:
    registry.on("GET", "/", Answer(body=b"x" * 3_000_000, chunked=chunked))
    with pytest.raises(RegistryError) as caught:
        transport.request("GET", f"{registry.base}/big").body(1_000)
    assert caught.value.code == "response-too-large"
    response = transport.request("GET", f"{registry.base}/big")
    assert response.head_of_body(10) == b"x" * 10


def test_a_body_is_never_decoded(registry: FakeRegistry, transport: Transport) -> None:
    registry.on("GET", "/", Answer(body=b"not gzip", headers={"Content-Encoding": "gzip"}))
    assert transport.request("GET", f"{registry.base}/x").body(100) == b"not gzip"
    assert registry.requests[0].headers["accept-encoding"] == "identity"


def test_a_cut_body_is_a_temporary_failure(registry: FakeRegistry, transport: Transport) -> None:
    registry.on("GET", "/", Answer(body=b"x" * 100, cut_after=40))
    with pytest.raises(RegistryError, match=r"ended early|closed") as caught:
        transport.request("GET", f"{registry.base}/x").body(1_000)
    assert caught.value.code == "connection-lost"
    assert caught.value.is_temporary


def test_nobody_listening_is_said_plainly(transport: Transport) -> None:
    with fake_registry() as gone:
        base = gone.base
    with pytest.raises(RegistryError, match="connection refused") as caught:
        transport.request("GET", base)
    assert caught.value.code == "unreachable"
    assert "0x" not in str(caught.value)


def test_plain_http_needs_loopback_or_a_setting() -> None:
    with pytest.raises(RegistryError, match="plain http") as caught:
        Transport(Hosts()).request("GET", "http://registry.example:5000/v2/")
    assert caught.value.hint is not None
    assert '[registry."registry.example:5000"]' in caught.value.hint


def test_tls_that_fails_never_becomes_plain_http(tmp_path: Path) -> None:
    """Conformance: security/http-downgrade."""
    with fake_registry() as plain:
        transport = Transport(read_hosts({plain.host: {"plain-http": False}}))
        with pytest.raises(RegistryError, match="does not speak TLS") as caught:
            transport.request("GET", f"https://{plain.host}/v2/")
        transport.close()
        assert caught.value.code == "tls"
        assert not caught.value.is_temporary
        assert plain.requests == []


def test_a_certificate_is_checked_against_the_hosts_own_authority(tmp_path: Path) -> None:
    context, cert = certificate(tmp_path)
    with fake_registry(context) as secure:
        secure.on("GET", "/", Answer(body=b"safe"))
        for settings, code in (({"plain-http": False}, "tls"), ({"ca": str(cert)}, None)):
            transport = Transport(read_hosts({secure.host: settings}))
            if code is None:
                assert transport.request("GET", f"{secure.base}/x").body(10) == b"safe"
            else:
                with pytest.raises(RegistryError, match=r"signed by itself|not known here") as caught:
                    transport.request("GET", f"{secure.base}/x")
                assert caught.value.code == code
            transport.close()
        transport = Transport(read_hosts({secure.host: {"insecure-skip-verify": True}}))
        assert transport.request("GET", f"{secure.base}/x").body(10) == b"safe"
        transport.close()


def test_the_authority_of_the_environment_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, cert = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    with fake_registry(context) as secure:
        secure.on("GET", "/", Answer(body=b"safe"))
        transport = Transport(read_hosts({secure.host: {"plain-http": False}}))
        assert transport.request("GET", f"{secure.base}/x").body(10) == b"safe"
        transport.close()


def test_an_authority_that_cannot_be_read_is_a_mistake_of_the_settings(tmp_path: Path) -> None:
    transport = Transport(read_hosts({"a.example": {"ca": str(tmp_path / "none.pem")}}))
    with pytest.raises(UsageError, match=r"none\.pem"):
        transport.request("GET", "https://a.example/")


def test_proxies_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    registry = Origin("https", "registry.example", 443)
    assert proxy_of(registry) is None
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.lan:3128")
    assert proxy_of(registry) == "http://proxy.lan:3128"
    assert proxy_of(Origin("http", "registry.example", 80)) is None
    for host in ("127.0.0.1", "::1", "localhost"):
        assert proxy_of(Origin("https", host, 5000)) is None
    monkeypatch.setenv("NO_PROXY", "other.example,.example")
    assert proxy_of(registry) is None


def test_a_proxy_is_asked_and_its_login_is_sent_to_it_alone(
    registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test's server plays a proxy for a host that does not exist."""
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://me:pass%40word@{registry.host}")
    registry.on("GET", "http://registry.invalid:5000/x", Answer(body=b"by proxy"))
    transport = Transport(read_hosts({"registry.invalid:5000": {"plain-http": True}}))
    assert transport.request("GET", "http://registry.invalid:5000/x").body(100) == b"by proxy"
    transport.close()
    sent = registry.requests[0].headers["proxy-authorization"]
    assert base64.b64decode(sent.removeprefix("Basic ")) == b"me:pass@word"


# Logins -------------------------------------------------------------------------------------------------------------

TOKEN = "token-0123456789"


class Login:
    """A registry that wants a bearer token, given out at /token on the same server (or another)."""

    def __init__(self, registry: FakeRegistry, home: Path, tokens: FakeRegistry | None = None) -> None:
        self.registry, self.tokens, self.home = registry, tokens or registry, home
        self.challenge = f'Bearer realm="{self.tokens.base}/token",service="reg",scope="repository:team/app:pull"'
        self.serve: Reply = self.guard
        self.give: Reply = lambda _: Answer(body=json.dumps({"token": TOKEN}).encode())
        registry.on("GET", "/v2/", lambda request: self.serve(request))
        self.tokens.on("GET", "/token", lambda request: self.give(request))
        self.time_s = 0.0
        self.client = RegistryClient(
            {}, environ={"HOME": str(home)}, pauses=Pauses(Backoff(2), wait=lambda _: None), clock=lambda: self.time_s
        )
        self.reference = Reference(registry.host, "team/app", "1")

    def guard(self, request: Request) -> Answer | None:
        if request.headers.get("authorization") == f"Bearer {TOKEN}":
            return Answer(body=b"inside")
        return Answer(401, error_body("UNAUTHORIZED", "please log in"), {"WWW-Authenticate": self.challenge})

    def write(self, entry: dict[str, str]) -> None:
        (self.home / ".docker").mkdir()
        (self.home / ".docker/config.json").write_text(json.dumps({"auths": {self.registry.host: entry}}))

    def get(self) -> bytes:
        return self.client.get(self.reference, "manifests/1", 'get "app"', 1_000).body


@pytest.fixture
def login(registry: FakeRegistry, tmp_path: Path) -> Iterator[Login]:
    made = Login(registry, tmp_path)
    yield made
    made.client.close()


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


def test_an_anonymous_token_is_fetched_and_kept(login: Login) -> None:
    assert login.get() == login.get() == b"inside"
    (asked,) = login.registry.seen("/token")
    assert "authorization" not in asked.headers
    query = parse_qs(urlsplit(asked.path).query)
    assert query == {"service": ["reg"], "scope": ["repository:team/app:pull"]}
    assert [r.headers.get("authorization") for r in login.registry.seen("/v2/")] == [None, *[f"Bearer {TOKEN}"] * 2]


def test_a_token_is_fetched_again_when_its_time_is_over(login: Login) -> None:
    login.get()
    login.time_s = 49
    login.get()
    assert len(login.registry.seen("/token")) == 1
    login.time_s = 51
    login.get()
    assert len(login.registry.seen("/token")) == 2


def test_a_token_that_is_refused_is_fetched_again_once(login: Login) -> None:
    login.get()
    seen = len(login.registry.requests)
    login.serve = lambda _: Answer(401, headers={"WWW-Authenticate": login.challenge})
    with pytest.raises(RegistryError) as caught:
        login.get()
    assert caught.value.code == "denied"
    assert [r.path.partition("?")[0] for r in login.registry.requests[seen:]] == ["/v2/team/app/manifests/1", "/token"]


def test_the_users_password_goes_to_the_token_server_only(
    registry: FakeRegistry, other: FakeRegistry, tmp_path: Path
) -> None:
    login = Login(registry, tmp_path, other)
    login.write({"username": "me", "password": "pass:word"})
    assert login.get() == b"inside"
    (asked,) = other.seen("/token")
    assert asked.headers["authorization"] == basic("me:pass:word")
    assert parse_qs(urlsplit(asked.path).query)["account"] == ["me"]
    assert all("Basic" not in request.headers.get("authorization", "") for request in registry.requests)


def test_basic_is_answered_with_the_password_and_only_when_there_is_one(login: Login) -> None:
    login.challenge = 'Basic realm="x"'
    with pytest.raises(RegistryError, match="please log in") as caught:
        login.get()
    assert f"there is no login for {login.registry.host}" in str(caught.value)
    assert len(login.registry.requests) == 1


def test_basic_with_a_password(registry: FakeRegistry, tmp_path: Path) -> None:
    login = Login(registry, tmp_path)
    login.challenge = 'Basic realm="x"'
    login.write({"auth": base64.b64encode(b"me:secret-word").decode()})
    inside = Answer(body=b"in")
    login.serve = lambda request: inside if request.headers.get("authorization") else login.guard(request)
    assert login.get() == login.get() == b"in"
    sent = [request.headers.get("authorization") for request in registry.requests]
    assert sent == [None, basic("me:secret-word"), basic("me:secret-word")]


def test_a_refused_password_is_not_shown_even_if_the_registry_repeats_it(login: Login) -> None:
    login.write({"username": "me", "password": "hunter22"})
    said = error_body("DENIED", f"hunter22 and {basic('me:hunter22')} are wrong")
    login.give = lambda _: Answer(401, said)
    with pytest.raises(RegistryError) as caught:
        login.get()
    assert "hunter22" not in str(caught.value)
    assert basic("me:hunter22").partition(" ")[2] not in str(caught.value)
    assert "xxxxx and Basic xxxxx are wrong" in str(caught.value)


@pytest.mark.parametrize("post_status", [200, 404, 405])
def test_an_identity_token_is_exchanged_by_post_or_else_by_get(login: Login, post_status: int) -> None:
    login.write({"auth": base64.b64encode(b"me:pw").decode(), "identitytoken": "identity-1"})
    body = json.dumps({"access_token": TOKEN, "expires_in": 300}).encode()
    login.registry.on("POST", "/token", Answer(post_status, body if post_status == 200 else b""))
    assert login.get() == b"inside"
    (posted,) = login.registry.seen("/token", "POST")
    form = parse_qs(posted.body.decode())
    assert form["refresh_token"] == ["identity-1"]
    assert form["grant_type"] == ["refresh_token"]
    assert form["scope"] == ["repository:team/app:pull"]
    assert len(login.registry.seen("/token", "GET")) == (0 if post_status == 200 else 1)


def test_a_registry_token_is_sent_as_it_is(login: Login) -> None:
    login.write({"registrytoken": TOKEN})
    assert login.get() == b"inside"
    assert login.registry.seen("/token") == []


@pytest.mark.parametrize(
    "realm", ["http://auth.example/token", "ftp://127.0.0.1/", "", "/token", "http://a:b@127.0.0.1/"]
)
def test_a_token_server_that_is_not_safe_is_told_nothing(login: Login, realm: str) -> None:
    login.write({"username": "me", "password": "hunter22"})
    login.challenge = f'Bearer realm="{realm}"'
    with pytest.raises(RegistryError) as caught:
        login.get()
    assert caught.value.code in ("plain-http-refused", "bad-url")
    assert len(login.registry.requests) == 1


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"token": "a b"}', b'{"token": "a\\r\\nX: y"}', b'{"token": 3}'])
def test_an_answer_without_a_token_is_refused(login: Login, body: bytes) -> None:
    login.give = lambda _: Answer(body=body)
    with pytest.raises(RegistryError) as caught:
        login.get()
    assert caught.value.code == "bad-token"


def test_a_challenge_from_where_a_redirect_led_is_not_answered(login: Login, other: FakeRegistry) -> None:
    login.write({"username": "me", "password": "hunter22"})
    login.serve = lambda _: Answer(302, headers={"Location": f"{other.base}/storage"})
    other.on("GET", "/storage", Answer(401, headers={"WWW-Authenticate": f'Bearer realm="{other.base}/token"'}))
    with pytest.raises(RegistryError) as caught:
        login.get()
    assert caught.value.status == 401
    assert [request.path for request in other.requests] == ["/storage"]


def test_threads_that_need_a_token_share_one(login: Login) -> None:
    gate = threading.Barrier(6)
    results: list[bytes] = []

    def work() -> None:
        gate.wait()
        results.append(login.get())

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [b"inside"] * 6
    assert len(login.registry.seen("/token")) == 1
