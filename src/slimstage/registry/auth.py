"""Authorization headers for requests: what a 401 asks for, obtained once for all threads.

The first request goes without credentials. A `Bearer` challenge names a token server: it gets the user's credentials
when there are any, and gives an anonymous token otherwise. A `Basic` challenge gets them directly. What was obtained
belongs to the endpoint's origin and is sent to no other. A token serves for all that its scopes hold, and is renewed
before its time is over.
Source: distribution/docs/spec/auth/token.md and scope.md.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from slimstage.errors import RegistryError
from slimstage.registry.challenge import Challenge, grants_of, merge_scopes, parse_challenges
from slimstage.registry.credentials import Credential, CredentialSource
from slimstage.registry.faults import Secrets
from slimstage.registry.hosts import Endpoint, Origin
from slimstage.registry.tokens import TokenServers
from slimstage.registry.transport import Response, Transport
from slimstage.values import dataclass, field

_EARLY_S = 10.0
"""A token is renewed so long before its end: it has to be good when it arrives."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A header that an endpoint takes. grants: what it is good for, None: all of the repository.

    challenge: by which a token is renewed; None for a header that has no end.
    """

    header: str = field(repr=False)
    until_s: float
    repository: str
    grants: frozenset[tuple[str, str]] | None
    challenge: Challenge | None = None

    def covers(self, repository: str, wanted: frozenset[tuple[str, str]]) -> bool:
        return self.repository == repository if self.grants is None else wanted <= self.grants


class Authorizer:
    """Gives Authorization headers. Safe for several threads: a token is asked for once, however many wait for it.

    scope: of a request, as `repository:NAME:pull`; several are separated by blanks.
    """

    def __init__(
        self,
        transport: Transport,
        credentials: CredentialSource,
        secrets: Secrets,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._credentials, self._clock = credentials, clock
        self._tokens = TokenServers(transport, secrets)
        self._lock = threading.Lock()
        self._held: dict[Origin, list[_Held]] = {}
        self._busy: dict[tuple[Origin, str], threading.Lock] = {}

    def header(self, endpoint: Endpoint, repository: str, scope: str) -> str | None:
        """The header for a request; None: ask without one. A token whose time is over is renewed first.

        Raises RegistryError as `answer`.
        """
        held = self._find(endpoint.origin, repository, scope)
        if held is None or held.until_s > self._clock():
            return held.header if held is not None else None
        assert held.challenge is not None
        with self._alone(endpoint.origin, scope):
            newer = self._find(endpoint.origin, repository, scope)
            if newer is not None and newer.until_s > self._clock():
                return newer.header  # another thread was faster
            return self._fetch(endpoint, repository, scope, held.challenge, self._credential(endpoint, repository))

    def answer(
        self, endpoint: Endpoint, repository: str, scope: str, response: Response, rejected: str | None
    ) -> str | None:
        """A header that answers the 401's challenges; None when there is nothing (else) to say.

        rejected: the header that the refused request carried. Raises RegistryError: the token server fails or refuses;
        its address is not https, and plain http is not allowed there.
        """
        challenges = {one.scheme: one for one in reversed(parse_challenges(response.headers("WWW-Authenticate")))}
        with self._alone(endpoint.origin, scope):
            known = self._find(endpoint.origin, repository, scope)
            if known is not None and known.until_s > self._clock() and known.header != rejected:
                return known.header  # another thread was faster
            self._drop(endpoint.origin, rejected)
            credential = self._credential(endpoint, repository)
            header = None
            if credential is not None and credential.registry_token:
                header = f"Bearer {credential.registry_token}"
            elif "bearer" in challenges:
                header = self._fetch(endpoint, repository, scope, challenges["bearer"], credential)
                return header if header != rejected else None
            elif "basic" in challenges and credential is not None and credential.user and credential.password:
                header = credential.basic
            if header is None or header == rejected:
                return None
            self._keep(endpoint.origin, _Held(header, float("inf"), repository, None))
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

    def _fetch(
        self, endpoint: Endpoint, repository: str, scope: str, challenge: Challenge, credential: Credential | None
    ) -> str:
        asked = challenge.parameters.get("scope", "")
        scopes = merge_scopes([*scope.split(), *asked.split()])
        token = self._tokens.fetch(endpoint, challenge, scopes, credential)
        until_s = self._clock() + max(token.life_s - _EARLY_S, 1.0)
        header = f"Bearer {token.value}"
        self._keep(endpoint.origin, _Held(header, until_s, repository, grants_of(scopes), challenge))
        return header

    def _credential(self, endpoint: Endpoint, repository: str) -> Credential | None:
        return self._credentials.find(endpoint.registry, repository).credential

    def _alone(self, origin: Origin, scope: str) -> threading.Lock:
        with self._lock:
            return self._busy.setdefault((origin, scope), threading.Lock())

    def _find(self, origin: Origin, repository: str, scope: str) -> _Held | None:
        """One that is good now, else one that can be renewed."""
        wanted = grants_of(scope.split())
        with self._lock:
            fitting = [held for held in self._held.get(origin, ()) if held.covers(repository, wanted)]
        return max(fitting, key=lambda held: held.until_s, default=None)

    def _keep(self, origin: Origin, new: _Held) -> None:
        with self._lock:
            others = [
                held
                for held in self._held.get(origin, ())
                if new.grants is None or held.grants is None or not held.grants <= new.grants
            ]
            self._held[origin] = [*others, new]

    def _drop(self, origin: Origin, header: str | None) -> None:
        with self._lock:
            self._held[origin] = [held for held in self._held.get(origin, ()) if held.header != header]
