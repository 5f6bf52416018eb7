"""Tokens: scopes joined and covered, renewed before their end, identity tokens, one origin each; and checking a login."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from slimstage.errors import RegistryError
from slimstage.oci.reference import Reference
from slimstage.registry.challenge import grants_of
from slimstage.registry.client import RegistryClient
from slimstage.registry.credentials import Credential
from slimstage.registry.login import check_login
from slimstage.registry.retry import Backoff, Pauses
from support.fake_registry import Answer, FakeRegistry, fake_registry
from support.token_server import TokenLogin, guard_by_password

PAUSES = Pauses(Backoff(3), wait=lambda _: None)


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with fake_registry() as made:
        made.manifests["1"] = ("application/json", b"inside")
        yield made


@pytest.fixture
def other() -> Iterator[FakeRegistry]:
    with fake_registry() as made:
        made.manifests["1"] = ("application/json", b"inside")
        yield made


class Client:
    """A client whose clock is the test's, with logins in its home."""

    def __init__(self, home: Path, logins: dict[str, dict[str, str]]) -> None:
        (home / ".docker").mkdir(exist_ok=True)
        (home / ".docker/config.json").write_text(json.dumps({"auths": logins}))
        self.time_s = 0.0
        self.client = RegistryClient({}, environ={"HOME": str(home)}, pauses=PAUSES, clock=lambda: self.time_s)

    def get(self, registry: FakeRegistry, repository: str = "team/app") -> bytes:
        return self.client.get(Reference(registry.host, repository, "1"), "manifests/1", "get it", 1_000).body


def scopes_asked(server: FakeRegistry) -> list[list[str]]:
    return [parse_qs(urlsplit(request.path).query).get("scope", []) for request in server.seen("/token")]


def test_grants_say_what_scopes_hold() -> None:
    assert grants_of(["repository:a:pull,push"]) > grants_of(["repository:a:pull"])
    assert not grants_of(["repository:a:pull"]) & grants_of(["repository:b:pull"])
    assert grants_of(["repository:a.example:5000/b:pull"]) == {("repository:a.example:5000/b", "pull")}


