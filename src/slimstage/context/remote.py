"""ADD of a URL, and a context that is one: one file, fetched over http or https and verified.

Redirects are followed one by one. Every hop must be http(s), and the peer that was really connected to must not be a
link-local or metadata address: that is checked on the connected socket, before a byte is sent, so a name that resolves
to another address a moment later changes nothing.
Source: dockerfile.md §1.4 ("ADD URL"); BuildKit source/http; CWE-918.
"""

from __future__ import annotations

import base64
import email.utils
import hashlib
import ipaddress
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from slimstage.digest import Digest
from slimstage.errors import ContextError, RegistryError
from slimstage.values import dataclass
from slimstage.version import __version__

if TYPE_CHECKING:
    import urllib3

_BLOCK = 1 << 20
_MOST_REDIRECTS = 10
_CONNECT_S, _READ_S = 30.0, 120.0
_REFUSED = tuple(
    ipaddress.ip_network(text)
    for text in (
        "169.254.0.0/16",
        "fe80::/10",
        "fd00:ec2::254/128",
        "fd20:ce::254/128",
        "100.100.100.200/32",
        "168.63.129.16/32",
    )
)
"""Link-local, where clouds serve credentials, and the metadata addresses that are not link-local."""

Progress = Callable[[str, int, int | None], None]
"""Called with (what, bytes so far, bytes in all or None)."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a URL gave the last time: `path` holds the bytes, of this digest."""

    etag: str
    last_modified: str
    digest: Digest
    path: str


class Revalidation(Protocol):
    """Remembers downloads, so that an unchanged file is not transferred again. Losing any of it costs time only."""

    def find(self, url: str) -> Known | None: ...

    def keep(self, url: str, etag: str, last_modified: str, digest: Digest, path: str) -> None:
        """Keeps a copy of the bytes at `path`."""
        ...


def fetch_url(
    url: str,
    directory: str,
    *,
    checksum: str | None = None,
    revalidation: Revalidation | None = None,
    progress: Progress | None = None,
) -> str:
    """The name of the file that was fetched into `directory`, mode 0600, its time that of Last-Modified (else 1970).

    The name is the last part of the URL's path, `__unnamed__` without one. checksum: `sha256:…` or `sha512:…`.
    Raises ContextError (scheme, address, checksum, 4xx), RegistryError (the server or the network fails).
    """
    name = name_of(url)
    path = os.path.join(directory, name)
    known = revalidation.find(url) if revalidation is not None else None
    headers = {"If-None-Match": known.etag} if known and known.etag else {}
    if known and known.last_modified and not known.etag:
        headers["If-Modified-Since"] = known.last_modified
    with _Client() as client:
        response = client.get(url, headers)
        try:
            if response.status == 304 and known is not None:
                with open(known.path, "rb") as source:
                    digest = _store(source.read, path, checksum, url, None, None)
                last_modified = known.last_modified
            else:
                length = response.headers.get("Content-Length", "")
                total = int(length) if length.isdigit() else None
                digest = _store(_reading(response, url), path, checksum, url, total, progress)
                last_modified = response.headers.get("Last-Modified", "")
                etag = response.headers.get("ETag", "")
                if revalidation is not None and (etag or last_modified):
                    revalidation.keep(url, etag, last_modified, digest, path)
        finally:
            response.close()
    mtime_s = _time_of(last_modified)
    os.utime(path, (mtime_s, mtime_s))
    return name


def name_of(url: str) -> str:
    """What the file of a URL is called: the last part of its path, decoded; `__unnamed__` when there is none."""
    try:
        path = urlsplit(url).path
    except ValueError as error:
        raise ContextError(f'"{shown_url(url)}" is not a URL', code="bad-url") from error
    name = unquote(path, errors="surrogateescape").rstrip("/").rpartition("/")[2]
    if name in ("", ".", ".."):
        return "__unnamed__"
    if "\0" in name or len(os.fsencode(name)) > 255:
        raise ContextError(f'"{shown_url(url)}" gives no usable file name', code="bad-url")
    return name


