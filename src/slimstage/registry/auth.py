"""Tokens and passwords for requests: what a 401 asks for, obtained once for all threads.

The first request goes without credentials. A `Bearer` challenge names a token server: it gets the user's credentials
when there are any, and gives an anonymous token otherwise. A `Basic` challenge gets them directly. What was obtained
belongs to the endpoint's origin and is sent to no other.
Source: distribution/docs/spec/auth/token.md and oauth.md.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

from slimstage.errors import RegistryError
from slimstage.regex import pattern
from slimstage.registry.challenge import Challenge, merge_scopes, parse_challenges
from slimstage.registry.credentials import Credential, CredentialSource
from slimstage.registry.faults import LIMIT_BYTES, Secrets, http_error
from slimstage.registry.hosts import Endpoint, Origin, origin_of, shown_url
from slimstage.registry.transport import Response, Transport
from slimstage.values import dataclass, field

_CLIENT = "slimstage"
_SHORTEST_LIFE_S = 60.0
"""Of a token that says nothing, or less. Source: token.md, `expires_in`."""
_EARLY_S = 10.0
"""A token is renewed so long before its end: it has to be good when it arrives."""
_ANSWER_BYTES = 1 << 20
_TOKEN = pattern(r"[\x21-\x7e]{1,65536}\Z")
_NO_POST = (404, 405)
"""Statuses by which token servers say that they know the older GET only."""

_Key = tuple[Origin, str]


@dataclass(frozen=True, slots=True)
class _Held:
    header: str = field(repr=False)
    until_s: float


class Authorizer:
    """Gives Authorization headers. Safe for several threads: a token is asked for once, however many wait for it."""

    def __init__(
        self,
        transport: Transport,
        credentials: CredentialSource,
        secrets: Secrets,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport, self._credentials, self._secrets, self._clock = transport, credentials, secrets, clock
        self._lock = threading.Lock()
        self._held: dict[_Key, _Held] = {}
        self._busy: dict[_Key, threading.Lock] = {}

    def known(self, endpoint: Endpoint, scope: str) -> str | None:
        """The header that the endpoint took before; None: ask without one."""
        with self._lock:
            held = self._held.get((endpoint.origin, scope))
        return held.header if held is not None and held.until_s > self._clock() else None

    def answer(
        self, endpoint: Endpoint, repository: str, scope: str, response: Response, rejected: str | None
    ) -> str | None:
        """A header that answers the 401's challenges; None when there is nothing (else) to say.

        rejected: the header that the refused request carried. Raises RegistryError: the token server fails or refuses;
        its address is not https, and plain http is not allowed there.
        """
        challenges = {one.scheme: one for one in reversed(parse_challenges(response.headers("WWW-Authenticate")))}
        key = (endpoint.origin, scope)
        with self._lock:
            busy = self._busy.setdefault(key, threading.Lock())
        with busy:
            known = self.known(endpoint, scope)
            if known is not None and known != rejected:
                return known  # another thread was faster
            credential = self._credentials.find(endpoint.registry, repository).credential
            header, life_s = None, float("inf")
            if credential is not None and credential.registry_token:
                header = f"Bearer {credential.registry_token}"
            elif "bearer" in challenges:
                token, life_s = self._token(endpoint, challenges["bearer"], scope, credential)
                header = f"Bearer {token}"
            elif "basic" in challenges and credential is not None and credential.user and credential.password:
                header = credential.basic
            if header is None or header == rejected:
                return None
            with self._lock:
                self._held[key] = _Held(header, self._clock() + max(life_s - _EARLY_S, 1.0))
            return header

    def remarks(self, endpoint: Endpoint, repository: str) -> tuple[str, ...]:
        """What explains a refusal: whose login was used, or why there was none."""
        try:
            found = self._credentials.find(endpoint.registry, repository)
        except RegistryError as error:
            return (error.message,)
        if found.credential is not None:
            return (*found.remarks, f"with the login from {found.credential.source}")
        return (*found.remarks, f"there is no login for {endpoint.registry}")

    def _token(
        self, endpoint: Endpoint, challenge: Challenge, scope: str, credential: Credential | None
    ) -> tuple[str, float]:
        """(token, seconds that it lives)."""
        realm = challenge.parameters.get("realm", "")
        self._check_realm(endpoint, realm)
        service = challenge.parameters.get("service", "")
        asked = challenge.parameters.get("scope", "").split(" ")
        scopes = merge_scopes([scope, *asked])
        doing = f"get a token for {endpoint.registry} from {shown_url(realm)}"
        if credential is not None and credential.identity_token:
            response = self._post(realm, service, scopes, credential.identity_token)
            if response.status not in _NO_POST:
                return self._read(response, doing)
            response.close()
        query = [("service", service)] if service else []
        query += [("scope", each) for each in scopes]
        headers = {"Accept": "application/json"}
        if credential is not None and credential.user:
            query += [("account", credential.user), ("client_id", _CLIENT)]
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

    def _check_realm(self, endpoint: Endpoint, realm: str) -> None:
        """A token server is told the user's password, so its address is held to what the registry's is held to."""
        origin = origin_of(realm)
        if origin.scheme == "http" and (endpoint.origin.scheme == "https" or not self._transport.permits_plain(origin)):
            raise RegistryError(
                f"{endpoint.registry} sends logins to {origin}, which is plain http: nothing is sent there",
                code="plain-http-refused",
            )

    def _read(self, response: Response, doing: str) -> tuple[str, float]:
        if response.status != 200:
            body = response.head_of_body(LIMIT_BYTES)
            raise http_error(doing, response.status, body, response.header("Retry-After"), self._secrets)
        try:
            document: Any = json.loads(response.body(_ANSWER_BYTES))
            token = document.get("token") or document.get("access_token")
            life = document.get("expires_in")
        except (ValueError, AttributeError, RecursionError):
            token = life = None
        if not isinstance(token, str) or not _TOKEN.match(token):  # it must not be able to end a header
            raise RegistryError(f"{doing}: the answer holds no token", code="bad-token")
        self._secrets.add(token)
        is_number = isinstance(life, (int, float)) and not isinstance(life, bool)
        return token, max(float(life), _SHORTEST_LIFE_S) if is_number and 0 < life < 1e9 else _SHORTEST_LIFE_S