def test_a_token_serves_for_what_its_scopes_hold_and_for_no_other_repository(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    login = TokenLogin(registry)
    client = Client(tmp_path, {registry.host: {"username": "me", "password": "hunter22"}})
    endpoint = client.client.endpoints(Reference(registry.host, "team/app"))[0]
    auth = client.client._authorizer
    asked = Answer(401, headers={"WWW-Authenticate": f'Bearer realm="{login.realm}",scope="repository:team/app:pull"'})
    registry.on("GET", "/challenge", asked)
    with_push = "repository:team/app:pull,push repository:team/base:pull"
    response = client.client._transport.request("GET", f"{registry.base}/challenge")
    header = auth.answer(endpoint, "team/app", with_push, response, None)
    assert scopes_asked(registry) == [["repository:team/app:pull,push", "repository:team/base:pull"]]
    assert header is not None
    for scope in (with_push, "repository:team/app:pull", "repository:team/app:push", "repository:team/base:pull"):
        assert auth.header(endpoint, "team/app", scope) == header
    assert auth.header(endpoint, "team/base", "repository:team/base:pull,push") is None
    assert auth.header(endpoint, "team/other", "repository:team/other:pull") is None
    assert client.get(registry) == b"inside"
    assert len(registry.seen("/token")) == 1


def test_a_token_is_renewed_before_its_end_without_being_refused_first(registry: FakeRegistry, tmp_path: Path) -> None:
    TokenLogin(registry)
    client = Client(tmp_path, {registry.host: {"username": "me", "password": "hunter22"}})
    client.get(registry)
    client.time_s = 289
    client.get(registry)
    assert len(registry.seen("/token")) == 1
    seen = len(registry.requests)
    client.time_s = 291  # it would be good until 300
    client.get(registry)
    assert [request.path.partition("?")[0] for request in registry.requests[seen:]] == [
        "/token",
        "/v2/team/app/manifests/1",
    ]


def test_an_identity_token_that_is_good_once_is_followed_by_the_next(registry: FakeRegistry, tmp_path: Path) -> None:
    login = TokenLogin(registry)
    login.identities.add("identity-0")
    login.rotates = True
    client = Client(tmp_path, {registry.host: {"identitytoken": "identity-0"}})
    for repository in ("team/a", "team/b", "team/c"):
        assert client.get(registry, repository) == b"inside"
    posted = [parse_qs(request.body.decode())["refresh_token"][0] for request in registry.seen("/token", "POST")]
    assert posted[0] == "identity-0"
    assert len(set(posted)) == 3


def test_an_identity_token_alone_is_never_sent_as_a_password(registry: FakeRegistry, tmp_path: Path) -> None:
    """A server that knows no POST is asked by GET, as anybody: `<token>` is no user, and the token no password."""
    login = TokenLogin(registry)
    login.knows_post, login.lets_anybody_pull = False, True
    client = Client(
        tmp_path, {registry.host: {"identitytoken": "identity-0", "username": "<token>", "password": "identity-0"}}
    )
    assert client.get(registry) == b"inside"
    (asked,) = registry.seen("/token")
    assert "authorization" not in asked.headers


def test_tokens_and_passwords_stay_with_their_origin(
    registry: FakeRegistry, other: FakeRegistry, tmp_path: Path
) -> None:
    """Two registries, one client: each sees its own login, and only that, whatever was there before."""
    TokenLogin(registry)
    guard_by_password(other, "you", "s3cret99")
    client = Client(
        tmp_path,
        {
            registry.host: {"username": "me", "password": "hunter22"},
            other.host: {"username": "you", "password": "s3cret99"},
        },
    )
    for _ in range(2):
        assert client.get(registry) == client.get(other) == b"inside"
    assert len({request.headers.get("authorization") for request in other.requests}) == 2  # none, and its own
    assert not any("Bearer" in request.headers.get("authorization", "") for request in other.requests)
    mine = {request.headers.get("authorization") for request in registry.seen("/v2/")}
    assert all(header is None or header.startswith("Bearer ") for header in mine)


@pytest.mark.parametrize("status", [429, 503])
def test_a_token_server_that_is_busy_is_asked_again(registry: FakeRegistry, tmp_path: Path, status: int) -> None:
    registry.on("GET", "/token", Answer(status, headers={"Retry-After": "1"}), times=1)
    TokenLogin(registry)
    client = Client(tmp_path, {registry.host: {"username": "me", "password": "hunter22"}})
    assert client.get(registry) == b"inside"
    assert len(registry.seen("/token")) == 2


# Checking a login -------------------------------------------------------------------------------------------------------


def check(registry: FakeRegistry, credential: Credential) -> tuple[Credential, bool]:
    checked = check_login({}, registry.host, credential, PAUSES)
    return checked.credential, checked.is_needed


def test_a_password_is_checked_by_basic(registry: FakeRegistry) -> None:
    guard_by_password(registry, "me", "hunter22")
    assert check(registry, Credential("me", "hunter22")) == (Credential("me", "hunter22"), True)
    with pytest.raises(RegistryError, match="wrong user or password") as caught:
        check(registry, Credential("me", "hunter23"))
    assert caught.value.code == "denied"
    assert "hunter23" not in str(caught.value)
    assert "Basic xxxxx" in str(caught.value)


def test_an_identity_token_that_the_server_gives_takes_the_place_of_the_password(registry: FakeRegistry) -> None:
    login = TokenLogin(registry)
    credential, _ = check(registry, Credential("me", "hunter22"))
    assert (credential.user, credential.password) == ("me", "")
    assert credential.identity_token in login.identities
    again, _ = check(registry, credential)
    assert again.identity_token == credential.identity_token
    login.identities.clear()
    with pytest.raises(RegistryError) as caught:
        check(registry, credential)
    assert caught.value.code == "denied"
    assert str(credential.identity_token) not in str(caught.value)


def test_a_server_that_gives_no_identity_token_leaves_the_password(registry: FakeRegistry) -> None:
    login = TokenLogin(registry)
    login.gives_identities = False
    assert check(registry, Credential("me", "hunter22")) == (Credential("me", "hunter22"), True)
    assert scopes_asked(registry) == [[]]
    with pytest.raises(RegistryError) as caught:
        check(registry, Credential("me", "hunter23"))
    assert caught.value.code == "denied"


def test_a_registry_that_lets_everybody_in_says_nothing_about_the_password(registry: FakeRegistry) -> None:
    assert check(registry, Credential("me", "x1234")) == (Credential("me", "x1234"), False)
    assert all("authorization" not in request.headers for request in registry.requests)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(404), "not-a-registry"),
        (Answer(500), "registry"),
        (Answer(401, headers={"WWW-Authenticate": "Negotiate"}), "unknown-challenge"),
        (Answer(401), "unknown-challenge"),
        (Answer(403), "denied"),
    ],
)
def test_what_is_no_registry_is_told_no_password(registry: FakeRegistry, answer: Answer, code: str) -> None:
    registry.on("GET", "/v2/", answer)
    with pytest.raises(RegistryError) as caught:
        check(registry, Credential("me", "hunter22"))
    assert caught.value.code == code
    assert all("authorization" not in request.headers for request in registry.requests)


def test_a_login_is_not_told_to_where_a_redirect_leads(registry: FakeRegistry, other: FakeRegistry) -> None:
    registry.on("GET", "/v2/", Answer(307, headers={"Location": f"{other.base}/v2/"}))
    guard_by_password(other, "me", "hunter22")
    with pytest.raises(RegistryError):
        check(registry, Credential("me", "hunter22"))
    assert all("authorization" not in request.headers for request in [*registry.requests, *other.requests])
