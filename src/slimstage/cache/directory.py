"""`type=local`: a cache in an OCI layout directory.

The layout may hold several caches under several tags. Blobs are written once; when a new cache takes the place of an old
one, what only the old one needed goes, so that a directory that a CI system keeps does not grow with each build.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from typing import BinaryIO

from slimstage.cache.artifact import ARTIFACT, CacheArtifact, read_artifact
from slimstage.cache.document import LIMIT_BYTES, CacheDocument
from slimstage.cache.sources import Progress
from slimstage.digest import Digest, VerifyingReader, parse_digest
from slimstage.errors import DigestMismatch, FormatError, SlimstageError, StoreError, UsageError
from slimstage.oci.descriptor import OCI_MANIFEST, Descriptor
from slimstage.oci.manifest import build_index, parse_manifest
from slimstage.store.blobs import BLOCK_BYTES, Blobs
from slimstage.store.files import create_exclusive, guarded, random_name, replace_file
from slimstage.store.layout import TAG, Layout
from slimstage.store.layout_sink import VERSION_FILE
from slimstage.store.space import saying_space
from slimstage.values import replace

_STAGED = ".new."


class DirectorySource:
    """The cache of a tag, or of a manifest's digest, in a layout directory; a `CacheSource`."""

    def __init__(self, path: str, tag: str = "latest", digest: str | None = None) -> None:
        self._path, self._tag, self._digest = path, tag, digest
        self._layout: Layout | None = None

    def read(self) -> CacheDocument | None:
        """None when there is no directory, or no cache of that tag in it. Raises FormatError, StoreError."""
        if not os.path.isdir(self._path):
            return None
        layout = self._layout = Layout(self._path)
        entry = self._entry(layout)
        if entry is None:
            return None
        manifest = parse_manifest(layout.read_blob(entry), entry.media_type)
        return read_artifact(manifest, layout.read_blob(manifest.config, LIMIT_BYTES))

    def fetch(self, blob: Descriptor, blobs: Blobs, progress: Progress) -> None:
        with self._open(blob.digest) as stream, blobs.writer() as writer:
            writer.expects(blob.digest)
            while block := stream.read(BLOCK_BYTES):
                if writer.size_bytes + len(block) > blob.size:
                    raise DigestMismatch(f"{blob.size} bytes", f"more than {blob.size} bytes")
                writer.write(block)
                progress(len(block))
            writer.commit(blob.digest, blob.size)

    def read_blob(self, blob: Descriptor, limit_bytes: int) -> bytes:
        layout = self._layout or Layout(self._path)
        return layout.read_blob(blob, limit_bytes)

    def repository(self) -> None:
        return None

    def close(self) -> None:
        if self._layout is not None:
            self._layout.close()

    def _open(self, digest: Digest) -> BinaryIO:
        assert self._layout is not None
        return self._layout.open_blob(digest)

    def _entry(self, layout: Layout) -> Descriptor | None:
        entries = layout.index().manifests
        if self._digest is not None:
            wanted = parse_digest(self._digest)
            return next((each for each in entries if each.digest == wanted), None)
        return next((each for each in entries if each.annotations.get(TAG) == self._tag), None)


