"""When an inode was made: the one of its times that nothing changes, hard links included.

Source: statx(2), STATX_BTIME (Linux 4.11).
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable

_AT_EMPTY_PATH = 0x1000
_STATX_BTIME = 0x800
_BTIME_AT = 80
"""Offset of stx_btime in struct statx: a signed 64-bit count of seconds, then nanoseconds in 32 bits."""


def birth_ns(fd: int) -> int:
    """The birth time of an open file in nanoseconds since 1970; 0 where kernel or filesystem do not say."""
    call = _statx()
    return call(fd) if call is not None else 0


@functools.cache
def _statx() -> Callable[[int], int] | None:
    import ctypes

    try:
        function = ctypes.CDLL(None, use_errno=True).statx
    except (OSError, AttributeError):
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p]

    def call(fd: int) -> int:
        buffer = ctypes.create_string_buffer(256)
        if function(fd, b"", _AT_EMPTY_PATH, _STATX_BTIME, buffer):
            return 0
        (mask,) = struct.unpack_from("=I", buffer)
        if not mask & _STATX_BTIME:
            return 0
        seconds, nanoseconds = struct.unpack_from("=qI", buffer, _BTIME_AT)
        return int(seconds * 1_000_000_000 + nanoseconds)

    return call
