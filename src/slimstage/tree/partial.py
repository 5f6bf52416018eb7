"""The two formats of layers that can be read in parts: how their pieces are compressed, and what stands at their end.

eStargz: a gzip member for each content (4 MiB of it at most) and the headers behind it; the table is the tar's last file,
so it is part of the diff ID; an empty gzip member at the end says where it begins.

zstd:chunked: a zstd frame for each content and for all between; the table is in a frame that decoders skip, so the tar
is the same as without. Two dialects are read by tools in use and both are written: the newer one wants the tar's headers
(tar-split) in a further frame and a footer of 64 bytes, the older one looks for a footer of 40 bytes at the very end. Each
finds the table by annotations of its own.

Source: containerd/stargz-snapshotter, docs/estargz.md and estargz/zstdchunked; containers/storage, pkg/chunked.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from slimstage.digest import Digest
from slimstage.tree.compress import GZIP_HEAD, ZSTD_LEVEL, Buffer, encoder, gzip_member, zstd_module
from slimstage.tree.pack import member_header
from slimstage.tree.split import Written
from slimstage.tree.toc import Table, TarSplit

TOC_NAME = "stargz.index.json"
PREFETCH_LANDMARK = ".prefetch.landmark"
NO_PREFETCH_LANDMARK = ".no.prefetch.landmark"
LANDMARK_CONTENT = b"\x0f"
RESERVED_NAMES = frozenset((TOC_NAME, PREFETCH_LANDMARK, NO_PREFETCH_LANDMARK))
"""Files that eStargz itself puts into the root of a layer; those of an earlier conversion are left out."""

TOC_DIGEST = "containerd.io/snapshot/stargz/toc.digest"
UNCOMPRESSED_SIZE = "io.containers.estargz.uncompressed-size"
MANIFEST_CHECKSUM = "io.github.containers.zstd-chunked.manifest-checksum"
MANIFEST_POSITION = "io.github.containers.zstd-chunked.manifest-position"
TAR_SPLIT_POSITION = "io.github.containers.zstd-chunked.tarsplit-position"
OLD_MANIFEST_CHECKSUM = "io.containers.zstd-chunked.manifest-checksum"
OLD_MANIFEST_POSITION = "io.containers.zstd-chunked.manifest-position"

ESTARGZ_FOOTER_BYTES = 51
SKIPPABLE = b"\x50\x2a\x4d\x18"
FRAME_HEADER_BYTES = 8
OLD_FOOTER_BYTES = 40
FOOTER_BYTES = 64
OLD_MAGIC = b"GnUlInUx"
MAGIC = b"GNUlInUx"
MANIFEST_TYPE = 1

_MODE = 0o444
_TOC_LEVEL = 6


class Tail(Protocol):
    """Takes what follows the contents."""

    def emit(self, data: Buffer) -> None:
        """Bytes of the blob."""
        ...

    def digest_tar(self, data: Buffer) -> None:
        """Bytes that decompressing the blob will give as well: part of the diff ID."""
        ...


class PartialFormat(Protocol):
    """One blob in the making; `piece` may be called by several threads."""

    joins_headers: bool
    """True: what is between two contents is compressed with the one before it."""
    has_ends: bool
    tar_split: TarSplit | None

    def piece(self, data: memoryview) -> bytes:
        """A gzip member or a zstd frame of its own."""
        ...

    def finish(self, tail: Tail, offset: int, tar_bytes: int, table: Table) -> Mapping[str, str]:
        """Writes what ends the blob. offset: bytes of the blob so far. Returns the annotations of its descriptor."""
        ...


class Estargz:
    """eStargz. level: None chooses for each piece."""

    joins_headers = True
    has_ends = False
    tar_split: TarSplit | None = None

    def __init__(self, level: int | None) -> None:
        self._level = level
        encoder("gzip", level)  # raises for a level that gzip has not

    def piece(self, data: memoryview) -> bytes:
        return gzip_member(data, self._level)

    def finish(self, tail: Tail, offset: int, tar_bytes: int, table: Table) -> Mapping[str, str]:
        from zlib_ng import zlib_ng

        spool = table.end()
        state = zlib_ng.compressobj(_TOC_LEVEL, zlib_ng.DEFLATED, -15)
        checksum, digest, count = 0, hashlib.sha256(), 0
        tail.emit(GZIP_HEAD)
        head = member_header(TOC_NAME.encode(), b"0", _MODE, 0, 0, spool.size, 0)

        def put(data: bytes) -> None:
            nonlocal checksum, count
            checksum, count = zlib_ng.crc32(data, checksum), count + len(data)
            tail.digest_tar(data)
            tail.emit(state.compress(data))

        put(head)
        for data in spool.pieces():
            digest.update(data)
            put(data)
        put(bytes(-spool.size % 512 + 1024))
        tail.emit(state.flush())
        tail.emit(struct.pack("<II", checksum, count & 0xFFFFFFFF))
        tail.emit(estargz_footer(offset))
        return {
            TOC_DIGEST: "sha256:" + digest.hexdigest(),
            UNCOMPRESSED_SIZE: str(tar_bytes + count),
        }


def estargz_footer(toc_offset: int) -> bytes:
    """The 51 bytes at the end: an empty gzip member whose extra field says where the table's member begins."""
    extra = b"%016xSTARGZ" % toc_offset
    field = b"SG" + struct.pack("<H", len(extra)) + extra
    return (
        b"\x1f\x8b\x08\x04\0\0\0\0\0\xff"
        + struct.pack("<H", len(field))
        + field
        + b"\x01\0\0\xff\xff"  # one last stored block of no bytes
        + bytes(8)
    )


