"""Compression of a stream in fixed blocks, each by itself: the bytes do not depend on how many threads do it.

gzip: one member of raw deflate pieces joined by sync flushes, its CRC combined from the blocks' own. zstd: one frame a
block. How hard a block is tried is read off the block: what does not compress is stored, weights and media get isal's
fast level (a thorough one gains nothing there), pieces of large files isal too, and code and text zlib-ng. Measured
figures: bench/tree_pack.py and docs/decisions.

Source: RFC 1951, RFC 1952; RFC 8878.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias

from slimstage.errors import UsageError

Compression: TypeAlias = Literal["gzip", "zstd", "uncompressed", "estargz", "zstd:chunked"]
Buffer: TypeAlias = bytes | bytearray | memoryview

THOROUGH_LEVEL = 4
"""zlib-ng's, for code and text: within 2 % of level 6 in size at 1.6 times its speed."""
FAST_LEVEL = 2
"""isal's, for bulk data that compresses."""
ZSTD_LEVEL = 3

_SAMPLE_BYTES = 16 << 10
_SAMPLES = 4
_STORE_ABOVE = 0.985
_FAST_ABOVE = 0.72
_STORED_MAX = 65535
_SMALL_BYTES = 64 << 10
GZIP_HEAD = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
"""No time, no name, unknown system."""
_LAST_BLOCK = b"\x03\0"
"""Of deflate: one that holds nothing and ends the stream."""


class Encoder(Protocol):
    """One stream. `block` may be called by several threads, for any block; `join` by one, in order."""

    block_bytes: int

    def head(self) -> bytes: ...

    def block(self, data: memoryview, is_bulk: bool) -> tuple[Buffer, int]:
        """(the block compressed, its checksum)."""
        ...

    def join(self, checksum: int, count: int) -> None:
        """Notes that a block of `count` bytes was written."""
        ...

    def tail(self) -> bytes: ...


def encoder(compression: Compression, level: int | None = None) -> Encoder:
    """A new encoder of one whole stream; no level means: as the block asks for.

    Raises UsageError for a level that the format lacks. The formats that are read in parts are made of members and frames
    of their own, see tree/partial.py.
    """
    highest = {"gzip": 9, "zstd": 22}.get(compression)
    if level is not None and highest is not None and not 0 <= level <= highest:
        raise UsageError(
            f"{compression} has no compression level {level}",
            code="bad-compression-level",
            hint=f"levels are 0 to {highest}",
        )
    if compression == "gzip":
        return _Gzip(level)
    return _Zstd(level) if compression == "zstd" else _Plain()


class _Plain:
    block_bytes = 1 << 20

    def head(self) -> bytes:
        return b""

    def block(self, data: memoryview, is_bulk: bool) -> tuple[Buffer, int]:
        return data, 0

    def join(self, checksum: int, count: int) -> None:
        pass

    def tail(self) -> bytes:
        return b""


class _Gzip:
    block_bytes = 1 << 20

    def __init__(self, level: int | None) -> None:
        self._level = level
        self._crc = self._size = 0

    def head(self) -> bytes:
        return GZIP_HEAD

    def block(self, data: memoryview, is_bulk: bool) -> tuple[Buffer, int]:
        isal, zlib_ng = _libraries()
        level = _level_for(data, is_bulk) if self._level is None else self._level
        packed: Buffer
        if level == 0:
            packed = _stored(data)
        else:
            # isal's levels 1 and 2 are smaller and faster than zlib-ng's.
            packed = _deflate(isal if level <= 2 else zlib_ng, level, data)
            if len(packed) > len(data) + 128:
                packed = _stored(data)
        return packed, isal.crc32(data)

    def join(self, checksum: int, count: int) -> None:
        isal, _ = _libraries()
        self._crc = isal.crc32_combine(self._crc, checksum, count)
        self._size += count

    def tail(self) -> bytes:
        return _LAST_BLOCK + struct.pack("<II", self._crc, self._size & 0xFFFFFFFF)


class _Zstd:
    # A frame remembers nothing of the one before it: 1 MiB costs 3 % in size, 4 MiB gains 2 % for 15 MiB of memory.
    block_bytes = 2 << 20

    def __init__(self, level: int | None) -> None:
        self._level = ZSTD_LEVEL if level is None else level

    def head(self) -> bytes:
        return b""

    def block(self, data: memoryview, is_bulk: bool) -> tuple[Buffer, int]:
        zstd = _zstd()
        # With a checksum, as the zstd program writes it: damage is found without the digest.
        options = {
            zstd.CompressionParameter.compression_level: self._level,
            zstd.CompressionParameter.checksum_flag: 1,
        }
        return zstd.compress(data, options=options), 0

    def join(self, checksum: int, count: int) -> None:
        pass

    def tail(self) -> bytes:
        return b""


def gzip_member(data: memoryview, level: int | None) -> bytes:
    """A whole gzip file of the data; no level means: as the data asks for. Raises nothing."""
    isal, zlib_ng = _libraries()
    if level is None:
        # Sampling a small piece costs as much as it could spare.
        level = THOROUGH_LEVEL if len(data) <= _SMALL_BYTES else _level_for(data, len(data) > 1 << 20)
    packed = b""
    if level:
        library = isal if level <= 2 else zlib_ng
        state = library.compressobj(level, library.DEFLATED, -15)
        packed = state.compress(data) + state.flush()
    if not level or len(packed) > len(data) + 128:
        packed = _stored(data) + _LAST_BLOCK
    return b"".join((GZIP_HEAD, packed, struct.pack("<II", isal.crc32(data), len(data) & 0xFFFFFFFF)))


def _level_for(data: memoryview, is_bulk: bool) -> int:
    """How hard to try: 0 is not at all."""
    ratio = _sampled_ratio(data)
    if ratio > _STORE_ABOVE:
        return 0
    if ratio > _FAST_ABOVE:
        return 1
    return FAST_LEVEL if is_bulk else THOROUGH_LEVEL


def _sampled_ratio(data: memoryview) -> float:
    """About how small the block becomes, from a few places in it."""
    isal, _ = _libraries()
    if len(data) <= 2 * _SAMPLES * _SAMPLE_BYTES:
        sample: Buffer = data
    else:
        step = (len(data) - _SAMPLE_BYTES) // (_SAMPLES - 1)
        sample = b"".join(data[at : at + _SAMPLE_BYTES] for at in range(0, _SAMPLES * step, step))
    return len(_deflate(isal, 1, sample)) / max(1, len(sample))


def _deflate(library: Any, level: int, data: Buffer) -> bytes:
    state = library.compressobj(level, library.DEFLATED, -15)
    first: bytes = state.compress(data)
    rest: bytes = state.flush(library.Z_SYNC_FLUSH)
    return first + rest


def _stored(data: memoryview) -> bytes:
    """The block as deflate's stored blocks. They begin at a byte, as what is before them ends with a sync flush."""
    parts: list[Buffer] = []
    for at in range(0, len(data), _STORED_MAX):
        part = data[at : at + _STORED_MAX]
        parts += (struct.pack("<BHH", 0, len(part), len(part) ^ 0xFFFF), part)
    return b"".join(parts)


@functools.cache
def _libraries() -> tuple[Any, Any]:
    from isal import isal_zlib
    from zlib_ng import zlib_ng

    return isal_zlib, zlib_ng


@functools.cache
def _zstd() -> Any:
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]  # Python 3.14
    except ImportError:
        from backports import zstd
    return zstd


zstd_module: Callable[[], Any] = _zstd
"""The zstd of the standard library, or its backport."""
