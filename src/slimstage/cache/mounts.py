"""What a `RUN --mount=type=cache` directory holds, as it travels: an index and packs of file contents. Pure.

The index lists every path with owner, mode and time. Contents are in packs, whose bytes depend on nothing but the
contents and names of the files in them: a time that changed moves the index, and no pack. Which files share a pack is
decided by each file alone (a digest of its name, weighed by its size, says whether a pack ends behind it), so that a file
that comes or goes changes the one pack that it is in. A large file has packs of its own.

    {"version": 1, "entries": [["d", path, mode, uid, gid, mtime_ns], ["f", path, mode, uid, gid, mtime_ns, size,
     [[pack, offset, length], …]], ["l", path, target, uid, gid, mtime_ns], ["h", path, name of the file]]}
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from slimstage.errors import FormatError
from slimstage.values import dataclass

VERSION = 1
INDEX_BYTES = 256 << 20
"""Of an index without its compression."""
PACK_BYTES = 256 << 20
"""Of a pack without its compression; ours are far smaller, but for very large caches."""

_SMALLEST_PACK = 2 << 20
_MOST_PACKS = 250
"""About so many packs a cache has; a large one has larger packs."""
_PIECES = 4
"""A pack is cut off when it is so many times as large as it should be; a large file is cut into pieces of that size."""
_MOST_ENTRIES = 2_000_000
_LARGEST = 1 << 50


@dataclass(frozen=True, slots=True)
class Piece:
    """`length` bytes at `offset` of the uncompressed pack of that number."""

    pack: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class MountEntry:
    """One path. kind: dir, file, link (symbolic) or name (a further name of the file `target`)."""

    path: str
    kind: str
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    size: int = 0
    target: str = ""
    pieces: tuple[Piece, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a file's content that goes into a pack."""

    path: str
    offset: int
    length: int


def packs_of(files: Sequence[tuple[str, int]]) -> list[tuple[Part, ...]]:
    """The packs for files of (path, size in bytes), which are in order of their paths; empty files are in none."""
    whole = sum(size for _, size in files)
    wanted = _SMALLEST_PACK
    while wanted * _MOST_PACKS < whole:
        wanted *= 2
    most = wanted * _PIECES
    packs: list[tuple[Part, ...]] = []
    open_parts: list[Part] = []
    open_bytes = 0
    for path, size in files:
        if not size:
            continue
        if size >= wanted:
            packs += [(Part(path, at, min(most, size - at)),) for at in range(0, size, most)]
            continue
        open_parts.append(Part(path, 0, size))
        open_bytes += size
        if open_bytes >= most or _ends_pack(path, size, wanted):
            packs.append(tuple(open_parts))
            open_parts, open_bytes = [], 0
    if open_parts:
        packs.append(tuple(open_parts))
    return packs


def _ends_pack(path: str, size: int, wanted: int) -> bool:
    drawn = int.from_bytes(hashlib.sha256(os.fsencode(path)).digest()[:8], "big")
    return drawn * wanted < size << 64


def pieces_of(packs: Iterable[Sequence[Part]]) -> dict[str, tuple[Piece, ...]]:
    """Where each file's content is, in order."""
    found: dict[str, list[Piece]] = {}
    for number, parts in enumerate(packs):
        at = 0
        for part in parts:
            found.setdefault(part.path, []).append(Piece(number, at, part.length))
            at += part.length
    return {path: tuple(pieces) for path, pieces in found.items()}


def index_bytes(entries: Iterable[MountEntry]) -> bytes:
    """The index, uncompressed: the same bytes for the same entries."""
    rows: list[list[object]] = []
    for each in entries:
        if each.kind == "dir":
            rows.append(["d", each.path, each.mode, each.uid, each.gid, each.mtime_ns])
        elif each.kind == "file":
            pieces = [[piece.pack, piece.offset, piece.length] for piece in each.pieces]
            rows.append(["f", each.path, each.mode, each.uid, each.gid, each.mtime_ns, each.size, pieces])
        elif each.kind == "link":
            rows.append(["l", each.path, each.target, each.uid, each.gid, each.mtime_ns])
        else:
            rows.append(["h", each.path, each.target])
    return json.dumps({"version": VERSION, "entries": rows}, separators=(",", ":"), ensure_ascii=True).encode()


def read_index(data: bytes, packs: int) -> tuple[MountEntry, ...]:
    """The entries, each below a directory that came before it. packs: how many there are.

    Raises FormatError: malformed, of another version, a path that leaves the directory, sizes that do not add up.
    """
    try:
        document = json.loads(data)
        if document["version"] != VERSION:
            raise FormatError("the index of a cache mount is of another version", code="cache-version")
        rows = document["entries"]
        if not isinstance(rows, list) or len(rows) > _MOST_ENTRIES:
            raise FormatError("the index of a cache mount has too many entries", code="too-many-entries")
        found: list[MountEntry] = []
        directories, files = {""}, set[str]()
        for row in rows:
            entry = _READERS[row[0]](row)
            _check_path(entry.path, directories)
            if entry.kind == "dir":
                directories.add(entry.path)
            if entry.kind == "file":
                files.add(entry.path)
                if any(piece.pack >= packs for piece in entry.pieces):
                    raise ValueError("a pack that is not there")
            if entry.kind == "name" and entry.target not in files:
                raise ValueError("a name of no file")
            found.append(entry)
    except FormatError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as cause:
        raise FormatError(f"the index of a cache mount is malformed: {cause}", code="bad-document") from cause
    return tuple(found)


def _directory(row: list[Any]) -> MountEntry:
    _, path, mode, uid, gid, mtime_ns = row
    return MountEntry(_text(path), "dir", _mode(mode), _id(uid), _id(gid), _time(mtime_ns))


def _file(row: list[Any]) -> MountEntry:
    _, path, mode, uid, gid, mtime_ns, size, rows = row
    pieces = tuple(Piece(_number(pack), _number(offset), _number(length)) for pack, offset, length in rows)
    if sum(piece.length for piece in pieces) != _number(size):
        raise ValueError("the pieces of a file are not its size")
    return MountEntry(_text(path), "file", _mode(mode), _id(uid), _id(gid), _time(mtime_ns), size, "", pieces)


def _link(row: list[Any]) -> MountEntry:
    _, path, target, uid, gid, mtime_ns = row
    return MountEntry(_text(path), "link", 0, _id(uid), _id(gid), _time(mtime_ns), 0, _text(target))


def _name(row: list[Any]) -> MountEntry:
    _, path, target = row
    return MountEntry(_text(path), "name", target=_text(target))


_READERS: dict[str, Callable[[list[Any]], MountEntry]] = {"d": _directory, "f": _file, "l": _link, "h": _name}


def _check_path(path: str, directories: set[str]) -> None:
    above, _, name = path.rpartition("/")
    whole = f"{above}/{name}" if above else name
    if name in ("", ".", "..") or path != whole or above not in directories or path in directories:
        raise ValueError(f"{path[:100]!r} is not a path below a directory that is there")


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or "\0" in value or len(value) > 4096:
        raise ValueError("a text was expected")
    os.fsencode(value)  # a lone surrogate that stands for no byte is no name
    return value


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST:
        raise ValueError("a number was expected")
    return value


def _mode(value: Any) -> int:
    return _number(value) & 0o7777


def _id(value: Any) -> int:
    if _number(value) >= 1 << 32:
        raise ValueError("an ID is too large")
    return _number(value)


def _time(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 1 << 62:
        raise ValueError("a time was expected")
    return value