class DirectorySink:
    """Puts a cache into a layout directory under a tag; a `CacheSink`. Several processes may do so at once."""

    def __init__(self, path: str, tag: str = "latest") -> None:
        self._path, self._tag = path, tag

    def write(self, cache: CacheArtifact, open_blob: Callable[[Descriptor], BinaryIO], progress: Progress) -> int:
        """See `CacheSink.write`. A reader sees the old cache or the new one. Raises UsageError, StoreError."""
        path = os.path.realpath(self._path)
        with saying_space(self._path), guarded(f'write the cache "{self._path}"'):
            try:
                os.makedirs(os.path.join(path, "blobs", "sha256"), exist_ok=True)
            except (FileExistsError, NotADirectoryError) as cause:
                raise UsageError(f'"{self._path}" is not a directory', code="bad-cache") from cause
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                # Several writers share one directory: each has to see the other's index.
                fcntl.flock(fd, fcntl.LOCK_EX)
                return self._write(path, cache, open_blob, progress)
            finally:
                os.close(fd)

    def _write(
        self, path: str, cache: CacheArtifact, open_blob: Callable[[Descriptor], BinaryIO], progress: Progress
    ) -> int:
        others = self._others(path)
        sent = 0
        for blob in cache.blobs:
            if not _has(path, blob):
                with open_blob(blob) as stream:
                    _copy(path, blob, stream, progress)
                sent += blob.size
        for digest, data in ((cache.manifest.config.digest, cache.data), (cache.manifest.digest, cache.manifest.raw)):
            _put(_place(path, digest), data)
        entry = replace(cache.manifest.descriptor(), annotations={TAG: self._tag})
        _put(os.path.join(path, "index.json"), build_index([*others, entry]).raw)
        self._drop_unneeded(path, [*others, entry])
        return sent

    def _others(self, path: str) -> list[Descriptor]:
        """What the layout has beside the cache that is replaced; a directory that is no layout becomes one if empty."""
        names = {name for name in os.listdir(path) if not name.startswith(_STAGED)}
        if not names - {"blobs"}:
            _put(os.path.join(path, "oci-layout"), VERSION_FILE)
            return []
        try:
            with Layout(path) as layout:
                if "index.json" not in names:  # a kill came between the two files that a layout begins with
                    return []
                return [each for each in layout.index().manifests if each.annotations.get(TAG) != self._tag]
        except FormatError as cause:
            raise UsageError(
                f'"{self._path}" is not empty and not an OCI image layout',
                code="bad-cache",
                hint="name a new directory",
            ) from cause

    def _drop_unneeded(self, path: str, entries: list[Descriptor]) -> None:
        """Removes blobs of no cache; where the layout holds anything but caches, all stays."""
        needed: set[str] = set()
        try:
            with Layout(path) as layout:
                for entry in entries:
                    if entry.media_type != OCI_MANIFEST:
                        return
                    manifest = parse_manifest(layout.read_blob(entry), entry.media_type)
                    if manifest.artifact_type != ARTIFACT:
                        return
                    needed |= {entry.digest, manifest.config.digest, *(each.digest for each in manifest.layers)}
        except (SlimstageError, OSError):
            return
        directory = os.path.join(path, "blobs", "sha256")
        for name in os.listdir(directory):
            if f"sha256:{name}" not in needed:
                os.unlink(os.path.join(directory, name))


def _place(path: str, digest: Digest) -> str:
    algorithm, _, name = parse_digest(digest).partition(":")
    if algorithm != "sha256":
        raise StoreError(f"a cache directory holds sha256 digests, not {digest}", code="bad-digest")
    return os.path.join(path, "blobs", algorithm, name)


def _has(path: str, blob: Descriptor) -> bool:
    try:
        return os.lstat(_place(path, blob.digest)).st_size == blob.size
    except OSError:
        return False


def _put(place: str, data: bytes) -> None:
    replace_file(place, data, mode=0o644, is_durable=False)


def _copy(path: str, blob: Descriptor, stream: BinaryIO, progress: Progress) -> None:
    """Writes the blob, verified as it goes by: what is there under its digest is never anything else."""
    temporary = os.path.join(path, random_name(_STAGED))
    try:
        with open(create_exclusive(temporary, 0o644), "wb", buffering=0) as out:
            reader = VerifyingReader(stream, blob.digest, blob.size)
            while block := reader.read(BLOCK_BYTES):
                out.write(block)
                progress(len(block))
        os.rename(temporary, _place(path, blob.digest))
    except BaseException:
        if os.path.lexists(temporary):
            os.unlink(temporary)
        raise
