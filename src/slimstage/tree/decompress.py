"""Reads what others compressed: gzip, zstd, bzip2, xz or plain, told by its first bytes.

All members of a stream count; what follows them and is no member is an error, except padding with zeros. A stream that
ends too early is an error. Memory is bounded whatever the stream says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from slimstage.errors import FormatError
from slimstage.tree.compress import zstd_module
from slimstage.tree.untar import Readable

Format: TypeAlias = Literal["gzip", "zstd", "bzip2", "xz", "plain"]

DETECT_BYTES = 8
_INPUT_BYTES = 256 << 10
_OUTPUT_BYTES = 1 << 20
_XZ_MEMORY = 256 << 20
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def detect(head: bytes) -> Format:
    """The compression of a stream that begins with these bytes (8 or more are enough)."""
    if head[:3] == b"\x1f\x8b\x08":
        return "gzip"
    if head[:4] == _ZSTD_MAGIC or (head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50):
        return "zstd"
    if head[:3] == b"BZh" and head[3:4].isdigit():
        return "bzip2"
    return "xz" if head[:6] == b"\xfd7zXZ\0" else "plain"


class Peekable:
    """A stream of which the first bytes can be looked at before they are read."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._head = b""

    def peek(self, count: int) -> bytes:
        """The next `count` bytes, fewer only at the end of the stream."""
        while len(self._head) < count and (more := self._stream.read(count - len(self._head))):
            self._head += more
        return self._head[:count]

    def read(self, count: int = -1, /) -> bytes:
        """Up to `count` bytes; b"" only at the end."""
        if self._head:
            if 0 <= count < len(self._head):
                data, self._head = self._head[:count], self._head[count:]
                return data
            data, self._head = self._head, b""
            return data + self._stream.read() if count < 0 else data
        return self._stream.read(count)


def decompressed(stream: Readable, form: Format | None = None) -> Readable:
    """The stream's bytes without their compression; `form` None looks at the stream. The stream is not closed.

    Reading raises FormatError: malformed, truncated, or something else after the end.
    """
    if form is None:
        stream = stream if isinstance(stream, Peekable) else Peekable(stream)
        form = detect(stream.peek(DETECT_BYTES))
    if form == "plain":
        return stream
    return _Decompressed(stream, form)


class _Decompressed:
    def __init__(self, stream: Readable, form: Format) -> None:
        self._stream, self._form = stream, form
        self._make = _makers(form)
        self._state: Any = None
        self._input = b""
        self._is_ended = False
        self._members = 0

    def read(self, count: int = -1, /) -> bytes:
        """Up to `count` bytes, at most a mebibyte at once; b"" only at the end."""
        if count < 0:
            parts = []
            while part := self.read(_OUTPUT_BYTES):
                parts.append(part)
            return b"".join(parts)
        limit = min(count, _OUTPUT_BYTES)
        while limit and not self._is_ended:
            if self._state is None and not self._begin():
                break
            data = self._step(limit)
            if data:
                return data
        return b""

    def _begin(self) -> bool:
        """Starts the next member; False at the end of the stream."""
        self._fill()
        if self._members:
            self._input = self._input.lstrip(b"\0")
            while not self._input and self._fill():
                self._input = self._input.lstrip(b"\0")
            if self._input:
                self._enough_to_detect()
                if detect(self._input) != self._form:
                    raise FormatError(f"something follows the end of the {self._form} stream", code="trailing-data")
        elif not self._input:
            raise self._truncated()
        self._is_ended = not self._input
        if not self._is_ended:
            self._state = self._make()
            self._members += 1
        return not self._is_ended

    def _enough_to_detect(self) -> None:
        while len(self._input) < DETECT_BYTES and (more := self._stream.read(DETECT_BYTES)):
            self._input += more

    def _fill(self) -> bool:
        if not self._input:
            self._input = self._stream.read(_INPUT_BYTES)
        return bool(self._input)

    def _step(self, limit: int) -> bytes:
        state = self._state
        try:
            if self._form == "gzip":  # zlib's way: input that was not used comes back
                data: bytes = state.decompress(self._input, limit)
                self._input = state.unconsumed_tail
            else:
                data = state.decompress(self._input, limit)
                self._input = b""
        except FormatError:
            raise
        except MemoryError as error:
            raise FormatError(f"the {self._form} stream needs too much memory", code="bad-compression") from error
        except Exception as error:  # each library has its own class for a malformed stream
            raise FormatError(f"the {self._form} stream is malformed: {error}", code="bad-compression") from error
        if state.eof:
            self._input = state.unused_data or self._input
            self._state = None
        elif not data and not self._input and (self._form == "gzip" or state.needs_input) and not self._fill():
            raise self._truncated()
        return data

    def _truncated(self) -> FormatError:
        return FormatError(f"the {self._form} stream ends too early", code="truncated-stream")


def _makers(form: Format) -> Callable[[], Any]:
    if form == "gzip":
        from isal import isal_zlib

        return lambda: isal_zlib.decompressobj(wbits=31)
    if form == "zstd":
        return lambda: zstd_module().ZstdDecompressor()
    if form == "bzip2":
        import bz2

        return bz2.BZ2Decompressor
    import lzma

    return lambda: lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
