"""The 512-byte headers and extension records of tar archives: reading them, strictly and within bounds. Pure.

Source: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual, "Basic Tar Format" and
"Storing Sparse Files".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from slimstage.errors import FormatError
from slimstage.regex import pattern
from slimstage.values import dataclass

BLOCK = 512
ZERO = bytes(BLOCK)
EXTENSION_LIMIT_BYTES = 1 << 20
"""Of one extension header, of all global records together, and of one sparse map."""
SPARSE_LIMIT = EXTENSION_LIMIT_BYTES // 16
"""Pieces of one sparse file."""

Segments = tuple[tuple[int, int], ...]
"""Of a sparse file: (offset, length) of the pieces that are stored, ascending."""


@dataclass(frozen=True, slots=True)
class Header:
    """The fields of one header as they are written; names are bytes without the padding."""

    name: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime_s: int
    kind: bytes
    linkname: bytes
    rdev: tuple[int, int]
    raw: bytes


def parse_header(raw: bytes) -> Header:
    """The fields of a header. Raises FormatError: checksum, a number that is none."""
    stored = number(raw[148:156], "checksum")
    total = sum(raw) - sum(raw[148:156]) + 8 * 32
    if stored != total and stored != _signed_sum(raw):
        raise FormatError(f"a tar header's checksum is wrong: want {stored}, got {total}", code="bad-tar")
    name = _text(raw[0:100])
    if raw[257:263] == b"ustar\0" and (prefix := _text(raw[345:500])):
        name = prefix + b"/" + name
    kind = raw[156:157]
    is_device = kind in (b"3", b"4")
    return Header(
        name,
        number(raw[100:108], "mode") & 0o7777,
        number(raw[108:116], "uid"),
        number(raw[116:124], "gid"),
        number(raw[124:136], "size"),
        number(raw[136:148], "mtime"),
        kind,
        _text(raw[157:257]),
        (number(raw[329:337], "device"), number(raw[337:345], "device")) if is_device else (0, 0),
        raw,
    )


def number(field: bytes, what: str) -> int:
    """An octal number padded with blanks or NULs, or GNU's base 256. Raises FormatError."""
    first = field[0]
    if first & 0x80:
        value = int.from_bytes(field, "big")
        bits = 8 * len(field)
        if first == 0xFF:
            value -= 1 << bits
        else:
            value &= (1 << (bits - 1)) - 1
        if not -(1 << 63) <= value < 1 << 63:
            raise FormatError(f"the {what} in a tar header is out of range", code="bad-tar")
        return value
    text = field.split(b"\0", 1)[0].strip(b" ")
    if not text:
        return 0
    if not _OCTAL.match(text):
        raise FormatError(f"the {what} in a tar header is no number: {field!r}", code="bad-tar")
    return int(text, 8)


def parse_records(data: bytes) -> dict[bytes, bytes]:
    """The `LENGTH KEY=VALUE\\n` records of a PAX header; a later one of the same key wins, but sparse pairs add up.

    Raises FormatError. Source: POSIX.1-2017, pax, "pax Extended Header".
    """
    records: dict[bytes, bytes] = {}
    pieces: list[bytes] = []
    at = 0
    while at < len(data):
        blank = data.find(b" ", at, at + 12)
        digits = data[at:blank] if blank > 0 else b""
        if not digits.isdigit():
            if not data[at:].strip(b"\0"):
                break  # padded, as some writers do
            raise FormatError("a PAX record has no length", code="bad-tar")
        end = at + int(digits)
        key, equals, value = data[blank + 1 : end - 1].partition(b"=")
        if end > len(data) or end <= blank + 1 or data[end - 1 : end] != b"\n" or not equals or not key:
            raise FormatError("a PAX record is malformed", code="bad-tar")
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            pieces.append(value)  # format 0.0 repeats these two keys, a pair for each piece
            if len(pieces) > 2 * SPARSE_LIMIT:
                raise _sparse("has too many pieces")
        records[key] = value
        at = end
    if pieces:
        records[b"GNU.sparse.map"] = b",".join(pieces)
    return records


