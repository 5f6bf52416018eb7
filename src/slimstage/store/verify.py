"""Looking into the layers of an image: digest, size and diff ID in one pass, and whether the tar keeps the rules.

Source: OCI image-spec v1.1, layer.md: no path twice, whiteouts are empty regular files, no bare `.wh.`.
"""

from __future__ import annotations

import hashlib
from itertools import islice
from typing import BinaryIO, Protocol

from slimstage.diagnostics import Diagnostic
from slimstage.digest import Digest
from slimstage.errors import DigestMismatch, FormatError
from slimstage.oci.config import LIMIT_BYTES
from slimstage.oci.descriptor import Descriptor
from slimstage.oci.validate import CheckLayer, LayerFacts, validate
from slimstage.store.blobs import Blobs
from slimstage.store.source import ImageSource
from slimstage.tree.decompress import decompressed, detect
from slimstage.tree.partial import is_estargz, is_zstd_chunked
from slimstage.tree.untar import Readable, TarReader
from slimstage.values import replace

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_MOST_FAULTS = 20


class _Opener(Protocol):
    def __call__(self, digest: Digest, /) -> BinaryIO: ...


def verify_image(source: ImageSource) -> list[Diagnostic]:
    """All that is wrong with an image, layers and their tars included; empty when it is sound."""
    manifest = source.manifest()

    def read(descriptor: Descriptor) -> bytes:
        if descriptor.digest == manifest.digest:
            return manifest.raw
        with source.open_blob(descriptor.digest) as stream:
            return stream.read(LIMIT_BYTES + 1)

    return validate(read, manifest.descriptor(), layer_check(source.open_blob))


def verify_stored(blobs: Blobs, descriptor: Descriptor) -> list[Diagnostic]:
    """The same for a manifest or index in the blob store."""

    def read(wanted: Descriptor) -> bytes:
        with blobs.open(wanted.digest) as stream:
            return stream.read(LIMIT_BYTES + 1)

    return validate(read, descriptor, layer_check(blobs.open))


def layer_check(open_blob: _Opener) -> CheckLayer:
    """The callback of `validate` for blobs that `open_blob` opens."""

    def check(descriptor: Descriptor) -> LayerFacts:
        with open_blob(descriptor.digest) as stream:
            facts = _read_layer(stream, descriptor)
            if is_estargz(descriptor.annotations) or is_zstd_chunked(descriptor.annotations):
                faults = (*facts.faults, *_table_faults(stream, descriptor))
                facts = replace(facts, faults=faults[:_MOST_FAULTS])
            return facts

    return check


class _Hashing:
    """Counts and digests what passes through it."""

    def __init__(self, stream: Readable, algorithm: str = "sha256") -> None:
        self._stream, self._algorithm = stream, algorithm
        self._state = hashlib.new(algorithm)
        self.size = 0

    def read(self, count: int = -1, /) -> bytes:
        data = self._stream.read(count)
        self._state.update(data)
        self.size += len(data)
        return data

    @property
    def digest(self) -> Digest:
        return Digest(f"{self._algorithm}:{self._state.hexdigest()}")


def _read_layer(stream: BinaryIO, descriptor: Descriptor) -> LayerFacts:
    blob = _Hashing(stream, descriptor.digest.partition(":")[0])
    form = "gzip" if descriptor.media_type.endswith("gzip") else None
    form = "zstd" if descriptor.media_type.endswith("zstd") else form
    head = blob.read(16)
    found = detect(head)
    faults: list[str] = []
    if found != (form or "plain"):
        faults.append(f"the media type says {form or 'uncompressed'}, the bytes are {found}")
    plain = _Hashing(decompressed(_Joined(head, blob), found))
    reader = TarReader(plain)
    try:
        faults += _tar_faults(reader)
        reader.drain()
    except FormatError as cause:
        faults.append(cause.message)
    while plain.read(1 << 20):
        pass
    while blob.read(1 << 20):
        pass
    return LayerFacts(blob.digest, blob.size, plain.digest, tuple(faults[:_MOST_FAULTS]))


class _Joined:
    """Bytes that were read ahead, then the rest."""

    def __init__(self, head: bytes, rest: _Hashing) -> None:
        self._head, self._rest = head, rest

    def read(self, count: int = -1, /) -> bytes:
        if self._head:
            data, self._head = self._head, b""
            return data
        return self._rest.read(count)


class _Seeking:
    """Parts of a stream that can be read at any place."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def at(self, offset: int, count: int) -> bytes:
        self._stream.seek(offset)
        parts: list[bytes] = []
        while count > 0 and (data := self._stream.read(count)):
            parts.append(data)
            count -= len(data)
        return b"".join(parts)


def _table_faults(stream: BinaryIO, descriptor: Descriptor) -> list[str]:
    """What is wrong with the table of contents by which parts of the layer can be read, and with those parts."""
    from slimstage.tree.partread import check_contents, read_contents  # only for layers that have one

    source = _Seeking(stream)
    try:
        contents = read_contents(source, descriptor.size, descriptor.annotations)
    except DigestMismatch as cause:
        return [f"the table of contents is not the one of the annotations: want {cause.want}, got {cause.got}"]
    except FormatError as cause:
        return [f"the table of contents: {cause.message}"]
    return list(islice(check_contents(source, contents), _MOST_FAULTS))


def _tar_faults(reader: TarReader) -> list[str]:
    faults: list[str] = []
    seen: set[str] = set()
    for member in reader:
        if member.path in seen:
            faults.append(f'the path "{member.path}" is there twice')
        seen.add(member.path)
        name = member.path.rpartition("/")[2]
        if name.startswith(_WHITEOUT):
            if name == _WHITEOUT or name in (".wh..", ".wh..."):
                faults.append(f'"{member.path}" is a whiteout of nothing')
            elif name.startswith(".wh..wh.") and name != _OPAQUE:
                faults.append(f'"{member.path}" is metadata of AUFS, not of an image')
            elif member.kind != "file" or member.size:
                faults.append(f'the whiteout "{member.path}" is not an empty file')
        if member.kind == "hardlink" and member.target not in seen:
            faults.append(f'the hard link "{member.path}" is of "{member.target}", which is not before it in the layer')
    return faults
