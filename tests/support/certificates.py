"""Authorities and certificates for tests, made by openssl."""

from __future__ import annotations

import ipaddress
import ssl
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True)
class Issued:
    """In PEM."""

    certificate: bytes
    key: bytes

    def configure(self, context: ssl.SSLContext) -> None:
        """Has the context show it."""
        with TemporaryDirectory() as directory:
            both = Path(directory) / "both.pem"
            both.write_bytes(self.key + self.certificate)
            context.load_cert_chain(both)


class Authority:
    """Signs certificates. `certificate`: its own, in PEM."""

    def __init__(self, name: str) -> None:
        with TemporaryDirectory() as directory:
            cert, key = Path(directory) / "ca.pem", Path(directory) / "ca.key"
            _openssl("req", "-x509", *_KEY, "-keyout", key, "-out", cert, "-days", "2", "-subj", f"/CN={name}")
            self.certificate, self._key = cert.read_bytes(), key.read_bytes()

    def issue(self, *names: str) -> Issued:
        """For servers of these names and addresses, and for who shows it to a server."""
        with TemporaryDirectory() as text:
            directory = Path(text)
            (directory / "ca.pem").write_bytes(self.certificate)
            (directory / "ca.key").write_bytes(self._key)
            key, request, cert = directory / "key", directory / "request", directory / "cert"
            _openssl("req", *_KEY, "-keyout", key, "-out", request, "-subj", "/CN=tests")
            shown = ",".join(f"{'IP' if _is_address(name) else 'DNS'}:{name}" for name in names)
            (directory / "more").write_text(f"subjectAltName={shown}\nextendedKeyUsage=serverAuth,clientAuth\n")
            _openssl(
                "x509", "-req", "-in", request, "-CA", directory / "ca.pem", "-CAkey", directory / "ca.key",
                "-CAcreateserial", "-days", "2", "-extfile", directory / "more", "-out", cert,
            )  # fmt: skip
            return Issued(cert.read_bytes(), key.read_bytes())


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


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _openssl(*args: object) -> None:
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, timeout=60)
