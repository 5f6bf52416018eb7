"""tree/decompress.py and tree/compress.py: reading what others compressed, and being read."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import subprocess
import zlib
from collections.abc import Callable

import pytest

from slimstage.errors import FormatError
from slimstage.tree.compress import encoder, zstd_module
from slimstage.tree.decompress import Format, Peekable, decompressed, detect


def zstd(data: bytes) -> bytes:
    module = zstd_module()
    packed: bytes = module.compress(data, options={module.CompressionParameter.checksum_flag: 1})
    return packed


SQUEEZE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstd,
}
FORMATS: list[Format] = ["gzip", "bzip2", "xz", "zstd"]
TEXT = b"".join(b"line %d of a text\n" % n for n in range(150_000))


def read(data: bytes) -> bytes:
    return decompressed(io.BytesIO(data)).read()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("data", [b"", b"x", TEXT])
def test_each_format_is_told_and_read(form: Format, data: bytes) -> None:
    packed = SQUEEZE[form](data)
    assert detect(packed) == form
    assert read(packed) == data


@pytest.mark.parametrize("form", FORMATS)
def test_all_members_of_a_stream_count(form: Format) -> None:
    squeeze = SQUEEZE[form]
    assert read(squeeze(b"one") + squeeze(b"") + squeeze(TEXT)) == b"one" + TEXT


@pytest.mark.parametrize("form", FORMATS)
def test_a_stream_that_ends_early_is_an_error_wherever_it_is_cut(form: Format) -> None:
    packed = SQUEEZE[form](TEXT)
    for cut in (8, 20, len(packed) // 2, len(packed) - 1):
        with pytest.raises(FormatError):
            read(packed[:cut])


@pytest.mark.parametrize("form", FORMATS)
def test_zeros_may_follow_and_anything_else_may_not(form: Format) -> None:
    packed = SQUEEZE[form](b"data")
    assert read(packed + bytes(600_000)) == b"data"
    with pytest.raises(FormatError):
        read(packed + b"junk after the end")
    with pytest.raises(FormatError):
        read(packed + SQUEEZE["gzip" if form != "gzip" else "xz"](b"other"))


@pytest.mark.parametrize("form", FORMATS)
def test_damage_is_an_error(form: Format) -> None:
    packed = bytearray(SQUEEZE[form](os.urandom(5000)))
    for at in range(len(packed) // 2, len(packed) // 2 + 40):
        packed[at] ^= 0xFF
    with pytest.raises(FormatError):
        read(bytes(packed))


def test_a_wrong_checksum_or_length_of_gzip_is_an_error() -> None:
    packed = gzip.compress(TEXT)
    for at in (-8, -1):
        damaged = bytearray(packed)
        damaged[at] ^= 1
        with pytest.raises(FormatError):
            read(bytes(damaged))


def test_plain_bytes_pass_through_and_short_ones_too() -> None:
    assert read(b"") == b""
    assert read(b"a") == b"a"
    assert read(TEXT) == TEXT


def test_reads_are_bounded_by_what_was_asked() -> None:
    stream = decompressed(io.BytesIO(gzip.compress(TEXT)))
    parts = []
    while part := stream.read(1000):
        assert len(part) <= 1000
        parts.append(part)
    assert b"".join(parts) == TEXT
    assert stream.read(10) == b""


def test_a_bomb_is_read_in_bounded_pieces() -> None:
    stream = decompressed(io.BytesIO(gzip.compress(bytes(200 << 20), 9)))
    assert len(stream.read(1 << 30)) <= 1 << 20


def test_skippable_frames_of_zstd_are_skipped() -> None:
    skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"notes"
    assert read(skippable + zstd(b"data") + skippable) == b"data"


def test_peeking_takes_nothing() -> None:
    stream = Peekable(io.BytesIO(b"0123456789"))
    assert stream.peek(4) == b"0123"
    assert stream.peek(2) == b"01"
    assert [stream.read(2), stream.read(4), stream.read()] == [b"01", b"23", b"456789"]
    assert stream.peek(3) == b""


def compressed(data: bytes, level: int | None, is_bulk: bool = False) -> bytes:
    codec = encoder("gzip", level)
    parts = [codec.head()]
    for at in range(0, len(data), codec.block_bytes):
        block = memoryview(data)[at : at + codec.block_bytes]
        packed, checksum = codec.block(block, is_bulk)
        codec.join(checksum, len(block))
        parts.append(bytes(packed))
    return b"".join([*parts, codec.tail()])


NOISE = random.Random(3).randbytes(1_300_000)


@pytest.mark.parametrize("data", [b"", b"x", NOISE, TEXT, NOISE[:700_000] + TEXT[:700_000], bytes(3 << 20)])
@pytest.mark.parametrize("level", [None, 0, 1, 2, 6, 9])
def test_our_gzip_is_one_valid_member_for_every_reader(data: bytes, level: int | None) -> None:
    packed = compressed(data, level)
    assert gzip.decompress(packed) == data
    state = zlib.decompressobj(31)
    assert state.decompress(packed) == data
    assert (state.eof, state.unused_data) == (True, b"")
    assert subprocess.run(["gzip", "-dc"], input=packed, check=True, capture_output=True).stdout == data
    assert read(packed) == data


def test_what_does_not_compress_grows_by_less_than_a_thousandth() -> None:
    for level in (None, 1, 4, 9):
        assert len(compressed(NOISE, level)) < len(NOISE) * 1.001 + 100


def test_weights_are_tried_less_hard_than_code_and_still_shrink() -> None:
    weights = b"".join(
        bytes([NOISE[n], NOISE[n + 1], NOISE[n + 2] & 0x7F, 0x3C + (NOISE[n] & 1)]) for n in range(260_000)
    )
    assert len(compressed(weights, None)) < 0.97 * len(weights)
    assert len(compressed(TEXT, None)) < len(compressed(TEXT, None, is_bulk=True))
