"""Layers that are read in parts: any tar that can be one reads back by its table, and a table that lies is refused."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import struct
from collections.abc import Iterator

from fuzz.harness import Choices
from fuzz.tars import archive
from slimstage.digest import digest_bytes
from slimstage.errors import SlimstageError
from slimstage.tree import partial
from slimstage.tree.blocks import compress_tar
from slimstage.tree.compress import Compression, zstd_module
from slimstage.tree.pack import member_header
from slimstage.tree.partread import check_contents, read_chunk, read_contents

MAX_BYTES = 4096
_FORMS: tuple[Compression, ...] = ("estargz", "zstd:chunked")
_KEYS = (
    "name",
    "type",
    "size",
    "offset",
    "endOffset",
    "chunkOffset",
    "chunkSize",
    "chunkDigest",
    "digest",
    "innerOffset",
)
_VALUES: tuple[object, ...] = (
    "a", "b", "reg", "chunk", "dir", "hardlink", "", 0, 1, 4, 5, 9, 40, 512, 1 << 22, 1 << 40, 1 << 63, -1, True, None, 1.5,
    "sha256:" + "0" * 64, [], {},
)  # fmt: skip
TOKENS = (b'"entries":[', b'"version":1', b'"type":"reg"', b'"type":"chunk"', *(f'"{key}":'.encode() for key in _KEYS))
_CONTENT = b"abcd"
_DIGEST = digest_bytes(_CONTENT)


class _Held:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def at(self, offset: int, count: int) -> bytes:
        assert offset >= 0
        assert count >= 0
        return self._data[offset : offset + count]


def check(data: bytes) -> None:
    choices = Choices(data)
    if choices.below(3) == 0:
        _written(archive(choices), _FORMS[choices.below(2)])
    else:
        _lied(choices)


def _written(tar: bytes, form: Compression) -> None:
    sink = io.BytesIO()
    try:
        made = compress_tar(io.BytesIO(tar), compression=form, out=sink, threads=1)
    except SlimstageError:
        return
    source = _Held(sink.getvalue())
    contents = read_contents(source, made.blob_size, made.annotations)
    assert list(check_contents(source, contents)) == []
    if form == "zstd:chunked":
        packed = sink.getvalue()[: contents.offset]
        assert (zstd_module().decompress(packed) if packed else b"") == tar


def _lied(choices: Choices) -> None:
    """A blob of a few contents and a table that is made up."""
    is_estargz = choices.flag()
    pieces = [gzip.compress(_CONTENT, mtime=0) if is_estargz else zstd_module().compress(_CONTENT) for _ in range(3)]
    places = [sum(map(len, pieces[:number])) for number in range(4)]
    entries = []
    for _ in range(choices.below(6)):
        number = choices.below(3)
        entry: dict[str, object] = {
            "name": choices.pick("ab"),
            "type": choices.pick(("reg", "reg", "chunk", "dir")),
            "size": choices.pick((4, 8)),
            "offset": places[number],
            "endOffset": places[number + 1],
            "chunkDigest": _DIGEST,
            "chunkSize": choices.pick((0, 4)),
            "chunkOffset": choices.pick((0, 4)),
        }
        for _ in range(choices.below(3)):
            entry[choices.pick(_KEYS)] = choices.pick(_VALUES)
        entries.append(entry)
    text = json.dumps({"version": 1, "entries": entries}).encode() if choices.below(8) else choices.rest()
    body = b"".join(pieces)
    annotations = {}
    if is_estargz:
        table = (
            member_header(partial.TOC_NAME.encode(), b"0", 0, 0, 0, len(text), 0)
            + text
            + bytes(-len(text) % 512 + 1024)
        )
        blob = (
            body
            + gzip.compress(table, mtime=0)
            + partial.estargz_footer(len(body) + choices.below(2) * choices.below(9))
        )
    else:
        packed = zstd_module().compress(text)
        blob = body + partial.SKIPPABLE + struct.pack("<I", len(packed)) + packed
        annotations[partial.MANIFEST_POSITION] = f"{len(body) + 8}:{len(packed)}:{len(text) + choices.below(2)}:1"
        wrong = "sha256:" + "0" * 64
        annotations[partial.MANIFEST_CHECKSUM] = wrong if choices.below(9) == 8 else digest_bytes(packed)
    _read(blob, annotations)


def _read(blob: bytes, annotations: dict[str, str]) -> None:
    source = _Held(blob)
    with contextlib.suppress(SlimstageError):
        contents = read_contents(source, len(blob), annotations)
        for file in contents.files:
            assert sum(chunk.size for chunk in file.chunks) in (0, file.size)
            for chunk in file.chunks:
                assert 0 <= chunk.offset < chunk.end <= contents.offset
                with contextlib.suppress(SlimstageError):
                    assert len(read_chunk(source, contents.form, chunk)) == chunk.size


def seeds() -> Iterator[bytes]:
    yield b""
    for start in range(0, 200, 9):
        yield bytes(number * 7 % 256 for number in range(start, start + 60))
