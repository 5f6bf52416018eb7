"""A layer directory as a tar stream: the same directory gives the same bytes, on every machine.

Entries in order of their names, each directory before what it holds and whiteouts before their siblings; plain ustar
headers, PAX records only where a value does not fit; no user names, whole seconds, no holes. The first of several names
of a file carries its data, the others are links to it.

Source: OCI image-spec v1.1, layer.md; POSIX.1-2017, pax, "ustar Interchange Format".
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from slimstage.errors import StoreError
from slimstage.tree.entry import Entry
from slimstage.tree.scan import root_entry, scan_at
from slimstage.tree.xattrs import read_xattrs
from slimstage.values import dataclass

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
BLOCK_BYTES = 1 << 20
"""`pack` hands the stream on in blocks of this size."""
LAYER_XATTRS = ("security.capability",)
"""What a layer says of xattrs, as BuildKit and Docker write it: `user.*` stays in the build and is in no image."""
BULK_BYTES = 16 << 20
"""A file of this size or more is data rather than code: its blocks are marked as bulk."""

_MANY_LINKS = 16_384
_LINK_MASK = (1 << 26) - 1
"""Bits of a file's identity that count: 8 MiB hold a bit for each value."""
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_TYPES = {"file": b"0", "symlink": b"2", "char": b"3", "block": b"4", "dir": b"5", "fifo": b"6"}
_ZEROS = bytes(1024)
_PAX_NAME = b"././@PaxHeader"
_MAX_OCTAL_7 = 0o7777777
_MAX_OCTAL_11 = 0o77777777777


@dataclass(frozen=True, slots=True)
class PackResult:
    """What was written. size_bytes: of the tar; file_bytes: of the content of its files, each file once.

    skipped: paths that a layer cannot hold: sockets, and names that begin with `.wh.`, which would delete something.
    """

    size_bytes: int
    entries: int
    file_bytes: int
    skipped: tuple[str, ...] = ()


class Blocks(Protocol):
    """Takes the stream in blocks of one size, the last one shorter."""

    def first(self) -> memoryview:
        """Room for the first block."""
        ...

    def full(self, block: memoryview, count: int, is_bulk: bool) -> memoryview:
        """Takes the first `count` bytes of the block and gives room for the next.

        is_bulk: all of it is content of one large file.
        """
        ...


def pack(
    layer_path: str, sink: Callable[[memoryview], object], *, clamp_s: int | None = None, clamps_all: bool = False
) -> PackResult:
    """Packs a layer directory and hands the tar to `sink` in pieces, each valid during the call only.

    clamp_s: later modification times become this one (SOURCE_DATE_EPOCH); earlier ones stay, unless clamps_all.
    Raises StoreError when a file changes meanwhile, OSError.
    """
    return pack_into(layer_path, _Sink(sink), clamp_s=clamp_s, clamps_all=clamps_all)


def pack_into(layer_path: str, blocks: Blocks, *, clamp_s: int | None = None, clamps_all: bool = False) -> PackResult:
    """As `pack`, for a taker that works on whole blocks."""
    return _Packer(blocks, clamp_s, clamps_all).run(layer_path)


class _Sink:
    def __init__(self, sink: Callable[[memoryview], object]) -> None:
        self._sink = sink

    def first(self) -> memoryview:
        return memoryview(bytearray(BLOCK_BYTES))

    def full(self, block: memoryview, count: int, is_bulk: bool) -> memoryview:
        self._sink(block[:count])
        return block


