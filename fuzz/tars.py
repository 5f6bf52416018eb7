"""Tar archives made by choices: headers have valid checksums and plausible fields, so that what is behind them is reached."""

from __future__ import annotations

import bz2
import gzip
import lzma

from fuzz.harness import Choices
from slimstage.tree.compress import zstd_module

BLOCK = 512
NAMES = (
    b"a", b"b", b"a/b", b"d/", b"d/a", b"l/x", b"l", b"../x", b"/abs", b"d/../../x", b".", b"./", b"", b"d/.wh.a",
    b".wh.d",
    b".wh..wh..opq", b"d/.wh..wh..opq", b".wh..wh.plnk", b".wh.", b".wh...", b"\xff", b"n\nl",
    b"x" * 99, b"a/b/c/d/e", b"dev/null",
    b"manifest.json", b"index.json", b"oci-layout", b"blobs/sha256/" + b"0" * 64,
)  # fmt: skip
TARGETS = (
    b"a",
    b"l",
    b"d",
    b"..",
    b"../..",
    b"/",
    b"/etc",
    b"d/a",
    b"",
    b"l/l",
    b".",
    b"/l",
    b"a/../../b",
    b"x" * 90,
    b"/proc/self/root",
)
KINDS = b"00000\x00555512221xgLKSDV3467AZ"
PAX = (
    b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime", b"atime", b"comment", b"GNU.sparse.major",
    b"GNU.sparse.minor",
    b"GNU.sparse.name", b"GNU.sparse.realsize", b"GNU.sparse.size", b"GNU.sparse.map", b"GNU.sparse.offset",
    b"GNU.sparse.numbytes", b"SCHILY.xattr.user.a", b"SCHILY.xattr.security.capability",
    b"SCHILY.xattr.trusted.overlay.opaque",
    b"SCHILY.xattr.user.overlay.opaque", b"SCHILY.xattr.", b"hdrcharset",
)  # fmt: skip
VALUES = (
    b"0",
    b"1",
    b"1000",
    b"-1",
    b"9" * 18,
    b"1.5",
    b"-0.1",
    b"",
    b"a",
    b"../a",
    b"0,512",
    b"0,1,600,4",
    b"1" * 400,
    b"d/a",
    b"\0",
    b"1e9",
)


def header(name: bytes, size: int, kind: bytes, linkname: bytes, choices: Choices) -> bytes:
    """A header block with a checksum that is right."""
    raw = bytearray(BLOCK)
    raw[0:100] = name[:100].ljust(100, b"\0")
    raw[100:108] = b"%07o\0" % (choices.below(4096) if choices.flag() else 0o755)
    raw[108:116] = raw[116:124] = _number(choices.number() if choices.byte() > 200 else 1000, 8)
    raw[124:136] = _number(size, 12)
    raw[136:148] = _number(choices.number(), 12)
    raw[156:157] = kind
    raw[157:257] = linkname[:100].ljust(100, b"\0")
    raw[257:265] = choices.pick((b"ustar\00000", b"ustar  \0", b"\0" * 8))
    if kind in (b"3", b"4"):
        raw[329:337] = raw[337:345] = _number(choices.below(300), 8)
    if kind == b"S":
        for at in range(386, 386 + 24 * choices.below(5), 12):
            raw[at : at + 12] = _number(choices.number(), 12)
        raw[482] = choices.below(2)
        raw[483:495] = _number(choices.number(), 12)
    if choices.byte() > 240:
        raw[choices.below(BLOCK)] = choices.byte()
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    if choices.byte() > 250:
        raw[choices.below(BLOCK)] ^= 1
    return bytes(raw)


def _number(value: int, width: int) -> bytes:
    if 0 <= value < 8 ** (width - 1):
        return b"%0*o\0" % (width - 1, value)
    return (value & ((1 << (8 * width - 1)) - 1) | (1 << (8 * width - 1))).to_bytes(width, "big")


def records(choices: Choices) -> bytes:
    """Some PAX records, most of them well-formed."""
    found = b""
    for _ in range(choices.below(6)):
        key = choices.pick(PAX)
        value = choices.short() if choices.byte() > 200 else choices.pick(VALUES)
        value *= 1 << choices.below(4) * (choices.byte() > 230)
        body = b" " + key + b"=" + value + b"\n"
        length = len(body) + 1
        while len(str(length)) + len(body) != length:
            length += 1
        found += str(length if choices.byte() < 245 else choices.below(1000)).encode() + body
    return found


def archive(choices: Choices, documents: tuple[bytes, ...] = ()) -> bytes:
    """A tar of a few members; `documents` are contents that a file may have."""
    parts: list[bytes] = []
    for _ in range(choices.below(12)):
        kind = bytes([choices.pick(KINDS)])
        name = choices.pick(NAMES) if choices.byte() < 220 else choices.short()
        linkname = choices.pick(TARGETS) if kind in b"12" else b""
        if kind in b"xg":
            data = records(choices)
        elif kind in b"LK":
            data = (choices.pick(TARGETS) or b"n") * (1 + choices.below(80)) + b"\0"
        elif kind in b"345621":
            data = b""
        else:
            data = (
                choices.pick(documents)
                if documents and choices.flag()
                else b"x" * choices.below(3) * choices.below(700)
            )
        size = len(data) if choices.byte() < 230 else choices.number()
        repeats = 1 << choices.below(8) * (choices.byte() > 245)
        parts.append((header(name, size, kind, linkname, choices) + data + bytes(-len(data) % BLOCK)) * repeats)
    ending = choices.byte()
    parts.append(bytes(2 * BLOCK) if ending < 200 else bytes(ending % 4 * BLOCK))
    return b"".join(parts)


def compressed(data: bytes, choices: Choices) -> bytes:
    """The data in one or more members of some compression, perhaps damaged."""
    form = choices.below(8)
    if form < 4:
        return data
    half = len(data) // (1 + choices.below(3))
    pieces = (data[:half], data[half:]) if half < len(data) else (data,)
    if form == 4:
        packed = b"".join(gzip.compress(piece, 1, mtime=0) for piece in pieces)
    elif form == 5:
        packed = b"".join(zstd_module().compress(piece) for piece in pieces)
    else:
        packed = b"".join(bz2.compress(piece, 1) if form == 6 else lzma.compress(piece, preset=0) for piece in pieces)
    damage = choices.byte()
    if damage > 240:
        return packed[: len(packed) * (damage - 240) // 16]
    if damage > 220:
        at = choices.below(65536) % len(packed)
        return packed[:at] + bytes([choices.byte()]) + packed[at + 1 :]
    return packed + bytes(damage % 5) if damage > 200 else packed
