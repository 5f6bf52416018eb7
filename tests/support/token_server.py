"""Registries of `fake_registry` that want a login: by token (with identity tokens or without) or by password."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from support.fake_registry import Answer, FakeRegistry, Request, error_body


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class TokenLogin:
    """Guards all of `/v2/` of a registry by tokens that `/token` of a server gives.

    Scopes are honoured: a token is good for what was asked for when it was made, and no more.
    """

    def __init__(
        self, registry: FakeRegistry, user: str = "me", password: str = "hunter22", server: FakeRegistry | None = None
    ) -> None:
        self.registry, self.server = registry, server or registry
        self.user, self.password = user, password
        self.identities: set[str] = set()
        self.knows_post = self.gives_identities = True
        self.rotates = False
        self.lets_anybody_pull = False
        self.tokens: dict[str, set[str]] = {}
        self.life_s = 300
        registry.on("GET", "/v2/", self._guard)
        for method in ("HEAD", "POST", "PUT", "PATCH", "DELETE"):
            registry.on(method, "/v2/", self._guard)
        self.server.on("GET", r"^/token\?", self._by_get)
        self.server.on("POST", r"^/token$", self._by_post)

    @property
    def realm(self) -> str:
        return f"{self.server.base}/token"

    def scope_of(self, request: Request) -> str:
        """What a request needs; "" for `/v2/` itself."""
        path = urlsplit(request.path).path
        if path == "/v2/":
            return ""
        name = path.removeprefix("/v2/")
        for kind in ("/manifests/", "/blobs/", "/tags/", "/referrers/"):
            name = name.partition(kind)[0]
        actions = "pull" if request.method in ("GET", "HEAD") else "pull,push"
        return f"repository:{name}:{actions}"

    def _guard(self, request: Request) -> Answer | None:
        scope = self.scope_of(request)
        held = self.tokens.get(request.headers.get("authorization", "").removeprefix("Bearer "))
        if held is not None and grants(scope) <= held:
            return None
        challenge = f'Bearer realm="{self.realm}",service="tests"' + (f',scope="{scope}"' if scope else "")
        return Answer(401, error_body("UNAUTHORIZED", "authentication required"), {"WWW-Authenticate": challenge})

    def _by_get(self, request: Request) -> Answer:
        query = parse_qs(urlsplit(request.path).query)
        given = request.headers.get("authorization")
        is_user = given == basic(self.user, self.password)
        if not is_user and not (given is None and self.lets_anybody_pull):
            return Answer(401, error_body("UNAUTHORIZED", f"incorrect username or password: {given}"))
        identity = None
        if is_user and self.gives_identities and query.get("offline_token") == ["true"]:
            identity = self._identity()
        return self._give(query.get("scope", []), identity)

    def _by_post(self, request: Request) -> Answer:
        if not self.knows_post:
            return Answer(405)
        form = parse_qs(request.body.decode())
        (given,) = form["refresh_token"]
        if given not in self.identities:
            return Answer(401, error_body("UNAUTHORIZED", f"unknown refresh token {given}"))
        identity = None
        if self.rotates:
            self.identities.discard(given)
            identity = self._identity()
        return self._give(form.get("scope", [""])[0].split(), identity)

    def _identity(self) -> str:
        identity = f"identity-{len(self.identities) + len(self.tokens):06}-qX7"
        self.identities.add(identity)
        return identity

    def _give(self, scopes: list[str], identity: str | None) -> Answer:
        token = f"bearer-{len(self.tokens):06}-wK9"
        self.tokens[token] = set().union(*map(grants, scopes))
        document: dict[str, object] = {"token": token, "expires_in": self.life_s}
        if identity is not None:
            document["refresh_token"] = identity
        return Answer(body=json.dumps(document).encode(), headers={"Content-Type": "application/json"})


def grants(scope: str) -> set[str]:
    """`repository:a:pull,push` as one grant for each action."""
    resource, _, actions = scope.rpartition(":")
    return {f"{resource}:{action}" for action in actions.split(",") if action}


def guard_by_password(registry: FakeRegistry, user: str, password: str) -> Callable[[Request], Answer | None]:
    """Guards all of `/v2/` of a registry by Basic authentication."""

    def guard(request: Request) -> Answer | None:
        if request.headers.get("authorization") == basic(user, password):
            return None
        said = error_body("UNAUTHORIZED", f"no: {request.headers.get('authorization')}")
        return Answer(401, said, {"WWW-Authenticate": 'Basic realm="tests"'})

    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        registry.on(method, "/v2/", guard)
    return guard
