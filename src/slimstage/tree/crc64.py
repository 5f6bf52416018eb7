"""CRC-64 as ISO 3309 has it: what tar-split says of each file's content, and nothing else here uses.

isal's library has it at memory speed, though not in its Python interface; where that cannot be reached it is computed
with whole numbers of many thousand bits: x^64 is x^4 + x^3 + x + 1 modulo the polynomial, and squaring keeps it that
short, so a number is folded to half its length by a few shifts.

Source: ISO 3309; Go's hash/crc64 with its ISO table, which tar-split uses (bits reflected, start and end inverted).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

_ONES = (1 << 64) - 1
_BLOCK = 1 << 17
"""Bytes taken at once: small enough for the numbers to stay in the processor's cache."""


def crc64(data: bytes | bytearray | memoryview, before: int = 0) -> int:
    """The checksum of the data; `before`: that of what precedes it, 0 for nothing."""
    native = _native()
    if native is not None:
        return native(data, before)
    return folded(data, before)


def folded(data: bytes | bytearray | memoryview, before: int = 0) -> int:
    """As `crc64`, without any library."""
    view = memoryview(data).cast("B")
    register = before ^ _ONES
    for at in range(0, len(view), _BLOCK):
        part = view[at : at + _BLOCK]
        # Bit 0 is the highest power. What went before is added to the first 64, and 64 zeros follow (register aside).
        value = int.from_bytes(part, "little") ^ register
        register = _remainder(value, 8 * len(part) + 64)
    return register ^ _ONES


def _remainder(value: int, bits: int) -> int:
    """The remainder of the polynomial whose highest power is bit 0 of `bits` many, in the same order of bits."""
    while bits > 64:
        # A power of two, so that x^(64q) is x^(4q) + x^(3q) + x^q + 1.
        q = 1 << max(0, ((bits - 1) // 64).bit_length() - 1)
        top = bits - 64 * q
        if top <= 0:
            q >>= 1
            top = bits - 64 * q
        high = value & ((1 << top) - 1)
        value = (value >> top << top) ^ (high << 60 * q) ^ (high << 61 * q) ^ (high << 63 * q) ^ (high << 64 * q)
        gone = min(top, 60 * q)
        value >>= gone
        bits -= gone
    return value


@functools.cache
def _native() -> Callable[[bytes | bytearray | memoryview, int], int] | None:
    try:
        import ctypes

        from isal import isal_zlib

        function = ctypes.CDLL(isal_zlib.__file__).crc64_iso_refl
    except (ImportError, OSError, AttributeError):
        return None
    function.restype = ctypes.c_uint64
    function.argtypes = (ctypes.c_uint64, ctypes.c_char_p, ctypes.c_uint64)

    def call(data: bytes | bytearray | memoryview, before: int) -> int:
        whole = bytes(data)
        return int(function(before, whole, len(whole)))

    # A library that was built otherwise may have the name and mean something else.
    return call if call(b"123456789", 0) == 0xB90956C775A41001 else None
