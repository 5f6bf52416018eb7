"""A context that arrives as a tar: unpacked into an empty directory, from which nothing leads out.

Source: dockerfile.md §1.1; Docker's `build` reference, "Tarball contexts".
"""

from __future__ import annotations

import os
import posixpath
from typing import BinaryIO

from slimstage.errors import FormatError
from slimstage.tree.decompress import Peekable, decompressed
from slimstage.tree.entry import Entry
from slimstage.tree.untar import Readable, TarMember, TarReader, looks_like_tar
from slimstage.tree.writer import TreeWriter

_PROBE_BYTES = 1024
_TEXT_BYTES = 128 << 20


def is_archive(stream: BinaryIO) -> bool:
    """True when the stream holds a tar, compressed or not. Reads from it; the caller seeks back."""
    try:
        return looks_like_tar(Peekable(decompressed(Peekable(_Unbuffered(stream)))).peek(_PROBE_BYTES))
    except FormatError:
        return False


def unpack_context(stream: BinaryIO, place: str, shown: str) -> bytes | None:
    """None when the stream held a tar, which is now in the directory `place`; else its bytes: a Dockerfile.

    shown: what the stream is called in an error.
    Raises FormatError for a tar that is broken, or that writes through a symlink or outside.
    """
    try:
        return _unpack(stream, place, shown)
    except FormatError as error:
        if shown in error.message:
            raise
        raise FormatError(f"{shown}: {error.message}", code=error.code, hint=error.hint) from error


def _unpack(stream: BinaryIO, place: str, shown: str) -> bytes | None:
    outer = Peekable(_Unbuffered(stream))
    plain = Peekable(decompressed(outer))
    if not looks_like_tar(plain.peek(_PROBE_BYTES)):
        return _all(plain)
    with TreeWriter(place) as writer:
        reader = TarReader(plain)
        for member in reader:
            try:
                _write(writer, member, reader)
            except (NotADirectoryError, IsADirectoryError, FileNotFoundError) as error:
                raise FormatError(
                    f'"{member.path}" in the tar of {shown} leads through something that is no directory',
                    code="bad-tar",
                ) from error
        writer.finish()
    return None


def _write(writer: TreeWriter, member: TarMember, reader: TarReader) -> None:
    path = posixpath.normpath(member.path) if member.path else ""
    if member.kind == "hardlink":
        writer.link(path, member.target)
        return
    if not path:
        return
    entry = Entry(
        path=path,
        kind=member.kind,
        mode=member.mode,
        uid=0,
        gid=0,
        mtime_ns=member.mtime_ns,
        target=member.target,
        rdev=member.rdev,
        xattrs=member.xattrs,
    )
    if member.kind in ("char", "block") and (os.geteuid() != 0 or member.rdev == (0, 0)):
        return
    if member.kind != "file":
        writer.add(entry)
        return
    fd = writer.create(path)
    try:
        reader.copy_to(fd)
        writer.finish_file(fd, entry)
    finally:
        os.close(fd)


def _all(stream: Readable) -> bytes:
    parts: list[bytes] = []
    size = 0
    while data := stream.read(1 << 20):
        parts.append(data)
        size += len(data)
        if size > _TEXT_BYTES:
            raise FormatError(f"the Dockerfile is larger than {_TEXT_BYTES} bytes", code="dockerfile-too-large")
    return b"".join(parts)


class _Unbuffered:
    """A binary stream whose `read` may be asked for all."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, count: int = -1, /) -> bytes:
        return self._stream.read(count if count >= 0 else 1 << 20)