class _Packer:
    def __init__(self, blocks: Blocks, clamp_s: int | None, clamps_all: bool) -> None:
        self._blocks = blocks
        self._clamp_s, self._clamps_all = clamp_s, clamps_all
        self._block = blocks.first()
        self._room = len(self._block)
        self._used = 0
        self._flushed = 0
        self._entries = self._file_bytes = 0
        self._links = _Links()
        self._skipped: list[str] = []

    def run(self, layer_path: str) -> PackResult:
        root = os.open(layer_path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._links.root = root
        try:
            if root_entry(root).is_opaque:
                self._marker(OPAQUE)
            for entry, dirfd, name in scan_at(root, for_packing=True):
                self._entry(entry, dirfd, name)
        finally:
            os.close(root)
        self._put(_ZEROS)
        if self._used:
            self._flush(False)
        return PackResult(self._flushed, self._entries, self._file_bytes, tuple(self._skipped))

    def _entry(self, entry: Entry, dirfd: int, name: str) -> None:
        kind = entry.kind
        if entry.is_whiteout:
            above = entry.path[: len(entry.path) - len(name)]
            self._marker(f"{above}{WHITEOUT}{name}")
            return
        if kind == "socket" or name.startswith(WHITEOUT):
            self._skipped.append(entry.path)
            return
        path = os.fsencode(entry.path)
        if entry.nlink > 1 and kind != "dir":
            first = self._links.first(entry.identity, path)
            if first is not path:
                self._header(path, b"1", entry, first)
                return
        if kind == "dir":
            self._header(path + b"/", b"5", entry)
            if entry.is_opaque:
                self._marker(f"{entry.path}/{OPAQUE}")
        elif kind == "symlink":
            self._header(path, b"2", entry, os.fsencode(entry.target))
        elif kind == "file":
            fd = os.open(name, _READ, dir_fd=dirfd)
            try:
                self._header(path, b"0", entry, size=entry.size, xattrs=read_xattrs(fd)[0])
                if entry.size:
                    self._content(fd, entry)
            finally:
                os.close(fd)
        else:
            self._header(path, _TYPES[kind], entry)

    def _header(
        self,
        name: bytes,
        kind: bytes,
        entry: Entry,
        link: bytes = b"",
        size: int = 0,
        xattrs: Mapping[str, bytes] | None = None,
    ) -> None:
        mtime_s = entry.mtime_ns // 1_000_000_000
        if self._clamp_s is not None and (self._clamps_all or mtime_s > self._clamp_s):
            mtime_s = self._clamp_s
        if xattrs is None:
            xattrs = entry.xattrs
        said = [(key, xattrs[key]) for key in LAYER_XATTRS if key in xattrs] if xattrs else ()
        self._put(member_header(name, kind, entry.mode, entry.uid, entry.gid, size, mtime_s, link, entry.rdev, said))
        self._entries += 1

    def _marker(self, path: str) -> None:
        """An empty file that says that something of the lower layers is gone; nothing in it varies."""
        self._put(member_header(os.fsencode(path), b"0", 0, 0, 0, 0, 0))
        self._entries += 1

    def _content(self, fd: int, entry: Entry) -> None:
        left = entry.size
        is_bulk = left >= BULK_BYTES
        is_whole = self._used == 0
        while left:
            count = os.readv(fd, [self._block[self._used : self._used + left]])
            if not count:
                raise StoreError(f'"{entry.path}" became shorter while it was packed', code="layer-changed")
            left -= count
            self._used += count
            if self._used == self._room:
                self._flush(is_bulk and is_whole)
                is_whole = True
        self._file_bytes += entry.size
        if padding := -entry.size % 512:
            self._put(_ZEROS[:padding])

    def _put(self, data: bytes) -> None:
        end = self._used + len(data)
        if end < self._room:
            self._block[self._used : end] = data
            self._used = end
            return
        view = memoryview(data)
        while view:
            part = view[: self._room - self._used]
            self._block[self._used : self._used + len(part)] = part
            self._used += len(part)
            view = view[len(part) :]
            if self._used == self._room:
                self._flush(False)

    def _flush(self, is_bulk: bool) -> None:
        self._flushed += self._used
        self._block = self._blocks.full(self._block, self._used, is_bulk)
        self._used = 0


class _Links:
    """The first names of files, symlinks and nodes that have several in this layer.

    What COPY --from wrote has a further name in the layer that it came from, so a count of links says little: once there
    are many such files, two bits for each tell those that the layer has twice from the rest, which need not be remembered.
    """

    def __init__(self) -> None:
        self.root = -1
        self._first: dict[tuple[int, int], bytes] = {}
        self._twice: bytearray | None = None

    def first(self, identity: tuple[int, int], path: bytes) -> bytes:
        """The name under which the file came first: `path` itself, the very object, when it comes now."""
        if self._twice is None:
            if len(self._first) < _MANY_LINKS:
                return self._first.setdefault(identity, path)
            self._twice = self._found_twice()
            self._first = {known: name for known, name in self._first.items() if self._is_twice(self._twice, known)}
        return self._first.setdefault(identity, path) if self._is_twice(self._twice, identity) else path

    @staticmethod
    def _is_twice(twice: bytearray, identity: tuple[int, int]) -> bool:
        place = hash(identity) & _LINK_MASK
        return bool(twice[place >> 3] & 1 << (place & 7))

    def _found_twice(self) -> bytearray:
        """Bits of the files that the layer has more than once. Two that share a bit are remembered needlessly, no more."""
        once, twice = bytearray(_LINK_MASK + 1 >> 3), bytearray(_LINK_MASK + 1 >> 3)
        for entry, _, _ in scan_at(self.root, for_packing=True):
            if entry.nlink > 1 and entry.kind != "dir":
                place = hash(entry.identity) & _LINK_MASK
                byte, bit = place >> 3, 1 << (place & 7)
                if once[byte] & bit:
                    twice[byte] |= bit
                else:
                    once[byte] |= bit
        return twice


def member_header(
    name: bytes,
    kind: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    mtime_s: int,
    link: bytes = b"",
    rdev: tuple[int, int] = (0, 0),
    xattrs: Iterable[tuple[str, bytes]] = (),
) -> bytes:
    """The header of one member, with a PAX header before it where a value does not fit into ustar's fields.

    name: of a directory with a slash at its end. Raises nothing.
    """
    records: list[tuple[bytes, bytes]] = []
    prefix = b""
    if len(name) > 100 or not name.isascii():
        prefix, short = _split(name)
        if not short:
            records.append((b"path", name))
            short = name[:100]
            short = short if short.isascii() else short.decode("ascii", "replace").encode("ascii", "replace")[:100]
        name = short
    if len(link) > 100 or not link.isascii():
        records.append((b"linkpath", link))
        link = link[:100] if link.isascii() else b""
    if not 0 <= uid <= _MAX_OCTAL_7:
        records.append((b"uid", b"%d" % uid))
        uid = 0
    if not 0 <= gid <= _MAX_OCTAL_7:
        records.append((b"gid", b"%d" % gid))
        gid = 0
    if size > _MAX_OCTAL_11:
        records.append((b"size", b"%d" % size))
        size = 0
    if not 0 <= mtime_s <= _MAX_OCTAL_11:
        records.append((b"mtime", b"%d" % mtime_s))
        mtime_s = 0
    for key, value in xattrs:
        records.append((b"SCHILY.xattr." + os.fsencode(key), value))
    plain = _ustar(name, kind, mode, uid, gid, size, mtime_s, link, rdev, prefix)
    if not records:
        return plain
    body = b"".join(_record(key, value) for key, value in sorted(records))
    head = _ustar(_PAX_NAME, b"x", 0o644, 0, 0, len(body), 0, b"", (0, 0), b"")
    return head + body + bytes(-len(body) % 512) + plain


def _ustar(
    name: bytes,
    kind: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    mtime_s: int,
    link: bytes,
    rdev: tuple[int, int],
    prefix: bytes,
) -> bytes:
    front = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0" % (name.ljust(100, b"\0"), mode, uid, gid, size, mtime_s)
    back = b"%b%bustar\00000" % (kind, link.ljust(100, b"\0"))
    if prefix or rdev != (0, 0) or kind in b"34":
        back = b"%b%b%07o\0%07o\0%b" % (back, bytes(64), *rdev, prefix)
    return (b"%b%06o\0 %b" % (front, sum(front) + sum(back) + 256, back)).ljust(512, b"\0")


def _split(name: bytes) -> tuple[bytes, bytes]:
    """(prefix, name) for ustar's two fields, (b"", b"") when the name does not fit into them."""
    if not name.isascii():
        return b"", b""
    # Not at a slash that ends the name: the second part must not be empty.
    at = name.rfind(b"/", 0, min(156, len(name) - 1))
    if at <= 0 or len(name) - at - 1 > 100:
        return b"", b""
    return name[:at], name[at + 1 :]


def _record(key: bytes, value: bytes) -> bytes:
    """`LENGTH KEY=VALUE\\n`, where the length counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) != len(str(rest)):
        length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)
