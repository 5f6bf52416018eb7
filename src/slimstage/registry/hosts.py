"""Which servers a registry's name stands for, and what the user has set for each.

Pure: settings and names in, addresses out. A name becomes the mirrors set for it, in order, and then the registry
itself. Plain http is spoken with loopback and with hosts that the settings name, never because TLS failed.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from slimstage.errors import RegistryError, UsageError
from slimstage.oci.reference import DEFAULT_REGISTRY
from slimstage.regex import pattern
from slimstage.registry.certificates import Certificates, Finder, none_found
from slimstage.values import dataclass, field, replace

_DEFAULT_PORTS = {"http": 80, "https": 443}
_DOCKER_SERVER = "registry-1.docker.io"
"""Where docker.io's images are served. Source: distribution/reference and moby, registry/config.go."""
_HOST = pattern(r"(?:[A-Za-z0-9._-]+|\[[A-Fa-f0-9:.]+\])(?::[0-9]{1,5})?\Z", re.ASCII)
_PREFIX = pattern(r"(?:[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*\Z")


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port: what a credential is bound to. The host is in lower case, an IPv6 address unbracketed."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}"

    @property
    def is_loopback(self) -> bool:
        """True for 127.0.0.0/8, ::1 and `localhost`. Other names are not looked up: what they lead to may change."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """As `Origin.is_loopback`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def origin_of(url: str) -> Origin:
    """The origin of an absolute URL. Raises RegistryError (`bad-url`): not http or https, no host, a user in it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as cause:
        raise RegistryError("the registry named an address that cannot be read", code="bad-url") from cause
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise RegistryError(f'"{shown_url(url)}" is not an http or https address', code="bad-url")
    if parts.username is not None or parts.password is not None:
        raise RegistryError(f'"{shown_url(url)}": the address carries a user or password', code="bad-url")
    return Origin(parts.scheme, parts.hostname.lower(), port if port is not None else _DEFAULT_PORTS[parts.scheme])


def shown_url(url: str) -> str:
    """The URL without what may be a credential: user and password, the query (signed addresses) and the fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the address"
    query = "?…" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{query}"[:300]


@dataclass(frozen=True, slots=True)
class HostSettings:
    """`[registry."HOST:PORT"]` of the settings. `is_plain` None: not said, so plain http for loopback only."""

    mirrors: tuple[str, ...] = ()
    is_plain: bool | None = None
    ca: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    verifies: bool = True
    found: Certificates = Certificates()
    """What lies in Docker's and Podman's directories for it: counts where the settings name none."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server that answers for a registry.

    registry: the name that credentials are kept under, the mirror's own for a mirror. prefix: put before a repository.
    """

    registry: str
    origin: Origin
    prefix: str = ""
    is_mirror: bool = False

    def url(self, repository: str, path: str) -> str:
        """The address of `path` (`manifests/TAG`, `blobs/DIGEST`) in the repository."""
        return f"{self.origin}/v2/{self.prefix}{repository}/{path}"


