"""Requests below `/v2/NAME/`, with what login they need, at any of the servers that answer for a registry.

`RegistryClient.open` and `send` are one request at one endpoint. `get` is a small document: it tries again, and asks the
next endpoint when a mirror has none. Used by pull and push, and by whatever else talks to registries.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, TypeVar

from slimstage.errors import FormatError, RegistryError
from slimstage.oci.reference import Reference, parse_reference
from slimstage.registry.auth import Authorizer
from slimstage.registry.certificates import certificate_finder
from slimstage.registry.credentials import CredentialSource
from slimstage.registry.faults import LIMIT_BYTES, HttpError, Secrets, http_error
from slimstage.registry.hosts import Endpoint, origin_of, read_hosts
from slimstage.registry.retry import Pauses
from slimstage.registry.transport import Body, Response, Transport
from slimstage.values import dataclass

if TYPE_CHECKING:
    from slimstage.registry.connections import Patience

T = TypeVar("T")

_MIRROR_ATTEMPTS = 2
"""Of a mirror, behind which another server waits."""
_DOWN_S = 60.0
"""So long a server that could not be reached is asked last."""
_MOST_LOGINS = 2
"""Answers to one request's 401: a token that another thread got may end at once, a third is a server's fault."""
_NO_CONNECTION = frozenset({"unreachable", "unknown-host", "tls"})


@dataclass(frozen=True, slots=True)
class Answer:
    """A small document as it came, and who gave it. `headers`: the two that say what it is, in lower case."""

    body: bytes
    endpoint: Endpoint
    content_type: str | None = None
    content_digest: str | None = None


class RegistryClient:
    """Talks to registries. Safe for several threads."""

    def __init__(
        self,
        settings: Mapping[str, Mapping[str, object]],
        *,
        environ: Mapping[str, str] | None = None,
        pauses: Pauses | None = None,
        patience: Patience | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """settings: by `host:port`. environ: where credential files, helpers and certificates are found; None: the
        process's own.

        Raises UsageError for settings that make no sense.
        """
        self.pauses = pauses or Pauses()
        known = os.environ if environ is None else environ
        self._hosts, self._secrets, self._clock = read_hosts(settings, certificate_finder(known)), Secrets(), clock
        self._transport = Transport(self._hosts, patience)
        self._authorizer = Authorizer(
            self._transport, CredentialSource(self._secrets, environ), self._secrets, clock=clock
        )
        self._lock = threading.Lock()
        self._down: dict[Endpoint, float] = {}

    def close(self) -> None:
        """Ends waits and transfers of other threads, which raise Interrupted, and closes connections. Idempotent."""
        self.pauses.end()
        self._transport.close()

    def open(
        self,
        endpoint: Endpoint,
        repository: str,
        path: str,
        doing: str,
        headers: Mapping[str, str] | None = None,
        expects: Collection[int] = (200,),
        *,
        method: str = "GET",
    ) -> Response:
        """The answer to one GET or HEAD, of one of the expected statuses, its body unread. Asks again only to log in.

        Raises RegistryError: HttpError for another status, with the registry's own words; else what the network gave.
        """
        scope = f"repository:{endpoint.prefix}{repository}:pull"
        url = endpoint.url(repository, path)
        return self._asked(endpoint, repository, scope, method, url, doing, headers, expects)

    def send(
        self,
        endpoint: Endpoint,
        repository: str,
        method: str,
        url: str,
        doing: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Body | None = None,
        expects: Collection[int] = (200,),
        reads: Collection[str] = (),
    ) -> Response:
        """The answer to one request that changes the repository, or belongs to such a change; as `open`.

        url: a whole address, which may be on another origin (an upload's Location): no login goes there.
        reads: other repositories that the request takes something from.
        """
        scopes = [f"repository:{endpoint.prefix}{repository}:pull,push"]
        scopes += [f"repository:{endpoint.prefix}{name}:pull" for name in reads]
        return self._asked(endpoint, repository, " ".join(scopes), method, url, doing, headers, expects, body)

    def _asked(
        self,
        endpoint: Endpoint,
        repository: str,
        scope: str,
        method: str,
        url: str,
        doing: str,
        headers: Mapping[str, str] | None,
        expects: Collection[int],
        body: bytes | Body | None = None,
    ) -> Response:
        """One request, and again with a login when it asks for one. scope: one or several, with blanks between."""
        name = endpoint.prefix + repository
        is_own = origin_of(url) == endpoint.origin
        authorization = self._authorizer.header(endpoint, name, scope) if is_own else None
        response = self._send(method, url, headers, authorization, body)
        for _ in range(_MOST_LOGINS):
            if response.status != 401 or not is_own or response.origin != endpoint.origin:
                break  # a 401 from where a redirect led is not answered: the login is for this endpoint alone
            try:
                answer = self._authorizer.answer(endpoint, name, scope, response, authorization)
            except BaseException:
                response.close()
                raise
            if answer is None:
                break
            response.drop()
            authorization = answer
            response = self._send(method, url, headers, authorization, body)
        if response.status in expects:
            return response
        said = response.head_of_body(LIMIT_BYTES)
        notes = self._authorizer.remarks(endpoint, name) if response.status in (401, 403) else ()
        raise http_error(doing, response.status, said, response.header("Retry-After"), self._secrets, notes)

    def get(self, reference: Reference, path: str, doing: str, limit_bytes: int, accept: str | None = None) -> Answer:
        """A small document. Raises RegistryError: of the last endpoint, with notes on those before it."""

        def ask(endpoint: Endpoint) -> Answer:
            response = self.open(endpoint, reference.repository, path, doing, {"Accept": accept} if accept else None)
            body = response.body(limit_bytes)
            return Answer(body, endpoint, response.header("Content-Type"), response.header("Docker-Content-Digest"))

        return self.first(reference, lambda endpoint: self.repeated(endpoint, lambda: ask(endpoint)))

    def first(self, reference: Reference, ask: Callable[[Endpoint], T]) -> T:
        """What the first endpoint gives that gives anything. Raises RegistryError as `get`, and what `ask` raises else."""
        notes: list[str] = []
        last: RegistryError | None = None
        for endpoint in self.endpoints(reference):
            try:
                return ask(endpoint)
            except RegistryError as error:
                self.failed(endpoint, error)
                # The registry's own word counts more than a mirror's: that one may only not have been filled.
                if last is not None and endpoint.is_mirror:
                    notes.append(error.message)
                else:
                    if last is not None:
                        notes.append(last.message)
                    last = error
        if last is None:
            raise RegistryError(f"no server is known for {reference.registry}")
        raise noted(last, notes)

    def repeated(self, endpoint: Endpoint, ask: Callable[[], T]) -> T:
        """As `Pauses.repeat`, with less patience for a mirror."""
        return self.pauses.repeat(ask, _MIRROR_ATTEMPTS if endpoint.is_mirror else None)

    def endpoints(self, reference: Reference) -> list[Endpoint]:
        """Whom to ask, in order; those that could not be reached lately come last."""
        now = self._clock()
        known = self._hosts.endpoints(reference.registry)
        with self._lock:
            return sorted(known, key=lambda endpoint: self._down.get(endpoint, 0.0) > now)

    def home(self, reference: Reference) -> Endpoint:
        """The registry itself, where things are pushed to: never a mirror."""
        return self._hosts.endpoints(reference.registry)[-1]

    def failed(self, endpoint: Endpoint, error: RegistryError) -> None:
        """Remembers an endpoint with which no connection could be made."""
        if error.code in _NO_CONNECTION:
            with self._lock:
                self._down[endpoint] = self._clock() + _DOWN_S

    def pages(self, endpoint: Endpoint, repository: str, path: str, doing: str, limit_bytes: int) -> Iterator[bytes]:
        """The bodies of a list and of what its `Link: <…>; rel="next"` lead to, on the endpoint's own origin only."""
        from slimstage.registry.paging import next_path

        seen: set[str] = set()
        following: str | None = path
        while following is not None and following not in seen:
            seen.add(following)
            response = self.open(endpoint, repository, following, doing)
            link = response.header("Link")
            yield response.body(limit_bytes)
            following = next_path(endpoint, repository, following, link)

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        authorization: str | None,
        body: bytes | Body | None,
    ) -> Response:
        sent = dict(headers or {})
        if authorization is not None:
            sent["Authorization"] = authorization
        try:
            return self._transport.request(method, url, sent, body=body, resends=True)
        except RegistryError:
            self.pauses.check()  # a connection that `close` ended was called off, not lost
            raise


def checked(reference: Reference) -> Reference:
    """The reference, if its text means just it: nothing else is made into a URL. Raises FormatError (`bad-reference`)."""
    if parse_reference(str(reference)) != reference:
        raise FormatError(f'"{str(reference)[:300]}" is not an image name', code="bad-reference")
    return reference


def noted(error: RegistryError, notes: list[str]) -> RegistryError:
    """The same error with more notes."""
    if not notes:
        return error
    all_notes = (*error.diagnostics[0].notes, *(f"another server for it: {note}" for note in notes))
    if isinstance(error, HttpError):
        return HttpError(
            error.message,
            status=error.status or 0,
            code=error.code,
            codes=error.codes,
            retry_after_s=error.retry_after_s,
            notes=all_notes,
            hint=error.hint,
        )
    return RegistryError(
        error.message,
        status=error.status,
        code=error.code,
        is_temporary=error.is_temporary,
        notes=all_notes,
        hint=error.hint,
    )
