"""Image archives, written: an OCI layout as one tar, and the form of `docker save`, which is that and a manifest.json.

The same images give the same bytes: members in a fixed order, no times, no owners. A file appears whole or not at all;
what is there before is replaced by a rename, so a symlink is never followed and a reader keeps the old file.
Source: OCI image-spec v1.1, image-layout.md; moby image/tarexport.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Sequence
from typing import BinaryIO

from slimstage.digest import Digest
from slimstage.errors import FormatError, UsageError
from slimstage.oci.descriptor import host_platform
from slimstage.oci.document import go_json
from slimstage.oci.manifest import Manifest, build_index
from slimstage.oci.reference import parse_reference
from slimstage.oci.select import select
from slimstage.store.blobs import BLOCK_BYTES
from slimstage.store.content import Content, content_of
from slimstage.store.files import create_exclusive, guarded
from slimstage.store.layout_sink import VERSION_FILE
from slimstage.store.leftovers import beside
from slimstage.store.source import AnyExport, IndexExport, checked
from slimstage.store.space import saying_space
from slimstage.tree.header import BLOCK

_END = bytes(2 * BLOCK)
_LARGEST_OCTAL = 8**11 - 1


class ArchiveSink:
    """Writes images into a tar file at a path."""

    def __init__(self, path: str, *, is_docker: bool, beside: Callable[[str], str] = beside) -> None:
        """beside: names the temporary file (see `Session.beside`, which also sees to it after a kill)."""
        self._path, self._is_docker, self._beside = path, is_docker, beside

    def write(self, images: Sequence[AnyExport]) -> Digest:
        """Raises UsageError (a directory or a device is there), StoreError, DigestMismatch when a blob lies."""
        return self._replace(lambda stream: write_archive(stream, images, is_docker=self._is_docker))

    def put(self, content: Content, listed: bytes | None = None) -> Digest:
        """As `write`, of anything; `listed` as for `write_content`."""
        return self._replace(lambda stream: write_content(stream, content, listed))

    def _replace(self, write: Callable[[BinaryIO], Digest]) -> Digest:
        directory = os.path.dirname(os.path.abspath(self._path))
        with saying_space(self._path), guarded(f'write the archive "{self._path}"'):
            if is_written_to(self._path):
                with open(self._path, "wb", buffering=0) as stream:
                    return write(stream)
            os.makedirs(directory, exist_ok=True)
            temporary = self._beside(self._path)
            fd = create_exclusive(temporary)
            try:
                with open(fd, "wb", buffering=0) as stream:
                    digest = write(stream)
                    # Not synced, as no other tool does: an export can be made again, and waiting for the disk costs.
                    os.fchmod(fd, 0o644)
                os.rename(temporary, self._path)
            except BaseException:
                os.unlink(temporary)
                raise
        return digest


def write_archive(stream: BinaryIO, images: Sequence[AnyExport], *, is_docker: bool) -> Digest:
    """Writes the archive to a stream, for stdout; returns the digest of its index. The caller closes the stream.

    What belongs to the images is left out of the docker form: a daemon would take it for images that it cannot run. Its
    `manifest.json` knows no index: it names the image for this host.
    """
    listed = docker_list((_for_this_host(image), image.names) for image in images) if is_docker else None
    return write_content(stream, content_of(images, has_referrers=not is_docker), listed)


def _for_this_host(image: AnyExport) -> Manifest:
    manifests = [source.manifest() for source in image.sources()]
    if isinstance(image, IndexExport):
        try:
            wanted = select(image.index, host_platform()).digest
        except FormatError:
            return manifests[0]
        return next((each for each in manifests if each.digest == wanted), manifests[0])
    return manifests[0]


def write_content(stream: BinaryIO, content: Content, listed: bytes | None = None) -> Digest:
    """As `write_archive`, of anything. listed: the `manifest.json` of `docker save`, when there shall be one."""
    index = build_index(content.entries)
    documents = {"index.json": index.raw, "oci-layout": VERSION_FILE}
    if listed is not None:
        documents["manifest.json"] = listed
    writer = _Writer(stream)
    # Documents first: a reader of a pipe knows what comes before it comes.
    for name in sorted(documents):
        writer.file(name, documents[name])
    writer.directory("blobs/")
    for algorithm in sorted({piece.descriptor.digest.partition(":")[0] for piece in content.pieces}):
        writer.directory(f"blobs/{algorithm}/")
    for piece in content.pieces:
        with piece.open() as source:
            writer.copy(_member(piece.descriptor.digest), checked(source, piece.descriptor), piece.descriptor.size)
    writer.end()
    return index.digest


def docker_list(images: Iterable[tuple[Manifest, Sequence[str]]]) -> bytes:
    """The `manifest.json` of `docker save`, for images with their full names."""
    return go_json([_docker_entry(manifest, names) for manifest, names in images])


class _Writer:
    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def file(self, name: str, data: bytes) -> None:
        self._write(_header(name, len(data), b"0", 0o644) + data + bytes(-len(data) % BLOCK))

    def directory(self, name: str) -> None:
        self._write(_header(name, 0, b"5", 0o755))

    def copy(self, name: str, source: BinaryIO, size: int) -> None:
        """The source raises when it is longer or shorter than `size`."""
        self._write(_header(name, size, b"0", 0o644))
        while block := source.read(BLOCK_BYTES):
            self._write(block)
        self._write(bytes(-size % BLOCK))

    def end(self) -> None:
        self._write(_END)
        self._stream.flush()

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._stream.write(view) :]


def _header(name: str, size: int, kind: bytes, mode: int) -> bytes:
    """A ustar header without owner and time. Every name here is ASCII and shorter than 100 bytes, but for sha512."""
    path, prefix = name.encode(), b""
    if len(path) > 100:
        prefix, _, path = path.rpartition(b"/")
    # Above 8 GiB: base 256, which GNU tar, Go and Python read.
    length = b"%011o\0" % size if size <= _LARGEST_OCTAL else b"\x80" + size.to_bytes(11, "big")
    fields = (
        path.ljust(100, b"\0"),
        b"%07o\0" % mode,
        b"0000000\0" * 2,
        length,
        b"00000000000\0",
        b" " * 8,
        kind,
        bytes(100),
        b"ustar\x0000",
        bytes(80),
        prefix.ljust(155, b"\0"),
        bytes(12),
    )
    raw = b"".join(fields)
    return raw[:148] + b"%06o\0 " % sum(raw) + raw[156:]


def _docker_entry(manifest: Manifest, names: Sequence[str]) -> dict[str, object]:
    return {
        "Config": _member(manifest.config.digest),
        "RepoTags": [parse_reference(name).with_default_tag().familiar() for name in names],
        "Layers": [_member(layer.digest) for layer in manifest.layers],
    }


def _member(digest: Digest) -> str:
    return "blobs/" + digest.replace(":", "/")


def is_written_to(path: str) -> bool:
    """True for a character device: in the place of `/dev/null` a file would break the host. All else is replaced as a whole.

    Raises UsageError: a directory, or a disk, is there.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(mode):
        raise UsageError(f'"{path}" is a directory', code="bad-output", hint="name a file, or use tar=false")
    if stat.S_ISBLK(mode):
        raise UsageError(f'"{path}" is a device', code="bad-output", hint='use "-" to write to stdout')
    return stat.S_ISCHR(mode)
