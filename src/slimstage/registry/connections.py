"""Connections to one kind of server: through which proxy, with which certificates, and how long they may take.

urllib3 makes them. A time-out of a socket is one for silence; who sends a byte now and then keeps it from ever ending. So
the head of an answer has a time of its own here, and `transport.py` looks at how fast a body comes.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from slimstage.errors import UsageError
from slimstage.registry.hosts import HostSettings, Origin, shown_url
from slimstage.values import dataclass

_CONNECTIONS = 8
"""Kept open for each host."""
_HEADS = 2
"""The head of an answer may take so many times what silence may last."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. read_s: of silence. slow_s: in each so long a part of a body's time at least slow_bytes have to come."""

    connect_s: float = 15.0
    read_s: float = 60.0
    storing_s: float = 300.0
    """Of silence after a body was sent: a registry may digest and move what it got before it answers."""
    slow_s: float = 30.0
    slow_bytes: int = 16 << 10

    def timeout(self, read_s: float) -> urllib3.Timeout:
        return urllib3.Timeout(connect=self.connect_s, read=read_s)


class Connections:
    """Makes pools of connections, and can end all that are open. Safe for several threads."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._open: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._beginning: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._classes = self._pool_classes()

    def pool(self, proxy: str | None, settings: HostSettings | None) -> urllib3.PoolManager:
        """A pool; settings None: for plain http. Raises UsageError: a proxy or a certificate that cannot be used."""
        context = _context(settings) if settings is not None else None
        timeout = self._patience.timeout(self._patience.read_s)
        if proxy is None:
            made = urllib3.PoolManager(maxsize=_CONNECTIONS, timeout=timeout, ssl_context=context)
        else:
            made = _proxied(proxy, timeout, context)
        made.pool_classes_by_scheme = self._classes
        return made

    def end(self) -> None:
        """Ends every connection, and who waits on one gets an error at once; but for those that are about to say what they
        have begun for us (POST): only who hears it can give it up again."""
        with self._lock:
            sockets = [each for each in self._open if each not in self._beginning]
        for each in sockets:
            _shut(each)

    def _opened(self, made: Any) -> None:
        with self._lock:
            self._open.add(made)

    @contextmanager
    def _answered(self, connection: Any) -> Iterator[None]:
        """While the head of an answer is waited for."""
        made, begins = connection.sock, getattr(connection, "_method", None) == "POST"
        if begins:
            with self._lock:
                self._beginning.add(made)
        try:
            with _ended_after(made, connection.timeout):
                yield
        finally:
            if begins:
                with self._lock:
                    self._beginning.discard(made)

    def _pool_classes(self) -> dict[str, Any]:
        opened, answered = self._opened, self._answered

        class Watched(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                opened(self.sock)

            def getresponse(self) -> Any:
                with answered(self):
                    return super().getresponse()

        class Secure(Watched, HTTPSConnection):
            """The same, of TLS: `super` above is HTTPSConnection here."""

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Watched

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        return {"http": PlainPool, "https": SecurePool}


@contextmanager
def _ended_after(connection: Any, silence_s: object) -> Iterator[None]:
    """Ends the connection when the head of its answer trickles in for too long. Raises TimeoutError then."""
    if not isinstance(silence_s, int | float):
        yield
        return
    is_late = threading.Event()

    def end() -> None:
        is_late.set()
        _shut(connection)

    timer = threading.Timer(silence_s * _HEADS, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    if is_late.is_set():  # what came is read as a whole head, were it not for this
        raise TimeoutError("timed out")


def _shut(connection: socket.socket) -> None:
    """The plain socket's own shutdown: that of a TLS socket takes the layer away from under whoever reads."""
    try:
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
    except (OSError, TypeError):
        pass  # closed already


def proxy_of(origin: Origin) -> str | None:
    """The proxy that the environment names for the origin (`https_proxy`, `no_proxy`, …). Loopback never has one."""
    if origin.is_loopback:
        return None
    from urllib.request import getproxies_environment, proxy_bypass

    proxies = getproxies_environment()
    proxy = proxies.get(origin.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(f"{origin.host}:{origin.port}", proxies):
        return None
    if _is_in_networks(origin.host, proxies.get("no", "")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_in_networks(host: str, no_proxy: str) -> bool:
    """Networks as `10.0.0.0/8`, which Docker and Podman read there, and Python's own reading does not."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for entry in no_proxy.split(","):
        try:
            if "/" in entry and address in ipaddress.ip_network(entry.strip(), strict=False):
                return True
        except ValueError:
            continue
    return False


def _proxied(proxy: str, timeout: urllib3.Timeout, context: ssl.SSLContext | None) -> urllib3.PoolManager:
    parts = urlsplit(proxy)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f'the proxy "{shown_url(proxy)}" is not an http or https address', code="bad-proxy")
    headers = None
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers = urllib3.make_headers(proxy_basic_auth=user)
    bare = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "", "", ""))
    return urllib3.ProxyManager(bare, maxsize=_CONNECTIONS, timeout=timeout, ssl_context=context, proxy_headers=headers)


def _context(settings: HostSettings) -> ssl.SSLContext:
    """The host's certificate authorities (OpenSSL's SSL_CERT_FILE and SSL_CERT_DIR), and those set for the server."""
    context = ssl.create_default_context()
    found = settings.found
    authorities = [settings.ca] if settings.ca else [*found.authorities]
    cert, key = settings.client_cert, settings.client_key
    if not cert:
        cert, key = found.client_cert, found.client_key
    for path in authorities:
        with _named(path):
            context.load_verify_locations(path)
    if cert:
        with _named(cert, key):
            # Without a function, OpenSSL would ask on the terminal, in the middle of whatever runs.
            context.load_cert_chain(cert, key, password=_no_password)
    if not settings.verifies:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # the user has asked for it by name
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@contextmanager
def _named(*paths: str | None) -> Iterator[None]:
    """Turns the failures of certificate files into words about them."""
    named = " with ".join(f'"{path}"' for path in paths if path)
    try:
        yield
    except _Encrypted:
        raise UsageError(
            f"cannot use the certificate {named}: the key is encrypted",
            code="bad-ca",
            hint=f'write it without: openssl pkey -in "{os.path.basename(str(paths[-1]))}" -out plain.key',
        ) from None
    except OSError as cause:
        why = cause.strerror or str(cause)
        if isinstance(cause, ssl.SSLError):
            why = "it is not one" if "NO_CERTIFICATE" in why or "PEM lib" in why else why
        raise UsageError(f"cannot use the certificate {named}: {why.lower()}", code="bad-ca") from cause


class _Encrypted(Exception):
    pass


def _no_password() -> str:
    raise _Encrypted
