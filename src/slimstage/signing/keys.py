"""Keys: cosign's own key files, and PEM as openssl writes it.

`cryptography` is an extra (`pip install "slimstage[sign]"`) and imported only here and in `secretbox.py`.
Source: cosign, KEYS.md (`ENCRYPTED SIGSTORE PRIVATE KEY`); go-securesystemslib, encrypted/encrypted.go; RFC 7914 (scrypt).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from slimstage.errors import FormatError, UsageError
from slimstage.oci.document import Fields, go_json, read_object
from slimstage.regex import pattern
from slimstage.signing.secretbox import NONCE_BYTES, seal, unseal
from slimstage.values import dataclass

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

LIMIT_BYTES = 64 << 10
"""Of a key file."""

ENCRYPTED = "ENCRYPTED SIGSTORE PRIVATE KEY"
_PEM = pattern(
    r"-----BEGIN (ENCRYPTED (?:SIGSTORE|COSIGN) PRIVATE KEY)-----\s([A-Za-z0-9+/=\s]+)-----END \1-----", re.ASCII
)
_MOST_MEMORY_BYTES = 1 << 30
"""That scrypt may use: a key file must not choose how much."""

Password = Callable[[], bytes]
"""Asked for only when the key is encrypted."""


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """An ECDSA key that signs as cosign does: SHA-256, an ASN.1 signature."""

    _key: Any

    def sign(self, data: bytes) -> bytes:
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.hashes import SHA256

        key: EllipticCurvePrivateKey = self._key
        signature: bytes = key.sign(data, ECDSA(SHA256()))
        return signature

    def public(self) -> PublicKey:
        return PublicKey(self._key.public_key())


@dataclass(frozen=True, slots=True)
class PublicKey:
    """ECDSA, RSA (PKCS #1 v1.5) or Ed25519, over SHA-256 as cosign's keys are."""

    _key: Any

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """True when the key's owner signed just these bytes."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
        from cryptography.hazmat.primitives.hashes import SHA256

        try:
            if isinstance(self._key, EllipticCurvePublicKey):
                self._key.verify(signature, data, ECDSA(SHA256()))
            elif isinstance(self._key, RSAPublicKey):
                self._key.verify(signature, data, PKCS1v15(), SHA256())
            else:
                self._key.verify(signature, data)
        except InvalidSignature:
            return False
        return True

    def pem(self) -> bytes:
        """As `openssl pkey -pubout` writes it."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        pem: bytes = self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return pem


def new_private_key() -> PrivateKey:
    """A fresh ECDSA key on the curve P-256. Raises UsageError without `cryptography`."""
    _check_installed()
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

    return PrivateKey(generate_private_key(SECP256R1()))


def read_private_key(data: bytes, what: str, password: Password) -> PrivateKey:
    """The key of a file's bytes. what: the file's name, for messages.

    Raises UsageError: not a key, a wrong password (`wrong-password`), no ECDSA key; without `cryptography`.
    """
    _check_installed()
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    key: object
    if match := _PEM.search(data.decode("latin-1")):
        key = _from_der(_decrypted(_decoded(match[2], what), what, password), what)
    else:
        key = _from_pem(data, what, password)
    if not isinstance(key, EllipticCurvePrivateKey):
        raise UsageError(f'"{what}" is no ECDSA key', code="bad-key", hint="make one with: slimstage generate-key-pair")
    return PrivateKey(key)


def read_public_key(data: bytes, what: str) -> PublicKey:
    """The key of a file's bytes. Raises UsageError: not a public key, of a kind that cosign has not."""
    _check_installed()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as cause:
        is_private = b"PRIVATE KEY-----" in data
        hint = "give the public key, cosign.pub, not the private one" if is_private else None
        raise UsageError(f'"{what}" is no public key in PEM', code="bad-key", hint=hint) from cause
    if not isinstance(key, EllipticCurvePublicKey | RSAPublicKey | Ed25519PublicKey):
        raise UsageError(f'"{what}" is neither an ECDSA, an RSA nor an Ed25519 key', code="bad-key")
    return PublicKey(key)


def encrypted_pem(key: PrivateKey, password: bytes, *, work: int = 65536) -> bytes:
    """The key file as `cosign generate-key-pair` writes it. work: scrypt's N; 65536 is cosign's."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    der = key._key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    salt, nonce = os.urandom(32), os.urandom(NONCE_BYTES)
    derived = hashlib.scrypt(password, salt=salt, n=work, r=8, p=1, maxmem=_MOST_MEMORY_BYTES, dklen=32)
    document = {
        "kdf": {"name": "scrypt", "params": {"N": work, "r": 8, "p": 1}, "salt": _text(salt)},
        "cipher": {"name": "nacl/secretbox", "nonce": _text(nonce)},
        "ciphertext": _text(seal(der, nonce, derived)),
    }
    body = base64.b64encode(go_json(document)).decode()
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    return "\n".join([f"-----BEGIN {ENCRYPTED}-----", *lines, f"-----END {ENCRYPTED}-----", ""]).encode()


def _check_installed() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError as cause:
        raise UsageError(
            "signatures need the Python package cryptography, which is not installed",
            code="extra-missing",
            hint='pip install "slimstage[sign]"',
        ) from cause


def _decrypted(data: bytes, what: str, password: Password) -> bytes:
    """The PKCS #8 document of cosign's encrypted form."""
    try:
        fields = read_object(data, "the key", LIMIT_BYTES)
        kdf, cipher = _needed(fields, "kdf"), _needed(fields, "cipher")
        params = _needed(kdf, "params")
        n, r, p = (params.number(name) or 0 for name in ("N", "r", "p"))
        names = (kdf.needed_text("name"), cipher.needed_text("name"))
        texts = [kdf.needed_text("salt"), cipher.needed_text("nonce"), fields.needed_text("ciphertext")]
    except FormatError as cause:
        raise UsageError(f'"{what}" is not one of cosign\'s keys: {cause.message}', code="bad-key") from cause
    if names != ("scrypt", "nacl/secretbox"):
        raise UsageError(f'"{what}" is encrypted by {names[0]} and {names[1]}, which is not known', code="bad-key")
    is_bounded = n > 1 and n & (n - 1) == 0 and r > 0 and 0 < p <= 16 and 128 * r * (n + p + 2) <= _MOST_MEMORY_BYTES
    salt, nonce, box = (_decoded(text, what) for text in texts)
    if not is_bounded or len(nonce) != NONCE_BYTES or len(box) > LIMIT_BYTES // 2:
        raise UsageError(f'"{what}" is not one of cosign\'s keys: its parameters are out of bounds', code="bad-key")
    derived = hashlib.scrypt(password(), salt=salt, n=n, r=r, p=p, maxmem=2 * _MOST_MEMORY_BYTES - 1, dklen=32)
    message = unseal(box, nonce, derived)
    if message is None:
        raise _wrong_password(what)
    return message


def _from_der(data: bytes, what: str) -> object:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    try:
        return load_der_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as cause:
        raise UsageError(f'"{what}" holds no private key', code="bad-key") from cause


def _from_pem(data: bytes, what: str, password: Password) -> object:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(data, None)
    except TypeError:
        pass  # it is encrypted
    except (ValueError, UnsupportedAlgorithm) as cause:
        raise UsageError(
            f'"{what}" is no private key in PEM', code="bad-key", hint="make one with: slimstage generate-key-pair"
        ) from cause
    try:
        return load_pem_private_key(data, password() or b"\0")
    except (ValueError, UnsupportedAlgorithm) as cause:
        raise _wrong_password(what) from cause


def _wrong_password(what: str) -> UsageError:
    return UsageError(
        f'the password of "{what}" is wrong',
        code="wrong-password",
        hint="it is taken from COSIGN_PASSWORD, or asked for",
    )


def _needed(fields: Fields, name: str) -> Fields:
    return fields.fields(name) or fields.wrong(name, "an object")


def _decoded(text: str, what: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as cause:
        raise UsageError(f'"{what}" is not one of cosign\'s keys: not base64', code="bad-key") from cause


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
