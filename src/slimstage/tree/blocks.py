"""From a layer directory to a blob: pack, digest, compress and digest again, all at the same time.

The tar goes through in blocks of one size. One thread reads files into blocks, one digests them in order, some compress
them in any order, one writes the results in order. A few buffers go round, so memory is bounded whatever the size of
the files; a layer that fits into one block needs no thread at all.
"""

from __future__ import annotations

import hashlib
import os
import queue
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

from slimstage.digest import Digest
from slimstage.oci.descriptor import OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD
from slimstage.tree.chunked import Chunked, ChunkWriter
from slimstage.tree.compress import Buffer, Compression, Encoder, encoder
from slimstage.tree.pack import Blocks, pack_into
from slimstage.tree.partial import Estargz, PartialFormat, ZstdChunked
from slimstage.tree.untar import Readable
from slimstage.values import dataclass, field

MEDIA_TYPES: dict[Compression, str] = {
    "gzip": OCI_LAYER_GZIP,
    "zstd": OCI_LAYER_ZSTD,
    "uncompressed": OCI_LAYER,
    "estargz": OCI_LAYER_GZIP,
    "zstd:chunked": OCI_LAYER_ZSTD,
}


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """diff_id, size_bytes: of the uncompressed tar. blob_digest, blob_size: of what was written.

    file_bytes: content of the files, each file once; 0 where a tar was compressed rather than a directory.
    skipped: paths that a layer cannot hold, see PackResult. annotations: that the blob's descriptor must have.
    """

    diff_id: Digest
    size_bytes: int
    blob_digest: Digest
    blob_size: int
    media_type: str
    file_bytes: int = 0
    skipped: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)


def pack_layer(
    layer_path: str,
    *,
    compression: Compression = "gzip",
    level: int | None = None,
    out: BinaryIO | None = None,
    threads: int | None = None,
    clamp_s: int | None = None,
    clamps_all: bool = False,
    progress: Callable[[int], object] | None = None,
) -> PackedLayer:
    """Packs a layer directory into `out` (flushed by nobody, closed by the caller) and says what it has become.

    out: None digests only; with "uncompressed" that costs no more than reading and one sha256.
    level: None chooses for each block by what is in it. threads: those that compress; the bytes never depend on it.
    clamp_s, clamps_all: see `pack`. progress: called with the bytes of tar done so far, from another thread.
    Raises UsageError for a bad level, StoreError when a file changes meanwhile, OSError of reading and writing.
    """
    if (form := _partial(compression, level)) is not None:
        with ChunkWriter(form, out, threads, progress) as writer:
            packed = pack_into(layer_path, writer, clamp_s=clamp_s, clamps_all=clamps_all)
            return _chunked(compression, writer.end(), packed.file_bytes, packed.skipped)
    with _Pipeline(encoder(compression, level), out, threads, progress, compression == "uncompressed") as line:
        packed = pack_into(layer_path, line, clamp_s=clamp_s, clamps_all=clamps_all)
        diff_id, blob_digest, blob_size = line.end()
    return PackedLayer(
        diff_id,
        packed.size_bytes,
        blob_digest,
        blob_size,
        MEDIA_TYPES[compression],
        packed.file_bytes,
        packed.skipped,
    )


def compress_tar(
    stream: Readable,
    *,
    compression: Compression = "gzip",
    level: int | None = None,
    out: BinaryIO | None = None,
    threads: int | None = None,
) -> PackedLayer:
    """As `pack_layer`, for a tar that is there already: `stream` gives its uncompressed bytes, and is not closed.

    Raises FormatError as well: it is no tar, where the format has to know what is in it.
    """
    if (form := _partial(compression, level)) is not None:
        with ChunkWriter(form, out, threads) as writer:
            _feed(stream, writer)
            return _chunked(compression, writer.end())
    with _Pipeline(encoder(compression, level), out, threads, None, compression == "uncompressed") as line:
        size = _feed(stream, line)
        diff_id, blob_digest, blob_size = line.end()
    return PackedLayer(diff_id, size, blob_digest, blob_size, MEDIA_TYPES[compression])


def _feed(stream: Readable, blocks: Blocks) -> int:
    """Hands all of the stream on; returns how many bytes that were."""
    size = used = 0
    block = blocks.first()
    while data := stream.read(len(block) - used):
        block[used : used + len(data)] = data
        used += len(data)
        if used == len(block):
            size += used
            block, used = blocks.full(block, used, False), 0
    if used:
        size += used
        blocks.full(block, used, False)
    return size


def _partial(compression: Compression, level: int | None) -> PartialFormat | None:
    if compression == "estargz":
        return Estargz(level)
    if compression == "zstd:chunked":
        return ZstdChunked(level)
    return None