def shown_url(url: str) -> str:
    """The URL without what could be a credential: user, password and query are hidden."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the URL"
    host = parts.netloc.rpartition("@")
    netloc = f"xxxxx@{host[2]}" if host[1] else parts.netloc
    return urlunsplit((parts.scheme, netloc, parts.path, "xxxxx" if parts.query else "", ""))


def _store(
    read: Callable[[int], bytes],
    path: str,
    checksum: str | None,
    url: str,
    total: int | None,
    progress: Progress | None,
) -> Digest:
    """Writes and digests in one pass. Raises ContextError when the checksum differs; the file is then gone."""
    algorithm = checksum.partition(":")[0] if checksum else "sha256"
    state = hashlib.sha256()
    wanted = hashlib.new(algorithm) if checksum and algorithm != "sha256" else state
    done = 0
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb", buffering=0) as file:
        while block := read(_BLOCK):
            state.update(block)
            if wanted is not state:
                wanted.update(block)
            file.write(block)
            done += len(block)
            if progress is not None:
                progress(shown_url(url), done, total)
        os.fchmod(file.fileno(), 0o600)
    got = f"{algorithm}:{wanted.hexdigest()}"
    if checksum and got != checksum:
        os.unlink(path)
        raise ContextError(
            f'"{shown_url(url)}" has other bytes than --checksum says: want {checksum}, got {got}',
            code="checksum-mismatch",
        )
    return Digest("sha256:" + state.hexdigest())


def _reading(response: urllib3.BaseHTTPResponse, url: str) -> Callable[[int], bytes]:
    import urllib3

    def read(count: int) -> bytes:
        try:
            return response.read(count)
        except urllib3.exceptions.HTTPError as error:
            raise RegistryError(
                f'the download of "{shown_url(url)}" broke off: {_plain(error)}',
                code="download-failed",
                is_temporary=True,
            ) from error

    return read


class _Client:
    """Connections that look at whom they reached."""

    def __enter__(self) -> _Client:
        import urllib3
        from urllib3.connection import HTTPConnection, HTTPSConnection
        from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
        from urllib3.util import Timeout

        class Checked(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                _check_peer(self)

        class CheckedTls(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                _check_peer(self)

        class Pool(HTTPConnectionPool):
            ConnectionCls = Checked

        class TlsPool(HTTPSConnectionPool):
            ConnectionCls = CheckedTls

        def manager(proxy: str | None) -> urllib3.PoolManager:
            options: dict[str, Any] = {"timeout": Timeout(connect=_CONNECT_S, read=_READ_S), "maxsize": 1}
            made = urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)
            made.pool_classes_by_scheme = {"http": Pool, "https": TlsPool}
            return made

        self._manager, self._managers = manager, dict[str | None, urllib3.PoolManager]()
        return self

    def __exit__(self, *_: object) -> None:
        for manager in self._managers.values():
            manager.clear()

    def get(self, url: str, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        """The response to a GET, redirects followed: 200, or 304 for a conditional one."""
        import urllib3

        origin = _origin(url)
        for _ in range(_MOST_REDIRECTS + 1):
            target, authorization = _checked_url(url)
            sent = {"User-Agent": f"slimstage/{__version__}", "Accept-Encoding": "identity", **headers}
            if authorization and _origin(url) == origin:
                sent["Authorization"] = authorization
            proxy = _proxy_for(target)
            manager = self._managers.get(proxy) or self._managers.setdefault(proxy, self._manager(proxy))
            try:
                response = manager.request(
                    "GET",
                    target,
                    headers=sent,
                    redirect=False,
                    preload_content=False,
                    decode_content=False,
                    retries=_retries(),
                )
            except urllib3.exceptions.HTTPError as error:
                raise RegistryError(
                    f'"{shown_url(url)}" cannot be fetched: {_plain(error)}', code="download-failed", is_temporary=True
                ) from error
            except UnicodeError as error:
                raise ContextError(f'"{shown_url(url)}" is not a URL', code="bad-url") from error
            if response.status in (200, 304):
                return response
            location = response.headers.get("Location")
            response.close()
            if response.status in (301, 302, 303, 307, 308) and location:
                url = urljoin(url, location)
                continue
            message = f'"{shown_url(url)}" cannot be fetched: the server says {response.status}'
            if 400 <= response.status < 500 and response.status not in (408, 425, 429):
                raise ContextError(message, code="download-refused")
            raise RegistryError(message, status=response.status, code="download-failed", is_temporary=True)
        raise ContextError(f'"{shown_url(url)}" redirects too often', code="download-refused")


def _checked_url(url: str) -> tuple[str, str | None]:
    """The URL without user and password, and the header that they make. Raises ContextError for all but http(s)."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ContextError(f'"{shown_url(url)}" is not a URL', code="bad-url") from error
    if parts.scheme not in ("http", "https") or not host:
        raise ContextError(f'"{shown_url(url)}" cannot be fetched: only http and https can', code="url-scheme")
    _check_literal(host)
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    netloc = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    return urlunsplit((parts.scheme, netloc, parts.path, parts.query, "")), authorization


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _check_literal(host: str) -> None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return
    if is_refused(address):
        raise _refusal(str(address))


def is_refused(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """True for link-local and metadata addresses, in whatever notation."""
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped or address.sixtofour
        if mapped is None and address in ipaddress.ip_network("64:ff9b::/96"):
            mapped = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if mapped is not None:
            address = mapped
    return any(address.version == network.version and address in network for network in _REFUSED)


def _refusal(address: str) -> ContextError:
    return ContextError(
        f"{address} is a link-local or metadata address, nothing is fetched from there", code="url-refused-address"
    )


def _check_peer(connection: Any) -> None:
    if connection.proxy is not None:
        return  # the proxy decides what it reaches; a literal address was refused before
    peer = connection.sock.getpeername()[0]
    if is_refused(ipaddress.ip_address(peer.partition("%")[0])):
        connection.close()
        raise _refusal(peer)  # no HTTPError or OSError, so nothing retries it


def _retries() -> Any:
    from urllib3.util import Retry

    return Retry(total=2, connect=2, read=1, redirect=0, status=0, other=0, backoff_factor=0.2, raise_on_redirect=False)


def _proxy_for(url: str) -> str | None:
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    if parts.hostname is None or proxy_bypass(parts.hostname):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


def _plain(error: BaseException) -> str:
    """The cause without URLs, which may hold a token."""
    reason = getattr(error, "reason", None)
    cause = reason if isinstance(reason, BaseException) else error
    return type(cause).__name__ if "://" in str(cause) else str(cause).rpartition(">: ")[2]


def _time_of(last_modified: str) -> float:
    try:
        return max(0.0, email.utils.parsedate_to_datetime(last_modified).timestamp())
    except (TypeError, ValueError, OverflowError):
        return 0.0
