"""Image archives, read: oci-archive (an OCI layout as a tar) and docker-archive (`docker save`).

Members are found by their names within the archive and nowhere else: nothing is extracted, and what an archive calls
"../../etc/passwd" is merely a name that it has or has not. Links are refused where bytes are wanted.
Source: moby image/tarexport; OCI image-spec v1.1, image-layout.md.
"""

from __future__ import annotations

import io
import os
import tempfile
import threading
from typing import Any, BinaryIO, cast

from slimstage.digest import Digest, digest_bytes, digest_stream
from slimstage.errors import BlobMissing, FormatError, StoreError
from slimstage.oci.config import LIMIT_BYTES, from_json
from slimstage.oci.descriptor import (
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    OCI_INDEX,
    OCI_LAYER_ZSTD,
    Descriptor,
    Platform,
)
from slimstage.oci.document import LIMIT_BYTES as DOCUMENT_BYTES
from slimstage.oci.document import Fields, read_object
from slimstage.oci.manifest import Index, Manifest, build_index, build_manifest, parse_index
from slimstage.oci.reference import parse_reference
from slimstage.store.files import guarded, open_regular
from slimstage.store.layout import NAME, TAG, BlobReader
from slimstage.tree.decompress import DETECT_BYTES, decompressed, detect
from slimstage.tree.header import BLOCK, ZERO, decimal, parse_header, parse_records

_MOST_MEMBERS = 200_000
_EXTENSION_BYTES = 1 << 20
_FILE, _LINKS = (b"0", b"\0", b"7"), (b"1", b"2")


class Archive(BlobReader):
    """An archive, open for reading. Closing it closes the file."""

    def __init__(self, path: str, spool: str | None = None) -> None:
        """path: a regular file, compressed or not. spool: a directory for the plain copy of a compressed one.

        Raises FormatError when it is no image archive, StoreError when it cannot be read.
        """
        self._path = path
        with guarded(f'open the archive "{path}"'):
            # A symlink that the user names is followed; a FIFO or a device is not waited for.
            try:
                stream: BinaryIO = open(open_regular(os.path.realpath(path)), "rb")
            except FileNotFoundError as cause:
                raise StoreError(f'there is no file "{path}"', code="archive-missing") from cause
        self._stream = _plain(stream, path, spool)
        self._documents: dict[Digest, bytes] = {}
        self._members_of: dict[Digest, str] = {}
        self._index: Index | None = None
        self._lock = threading.Lock()
        try:
            self._members = _members(self._stream)
        except BaseException:
            self.close()
            raise

    def index(self) -> Index:
        """index.json, or what manifest.json of a `docker save` without one amounts to."""
        with self._lock:
            return self._read_index()

    def _read_index(self) -> Index:
        if self._index is None:
            if "index.json" in self._members:
                self._index = parse_index(self._small("index.json"), OCI_INDEX)
            elif "manifest.json" in self._members:
                self._index = self._from_docker()
            else:
                raise FormatError(
                    f'"{self._path}" is no image archive: it has neither index.json nor manifest.json',
                    code="not-an-archive",
                )
        return self._index

    def open_blob(self, digest: Digest) -> BinaryIO:
        name = "blobs/" + digest.replace(":", "/")
        if name not in self._members:
            self.index()  # of `docker save`, names of layers say nothing of their digests
        if digest in self._documents:
            return io.BytesIO(self._documents[digest])
        name = self._members_of.get(digest, name)
        if name not in self._members:
            raise BlobMissing(f'blob "{digest}" is not in the archive "{self._path}"')
        return self._open(name)

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, name: str) -> BinaryIO:
        place = self._members.get(name)
        if place is None:
            raise FormatError(f'the archive "{self._path}" has no member "{name}"', code="member-missing")
        if isinstance(place, str):
            raise FormatError(f'"{name}" of the archive "{self._path}" is a {place}', code="not-regular")
        return io.BufferedReader(_Window(self._stream, *place), 1 << 20)

    def _small(self, name: str, limit_bytes: int = DOCUMENT_BYTES) -> bytes:
        with self._open(name) as stream:
            data = stream.read(limit_bytes + 1)
        if len(data) > limit_bytes:
            raise FormatError(f'"{name}" is larger than {limit_bytes} bytes', code="document-too-large")
        return data

    def _from_docker(self) -> Index:
        # manifest.json is an array; the reader of objects takes it as a field of one.
        fields = read_object(b'{"manifest.json":%b}' % self._small("manifest.json"), self._path)
        entries: list[Descriptor] = []
        for entry in fields.items("manifest.json", 1000):
            manifest, platform = self._docker_image(entry)
            self._documents[manifest.digest] = manifest.raw
            tags = [parse_reference(tag).with_default_tag() for tag in entry.texts("RepoTags") or ()]
            described = [{NAME: str(tag), TAG: tag.tag or ""} for tag in tags] or [{}]
            entries += [manifest.descriptor(platform, annotations) for annotations in described]
        return build_index(entries)

    def _docker_image(self, entry: Fields) -> tuple[Manifest, Platform]:
        data = self._small(entry.needed_text("Config"), LIMIT_BYTES)
        config = from_json(data)
        names = entry.texts("Layers") or ()
        if len(names) != len(config.diff_ids):
            raise FormatError(
                f"{entry.place} has {len(names)} layers, its config {len(config.diff_ids)}", code="layer-count"
            )
        digest = digest_bytes(data)
        self._documents[digest] = data
        layers = [self._docker_layer(name) for name in names]
        return build_manifest(
            Descriptor(DOCKER_CONFIG, digest, len(data)), layers, uses_docker_types=True
        ), config.platform

    def _docker_layer(self, name: str) -> Descriptor:
        with self._open(name) as stream:
            head = stream.read(4)
            size = stream.seek(0, os.SEEK_END)
            stream.seek(0)
            digest = digest_stream(stream)
        self._members_of[digest] = name
        return Descriptor(_LAYER_TYPES.get(head[:2], DOCKER_LAYER), digest, size)


