"""Reads layers in parts: the table of contents of an eStargz or zstd:chunked blob, and single pieces by it.

The blob is not trusted, nor is its table: every offset and size is checked against the blob and the file before it is
used, no more is decompressed than was announced, and every piece is digested before it is handed out. That the table is
the one meant is for the caller to say, by its digest in the manifest's annotations.

Source: as for tree/partial.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Protocol, TypeAlias

from slimstage.digest import Digest, digest_bytes, parse_digest
from slimstage.errors import DigestMismatch, FormatError
from slimstage.regex import pattern
from slimstage.tree import partial
from slimstage.tree.decompress import decompressed
from slimstage.tree.toc import Chunk
from slimstage.tree.untar import TarReader
from slimstage.values import dataclass, replace

TOC_LIMIT_BYTES = 128 << 20
"""Of a table as JSON: some 400,000 files. Other readers take 50 to 150 MiB."""
CHUNK_LIMIT_BYTES = 64 << 20
_MOST_ENTRIES = 2_000_000
_READ_BYTES = 256 << 10
_KINDS = frozenset(("reg", "dir", "symlink", "hardlink", "char", "block", "fifo"))
_FOOTER = pattern(rb"\x1f\x8b\x08\x04.{6}\x1a\0SG\x16\0([0-9a-f]{16})STARGZ\x01\0\0\xff\xff\0{8}\Z", re.DOTALL)

Form: TypeAlias = Literal["estargz", "zstd:chunked"]


class Source(Protocol):
    """A blob of which any part can be had."""

    def at(self, offset: int, count: int) -> bytes:
        """Exactly these bytes, or fewer where the blob ends."""
        ...


@dataclass(frozen=True, slots=True)
class PartialFile:
    """One member by the table. name: as written. digest: of the whole content, "" where nobody says."""

    name: str
    kind: str
    size: int
    digest: str
    fields: Mapping[str, Any]
    chunks: tuple[Chunk, ...] = ()


@dataclass(frozen=True, slots=True)
class Contents:
    """What a table says. digest: of the table in the form that the manifest's annotation names it by.

    offset: where what belongs to the table begins; before it are contents.
    """

    form: Form
    digest: Digest
    offset: int
    files: tuple[PartialFile, ...]


def read_contents(source: Source, size: int, annotations: Mapping[str, str]) -> Contents:
    """The table of a blob of `size` bytes, by its footer (eStargz) or the annotations of its descriptor (zstd:chunked).

    Raises FormatError: no such blob, or a table that cannot be true. DigestMismatch: not the table of the annotations.
    """
    if partial.is_zstd_chunked(annotations):
        return _zstd_chunked(source, size, annotations)
    return _estargz(source, size, annotations)


def read_chunk(source: Source, form: Form, chunk: Chunk) -> bytes:
    """The content of one piece, verified. Raises FormatError, DigestMismatch."""
    data = _unpacked(_Window(source, chunk.offset, chunk.end), form, chunk.size, exactly=False)
    if (got := digest_bytes(data)) != chunk.digest:
        raise DigestMismatch(chunk.digest, got)
    return data


def check_contents(source: Source, contents: Contents) -> Iterator[str]:
    """All that is wrong with the contents by their table, one sentence each; reads the whole blob, a piece at a time."""
    for file in contents.files:
        whole = hashlib.sha256()
        for chunk in file.chunks:
            try:
                whole.update(read_chunk(source, contents.form, chunk))
            except DigestMismatch as cause:
                yield f'"{file.name}" is not what its table says at byte {chunk.at}: want {cause.want}, got {cause.got}'
            except FormatError as cause:
                yield f'"{file.name}" cannot be read by its table at byte {chunk.at}: {cause.message}'
        if file.digest and file.chunks and (got := "sha256:" + whole.hexdigest()) != file.digest:
            yield f'"{file.name}" is not what its table says: want {file.digest}, got {got}'


def _estargz(source: Source, size: int, annotations: Mapping[str, str]) -> Contents:
    footer = source.at(size - partial.ESTARGZ_FOOTER_BYTES, partial.ESTARGZ_FOOTER_BYTES) if size > 51 else b""
    found = _FOOTER.match(footer)
    if not found:
        raise FormatError("the blob does not end as eStargz does", code="bad-toc")
    offset, end = int(found[1], 16), size - partial.ESTARGZ_FOOTER_BYTES
    if not 0 < offset < end:
        raise FormatError("the footer points outside the blob", code="bad-toc")
    if end - offset > TOC_LIMIT_BYTES:
        raise _too_large()
    reader = TarReader(decompressed(_Window(source, offset, end), "gzip"))
    member = reader.next()
    if member is None or member.path != partial.TOC_NAME or member.kind != "file":
        raise FormatError(f'the footer points at something else than "{partial.TOC_NAME}"', code="bad-toc")
    if member.size > TOC_LIMIT_BYTES:
        raise _too_large()
    data = reader.read()
    if reader.next() is not None:
        raise FormatError(f'"{partial.TOC_NAME}" is not the last file', code="bad-toc")
    digest = _agreed(digest_bytes(data), annotations, partial.TOC_DIGEST)
    return Contents("estargz", digest, offset, _files(data, offset, "estargz"))


def _zstd_chunked(source: Source, size: int, annotations: Mapping[str, str]) -> Contents:
    key = partial.MANIFEST_POSITION
    text = annotations.get(key) or annotations.get(partial.OLD_MANIFEST_POSITION) or ""
    words = text.split(":")
    if len(words) != 4 or not all(word.isascii() and word.isdigit() and len(word) < 20 for word in words):
        raise FormatError(f'the annotation "{key}" is no position: {text[:80]!r}', code="bad-toc")
    offset, packed_bytes, plain_bytes, kind = map(int, words)
    if kind != partial.MANIFEST_TYPE:
        raise FormatError(f"the table is of an unknown type: {kind}", code="bad-toc")
    start = offset - partial.FRAME_HEADER_BYTES
    if start < 0 or offset + packed_bytes > size or not packed_bytes:
        raise FormatError("the position of the table is outside the blob", code="bad-toc")
    if max(packed_bytes, plain_bytes) > TOC_LIMIT_BYTES:
        raise _too_large()
    head = source.at(start, partial.FRAME_HEADER_BYTES)
    if head != partial.SKIPPABLE + struct.pack("<I", packed_bytes):
        raise FormatError("the table is not in a frame that decoders skip", code="bad-toc")
    packed = source.at(offset, packed_bytes)
    digest = _agreed(digest_bytes(packed), annotations, partial.MANIFEST_CHECKSUM)
    _agreed(digest, annotations, partial.OLD_MANIFEST_CHECKSUM)
    data = _unpacked(_Window(_Held(packed), 0, len(packed)), "zstd:chunked", plain_bytes, exactly=True)
    return Contents("zstd:chunked", digest, start, _files(data, start, "zstd:chunked"))


def _agreed(digest: Digest, annotations: Mapping[str, str], key: str) -> Digest:
    want = annotations.get(key)
    if want is not None and parse_digest(want) != digest:
        raise DigestMismatch(want, digest)
    return digest


def _files(data: bytes, end: int, form: Form) -> tuple[PartialFile, ...]:
    """The members of a table whose contents lie before `end`, in its order."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as cause:
        raise FormatError("the table of contents is not JSON", code="bad-toc") from cause
    found = document.get("entries") if isinstance(document, dict) else None
    if not isinstance(found, list) or document.get("version") not in (1, 2) or len(found) > _MOST_ENTRIES:
        raise FormatError("the table of contents has no version or no list of entries that is known", code="bad-toc")
    files: list[PartialFile] = []
    waiting: list[Chunk] = []
    """Of the last file; where the last of them ends is known at the next content, or at the end."""
    last: PartialFile | None = None
    before = 0

    def close() -> None:
        if last is not None:
            files.append(_closed(last, waiting, end, form))

    for entry in found:
        if not isinstance(entry, dict):
            raise FormatError("an entry of the table of contents is no object", code="bad-toc")
        kind, name = _text(entry, "type"), entry.get("name")
        if not isinstance(name, str):
            raise FormatError("an entry of the table of contents has no name", code="bad-toc")
        if kind != "chunk":
            if kind not in _KINDS:
                raise _lie(name, "has a type that is not known")
            close()
            last, waiting = PartialFile(name, kind, _whole(entry, "size"), _text(entry, "digest"), entry), []
        elif last is None or last.name != name or last.kind != "reg" or not waiting:
            raise _lie(name, "has a piece that belongs to no file")
        if kind == "chunk" or (kind == "reg" and _whole(entry, "size")):
            chunk = _chunk(entry, form)
            if not before <= chunk.offset < end or (chunk.offset == before and before):
                raise _lie(name, "lies outside the blob, or before what comes before it")
            before = chunk.offset
            waiting.append(chunk)
    close()
    return _with_ends(files, end, form)


