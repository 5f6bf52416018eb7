"""Tokens of the servers that Bearer challenges name.

An identity token is exchanged by POST, a name and password by GET; a server that knows no POST (404, 405) is asked by
GET. Source: distribution/docs/spec/auth/token.md and oauth.md.
"""

from __future__ import annotations

import json
import threading
from typing import Any
from urllib.parse import urlencode, urlsplit

from slimstage.errors import RegistryError
from slimstage.regex import pattern
from slimstage.registry.challenge import Challenge
from slimstage.registry.credentials import Credential
from slimstage.registry.faults import LIMIT_BYTES, Secrets, http_error
from slimstage.registry.helpers import NO_USER
from slimstage.registry.hosts import Endpoint, origin_of, shown_url
from slimstage.registry.transport import Response, Transport
from slimstage.values import dataclass, field

_CLIENT = "slimstage"
_SHORTEST_LIFE_S = 60.0
"""Of a token that says nothing, or less. Source: token.md, `expires_in`."""
_ANSWER_BYTES = 1 << 20
_TOKEN = pattern(r"[\x21-\x7e]{1,65536}\Z")
_NO_POST = (404, 405)
"""Statuses by which token servers say that they know the older GET only."""


@dataclass(frozen=True, slots=True)
class Token:
    """What a token server gave: for `life_s` seconds; `identity` when it gave one to be kept, too."""

    value: str = field(repr=False)
    life_s: float
    identity: str | None = field(default=None, repr=False)


class TokenServers:
    """Asks token servers. Safe for several threads."""

    def __init__(self, transport: Transport, secrets: Secrets) -> None:
        self._transport, self._secrets = transport, secrets
        self._lock = threading.Lock()
        self._renewed: dict[str, str] = {}

    def fetch(
        self,
        endpoint: Endpoint,
        challenge: Challenge,
        scopes: tuple[str, ...],
        credential: Credential | None,
        *,
        wants_identity: bool = False,
    ) -> Token:
        """A token for the scopes, with the user's credential or, None, for anybody.

        wants_identity: an identity token is asked for, which stands for the password from then on.
        Raises RegistryError: the server fails or refuses; its address is not https, and plain http is not allowed there.
        """
        realm = challenge.parameters.get("realm", "")
        self._check_realm(endpoint, realm)
        service = challenge.parameters.get("service", "")
        doing = f"get a token for {endpoint.registry} from {shown_url(realm)}"
        if credential is not None and credential.identity_token:
            identity = self._newest(credential.identity_token)
            response = self._post(realm, service, scopes, identity)
            if response.status not in _NO_POST:
                token = self._read(response, doing)
                self._note_renewed(credential.identity_token, token.identity)
                return token
            response.close()
        query = [("service", service)] if service else []
        query += [("scope", each) for each in scopes]
        headers = {"Accept": "application/json"}
        if credential is not None and credential.user and credential.password and credential.user != NO_USER:
            query += [("account", credential.user), ("client_id", _CLIENT)]
            if wants_identity:
                query.append(("offline_token", "true"))
            headers["Authorization"] = credential.basic
        joint = "&" if urlsplit(realm).query else "?"
        return self._read(self._transport.request("GET", f"{realm}{joint}{urlencode(query)}", headers), doing)

    def _post(self, realm: str, service: str, scopes: tuple[str, ...], identity_token: str) -> Response:
        form = {
            "grant_type": "refresh_token",
            "service": service,
            "client_id": _CLIENT,
            "scope": " ".join(scopes),
            "refresh_token": identity_token,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        return self._transport.request("POST", realm, headers, body=urlencode(form).encode())

    def _newest(self, identity: str) -> str:
        with self._lock:
            return self._renewed.get(identity, identity)

    def _note_renewed(self, identity: str, newer: str | None) -> None:
        """A server may take an identity token only once, and gives the next one with each answer."""
        if newer is not None:
            with self._lock:
                self._renewed[identity] = newer

    def _check_realm(self, endpoint: Endpoint, realm: str) -> None:
        """A token server is told the user's password, so its address is held to what the registry's is held to."""
        origin = origin_of(realm)
        if origin.scheme == "http" and (endpoint.origin.scheme == "https" or not self._transport.permits_plain(origin)):
            raise RegistryError(
                f"{endpoint.registry} sends logins to {origin}, which is plain http: nothing is sent there",
                code="plain-http-refused",
            )

    def _read(self, response: Response, doing: str) -> Token:
        if response.status != 200:
            body = response.head_of_body(LIMIT_BYTES)
            raise http_error(doing, response.status, body, response.header("Retry-After"), self._secrets)
        try:
            document: Any = json.loads(response.body(_ANSWER_BYTES))
            token = document.get("token") or document.get("access_token")
            life, identity = document.get("expires_in"), document.get("refresh_token")
        except (ValueError, AttributeError, RecursionError):
            token = life = identity = None
        if not isinstance(token, str) or not _TOKEN.match(token):  # it must not be able to end a header
            raise RegistryError(f"{doing}: the answer holds no token", code="bad-token")
        if not isinstance(identity, str) or not _TOKEN.match(identity):
            identity = None
        self._secrets.add(token, identity)
        is_number = isinstance(life, (int, float)) and not isinstance(life, bool)
        life_s = max(float(life), _SHORTEST_LIFE_S) if is_number and 0 < life < 1e9 else _SHORTEST_LIFE_S
        return Token(token, life_s, identity)
