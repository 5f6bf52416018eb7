"""Certificates that Docker and Podman are given for a registry: `certs.d/HOST:PORT/` with `*.crt`, `*.cert` and `*.key`.

`*.crt` are authorities besides the host's own; `NAME.cert` with `NAME.key` is what we show when the registry asks who we
are. Source: dockerd, "Verify repository client with certificates"; containers-certs.d(5).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

from slimstage.errors import UsageError
from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class Certificates:
    """Paths of files. client_key is there with client_cert."""

    authorities: tuple[str, ...] = ()
    client_cert: str | None = None
    client_key: str | None = None

    def __bool__(self) -> bool:
        return bool(self.authorities or self.client_cert)


Finder = Callable[[str], Certificates]
"""What there is for `host` or `host:port`."""


def none_found(host: str) -> Certificates:
    """The finder for nobody's files."""
    return Certificates()


def certificate_places(environ: Mapping[str, str]) -> Iterator[str]:
    """Directories that hold one directory for each registry, the user's own first."""
    home = environ.get("HOME") or os.path.expanduser("~")
    for tool in ("containers", "docker"):
        yield os.path.join(home, ".config", tool, "certs.d")
    for tool in ("containers", "docker"):
        yield f"/etc/{tool}/certs.d"


def certificate_finder(environ: Mapping[str, str]) -> Finder:
    """Looks into the first directory that there is for a host; each host is looked up once."""
    places = tuple(certificate_places(environ))

    @lru_cache(maxsize=256)
    def find(host: str) -> Certificates:
        for place in places:
            directory = os.path.join(place, host)
            try:
                names = sorted(os.listdir(directory))
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as cause:
                raise UsageError(
                    f'cannot read the certificates in "{directory}": {(cause.strerror or "").lower()}', code="bad-ca"
                ) from cause
            return _read(directory, names)
        return Certificates()

    return find


def _read(directory: str, names: list[str]) -> Certificates:
    pairs: list[tuple[str, str]] = []
    for name in names:
        stem, dot, suffix = name.rpartition(".")
        if not dot or suffix not in ("cert", "key"):
            continue
        other = f"{stem}.{'key' if suffix == 'cert' else 'cert'}"
        if other not in names:
            raise UsageError(
                f'"{other}" is missing beside "{os.path.join(directory, name)}"',
                code="bad-ca",
                hint='authorities are called "*.crt", a certificate of ours "*.cert" with its "*.key"',
            )
        if suffix == "cert":
            pairs.append((os.path.join(directory, name), os.path.join(directory, other)))
    authorities = tuple(os.path.join(directory, name) for name in names if name.endswith(".crt"))
    cert, key = pairs[0] if pairs else (None, None)
    return Certificates(authorities, cert, key)