@dataclass(frozen=True, slots=True)
class Hosts:
    """All that the settings say about registries."""

    by_host: Mapping[str, HostSettings] = field(default_factory=dict)
    plain_mirrors: frozenset[tuple[str, int]] = frozenset()
    """(host, port) of mirrors that were written with `http://`."""
    certificates: Finder = none_found

    def endpoints(self, registry: str) -> tuple[Endpoint, ...]:
        """The servers to ask, in order: mirrors, then the registry itself."""
        own = self.settings(registry)
        server = _DOCKER_SERVER if registry == DEFAULT_REGISTRY else registry
        mirrors = (self._mirror(text) for text in own.mirrors)
        return (*mirrors, Endpoint(registry, self._origin(server, own)))

    def settings(self, registry: str) -> HostSettings:
        """What is set for `host` or `host:port`; for docker.io also under its server's name."""
        found = self.by_host.get(registry.lower())
        if found is None and registry in (DEFAULT_REGISTRY, _DOCKER_SERVER):
            found = self.by_host.get(_DOCKER_SERVER) or self.by_host.get(DEFAULT_REGISTRY)
        return self._with_certificates(found, registry.lower())

    def settings_of(self, origin: Origin) -> HostSettings:
        """What is set for the server at an origin: its TLS files hold for it alone."""
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        found = self.by_host.get(f"{host}:{origin.port}")
        if found is None and origin.port in _DEFAULT_PORTS.values():
            return self.settings(host)
        return self._with_certificates(found, f"{host}:{origin.port}")

    def _with_certificates(self, settings: HostSettings | None, host: str) -> HostSettings:
        certificates = self.certificates(host)
        if not certificates:
            return settings or HostSettings()
        return replace(settings or HostSettings(), found=certificates)

    def permits_plain(self, origin: Origin) -> bool:
        """True when http without TLS may be spoken with the host."""
        return (
            origin.is_loopback
            or self.settings_of(origin).is_plain is True
            or (origin.host, origin.port) in self.plain_mirrors
        )

    def _origin(self, server: str, settings: HostSettings) -> Origin:
        host = origin_of(f"https://{server}").host
        has_tls_files = bool(settings.ca or settings.client_cert or settings.found) or not settings.verifies
        is_plain = settings.is_plain if settings.is_plain is not None else is_loopback(host) and not has_tls_files
        return origin_of(f"{'http' if is_plain else 'https'}://{server}")

    def _mirror(self, text: str) -> Endpoint:
        scheme, server, prefix = _parts_of(text)
        origin = origin_of(f"{scheme}://{server}") if scheme else self._origin(server, self.settings(server))
        return Endpoint(server, origin, prefix, is_mirror=True)


def read_hosts(settings: Mapping[str, Mapping[str, object]], certificates: Finder = none_found) -> Hosts:
    """The settings as values. certificates: looks for a server's files where the settings name none.

    Raises UsageError for a value of another type, or a mirror that is no host or URL.
    """
    by_host: dict[str, HostSettings] = {}
    plain: set[tuple[str, int]] = set()
    for host, values in settings.items():
        if not _HOST.match(host):
            raise _bad(host, f'"{host}" is not a registry: write it like "registry.example:5000"')
        by_host[host.lower()] = read = _read(host, values)
        for text in read.mirrors:
            try:
                scheme, server, _ = _parts_of(text)
                origin = origin_of(f"{scheme or 'https'}://{server}")
            except RegistryError as cause:
                raise _bad(host, f'"{text}" is not a mirror: write "host:port" or "https://host:port"') from cause
            if scheme == "http":
                plain.add((origin.host, origin.port))
    return Hosts(by_host, frozenset(plain), certificates)


def _read(host: str, values: Mapping[str, object]) -> HostSettings:
    plain = values.get("plain-http")
    verify = values.get("insecure-skip-verify")
    for key, flag in (("plain-http", plain), ("insecure-skip-verify", verify)):
        if flag is not None and not isinstance(flag, bool):
            raise _bad(host, f'"{key}" is true or false')
    mirrors = values.get("mirrors") or ()
    if isinstance(mirrors, str) or not isinstance(mirrors, (list, tuple)):
        raise _bad(host, '"mirrors" is a list')
    texts = tuple(str(mirror) for mirror in mirrors)
    ca, cert, key_file = (_path(host, values, name) for name in ("ca", "client-cert", "client-key"))
    if key_file and not cert:
        raise _bad(host, '"client-key" needs "client-cert"')
    return HostSettings(texts, plain if isinstance(plain, bool) else None, ca, cert, key_file, verify is not True)


def _path(host: str, values: Mapping[str, object], name: str) -> str | None:
    value = values.get(name)
    if value is not None and not isinstance(value, str):
        raise _bad(host, f'"{name}" is a path')
    return value or None


def _parts_of(mirror: str) -> tuple[str, str, str]:
    """(scheme or "", host with port, repository prefix or "") of a mirror as written."""
    scheme, mark, rest = mirror.partition("://")
    if not mark:
        scheme, rest = "", mirror
    server, _, prefix = rest.rstrip("/").partition("/")
    if prefix == "v2" or prefix.startswith("v2/"):
        prefix = prefix[3:]
    if scheme not in ("", "http", "https") or not _HOST.match(server) or (prefix and not _PREFIX.match(prefix)):
        raise RegistryError(f'"{shown_url(mirror)}" is not a mirror', code="bad-url")
    return scheme, server.lower(), f"{prefix}/" if prefix else ""


def _bad(host: str, why: str) -> UsageError:
    return UsageError(f'[registry."{host}"]: {why}', code="bad-settings")