def _chunk(entry: Mapping[str, Any], form: Form) -> Chunk:
    name = str(entry.get("name"))
    if _whole(entry, "innerOffset"):
        raise _lie(name, "shares its piece with others, which this program does not read")
    digest = _text(entry, "chunkDigest") or _text(entry, "digest")
    try:
        digest = parse_digest(digest)
    except FormatError:
        raise _lie(name, "has no digest") from None
    end = _whole(entry, "endOffset") if form == "zstd:chunked" else 0
    return Chunk(_whole(entry, "offset"), end, _whole(entry, "chunkOffset"), _whole(entry, "chunkSize"), digest)


def _closed(file: PartialFile, chunks: list[Chunk], end: int, form: Form) -> PartialFile:
    """The file with its pieces, which follow each other and are its size together."""
    at = 0
    found = []
    for position, chunk in enumerate(chunks):
        is_last = position == len(chunks) - 1
        size = chunk.size or (file.size - at if is_last else 0)
        if chunk.at != at or not 0 < size <= file.size - at or (is_last and at + size != file.size):
            raise _lie(file.name, "has pieces that do not make up its size")
        if size > CHUNK_LIMIT_BYTES:
            raise _lie(file.name, f"has a piece of more than {CHUNK_LIMIT_BYTES} bytes")
        found.append(replace(chunk, size=size))
        at += size
    return replace(file, chunks=tuple(found))


