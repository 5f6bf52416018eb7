"""NaCl's secretbox (XSalsa20 and Poly1305), in which cosign's key files keep the private key.

Poly1305 is the library's; Salsa20 is in no library that we use, and a key is two hundred bytes long: written here, for such
small things only. The tag is compared before anything is decrypted.
Source: Bernstein, "Cryptography in NaCl", sections 7 to 10; "Extending the Salsa20 nonce".
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Sequence

KEY_BYTES, NONCE_BYTES, TAG_BYTES = 32, 24, 16
_SIGMA = struct.unpack("<4I", b"expand 32-byte k")
_LONGEST = 1 << 16
_ROWS = ((0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11))
_COLUMNS = ((0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14))


def seal(message: bytes, nonce: bytes, key: bytes) -> bytes:
    """Tag and ciphertext, 16 bytes longer than the message. A nonce is never used twice with one key."""
    stream = _stream(key, nonce, 32 + len(message))
    ciphertext = _xored(message, stream[32:])
    return _tag(stream[:32], ciphertext) + ciphertext


def unseal(box: bytes, nonce: bytes, key: bytes) -> bytes | None:
    """The message; None when the key is another one or the box was changed."""
    if len(box) < TAG_BYTES:
        return None
    tag, ciphertext = box[:TAG_BYTES], box[TAG_BYTES:]
    stream = _stream(key, nonce, 32 + len(ciphertext))
    if not hmac.compare_digest(tag, _tag(stream[:32], ciphertext)):
        return None
    return _xored(ciphertext, stream[32:])


def _tag(key: bytes, data: bytes) -> bytes:
    from cryptography.hazmat.primitives.poly1305 import Poly1305

    tag: bytes = Poly1305.generate_tag(key, data)
    return tag


def _xored(data: bytes, stream: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(data, stream, strict=True))


def _stream(key: bytes, nonce: bytes, count: int) -> bytes:
    """The first bytes of XSalsa20's key stream."""
    if len(key) != KEY_BYTES or len(nonce) != NONCE_BYTES or count > _LONGEST:
        raise ValueError("the key, the nonce or the message has a wrong length")
    mixed = _rounds(_state(key, nonce[:16]))
    # HSalsa20: of the mixed state the words that stand where the constants and the nonce stood.
    subkey = struct.pack("<8I", *(mixed[i] for i in (0, 5, 10, 15, 6, 7, 8, 9)))
    stream = bytearray()
    for block in range((count + 63) // 64):
        state = _state(subkey, nonce[16:] + struct.pack("<Q", block))
        stream += struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(_rounds(state), state, strict=True)))
    return bytes(stream[:count])


def _state(key: bytes, middle: bytes) -> list[int]:
    words, nonce = struct.unpack("<8I", key), struct.unpack("<4I", middle)
    return [_SIGMA[0], *words[:4], _SIGMA[1], *nonce, _SIGMA[2], *words[4:], _SIGMA[3]]


def _rounds(state: Sequence[int]) -> list[int]:
    """Twenty rounds, without the addition of the state at their end."""
    x = list(state)
    for _ in range(10):
        for lines in (_ROWS, _COLUMNS):
            for a, b, c, d in lines:
                x[b] ^= _rotated(x[a] + x[d], 7)
                x[c] ^= _rotated(x[b] + x[a], 9)
                x[d] ^= _rotated(x[c] + x[b], 13)
                x[a] ^= _rotated(x[d] + x[c], 18)
    return x


def _rotated(value: int, count: int) -> int:
    value &= 0xFFFFFFFF
    return (value << count | value >> (32 - count)) & 0xFFFFFFFF
