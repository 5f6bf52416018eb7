"""A tar in blocks becomes a blob that can be read in parts: cut where contents begin, and a table of where that is.

The stream is gathered into jobs of about a mebibyte. One thread digests them in order, some compress their pieces in any
order, one writes the results in order and notes in the table where each piece came to lie. Jobs in flight are bounded, so
is memory; where the stream is cut depends on the stream alone, so the bytes do not depend on the threads.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

from slimstage.digest import Digest
from slimstage.tree.compress import Buffer
from slimstage.tree.crc64 import crc64
from slimstage.tree.pack import BLOCK_BYTES
from slimstage.tree.partial import LANDMARK_CONTENT, NO_PREFETCH_LANDMARK, RESERVED_NAMES, PartialFormat, landmark
from slimstage.tree.split import TarSplitter, Written
from slimstage.tree.toc import Chunk, Table
from slimstage.values import dataclass, field

CHUNK_BYTES = 4 << 20
"""Of content in one piece at most: what a reader fetches for one byte of it."""
_JOB_BYTES = 1 << 20


@dataclass(slots=True)
class _Piece:
    """Of a job's bytes, from `start`: `content` bytes of a file first, then others up to `end`."""

    start: int
    end: int
    content: int = 0
    at: int = 0
    """Of the content, in the file's."""
    is_alone: bool = False
    """It holds the whole content of its file."""
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class _Begun:
    """A member that begins; `segment`: all of the tar between the content before it and its own."""

    member: Written
    segment: bytes


@dataclass(slots=True)
class _Job:
    data: bytearray = field(default_factory=bytearray)
    pieces: list[_Piece] = field(default_factory=list)
    notes: list[_Begun | int] = field(default_factory=list)
    """In the order of the stream: members that begin, and pieces (by their number) that hold content."""


@dataclass(frozen=True, slots=True)
class _Digested:
    """Of the files that end in this job: digest by the number of their last piece, and CRC."""

    digests: dict[int, str]
    checksums: dict[int, int]


@dataclass(frozen=True, slots=True)
class Chunked:
    """What was written. tar_bytes: of what decompressing the blob gives."""

    diff_id: Digest
    tar_bytes: int
    blob_digest: Digest
    blob_size: int
    annotations: Mapping[str, str]


class ChunkWriter:
    """Takes blocks of a tar (see pack.Blocks) and gives the digests at its `end`."""

    def __init__(
        self,
        form: PartialFormat,
        out: BinaryIO | None,
        threads: int | None,
        progress: Callable[[int], object] | None = None,
    ) -> None:
        self._form, self._out, self._progress = form, out, progress
        self._threads = max(1, threads or os.cpu_count() or 1)
        self._splitter = TarSplitter(self)
        self._job = _Job()
        self._segment = bytearray()
        self._done = self._left = self._at = 0
        self._drops = False
        self._digester = _Digester(form.tar_split is not None)
        self._finisher = _Finisher(form, out)
        self._room = threading.BoundedSemaphore(self._threads + 2)
        self._error: BaseException | None = None
        self._pools: tuple[ThreadPoolExecutor, ThreadPoolExecutor, ThreadPoolExecutor] | None = None
        if form.joins_headers:
            self._begin(*landmark(NO_PREFETCH_LANDMARK))
            self.content(memoryview(LANDMARK_CONTENT))
            self.between(bytes(512 - len(LANDMARK_CONTENT)))

    def __enter__(self) -> ChunkWriter:
        return self

    def __exit__(self, *_: object) -> None:
        for pool in self._pools or ():
            pool.shutdown(cancel_futures=True)

    # Blocks ---------------------------------------------------------------------------------------------------

    def first(self) -> memoryview:
        return memoryview(bytearray(BLOCK_BYTES))

    def full(self, block: memoryview, count: int, is_bulk: bool) -> memoryview:
        if self._error is not None:
            raise self._error
        self._splitter.feed(block[:count])
        self._done += count
        if self._progress is not None:
            self._progress(self._done)
        return block

    def end(self) -> Chunked:
        """Raises what went wrong in any of the threads, FormatError for a tar that is cut off, StoreError, OSError."""
        self._splitter.end()
        self._submit()
        for pool in self._pools or ():
            pool.shutdown()
        if self._error is not None:
            raise self._error
        return self._finisher.end(self._digester, bytes(self._segment))

    # Parts ----------------------------------------------------------------------------------------------------

    def member(self, member: Written, header: bytes) -> None:
        self._drops = self._form.joins_headers and _is_reserved(member)
        if not self._drops:
            self._begin(member, header)

    def _begin(self, member: Written, header: bytes) -> None:
        self._raw(header)
        self._segment += header
        self._job.notes.append(_Begun(member, bytes(self._segment)))
        self._segment.clear()
        self._left, self._at = member.size, 0

    def content(self, data: memoryview) -> None:
        while data and not self._drops:
            piece = self._job.pieces[-1] if self._job.pieces else None
            if not self._at or piece is None or piece.content == CHUNK_BYTES:
                piece = self._open()
                piece.at = self._at
                piece.is_alone = not self._at and self._left <= CHUNK_BYTES
                self._job.notes.append(len(self._job.pieces) - 1)
            part = data[: CHUNK_BYTES - piece.content]
            self._job.data += part
            piece.content += len(part)
            piece.end += len(part)
            self._at += len(part)
            self._left -= len(part)
            piece.is_last = not self._left
            data = data[len(part) :]

    def between(self, data: bytes) -> None:
        if not self._drops:
            self._raw(data)
            self._segment += data

    def rest(self, data: bytes) -> None:
        """eStargz' table is the archive's last file, so what ends the archive comes behind it."""
        if not self._form.joins_headers:
            self._raw(data)
            self._segment += data

    def _raw(self, data: bytes) -> None:
        pieces = self._job.pieces
        joins = bool(pieces) and (self._form.joins_headers or not pieces[-1].content)
        if not joins or pieces[-1].end - pieces[-1].start - pieces[-1].content >= _JOB_BYTES:
            self._open()
        self._job.data += data
        self._job.pieces[-1].end += len(data)

    def _open(self) -> _Piece:
        if len(self._job.data) >= _JOB_BYTES:
            self._submit()
        place = len(self._job.data)
        piece = _Piece(place, place)
        self._job.pieces.append(piece)
        return piece

    # Jobs -----------------------------------------------------------------------------------------------------

    def _submit(self) -> None:
        job, self._job = self._job, _Job()
        if self._pools is None:
            self._pools = (
                ThreadPoolExecutor(1, "digest"),
                ThreadPoolExecutor(self._threads, "compress"),
                ThreadPoolExecutor(1, "write"),
            )
        digest, compress, write = self._pools
        self._room.acquire()
        digested = digest.submit(self._digester.take, job)
        packed = compress.submit(self._pack, job)
        write.submit(self._finish, job, digested, packed)

    def _pack(self, job: _Job) -> list[tuple[bytes, str]]:
        view = memoryview(job.data)
        return [
            (
                self._form.piece(view[piece.start : piece.end]),
                _sha256(view[piece.start : piece.start + piece.content]) if piece.content else "",
            )
            for piece in job.pieces
        ]

    def _finish(self, job: _Job, digested: Future[_Digested], packed: Future[list[tuple[bytes, str]]]) -> None:
        """Runs in order. Whatever happens there is room again: the reader waits for it."""
        try:
            if self._error is None:
                self._finisher.take(job, digested.result(), packed.result())
            else:
                digested.exception()
        except BaseException as error:  # said again in the thread that packs
            self._error = self._error or error
        finally:
            self._room.release()


