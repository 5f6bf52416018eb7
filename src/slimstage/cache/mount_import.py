"""An index and packs from a cache → the content of a new cache directory, every byte verified by its pack's digest."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from slimstage.cache.mounts import INDEX_BYTES, PACK_BYTES, MountEntry, read_index
from slimstage.errors import FormatError
from slimstage.oci.descriptor import Descriptor
from slimstage.tree.compress import zstd_module
from slimstage.tree.entry import Entry, Kind
from slimstage.tree.writer import TreeWriter

_FETCHED_AT_ONCE = 4
_KEPT = 3
"""Packs that are unpacked at the same time: files come in order of their names, and so do their packs."""


def fill_mount(directory: str, index: bytes, packs: Sequence[Descriptor], fetch: Callable[[Descriptor], bytes]) -> int:
    """Writes what the index lists into an empty directory; returns the bytes of its files.

    index: as it came, compressed. fetch: a pack's bytes, verified; called from several threads.
    Raises FormatError, OSError, and what `fetch` raises; then the directory holds a part.
    """
    entries = read_index(_unpacked(index, INDEX_BYTES), len(packs))
    sizes: dict[int, int] = {}
    for entry in entries:
        for piece in entry.pieces:
            sizes[piece.pack] = max(sizes.get(piece.pack, 0), piece.offset + piece.length)
    written = 0
    with ThreadPoolExecutor(_FETCHED_AT_ONCE, thread_name_prefix="mount") as pool, TreeWriter(directory) as writer:
        unpacked = _Packs(pool, [packs[number] for number in range(len(packs))], sizes, fetch)
        for entry in entries:
            written += _write(writer, entry, unpacked)
        writer.finish()
    return written


class _Packs:
    """Packs by their numbers, unpacked; the next ones are on their way meanwhile."""

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        packs: Sequence[Descriptor],
        sizes: dict[int, int],
        fetch: Callable[[Descriptor], bytes],
    ) -> None:
        self._pool, self._packs, self._sizes, self._fetch = pool, packs, sizes, fetch
        self._coming: dict[int, Future[bytes]] = {}
        self._next = 0

    def get(self, number: int) -> bytes:
        while self._next < len(self._packs) and self._next <= number + _FETCHED_AT_ONCE:
            self._begin(self._next)
            self._next += 1
        if number not in self._coming:
            self._begin(number)
        data = self._coming[number].result()
        for old in sorted(self._coming)[: -_FETCHED_AT_ONCE - _KEPT - 1]:
            if old != number:
                del self._coming[old]
        return data

    def _begin(self, number: int) -> None:
        def one() -> bytes:
            size = self._sizes.get(number, 0)
            if size > PACK_BYTES:
                raise FormatError("a pack of a cache mount is too large", code="bad-document")
            data = _unpacked(self._fetch(self._packs[number]), size)
            if len(data) != size:
                raise FormatError("a pack of a cache mount is shorter than its index says", code="bad-document")
            return data

        self._coming[number] = self._pool.submit(one)


def _write(writer: TreeWriter, entry: MountEntry, packs: _Packs) -> int:
    if entry.kind == "name":
        writer.link(entry.path, entry.target)
        return 0
    if entry.kind == "file":
        fd = writer.create(entry.path)
        try:
            for piece in entry.pieces:
                data = memoryview(packs.get(piece.pack))[piece.offset : piece.offset + piece.length]
                while data:
                    data = data[os.write(fd, data) :]
            writer.finish_file(fd, _entry(entry))
        finally:
            os.close(fd)
        return entry.size
    writer.add(_entry(entry))
    return 0


def _entry(entry: MountEntry) -> Entry:
    kind: Kind = "symlink" if entry.kind == "link" else "dir" if entry.kind == "dir" else "file"
    return Entry(entry.path, kind, entry.mode, entry.uid, entry.gid, entry.size, entry.mtime_ns, target=entry.target)


def _unpacked(data: bytes, most: int) -> bytes:
    """Raises FormatError: not zstd, or more than `most` bytes."""
    decompressor = zstd_module().ZstdDecompressor()
    try:
        found: bytes = decompressor.decompress(data, max_length=most + 1)
    except Exception as cause:  # the library's own class, in either of its homes
        raise FormatError(f"a blob of a cache mount is malformed: {cause}", code="bad-compression") from cause
    if len(found) > most or not decompressor.eof:
        raise FormatError("a blob of a cache mount is larger than it may be", code="bad-compression")
    return found