def _with_ends(files: list[PartialFile], end: int, form: Form) -> tuple[PartialFile, ...]:
    """Each piece ends where it says, and never behind the beginning of the next one."""
    following = end
    for number in range(len(files) - 1, -1, -1):
        chunks = list(files[number].chunks)
        for position in range(len(chunks) - 1, -1, -1):
            chunk = chunks[position]
            # The first of several says where the file ends, not where it does itself.
            is_said = form == "zstd:chunked" and chunk.end and (position or len(chunks) == 1)
            if is_said and not chunk.offset < chunk.end <= following:
                raise _lie(files[number].name, "ends behind where the next content begins")
            chunks[position] = replace(chunk, end=chunk.end if is_said else following)
            following = chunk.offset
        if chunks:
            files[number] = replace(files[number], chunks=tuple(chunks))
    return tuple(files)


def _whole(entry: Mapping[str, Any], key: str) -> int:
    value = entry.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 62:
        raise _lie(str(entry.get("name")), f'has a "{key}" that is no size')
    return value


def _text(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key, "")
    if not isinstance(value, str):
        raise _lie(str(entry.get("name")), f'has a "{key}" that is no text')
    return value


def _lie(name: str, what: str) -> FormatError:
    return FormatError(f'by the table of contents, "{name[:200]}" {what}', code="bad-toc")


def _too_large() -> FormatError:
    return FormatError(f"the table of contents is larger than {TOC_LIMIT_BYTES} bytes", code="bad-toc")


def _unpacked(packed: _Window, form: Form, size: int, *, exactly: bool) -> bytes:
    """`size` bytes of what is in there; exactly: there must not be more."""
    stream = decompressed(packed, "gzip" if form == "estargz" else "zstd")
    parts: list[bytes] = []
    left = size
    while left and (data := stream.read(min(left, 1 << 20))):
        parts.append(data)
        left -= len(data)
    if left or (exactly and stream.read(1)):
        raise FormatError("it does not unpack to the size that was announced", code="bad-toc")
    return b"".join(parts)


class _Held:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def at(self, offset: int, count: int) -> bytes:
        return self._data[offset : offset + count]


class _Window:
    """A part of a blob as a stream."""

    def __init__(self, source: Source, start: int, end: int) -> None:
        self._source, self._at, self._end = source, start, end

    def read(self, count: int = -1, /) -> bytes:
        wanted = self._end - self._at
        data = self._source.at(self._at, min(wanted, _READ_BYTES if count < 0 else min(count, _READ_BYTES)))
        self._at += len(data)
        return data


class FileSource:
    """A blob in an open file."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def at(self, offset: int, count: int) -> bytes:
        parts: list[bytes] = []
        while count > 0 and (data := os.pread(self._fd, count, offset)):
            parts.append(data)
            offset, count = offset + len(data), count - len(data)
        return b"".join(parts)
