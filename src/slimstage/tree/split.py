"""A tar stream taken apart as it goes by: headers, contents and all between, not a byte lost and none changed.

Where `untar` says what a member means for a file system, this says how it is written: formats that are read in parts
need to know where each file's content begins in the stream, and repeat its header's values in a table of their own.

The stream may be another tool's. Sizes of extension headers are bounded; content is passed on in the pieces it comes in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from slimstage.errors import FormatError
from slimstage.tree import header as tar
from slimstage.tree.header import BLOCK, EXTENSION_LIMIT_BYTES
from slimstage.values import dataclass

_EXTENSIONS = frozenset((b"x", b"X", b"g", b"L", b"K"))
_FILES = frozenset((b"0", b"\0", b"7"))
_XATTR = b"SCHILY.xattr."
_MOST_EXTENSIONS_BYTES = 8 * EXTENSION_LIMIT_BYTES
_KINDS = {b"1": "hardlink", b"2": "symlink", b"3": "char", b"4": "block", b"5": "dir", b"6": "fifo"}


@dataclass(frozen=True, slots=True)
class Written:
    """One member as its header says, name and link as they are written: a directory's ends with a slash.

    kind: as tables of contents name it: reg, dir, symlink, hardlink, char, block, fifo.
    size: bytes of content that follow, 0 for all but reg. mode: with whatever bits beside permissions are in the field.
    """

    name: bytes
    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    link: bytes = b""
    rdev: tuple[int, int] = (0, 0)
    xattrs: tuple[tuple[bytes, bytes], ...] = ()


class Parts(Protocol):
    """Takes the parts in the order of the stream. Every byte of it is in exactly one call."""

    def member(self, member: Written, header: bytes) -> None:
        """A member begins; `header` is its header with the extension headers before it."""
        ...

    def content(self, data: memoryview) -> None:
        """A piece of the member's content, valid during the call only."""
        ...

    def between(self, data: bytes) -> None:
        """What pads a content to whole blocks."""
        ...

    def rest(self, data: bytes) -> None:
        """What ends the archive, and follows it; in pieces."""
        ...


class TarSplitter:
    """Takes the stream by `feed`, in any pieces, then `end`. Raises FormatError: malformed, truncated, sparse files."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._raw = bytearray()
        self._wanted = BLOCK
        """Bytes of `_raw` at which the next header, or extension, is complete."""
        self._extension: tar.Header | None = None
        self._left = self._padding = 0
        self._own: dict[bytes, bytes] = {}
        self._globals: dict[bytes, bytes] = {}
        self._long: dict[bytes, bytes] = {}
        self._is_ended = False

    def feed(self, data: memoryview) -> None:
        at, end = 0, len(data)
        while at < end:
            if self._left:
                count = min(self._left, end - at)
                self._left -= count
                self._parts.content(data[at : at + count])
            elif self._padding:
                count = min(self._padding, end - at)
                self._padding -= count
                self._parts.between(bytes(data[at : at + count]))
            elif self._is_ended:
                count = end - at
                self._parts.rest(bytes(data[at:end]))
            else:
                count = min(self._wanted - len(self._raw), end - at)
                self._raw += data[at : at + count]
                if len(self._raw) == self._wanted:
                    self._step()
            at += count

    def end(self) -> None:
        """Raises FormatError when the stream ended in the middle of a member."""
        if self._left or self._padding or self._raw:
            raise FormatError("the tar ends in the middle of a member", code="truncated-tar")

    def _step(self) -> None:
        if self._extension is not None:
            self._extended(self._extension)
            self._extension = None
            self._wanted += BLOCK
            return
        block = bytes(self._raw[-BLOCK:])
        if block == tar.ZERO:
            self._is_ended = True
            self._parts.rest(bytes(self._raw))
            self._raw.clear()
            return
        head = tar.parse_header(block)
        if head.kind in _EXTENSIONS:
            if not 0 <= head.size <= EXTENSION_LIMIT_BYTES or len(self._raw) > _MOST_EXTENSIONS_BYTES:
                raise FormatError("an extension header of the tar is too large", code="bad-tar")
            self._extension = head
            self._wanted += head.size + -head.size % BLOCK
            if not head.size:
                self._step()
            return
        member = self._member(head)
        raw = bytes(self._raw)
        self._raw.clear()
        self._wanted = BLOCK
        self._own, self._long = {}, {}
        self._left, self._padding = member.size, -member.size % BLOCK
        self._parts.member(member, raw)

    def _extended(self, head: tar.Header) -> None:
        padded = head.size + -head.size % BLOCK
        body = bytes(self._raw[len(self._raw) - padded :][: head.size])
        if head.kind in (b"x", b"X"):
            self._own.update(tar.parse_records(body))
        elif head.kind == b"g":
            self._globals.update(tar.parse_records(body))
            if sum(map(len, self._globals.values())) > EXTENSION_LIMIT_BYTES:
                raise FormatError("the global PAX records are too large", code="bad-tar")
        else:
            self._long[head.kind] = body.split(b"\0", 1)[0]

    def _member(self, head: tar.Header) -> Written:
        records = tar.merged(self._globals, self._own)
        if head.kind == b"S" or any(key.startswith(b"GNU.sparse.") for key in records):
            raise FormatError(
                "a file of this layer is stored as a sparse file, which has no place in a table of contents",
                code="sparse-member",
                hint="use compression=gzip or compression=zstd",
            )
        name = self._long.get(b"L") or records.get(b"path") or head.name
        link = self._long.get(b"K") or records.get(b"linkpath") or head.linkname
        kind = _KINDS.get(head.kind, "reg")
        if kind == "reg" and head.kind not in _FILES:
            raise FormatError(f"a tar member has a type that is not supported: {head.kind!r}", code="bad-tar")
        size = _number(records, b"size", head.size) if kind == "reg" else 0
        if kind == "reg" and name.endswith(b"/"):
            kind = "dir"  # as archives from before ustar write directories
        if not 0 <= size < 1 << 62:
            raise FormatError("the size in a tar header is out of range", code="bad-tar")
        mtime = records.get(b"mtime")
        return Written(
            name,
            kind,
            tar.number(head.raw[100:108], "mode"),
            _number(records, b"uid", head.uid),
            _number(records, b"gid", head.gid),
            size if kind == "reg" else 0,
            tar.nanoseconds(mtime) if mtime is not None else head.mtime_s * 1_000_000_000,
            link if kind in ("symlink", "hardlink") else b"",
            head.rdev,
            tuple(sorted((key[len(_XATTR) :], records[key]) for key in records if key.startswith(_XATTR))),
        )


def _number(records: Mapping[bytes, bytes], key: bytes, otherwise: int) -> int:
    text = records.get(key)
    return otherwise if text is None else tar.decimal(text, key.decode())