def landmark(name: str) -> tuple[Written, bytes]:
    """The file by which eStargz says what is to be fetched ahead: (member, its header)."""
    size = len(LANDMARK_CONTENT)
    header = member_header(name.encode(), b"0", _MODE, 0, 0, size, 0)
    return Written(name.encode(), "reg", _MODE, 0, 0, size, 0), header


class ZstdChunked:
    """zstd:chunked. level: None is zstd's 3."""

    joins_headers = False
    has_ends = True

    def __init__(self, level: int | None) -> None:
        encoder("zstd", level)  # raises for a level that zstd has not
        self._options = self._options_of(ZSTD_LEVEL if level is None else level)
        self._compress: Callable[..., bytes] = zstd_module().compress
        self.tar_split: TarSplit | None = TarSplit()

    @staticmethod
    def _options_of(level: int) -> dict[Any, int]:
        parameter = zstd_module().CompressionParameter
        return {parameter.compression_level: level, parameter.checksum_flag: 1}

    def piece(self, data: memoryview) -> bytes:
        return self._compress(data, options=self._options)

    def finish(self, tail: Tail, offset: int, tar_bytes: int, table: Table) -> Mapping[str, str]:
        assert self.tar_split is not None
        spool = self.tar_split.end()
        split, split_bytes = self._whole(spool.pieces()), spool.size
        split_digest = "sha256:" + hashlib.sha256(split).hexdigest()
        spool = table.end(split_digest)
        manifest, manifest_bytes = self._whole(spool.pieces()), spool.size
        at = offset + FRAME_HEADER_BYTES
        split_at = at + len(manifest) + FRAME_HEADER_BYTES
        position = (at, len(manifest), manifest_bytes, MANIFEST_TYPE)
        for frame in (
            manifest,
            split,
            struct.pack("<7Q", *position, split_at, len(split), split_bytes) + MAGIC,
            struct.pack("<4Q", *position) + OLD_MAGIC,
        ):
            tail.emit(SKIPPABLE + struct.pack("<I", len(frame)))
            tail.emit(frame)
        checksum = Digest("sha256:" + hashlib.sha256(manifest).hexdigest())
        shown = ":".join(map(str, position))
        return {
            MANIFEST_CHECKSUM: checksum,
            MANIFEST_POSITION: shown,
            TAR_SPLIT_POSITION: f"{split_at}:{len(split)}:{split_bytes}",
            OLD_MANIFEST_CHECKSUM: checksum,
            OLD_MANIFEST_POSITION: shown,
        }

    def _whole(self, pieces: Iterator[bytes]) -> bytes:
        state = zstd_module().ZstdCompressor(options=self._options)
        parts = [state.compress(piece) for piece in pieces]
        return b"".join((*parts, state.flush()))


def is_estargz(annotations: Mapping[str, str]) -> bool:
    """True for a descriptor that says that its blob is eStargz."""
    return TOC_DIGEST in annotations


def is_zstd_chunked(annotations: Mapping[str, str]) -> bool:
    return MANIFEST_CHECKSUM in annotations or OLD_MANIFEST_CHECKSUM in annotations