def _chunked(
    compression: Compression, made: Chunked, file_bytes: int = 0, skipped: tuple[str, ...] = ()
) -> PackedLayer:
    return PackedLayer(
        made.diff_id,
        made.tar_bytes,
        made.blob_digest,
        made.blob_size,
        MEDIA_TYPES[compression],
        file_bytes,
        skipped,
        made.annotations,
    )


class _Pipeline:
    """Takes blocks (see pack.Blocks), and gives the digests at its `end`."""

    def __init__(
        self,
        encoder: Encoder,
        out: BinaryIO | None,
        threads: int | None,
        progress: Callable[[int], object] | None,
        is_plain: bool,
    ) -> None:
        self._encoder, self._out, self._progress = encoder, out, progress
        self._is_plain = is_plain
        self._threads = max(1, threads or os.cpu_count() or 1)
        self._diff = hashlib.sha256()
        self._blob = hashlib.sha256()
        self._done = self._blob_size = 0
        self._error: BaseException | None = None
        self._free: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
        self._pending: tuple[memoryview, int, bool] | None = None
        """The first block, kept until there is a second: alone it is worked on without threads."""
        self._hasher: ThreadPoolExecutor | None = None
        self._workers: ThreadPoolExecutor | None = None
        self._writer: ThreadPoolExecutor | None = None

    def __enter__(self) -> _Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        for pool in (self._hasher, self._workers, self._writer):
            if pool is not None:
                pool.shutdown(cancel_futures=True)

    def first(self) -> memoryview:
        return self._buffer()

    def full(self, block: memoryview, count: int, is_bulk: bool) -> memoryview:
        if self._error is not None:
            raise self._error
        if self._hasher is None:
            if self._pending is None:
                self._pending = block, count, is_bulk
                return self._buffer()
            self._start()
            assert self._pending is not None
            self._submit(*self._pending)
        self._submit(block, count, is_bulk)
        return self._free.get()

    def end(self) -> tuple[Digest, Digest, int]:
        """(diff ID, digest of what was written, its size), when all blocks are through."""
        if self._hasher is None:
            if self._pending is not None:
                block, count, is_bulk = self._pending
                self._diff.update(block[:count])
                self._write(*self._encoder.block(block[:count], is_bulk), count)
        else:
            for pool in (self._hasher, self._workers, self._writer):
                if pool is not None:
                    pool.shutdown()
        if self._error is not None:
            raise self._error
        self._emit(self._encoder.tail() if self._done else self._encoder.head() + self._encoder.tail())
        diff_id = Digest("sha256:" + self._diff.hexdigest())
        if self._is_plain:
            return diff_id, diff_id, self._done
        return diff_id, Digest("sha256:" + self._blob.hexdigest()), self._blob_size

    def _buffer(self) -> memoryview:
        return memoryview(bytearray(self._encoder.block_bytes))

    def _start(self) -> None:
        self._hasher = ThreadPoolExecutor(1, "digest")
        if not self._is_plain:
            self._workers = ThreadPoolExecutor(self._threads, "compress")
        if self._out is not None or not self._is_plain:
            self._writer = ThreadPoolExecutor(1, "write")
        # The one being filled, one with the digester, one for each that compresses, and one being written.
        for _ in range(self._threads + 1 if not self._is_plain else 2):
            self._free.put(self._buffer())

    def _submit(self, block: memoryview, count: int, is_bulk: bool) -> None:
        assert self._hasher is not None
        data = block[:count]
        digested = self._hasher.submit(self._digest, data)
        compressed = self._workers.submit(self._encoder.block, data, is_bulk) if self._workers else None
        (self._writer or self._hasher).submit(self._finish, block, count, digested, compressed)

    def _digest(self, data: memoryview) -> None:
        self._diff.update(data)

    def _finish(
        self, block: memoryview, count: int, digested: Future[None], compressed: Future[tuple[Buffer, int]] | None
    ) -> None:
        """Runs in order. Whatever happens, the buffer goes round: the reader waits for it."""
        try:
            if self._error is None:
                self._write(*(compressed.result() if compressed else (block[:count], 0)), count)
            digested.result()
        except BaseException as error:  # said again in the thread that packs
            self._error = self._error or error
        finally:
            self._free.put(block)

    def _write(self, data: Buffer, checksum: int, count: int) -> None:
        if not self._done:
            self._emit(self._encoder.head())
        self._encoder.join(checksum, count)
        self._emit(data)
        self._done += count
        if self._progress is not None:
            self._progress(self._done)

    def _emit(self, data: Buffer) -> None:
        if not self._is_plain:  # else the blob is the tar, and its digest the diff ID
            self._blob.update(data)
            self._blob_size += len(data)
        if self._out is not None and len(data):
            _write_all(self._out, data)


def _write_all(out: BinaryIO, data: Buffer) -> None:
    """All of it, also into an unbuffered file, whose `write` may take a part only."""
    view = memoryview(data)
    while view:
        view = view[out.write(view) :]
