"""One HTTP request, and the redirects it meets.

urllib3 does the connections; it is loaded with the first request. Nothing here knows about images, and nothing tries
again: see `retry.py`. Redirects are followed by us, one by one: an Authorization header stays with the origin it was
made for, https never leads to http, and http leads only where plain http is allowed.
Source: distribution-spec v1.1, "Pulling blobs" (no credentials across hosts); RFC 9110, section 15.4.
"""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from slimstage.errors import RegistryError
from slimstage.registry.hosts import Hosts, HostSettings, Origin, origin_of, shown_url
from slimstage.values import dataclass
from slimstage.version import __version__

if TYPE_CHECKING:
    import urllib3

    from slimstage.registry.connections import Connections, Patience

BLOCK_BYTES = 1 << 20
_MOST_REDIRECTS = 6
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEEP_METHOD = frozenset({307, 308})
_DRAIN_BYTES = 64 << 10
_TRAVELS = frozenset({
    "accept", "accept-encoding", "content-length", "content-range", "content-type", "range", "user-agent",
})  # fmt: skip
"""Headers that go along to another origin."""


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes that are read while they are sent, from the beginning at each call of `blocks`: exactly `size_bytes` of them.

    None: nobody knows yet how many, and they go in chunks (RFC 9112, section 7.1).
    """

    size_bytes: int | None
    blocks: Callable[[], Iterator[bytes]]


class Response:
    """An answer whose body has not been read. Close it, or read it to its end."""

    def __init__(
        self, raw: urllib3.BaseHTTPResponse, url: str, origin: Origin, patience: Patience, *, has_body: bool = True
    ) -> None:
        self._raw, self._patience, self._has_body = raw, patience, has_body
        self.status, self.url, self.origin = raw.status, url, origin

    def header(self, name: str) -> str | None:
        return self._raw.headers.get(name)

    def headers(self, name: str) -> list[str]:
        """All values of a header that may be there several times."""
        return self._raw.headers.getlist(name)

    def blocks(self) -> Iterator[bytes]:
        """The body as it was sent, never decoded, at most `BLOCK_BYTES` at a time.

        Raises RegistryError when it is cut, or comes so slowly that it would never end; all that came is given first.
        """
        import urllib3

        gathered = bytearray()
        pace = _Pace(self._patience)
        failure: RegistryError | None = None
        while failure is None:
            try:
                piece = self._raw.read1(BLOCK_BYTES - len(gathered), decode_content=False)
            except (urllib3.exceptions.HTTPError, OSError) as cause:
                failure = _failure(self.url, self.origin, cause)
                failure.__cause__ = cause
                break
            gathered += piece
            if not piece:
                break
            if not pace.is_kept(len(piece)):
                failure = RegistryError(
                    f"{shown_url(self.url)}: the connection was lost: it had become too slow",
                    code="connection-lost",
                    is_temporary=True,
                )
            elif len(gathered) == BLOCK_BYTES:
                yield bytes(gathered)
                gathered.clear()
                pace = _Pace(self._patience)  # what the reader took is not the server's time
        if failure is not None:
            self.close()
        if gathered:
            yield bytes(gathered)
        if failure is not None:
            raise failure
        self._raw.release_conn()

    def body(self, limit_bytes: int) -> bytes:
        """The whole body. Raises RegistryError (`response-too-large`) as soon as it is longer than the limit."""
        data = bytearray()
        for block in self.blocks():
            data += block
            if len(data) > limit_bytes:
                self.close()
                raise RegistryError(
                    f"{shown_url(self.url)}: the answer is larger than {limit_bytes} bytes", code="response-too-large"
                )
        return bytes(data)

    def head_of_body(self, limit_bytes: int) -> bytes:
        """At most so many bytes of the body, for messages; the rest is dropped, and so is a failure."""
        data = bytearray()
        try:
            for block in self.blocks():
                data += block
                if len(data) >= limit_bytes:
                    break
        except RegistryError:
            pass
        self.close()
        return bytes(data[:limit_bytes])

    def drop(self) -> None:
        """Ends it; the connection is kept for others when little of the body is left."""
        length = self._raw.headers.get("Content-Length", "")
        if not self._has_body or (length.isdigit() and int(length) <= _DRAIN_BYTES):
            self._raw.drain_conn()
            self._raw.release_conn()
        else:
            self.close()

    def close(self) -> None:
        """Idempotent. The connection is given up unless the body was read to its end."""
        self._raw.close()


class _Pace:
    """Whether bytes come as fast as they have to."""

    def __init__(self, patience: Patience) -> None:
        self._patience, self._began_s, self._count = patience, time.monotonic(), 0

    def is_kept(self, count: int) -> bool:
        self._count += count
        now = time.monotonic()
        if now - self._began_s < self._patience.slow_s:
            return True
        is_fast = self._count >= self._patience.slow_bytes
        self._began_s, self._count = now, 0
        return is_fast


class Transport:
    """Requests to registries and token servers. Safe for several threads; connections are reused."""

    def __init__(self, hosts: Hosts, patience: Patience | None = None) -> None:
        self._hosts, self._patience = hosts, patience
        self._lock = threading.Lock()
        self._made: Connections | None = None
        self._pools: dict[tuple[str | None, HostSettings | None], urllib3.PoolManager] = {}

    def permits_plain(self, origin: Origin) -> bool:
        return self._hosts.permits_plain(origin)

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        body: bytes | Body | None = None,
        resends: bool = False,
    ) -> Response:
        """The answer, whatever its status; for GET and HEAD the one at the end of all redirects.

        resends: other methods follow the redirects that keep the method (307, 308), with their body: never for one that
        holds a secret.

        Raises RegistryError: `unreachable`, `unknown-host`, `tls`, `connection-lost`, `plain-http-refused`,
        `redirect-refused`, `too-many-redirects`; `is_temporary` when asking again may help. What the body's blocks
        raise comes through, unless it is an OSError.
        """
        sent = {"User-Agent": f"slimstage/{__version__}", "Accept-Encoding": "identity", **(headers or {})}
        if isinstance(body, Body) and body.size_bytes is not None:
            sent["Content-Length"] = str(body.size_bytes)
        origin = origin_of(url)
        followed = _REDIRECTS if method in ("GET", "HEAD") else _KEEP_METHOD if resends else frozenset[int]()
        for _ in range(_MOST_REDIRECTS + 1):
            response = self._send(method, url, origin, sent, body)
            if response.status not in followed:
                return response
            location = response.header("Location")
            response.drop()
            if not location:
                raise RegistryError(f"{shown_url(url)}: a redirect that leads nowhere", code="redirect-refused")
            target = joined(url, location)
            to = allowed(url, target)
            if to != origin:
                sent = {name: value for name, value in sent.items() if name.lower() in _TRAVELS}
            url, origin = target, to
        raise RegistryError(f"{shown_url(url)}: more than {_MOST_REDIRECTS} redirects", code="too-many-redirects")

    def close(self) -> None:
        """Ends all connections; threads that wait on one get an error at once. Idempotent."""
        with self._lock:
            pools, self._pools = list(self._pools.values()), {}
            made = self._made
        for pool in pools:
            pool.clear()
        if made is not None:
            made.end()

    def _send(
        self, method: str, url: str, origin: Origin, headers: Mapping[str, str], body: bytes | Body | None
    ) -> Response:
        import urllib3

        if origin.scheme == "http" and not self.permits_plain(origin):
            raise RegistryError(
                f"{origin}: plain http is spoken only with this machine and with hosts set for it",
                code="plain-http-refused",
                hint=f'if you trust the network, set plain-http = true under [registry."{origin.host}:{origin.port}"]',
            )
        pool, patience = self._pool(origin)
        try:
            raw = pool.urlopen(
                method,
                url,
                headers=dict(headers),
                body=body.blocks() if isinstance(body, Body) else body,
                timeout=patience.timeout(patience.read_s if method in ("GET", "HEAD") else patience.storing_s),
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as cause:
            raise _failure(url, origin, cause) from cause
        return Response(raw, url, origin, patience, has_body=method != "HEAD")

    def _pool(self, origin: Origin) -> tuple[urllib3.PoolManager, Patience]:
        from slimstage.registry.connections import (  # urllib3 comes with the first request
            Connections,
            Patience,
            proxy_of,
        )

        proxy = proxy_of(origin)
        settings = self._hosts.settings_of(origin) if origin.scheme == "https" else None
        with self._lock:
            patience = self._patience = self._patience or Patience()
            connections = self._made = self._made or Connections(patience)
            pool = self._pools.get((proxy, settings))
            if pool is None:
                pool = self._pools[proxy, settings] = connections.pool(proxy, settings)
        return pool, patience


def allowed(url: str, target: str) -> Origin:
    """The origin of the address that the answer from `url` leads to. Raises RegistryError (`redirect-refused`): it is
    none, or plain http behind https."""
    try:
        to = origin_of(target)
    except RegistryError as cause:
        raise RegistryError(
            f"{shown_url(url)}: a redirect that is not followed: {cause.message}", code="redirect-refused"
        ) from cause
    if to.scheme == "http" and origin_of(url).scheme == "https":
        raise RegistryError(
            f"{shown_url(url)}: a redirect from https to http is not followed ({to})", code="redirect-refused"
        )
    return to


def joined(url: str, location: str) -> str:
    """Where a Location leads, relative ones too; what may not stand in a URL is escaped, nothing twice."""
    try:
        target = urljoin(url, location.strip())
        parts = urlsplit(target)
    except ValueError:
        return "invalid:"
    safe = "%/:=&?~#+!$,;'@()*[]"
    return urlunsplit((parts.scheme, parts.netloc, quote(parts.path, safe), quote(parts.query, safe), ""))


def _failure(url: str, origin: Origin, cause: Exception) -> RegistryError:
    """What went wrong with a connection, in our words."""
    import urllib3

    exceptions = urllib3.exceptions
    if isinstance(cause, (exceptions.SSLError, ssl.SSLError)):
        return RegistryError(
            f"{origin}: TLS failed: {_tls_reason(cause)}",
            code="tls",
            hint="set ca for the registry's own authority; SSL_CERT_FILE names the host's. Plain http is never tried "
            "instead: plain-http = true asks for it",
        )
    if isinstance(cause, exceptions.NameResolutionError):
        return RegistryError(
            f'{origin}: no address is known for "{origin.host}"', code="unknown-host", is_temporary=True
        )
    if isinstance(cause, exceptions.ProxyError):
        return RegistryError(f"{origin}: the proxy does not answer", code="unreachable", is_temporary=True)
    if isinstance(cause, (exceptions.NewConnectionError, exceptions.ConnectTimeoutError)):
        is_refused = isinstance(cause, exceptions.NewConnectionError)
        reason = _reason(cause) if is_refused else "it does not answer"
        return RegistryError(f"{origin}: cannot connect: {reason}", code="unreachable", is_temporary=True)
    hint = None
    if origin.scheme == "http" and origin.is_loopback:
        hint = f'if it speaks TLS, set plain-http = false under [registry."{origin.host}:{origin.port}"]'
    return RegistryError(
        f"{shown_url(url)}: the connection was lost: {_reason(cause)}",
        code="connection-lost",
        is_temporary=True,
        hint=hint,
    )


def _tls_reason(error: BaseException) -> str:
    text = str(error)
    for sign, said in (
        ("self-signed certificate", "the certificate is signed by itself"),
        ("self signed certificate", "the certificate is signed by itself"),
        ("unable to get local issuer", "the certificate's authority is not known here"),
        ("CERTIFICATE_REQUIRED", "the server wants to know who we are: set client-cert and client-key"),
        ("ALERT_UNKNOWN_CA", "the server does not know the authority of our certificate"),
        ("ALERT_BAD_CERTIFICATE", "the server does not take our certificate"),
        ("certificate has expired", "the certificate has expired"),
        ("ostname mismatch", "the certificate is for another host"),
        ("IP address mismatch", "the certificate is for another address"),
        ("WRONG_VERSION_NUMBER", "the server does not speak TLS on this port"),
        ("RECORD_LAYER_FAILURE", "the server does not speak TLS on this port"),
    ):
        if sign in text:
            return said
    return text[:200]


def _reason(error: BaseException) -> str:
    """The system's own words for a failure where it has some, without the names of Python objects."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno:
            return os.strerror(seen.errno).lower()
        nested = [item for item in seen.args if isinstance(item, BaseException)]
        seen = seen.__cause__ or (nested[-1] if nested else seen.__context__)
    if "IncompleteRead" in str(error):
        return "it ended early"
    return "no answer in time" if "timed out" in str(error).lower() else "it was closed"