_LAYER_TYPES = {b"\x1f\x8b": DOCKER_LAYER_GZIP, b"\x28\xb5": OCI_LAYER_ZSTD}


class _Window(io.RawIOBase):
    """One member's bytes. Several windows of one archive may be read in turn, or by several threads: `pread` has no place."""

    def __init__(self, stream: BinaryIO, offset: int, size: int) -> None:
        self._fd, self._offset, self._size, self._at = stream.fileno(), offset, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer)
        count = min(len(view), self._size - self._at)
        if count <= 0:
            return 0
        got = os.preadv(self._fd, [view[:count]], self._offset + self._at)
        if got == 0:
            raise FormatError("the archive ends in the middle of a member", code="bad-tar")
        self._at += got
        return got


_Members = dict[str, "tuple[int, int] | str"]


def _members(stream: BinaryIO) -> _Members:
    """Name → (offset, size) of regular files, or what else it is. Of equal names the last counts, as tar has it."""
    end = os.fstat(stream.fileno()).st_size
    members: _Members = {}
    at, count = 0, 0
    name: str | None = None
    size_record: int | None = None
    while at + BLOCK <= end:
        raw = os.pread(stream.fileno(), BLOCK, at)
        if raw == ZERO:
            break
        header = parse_header(raw)
        at += BLOCK
        is_extension = header.kind in (b"x", b"g", b"L", b"K")
        size = header.size if size_record is None or is_extension else size_record
        if size < 0 or at + size > end:
            raise FormatError("the archive is cut off, or the size of a member is a lie", code="bad-tar")
        if is_extension:
            if size > _EXTENSION_BYTES:
                raise FormatError("an extension header of the archive is too large", code="bad-tar")
            data = os.pread(stream.fileno(), size, at)
            if header.kind == b"L":
                name = os.fsdecode(data.split(b"\0", 1)[0])
            elif header.kind == b"x":
                records = parse_records(data)
                if b"path" in records:
                    name = os.fsdecode(records[b"path"])
                if (record := records.get(b"size", b"")).isdigit():
                    size_record = decimal(record, "size")
        else:
            own = name if name is not None else os.fsdecode(header.name)
            own = own.removeprefix("./").rstrip("/")
            if header.kind in _FILE:
                members[own] = (at, size)
            else:
                members[own] = "link" if header.kind in _LINKS else "directory or device"
                size = size if header.kind not in (*_LINKS, b"3", b"4", b"5", b"6") else 0
            name = size_record = None
        at += size + -size % BLOCK
        count += 1
        if count > _MOST_MEMBERS:
            raise FormatError(f"the archive has more than {_MOST_MEMBERS} members", code="too-many-entries")
    if not count:
        raise FormatError("the archive is empty, or no tar at all", code="bad-tar")
    return members


def _plain(stream: BinaryIO, path: str, spool: str | None) -> BinaryIO:
    """The stream itself, or an unnamed plain copy of a compressed one: members are found by seeking."""
    head = stream.read(DETECT_BYTES)
    stream.seek(0)
    form = detect(head)
    if form == "plain":
        return stream
    copy = cast(BinaryIO, tempfile.TemporaryFile(dir=spool))
    try:
        with stream, guarded(f'unpack the archive "{path}"'):
            plain = decompressed(stream, form)
            while block := plain.read(1 << 20):
                copy.write(block)
            copy.flush()
    except BaseException:
        copy.close()
        raise
    return copy