class _Digester:
    """What has to be digested in order: the whole tar, files of several pieces, CRCs."""

    def __init__(self, wants_checksums: bool) -> None:
        self.tar = hashlib.sha256()
        self.tar_bytes = 0
        self._wants_checksums = wants_checksums
        self._file = hashlib.sha256()
        self._checksum = 0

    def take(self, job: _Job) -> _Digested:
        view = memoryview(job.data)
        self.tar.update(view)
        self.tar_bytes += len(view)
        found = _Digested({}, {})
        for number, piece in enumerate(job.pieces):
            if not piece.content:
                continue
            content = view[piece.start : piece.start + piece.content]
            if not piece.at:
                self._file, self._checksum = hashlib.sha256(), 0
            if self._wants_checksums:
                self._checksum = crc64(content, self._checksum)
            if not piece.is_alone:
                self._file.update(content)
            if piece.is_last:
                found.checksums[number] = self._checksum
                if not piece.is_alone:
                    found.digests[number] = "sha256:" + self._file.hexdigest()
        return found


class _Finisher:
    """Writes pieces in order and fills the table."""

    def __init__(self, form: PartialFormat, out: BinaryIO | None) -> None:
        self._form, self._out = form, out
        self._blob = hashlib.sha256()
        self._size = 0
        self._table = Table(has_ends=form.has_ends)
        self._member: Written | None = None
        self._chunks: list[Chunk] = []
        self._digest, self._checksum = "", 0
        self._digests: _Digester | None = None

    def take(self, job: _Job, digested: _Digested, packed: list[tuple[bytes, str]]) -> None:
        places = []
        for data, _ in packed:
            places.append(self._size)
            self.emit(data)
        for note in job.notes:
            if isinstance(note, _Begun):
                self._close()
                self._member = note.member
                if self._form.tar_split is not None:
                    self._form.tar_split.segment(note.segment)
                continue
            piece, (data, digest) = job.pieces[note], packed[note]
            self._chunks.append(Chunk(places[note], places[note] + len(data), piece.at, piece.content, digest))
            if piece.is_last:
                self._digest = digested.digests.get(note, digest)
                self._checksum = digested.checksums[note]

    def end(self, digester: _Digester, trailing: bytes) -> Chunked:
        self._close()
        if self._form.tar_split is not None:
            self._form.tar_split.segment(trailing)
        self._digests = digester
        annotations = self._form.finish(self, self._size, digester.tar_bytes, self._table)
        return Chunked(
            Digest("sha256:" + digester.tar.hexdigest()),
            digester.tar_bytes,
            Digest("sha256:" + self._blob.hexdigest()),
            self._size,
            annotations,
        )

    def emit(self, data: Buffer) -> None:
        self._blob.update(data)
        self._size += len(data)
        if self._out is not None:
            view = memoryview(data)
            while view:
                view = view[self._out.write(view) :]

    def digest_tar(self, data: Buffer) -> None:
        assert self._digests is not None
        self._digests.tar.update(data)
        self._digests.tar_bytes += len(data)

    def _close(self) -> None:
        """The member is complete: its entries can be written."""
        if self._member is None:
            return
        self._table.add(self._member, self._chunks, self._digest)
        if self._form.tar_split is not None:
            self._form.tar_split.file(self._member.name, self._member.size, self._checksum)
        self._member, self._chunks, self._digest, self._checksum = None, [], "", 0


def _is_reserved(member: Written) -> bool:
    return member.kind != "dir" and member.name.removeprefix(b"./").decode(errors="replace") in RESERVED_NAMES


def _sha256(data: memoryview) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()
