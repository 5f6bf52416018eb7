"""Reads a tar stream member by member: ustar, PAX, GNU long names, sparse files.

The stream comes from a registry, a file or a user's archive and is not trusted: every size and count is bounded, every
checksum is verified, and a name never leads above the root. Nothing is written here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Literal, Protocol, TypeAlias

from slimstage.errors import FormatError
from slimstage.tree import header as tar
from slimstage.tree.copying import write_all
from slimstage.tree.entry import Kind
from slimstage.tree.header import BLOCK, EXTENSION_LIMIT_BYTES, Header, Segments
from slimstage.tree.xattrs import is_kept, normalised
from slimstage.values import dataclass, field

READ_BYTES = 1 << 20
_PATH_LIMIT_BYTES = 4096
_NAME_LIMIT_BYTES = 255
"""Of one component, as filesystems have it; the name of a whiteout is longer by its prefix."""
_EXTENSIONS_LIMIT = 64
_GLOBALS_LIMIT_BYTES = 8192
"""Of the global PAX records: they are looked at for each member, and every xattr of them would be set on each."""
_XATTR = b"SCHILY.xattr."
_MEANT = frozenset(
    b"path linkpath size uid gid mtime GNU.sparse.name GNU.sparse.major GNU.sparse.realsize GNU.sparse.size "
    b"GNU.sparse.map".split()
)
"""The PAX records that are looked at, besides xattrs; the others are not even remembered."""
_NO_XATTRS: Mapping[str, bytes] = {}

MemberKind: TypeAlias = Kind | Literal["hardlink"]
_KINDS: dict[bytes, MemberKind] = {
    b"0": "file", b"\0": "file", b"7": "file", b"S": "file", b"1": "hardlink", b"2": "symlink",
    b"3": "char", b"4": "block", b"5": "dir", b"D": "dir", b"6": "fifo",
}  # fmt: skip
_ZEROS = memoryview(bytes(READ_BYTES))


class Readable(Protocol):
    """What bytes come from: `read` returns up to `count` bytes, b"" only at the end."""

    def read(self, count: int = -1, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class TarMember:
    """One member as it is meant, after its extension headers.

    path: below the root, as Entry has it: no leading slash, no "." or ".."; "" is the root itself.
    target: of a symlink as written; of a hard link the path of its first name, in the form of `path`.
    size: bytes of a file as it will be read, holes included; 0 for all else.
    xattrs: those that are part of an image (see tree/xattrs.py).
    dropped: names of those that are not.
    """

    path: str
    kind: MemberKind
    mode: int
    uid: int
    gid: int
    size: int = 0
    mtime_ns: int = 0
    target: str = ""
    rdev: tuple[int, int] = (0, 0)
    xattrs: Mapping[str, bytes] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()


class TarReader:
    """Iterates over the members of an uncompressed tar stream; a member's data is read while it is the current one.

    The stream is read in blocks of a mebibyte and not closed. After the end of the archive `drain` reads what is left.
    Raises FormatError for whatever is malformed or truncated; errors of the stream pass through.
    """

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._buffer = memoryview(b"")
        self._left = 0
        """Bytes of the current member's stored data that were not read yet."""
        self._padding = 0
        self._segments: Segments | None = None
        self._size = 0
        self._globals: dict[bytes, bytes] = {}
        self._is_used = True

    def __iter__(self) -> Iterator[TarMember]:
        while (member := self.next()) is not None:
            yield member

    def next(self) -> TarMember | None:
        """The next member, None at the end of the archive; what is left of the last one's data is skipped."""
        self._skip(self._left + self._padding)
        self._left = self._padding = 0
        own: dict[bytes, bytes] = {}
        long_name = long_link = None
        for _ in range(_EXTENSIONS_LIMIT):
            raw = self._take(BLOCK, at_member=not own and long_name is None and long_link is None)
            if not raw:
                return None
            if raw == tar.ZERO:
                self._end()
                return None
            head = tar.parse_header(raw)
            kind = head.kind
            if kind in (b"x", b"X"):
                own.update(_meant(tar.parse_records(self._extension(head))))
                if _bytes(own) > EXTENSION_LIMIT_BYTES:
                    raise FormatError("the PAX records of one member are too large", code="bad-tar")
            elif kind == b"g":
                self._globals.update(_meant(tar.parse_records(self._extension(head))))
                if _bytes(self._globals) > _GLOBALS_LIMIT_BYTES:
                    raise FormatError("the global PAX records are too large", code="bad-tar")
            elif kind == b"L":
                long_name = self._extension(head).split(b"\0", 1)[0]
            elif kind == b"K":
                long_link = self._extension(head).split(b"\0", 1)[0]
            elif kind == b"V":  # a volume's label names no file
                self._skip(_padded(_size(head.size)))
            else:
                return self._member(head, tar.merged(self._globals, own), long_name, long_link)
        raise FormatError("too many extension headers before one member of the tar", code="bad-tar")

    def read(self, count: int = -1) -> bytes:
        """Up to `count` bytes of the current member's data, all that is left without; b"" at its end."""
        if count < 0:
            return b"".join(self.chunks())
        if self._segments is not None:
            raise FormatError("a sparse file in the tar is only read as a whole", code="bad-tar")
        view = self._some(min(count, self._left)) if self._left and count else b""
        self._left -= len(view)
        return bytes(view)

    def chunks(self) -> Iterator[memoryview]:
        """The current member's data in pieces, holes as zeros; each piece is valid until the next."""
        if self._segments is None:
            while self._left:
                view = self._some(self._left)
                self._left -= len(view)
                yield view
            return
        at = 0
        for offset, length in (*self._segments, (self._size, 0)):
            while at < offset:
                hole = _ZEROS[: min(READ_BYTES, offset - at)]
                at += len(hole)
                yield hole
            at += length
            while length:
                view = self._some(length)
                length -= len(view)
                self._left -= len(view)
                yield view

    def copy_to(self, fd: int) -> int:
        """Writes the current member's data to an empty file; holes stay holes. Returns its size in bytes."""
        if self._segments is None:
            size = self._left
            for view in self.chunks():
                write_all(fd, view)
            return size
        os.ftruncate(fd, self._size)
        for offset, length in self._segments:
            os.lseek(fd, offset, os.SEEK_SET)
            while length:
                view = self._some(length)
                length -= len(view)
                self._left -= len(view)
                write_all(fd, view)
        return self._size

    def drain(self) -> None:
        """Reads the stream to its end: what follows the archive is not looked at, but whoever counts bytes sees it."""
        self._buffer = memoryview(b"")
        while self._stream.read(READ_BYTES):
            pass

    def _member(
        self, head: Header, records: Mapping[bytes, bytes], long_name: bytes | None, long_link: bytes | None
    ) -> TarMember:
        kind = _KINDS.get(head.kind)
        if kind is None:
            raise FormatError(f"a tar member has a type that is not supported: {head.kind!r}", code="bad-tar")
        name, linkname, mtime_ns = head.name, head.linkname, head.mtime_s * 1_000_000_000
        uid, gid, size = head.uid, head.gid, head.size
        if records:
            name, linkname = records.get(b"path") or name, records.get(b"linkpath") or linkname
            name = records.get(b"GNU.sparse.name") or name
            if (text := records.get(b"uid")) is not None:
                uid = tar.decimal(text, "uid")
            if (text := records.get(b"gid")) is not None:
                gid = tar.decimal(text, "gid")
            if (text := records.get(b"size")) is not None:
                size = tar.decimal(text, "size")
            if (text := records.get(b"mtime")) is not None:
                mtime_ns = tar.nanoseconds(text)
        name, linkname = long_name or name, long_link or linkname
        if kind == "file" and name.endswith(b"/"):
            kind = "dir"  # as archives from before ustar write directories
        path = _path(name)
        target = ""
        if kind == "hardlink":
            target = _path(linkname)
        elif kind == "symlink":
            if not linkname or b"\0" in linkname:
                raise FormatError(f'the symlink "{path}" in the tar has no valid target', code="bad-tar")
            target = os.fsdecode(linkname)
        self._start_data(head, kind, _size(size), records)
        if not (0 <= uid < 1 << 32 and 0 <= gid < 1 << 32):
            raise FormatError(f'the owner of "{path}" in the tar is out of range', code="bad-tar")
        xattrs, dropped = _xattrs(records) if records else (_NO_XATTRS, ())
        is_file = kind == "file"
        return TarMember(
            path, kind, head.mode, uid, gid, self._size if is_file else 0, mtime_ns, target, head.rdev, xattrs, dropped
        )

    def _start_data(self, head: Header, kind: MemberKind, size: int, records: Mapping[bytes, bytes]) -> None:
        """Sets up reading; like Go's reader, links, directories and devices carry no data whatever their size says."""
        self._segments, self._size = None, size
        if head.kind == b"D":
            self._left, self._padding = size, -size % BLOCK
            return
        if kind != "file":
            return
        self._left, self._padding = size, -size % BLOCK
        if head.kind == b"S":
            self._segments, self._size = tar.sparse_from_header(head.raw, self._sparse_blocks(head.raw))
        elif records.get(b"GNU.sparse.major") == b"1":
            self._size = tar.decimal(records.get(b"GNU.sparse.realsize", b""), "size")
            self._segments = self._leading_map()
        elif (text := records.get(b"GNU.sparse.map")) is not None:
            self._size = tar.decimal(records.get(b"GNU.sparse.size", b""), "size")
            self._segments = tar.sparse_from_map(text, self._size)
        if self._segments is not None and sum(length for _, length in self._segments) != self._left:
            raise FormatError("the map of a sparse file does not fit its data", code="bad-tar")

    def _sparse_blocks(self, raw: bytes) -> Iterator[bytes]:
        is_extended = raw[482] != 0
        while is_extended:
            block = self._take(BLOCK)
            yield block
            is_extended = block[504] != 0

    def _leading_map(self) -> Segments:
        text = b""
        wanted: int | None = None
        count = 0
        while wanted is None or text.count(b"\n") < wanted:
            if self._left < BLOCK or len(text) > EXTENSION_LIMIT_BYTES:
                raise FormatError("the map of a sparse file is too long or cut off", code="bad-tar")
            # Small maps are a block; the count tells how much more there must be, so this is linear.
            take = min(self._left // BLOCK, max(1, ((wanted or 0) - text.count(b"\n")) * 2 // BLOCK)) * BLOCK
            text += self._take(take)
            self._left -= take
            if wanted is None:
                count = tar.sparse_count(text)
                wanted = 2 * count + 1
        return tar.sparse_from_lines(text, count, self._size)

    def _extension(self, head: Header) -> bytes:
        size = _size(head.size)
        if size > EXTENSION_LIMIT_BYTES:
            raise FormatError(
                f"an extension header of the tar is too large: {size} bytes",
                code="bad-tar",
                hint=f"at most {EXTENSION_LIMIT_BYTES} bytes are read",
            )
        return self._take(_padded(size))[:size]

    def _end(self) -> None:
        """After the first block of zeros: the second is skipped when it is there."""
        block = self._take(BLOCK, at_member=True)
        if block and block != tar.ZERO:
            raise FormatError("a tar header is a block of zeros, but the archive goes on", code="bad-tar")

    def _take(self, count: int, *, at_member: bool = False) -> bytes:
        """Exactly `count` bytes; with `at_member` the stream may end here instead, which gives b""."""
        if len(self._buffer) >= count:
            taken = bytes(self._buffer[:count])
            self._buffer = self._buffer[count:]
            return taken
        parts: list[memoryview] = []
        missing = count
        while missing:
            if not self._buffer and not self._fill():
                if at_member and missing == count:
                    return b""
                raise _truncated()
            part = self._buffer[:missing]
            self._buffer = self._buffer[missing:]
            missing -= len(part)
            parts.append(part)
        return b"".join(parts)

    def _some(self, limit: int) -> memoryview:
        if not self._buffer and not self._fill():
            raise _truncated()
        part = self._buffer[:limit]
        self._buffer = self._buffer[len(part) :]
        return part

    def _skip(self, count: int) -> None:
        while count > len(self._buffer):
            count -= len(self._buffer)
            if not self._fill():
                raise _truncated()
        self._buffer = self._buffer[count:]

    def _fill(self) -> bool:
        data = self._stream.read(READ_BYTES)
        self._buffer = memoryview(data)
        return bool(data)


def looks_like_tar(head: bytes) -> bool:
    """True when an uncompressed stream that begins with these bytes (512 or more) is a tar archive.

    As `docker build` decides for ADD: a first header with a right checksum, or an empty archive.
    """
    if len(head) < BLOCK:
        return False
    if head[:BLOCK] == tar.ZERO:
        return len(head) >= 2 * BLOCK and head[BLOCK : 2 * BLOCK] == tar.ZERO
    try:
        tar.parse_header(head[:BLOCK])
    except FormatError:
        return False
    return True


def _path(name: bytes) -> str:
    """The name as a path below the root. Raises FormatError: empty, NUL, too long, or above the root."""
    if not name or b"\0" in name:
        raise FormatError(f"a name in the tar is empty or holds a NUL byte: {name[:100]!r}", code="bad-tar-name")
    if len(name) > _PATH_LIMIT_BYTES:
        raise FormatError(f"a name in the tar is too long: {len(name)} bytes", code="bad-tar-name")
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if not parts:
                raise FormatError(f'"{_shown(name)}" in the tar leads outside its root', code="tar-escape")
            parts.pop()
        elif part not in (b"", b"."):
            if len(part) > _NAME_LIMIT_BYTES + (4 if part.startswith(b".wh.") else 0):
                raise FormatError(f"a name in the tar is too long: {len(part)} bytes", code="bad-tar-name")
            parts.append(part)
    return os.fsdecode(b"/".join(parts))


def _shown(name: bytes) -> str:
    return name[:200].decode(errors="replace").encode("unicode_escape").decode()


def _xattrs(records: Mapping[bytes, bytes]) -> tuple[Mapping[str, bytes], tuple[str, ...]]:
    kept: dict[str, bytes] = {}
    dropped = []
    for key, value in records.items():
        if key.startswith(_XATTR):
            name = os.fsdecode(key[len(_XATTR) :])
            if is_kept(name):
                kept[name] = normalised(name, value)
            else:
                dropped.append(name)
    return kept or _NO_XATTRS, tuple(dropped)


def _meant(records: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    return {key: value for key, value in records.items() if key in _MEANT or key.startswith(_XATTR)}


def _bytes(records: Mapping[bytes, bytes]) -> int:
    return sum(len(key) + len(value) for key, value in records.items())


def _size(size: int) -> int:
    if not 0 <= size < 1 << 62:
        raise FormatError("the size in a tar header is out of range", code="bad-tar")
    return size


def _padded(size: int) -> int:
    return size + -size % BLOCK


def _truncated() -> FormatError:
    return FormatError("the tar ends in the middle of a member", code="truncated-tar")