def decimal(text: bytes, what: str) -> int:
    """A decimal whole number of a PAX record. Raises FormatError."""
    if not _DECIMAL.match(text):
        raise FormatError(f"the {what} in a PAX record is no number: {text[:40]!r}", code="bad-tar")
    return int(text)


def nanoseconds(text: bytes) -> int:
    """A PAX time, `seconds[.fraction]`, exact; digits below the nanosecond are cut towards the past. Raises FormatError."""
    match = _TIME.match(text)
    if not match:
        raise FormatError(f"the time in a PAX record is no number: {text[:40]!r}", code="bad-tar")
    sign, whole, fraction = match.groups(default=b"")
    digits = fraction.ljust(9, b"0")
    value = int(whole) * 1_000_000_000 + int(digits[:9])
    if sign == b"-":
        value = -value - (1 if digits[9:].strip(b"0") else 0)
    return value


def sparse_from_header(raw: bytes, extensions: Iterable[bytes]) -> tuple[Segments, int]:
    """(segments, real size) of a GNU sparse file of the old form: pieces in the header and in the blocks after it.

    Raises FormatError.
    """
    numbers: list[int] = []
    _old_pieces(raw[386:482], numbers)
    for block in extensions:
        _old_pieces(block[:504], numbers)
        if len(numbers) > 2 * SPARSE_LIMIT:
            raise _sparse("has too many pieces")
    return _segments(numbers, size := number(raw[483:495], "size")), size


def sparse_from_map(text: bytes, real_size: int) -> Segments:
    """Segments from `GNU.sparse.map` (format 0.1: numbers and commas). Raises FormatError."""
    if text.count(b",") > 2 * SPARSE_LIMIT:
        raise _sparse("has too many pieces")
    return _segments([decimal(part, "sparse map") for part in text.split(b",")] if text else [], real_size)


def sparse_count(first: bytes) -> int:
    """How many pieces the map at the start of a format 1.0 file's data says it has. Raises FormatError."""
    line, newline, _ = first.partition(b"\n")
    if not newline or (count := decimal(line, "sparse map")) > SPARSE_LIMIT or count < 0:
        raise _sparse("has too many pieces")
    return count


def sparse_from_lines(text: bytes, count: int, real_size: int) -> Segments:
    """Segments from the lines of a format 1.0 map, its count line included. Raises FormatError."""
    lines = text.split(b"\n")[1 : 2 * count + 1]
    return _segments([decimal(line, "sparse map") for line in lines], real_size)


def merged(global_records: Mapping[bytes, bytes], own: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
    """A member's records over the global ones; an empty value takes a record back."""
    if not global_records:
        return own
    return {key: value for key, value in {**global_records, **own}.items() if value or key not in global_records}


_OCTAL = pattern(rb"[0-7]+\Z")
_DECIMAL = pattern(rb"-?[0-9]{1,19}\Z")
_TIME = pattern(rb"(-?)([0-9]{1,18})(?:\.([0-9]{0,30}))?\Z")


def _text(field: bytes) -> bytes:
    return field.split(b"\0", 1)[0]


def _signed_sum(raw: bytes) -> int:
    """As writers with signed characters made it."""
    signed = sum(byte - 256 if byte > 127 else byte for byte in raw[:148] + raw[156:])
    return signed + 8 * 32


def _old_pieces(field: bytes, numbers: list[int]) -> None:
    for at in range(0, len(field), 24):
        piece = field[at : at + 24]
        if piece[0] == 0:
            break
        numbers += (number(piece[:12], "sparse map"), number(piece[12:], "sparse map"))


def _segments(numbers: list[int], real_size: int) -> Segments:
    if len(numbers) % 2 or real_size < 0:
        raise _sparse("is malformed")
    segments = []
    end = 0
    for offset, length in zip(numbers[::2], numbers[1::2], strict=True):
        if offset < end or length < 0 or offset + length > real_size:
            raise _sparse("overlaps or passes the end")
        end = offset + length
        if length:
            segments.append((offset, length))
    return tuple(segments)


def _sparse(what: str) -> FormatError:
    return FormatError(f"the map of a sparse file {what}", code="bad-tar")
