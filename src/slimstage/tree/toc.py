"""Tables of contents of layers that can be read in parts: where each file is in the blob, and what it is.

One form for both formats: eStargz' table, which zstd:chunked takes over with an end for each content. Written entry by
entry and kept compressed until it is finished, so that a layer of a million files needs no more than some 100 MB for it.

Source: containerd/stargz-snapshotter, docs/estargz.md; containers/storage, pkg/chunked, "TOC"; vbatts/tar-split.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from slimstage.errors import StoreError
from slimstage.tree.split import Written
from slimstage.values import dataclass

_PIECE = 1 << 18


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a file's content that can be fetched by itself.

    offset, end: in the blob, of the member (or frame) that begins with it. at, size: of it in the content.
    """

    offset: int
    end: int
    at: int
    size: int
    digest: str


def entries(member: Written, chunks: Sequence[Chunk], digest: str, *, has_ends: bool) -> list[dict[str, Any]]:
    """The entries of one member: its own, then one for each further chunk.

    digest: of the whole content, "" for none. has_ends: as zstd:chunked has it: each says where it ends, and the last of
    several chunks how long it is.
    """
    name = _text(member.name)
    first: dict[str, Any] = {"name": name, "type": member.kind}
    if member.size:
        first["size"] = member.size
    first["modtime"] = _time(member.mtime_ns)
    if member.link:
        first["linkName"] = _text(member.link)
    first |= {"mode": member.mode, "uid": member.uid, "gid": member.gid}
    if member.kind in ("char", "block"):
        first |= {"devMajor": member.rdev[0], "devMinor": member.rdev[1]}
    if member.xattrs:
        first["xattrs"] = {_text(key): base64.b64encode(value).decode() for key, value in member.xattrs}
    if digest:
        first["digest"] = digest
    found = [first]
    for position, chunk in enumerate(chunks):
        entry: dict[str, Any] = {"name": name, "type": "chunk"} if position else first
        entry["offset"] = chunk.offset
        if has_ends:
            # Readers take the end of the last chunk for the file's, and that of each chunk for its own.
            entry["endOffset"] = chunks[-1].end if not position else chunk.end
        if position:
            entry["chunkOffset"] = chunk.at
            found.append(entry)
        if position < len(chunks) - 1 or (has_ends and position):
            entry["chunkSize"] = chunk.size
        entry["chunkDigest"] = chunk.digest
    return found


class Spool:
    """Text that grows and is read once, at the end; deflated meanwhile."""

    def __init__(self) -> None:
        from zlib_ng import zlib_ng

        self._zlib = zlib_ng
        self._state = zlib_ng.compressobj(2, zlib_ng.DEFLATED, -15)
        self._packed: list[bytes] = []
        self._waiting: list[bytes] = []
        self._waits = 0
        self.size = 0
        """Bytes of text so far."""

    def add(self, text: bytes) -> None:
        self._waiting.append(text)
        self._waits += len(text)
        self.size += len(text)
        if self._waits >= _PIECE:
            self._deflate()

    def pieces(self) -> Iterator[bytes]:
        """All of it; nothing can be added after."""
        self._deflate()
        self._packed.append(self._state.flush())
        state = self._zlib.decompressobj(-15)
        for packed in self._packed:
            data = state.decompress(packed, _PIECE)
            while data:
                yield data
                data = state.decompress(state.unconsumed_tail, _PIECE)
        if rest := state.flush():
            yield rest

    def _deflate(self) -> None:
        self._packed.append(self._state.compress(b"".join(self._waiting)))
        self._waiting.clear()
        self._waits = 0


class Table:
    """The document of a table of contents, as it is written."""

    def __init__(self, *, has_ends: bool) -> None:
        self._has_ends = has_ends
        self._spool = Spool()
        self._is_empty = True

    def add(self, member: Written, chunks: Sequence[Chunk], digest: str) -> None:
        """Raises StoreError: a name that JSON cannot hold."""
        for entry in entries(member, chunks, digest, has_ends=self._has_ends):
            text = json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode()
            self._spool.add((b'{"version":1,"entries":[' if self._is_empty else b",\n") + text)
            self._is_empty = False

    def end(self, tar_split: str = "") -> Spool:
        """The whole document. tar_split: digest of the tar-split data, as zstd:chunked wants it."""
        tail = f',"tarSplitDigest":"{tar_split}"' if tar_split else ""
        self._spool.add((b'{"version":1,"entries":[' if self._is_empty else b"") + f"]{tail}}}\n".encode())
        return self._spool


class TarSplit:
    """What a tar is besides its files' content, so that it can be put together again: one line of JSON for each part."""

    def __init__(self) -> None:
        self._spool = Spool()
        self._position = 0

    def segment(self, raw: bytes) -> None:
        self._add({"type": 2, "payload": base64.b64encode(raw).decode()})

    def file(self, name: bytes, size: int, crc: int) -> None:
        entry: dict[str, Any] = {"type": 1}
        try:
            entry["name"] = name.decode()
        except UnicodeDecodeError:
            entry["name_raw"] = base64.b64encode(name).decode()
        if size:
            entry["size"] = size
        entry["payload"] = base64.b64encode(crc.to_bytes(8, "big")).decode() if size else None
        self._add(entry)

    def end(self) -> Spool:
        return self._spool

    def _add(self, entry: dict[str, Any]) -> None:
        entry["position"] = self._position
        self._position += 1
        self._spool.add(json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        shown = name.decode(errors="backslashreplace")[:200]
        raise StoreError(
            f'"{shown}" is no UTF-8, and a layer that is read in parts names its files in JSON',
            code="name-not-utf-8",
            hint="use compression=gzip or compression=zstd, or rename the file",
        ) from error


def _time(mtime_ns: int) -> str:
    """RFC 3339 in UTC, with as many digits of a fraction as there are."""
    seconds, fraction = divmod(mtime_ns, 1_000_000_000)
    found = time.gmtime(min(max(seconds, -62135596800), 253402300799))
    date = f"{found.tm_year:04d}-{found.tm_mon:02d}-{found.tm_mday:02d}"
    digits = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{date}T{found.tm_hour:02d}:{found.tm_min:02d}:{found.tm_sec:02d}{digits}Z"
