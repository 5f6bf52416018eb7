"""Authorities and certificates for tests, made by trustme; nothing of them outlives the run."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from functools import cache

import trustme


@dataclass(frozen=True)
class Issued:
    """A certificate for a server of some names, and for who shows it to a server. `certificate` and `key` are PEM."""

    leaf: trustme.LeafCert

    @property
    def certificate(self) -> bytes:
        return self.leaf.cert_chain_pems[0].bytes()

    @property
    def key(self) -> bytes:
        return self.leaf.private_key_pem.bytes()

    def configure(self, context: ssl.SSLContext) -> None:
        """Has the context show it."""
        self.leaf.configure_cert(context)


class Authority:
    """Signs certificates. `certificate`: its own, in PEM."""

    def __init__(self, name: str) -> None:
        self._authority = trustme.CA(organization_name=name)
        self.certificate = self._authority.cert_pem.bytes()

    def issue(self, *names: str) -> Issued:
        """For servers of these names and addresses."""
        return Issued(self._authority.issue_cert(*names))


@cache
def authority(name: str) -> Authority:
    """One of that name, made once a run."""
    return Authority(name)


def server_context(issued: Issued, clients: Authority | None = None) -> ssl.SSLContext:
    """Of a server that shows it; clients: whose certificates it wants to be shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure(context)
    if clients is not None:
        context.load_verify_locations(cadata=clients.certificate.decode())
        context.verify_mode = ssl.CERT_REQUIRED
    return context
