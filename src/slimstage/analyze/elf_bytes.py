"""Bytes of a file at offsets that the file itself names: never more than there are, never by a size that is only claimed.

Below `elf.py`, which gives these readers offsets from a file that is not trusted.
"""

from __future__ import annotations

import mmap
import os
from typing import Protocol, TypeAlias


class Reads(Protocol):
    """Bytes at offsets, as of a file that lies within another one."""

    @property
    def size(self) -> int: ...

    def at(self, offset: int, count: int, /) -> bytes:
        """These bytes, fewer where there are no more."""
        ...


ElfSource: TypeAlias = bytes | bytearray | memoryview | mmap.mmap | int | Reads
"""A file's bytes, a descriptor of it, or what reads it."""

_TEXT_BYTES = 1 << 20
"""Of all texts of one file together: names may overlap, so a small table could hold gigabytes of them."""


class Elsewhere(Exception):
    """The bytes that are asked for are not all in the file."""


class Bytes(Protocol):
    """Random access to a file that does not change."""

    size: int
    """Of the file, in bytes."""

    def at(self, offset: int, size: int) -> bytes:
        """Exactly these bytes. Raises Elsewhere."""

    def head(self, size: int) -> bytes:
        """The first bytes, fewer when the file is shorter."""

    def text(self, offset: int, limit: int) -> str | None:
        """The text that ends with a NUL, without it; None: it has no end within the limit, or outside the file."""


class _Texts:
    """What both kinds of source have in common; a text that is asked for again is not read or counted again."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._texts: dict[int, str] = {}
        self._left = _TEXT_BYTES

    def _read(self, offset: int, size: int) -> bytes:
        raise NotImplementedError

    def at(self, offset: int, size: int) -> bytes:
        if offset < 0 or size < 0 or offset + size > self.size:
            raise Elsewhere
        data = self._read(offset, size)
        if len(data) != size:  # the file was cut meanwhile
            raise Elsewhere
        return data

    def head(self, size: int) -> bytes:
        return self._read(0, min(size, self.size))

    def text(self, offset: int, limit: int) -> str | None:
        known = self._texts.get(offset)
        if known is not None:
            return known if len(known) < limit else None
        limit = min(limit, self.size - offset)
        step = 64
        while limit > 0:
            data = self._read(offset, min(step, limit))
            end = data.find(b"\0")
            if end >= 0:
                self._left -= end
                if self._left < 0:
                    return None
                text = self._texts[offset] = os.fsdecode(data[:end])
                return text
            if step >= limit or self._left < 0:
                self._left -= limit
                return None
            step *= 4
        return None


class _InMemory(_Texts):
    def __init__(self, data: bytes | bytearray | memoryview | mmap.mmap) -> None:
        self._data = data
        super().__init__(data.nbytes if isinstance(data, memoryview) else len(data))

    def _read(self, offset: int, size: int) -> bytes:
        return bytes(self._data[offset : offset + size])


class _OnDisk(_Texts):
    def __init__(self, fd: int) -> None:
        self._fd = fd
        super().__init__(os.fstat(fd).st_size)

    def _read(self, offset: int, size: int) -> bytes:
        return os.pread(self._fd, size, offset)


class _Read(_Texts):
    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        super().__init__(reads.size)

    def _read(self, offset: int, size: int) -> bytes:
        return self._reads.at(offset, size)


def open_source(source: ElfSource) -> Bytes:
    """The reader of a source. A descriptor stays open, and where it stands. Raises OSError."""
    if isinstance(source, int):
        return _OnDisk(source)
    if isinstance(source, bytes | bytearray | memoryview | mmap.mmap):
        return _InMemory(source)
    return _Read(source)
