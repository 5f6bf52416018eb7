"""The members of a zip archive by its central directory, without unpacking: names, sizes, where each begins.

Source: PKWARE APPNOTE.TXT 6.3.10, sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.14 to 4.3.16 (its end, zip64),
4.5.3 (zip64 extra field).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from slimstage.analyze.weights.facts import Source, Stream, Unreadable
from slimstage.values import dataclass

LOCAL = b"PK\x03\x04"
STORED, DEFLATED = 0, 8
_DIRECTORY_BYTES = 64 << 20
_MOST_MEMBERS = 300_000
_INFLATED_BYTES = 64 << 20
_END_BYTES = 22 + 65_535


@dataclass(frozen=True, slots=True)
class Member:
    """offset: of its local header in the file."""

    name: str
    method: int
    compressed_bytes: int
    size_bytes: int
    offset: int


def members(source: Source) -> dict[str, Member]:
    """By name; of two of one name the last, as readers have it. Raises Unreadable."""
    tail_at = max(0, source.size - _END_BYTES)
    tail = source.at(tail_at, source.size - tail_at)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise Unreadable("the archive has no table of contents")
    count, size, start = struct.unpack_from("<HII", tail, at + 10)
    if 0xFFFFFFFF in (size, start) or count == 0xFFFF:
        count, size, start = _zip64(source, tail, at, (count, size, start))
    if size > _DIRECTORY_BYTES or count > _MOST_MEMBERS:
        raise Unreadable(f"the archive says that it has {count} members")
    return {member.name: member for member in _directory(source.at(start, size), count)}


def _zip64(source: Source, tail: bytes, at: int, usual: tuple[int, int, int]) -> tuple[int, int, int]:
    if at < 20 or tail[at - 20 : at - 16] != b"PK\x06\x07":
        return usual
    place = struct.unpack_from("<Q", tail, at - 12)[0]
    end = source.at(place, 56)
    if end[:4] != b"PK\x06\x06":
        raise Unreadable("the archive has no table of contents")
    count, size, start = struct.unpack_from("<QQQ", end, 32)
    return count, size, start


def _directory(data: bytes, count: int) -> Iterator[Member]:
    at = 0
    for _ in range(count):
        if data[at : at + 4] != b"PK\x01\x02" or at + 46 > len(data):
            raise Unreadable("the archive's table of contents is cut off")
        method, compressed, size = struct.unpack_from("<10xH8xII", data, at)
        name_size, extra_size, comment_size = struct.unpack_from("<HHH", data, at + 28)
        offset = struct.unpack_from("<I", data, at + 42)[0]
        name = data[at + 46 : at + 46 + name_size]
        if 0xFFFFFFFF in (compressed, size, offset):
            extra = data[at + 46 + name_size : at + 46 + name_size + extra_size]
            size, compressed, offset = _wide(extra, size, compressed, offset)
        yield Member(name.decode("utf-8", "replace"), method, compressed, size, offset)
        at += 46 + name_size + extra_size + comment_size


def _wide(extra: bytes, size: int, compressed: int, offset: int) -> tuple[int, int, int]:
    """Those that do not fit are in the extra field, in this order."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            body = extra[at + 4 : at + 4 + length]
            numbers = iter(struct.unpack(f"<{len(body) // 8}Q", body[: len(body) // 8 * 8]))
            return tuple(next(numbers, each) if each == 0xFFFFFFFF else each for each in (size, compressed, offset))  # type: ignore[return-value]  # three in, three out
        at += 4 + length
    return size, compressed, offset


def content(source: Source, member: Member, limit_bytes: int = _INFLATED_BYTES) -> Stream:
    """The bytes of a member, unpacked to at most `limit_bytes`. Raises Unreadable."""
    start = local_start(source, member.offset)[1]
    if member.method == STORED:
        return Stream(source, start, start + member.compressed_bytes)
    if member.method != DEFLATED:
        raise Unreadable(f"a member of the archive is compressed by method {member.method}")
    raw = source.at(start, min(member.compressed_bytes, limit_bytes))
    try:
        data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(raw, limit_bytes)
    except zlib.error as error:
        raise Unreadable(f"a member of the archive cannot be unpacked: {error}") from None
    return Stream(Source(lambda offset, count: data[offset : offset + count], len(data)), 0, len(data))


def local_start(source: Source, offset: int) -> tuple[str, int, int]:
    """(name, where the content begins, method) of the member whose local header is there. Raises Unreadable."""
    head = source.at(offset, 30)
    if head[:4] != LOCAL:
        raise Unreadable("a member of the archive is not where its table says")
    method, name_size, extra_size = struct.unpack_from("<8xH16xHH", head)
    name = source.at(offset + 30, name_size).decode("utf-8", "replace")
    return name, offset + 30 + name_size + extra_size, method
