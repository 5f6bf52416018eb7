"""Writing OCI image layout directories, so that a reader never sees half.

Source: OCI image-spec v1.1, image-layout.md; names as in `layout.py`, which reads them.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from io import BytesIO
from typing import TypeAlias

from slimstage.digest import Digest, parse_digest
from slimstage.errors import DigestMismatch, FormatError, UsageError
from slimstage.oci.descriptor import Descriptor
from slimstage.oci.manifest import build_index
from slimstage.store.blobs import BLOCK_BYTES
from slimstage.store.content import Content, Piece, content_of
from slimstage.store.files import (
    create_exclusive,
    guarded,
    open_regular,
    random_name,
    remove_tree,
    replace_file,
)
from slimstage.store.layout import NAME, TAG, Layout
from slimstage.store.leftovers import beside
from slimstage.store.source import AnyExport, checked
from slimstage.store.space import saying_space
from slimstage.together import together
from slimstage.tree.copying import copy_data, write_all

VERSION_FILE = b'{"imageLayoutVersion":"1.0.0"}'


_Together: TypeAlias = Callable[[Sequence[Piece], Callable[[Piece], None]], object]


class LayoutSink:
    """Writes images into a layout directory: a new one appears whole; one that is there gets the images added.

    In an existing layout, images of the same names and platforms are replaced in the index, and an index takes the place of
    all that had its name; all else stays, blobs too.
    A kill at any moment leaves the old state or the new one; nothing is synced to disk (see save.py).
    """

    def __init__(self, path: str, *, beside: Callable[[str], str] = beside) -> None:
        """beside: names the directory in which files are written (see `Session.beside`, which also sees to it after a kill)."""
        self._path, self._beside = path, beside
        self._together: _Together = partial(together, at_once=1)

    def write(self, images: Sequence[AnyExport]) -> Digest:
        """Raises UsageError when something else is at the path, StoreError, FormatError when a blob lies."""
        return self.put(content_of(images))

    def put(self, content: Content, *, at_once: int = 1, end: Callable[[], object] = lambda: None) -> Digest:
        """As `write`, of anything: indexes, artifacts, media types that nobody here knows.

        at_once: blobs that are read and written at the same time, for those that come from far away. end: called when one
        of these failed, so that reading the others ends soon.
        """
        self._together = partial(together, at_once=at_once, end=end, name="layout")
        path = os.path.realpath(self._path)
        with saying_space(self._path), guarded(f'write the OCI layout "{self._path}"'):
            if os.path.isdir(path):
                return self._add(path, content)
            if os.path.lexists(path):
                raise UsageError(
                    f'"{self._path}" is not a directory', code="bad-output", hint="use tar=true for a file"
                )
            return self._create(path, content)

    def _create(self, path: str, content: Content) -> Digest:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        temporary = self._beside(path)
        os.mkdir(temporary)
        try:
            staging = os.path.join(temporary, ".new")
            os.mkdir(staging)
            _write_blobs(temporary, content, staging, self._together)
            _put(os.path.join(temporary, "oci-layout"), VERSION_FILE, staging)
            index = build_index(content.entries)
            _put(os.path.join(temporary, "index.json"), index.raw, staging)
            os.rmdir(staging)
            os.rename(temporary, path)
        except BaseException:
            remove_tree(temporary)
            raise
        return index.digest

    def _add(self, path: str, content: Content) -> Digest:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        written: list[str] = []
        staging = self._beside(os.path.join(path, "new"))
        try:
            # Several writers add to one layout: each has to see the other's index.
            fcntl.flock(fd, fcntl.LOCK_EX)
            is_empty = all(name.startswith(".new.") for name in os.listdir(path))
            if not is_empty:
                _existing(path).close()
            os.mkdir(staging, 0o700)
            if is_empty:
                _put(os.path.join(path, "oci-layout"), VERSION_FILE, staging)
            with _existing(path) as layout:
                # A kill may have come between the two files that a new layout begins with.
                old = layout.index() if os.path.lexists(os.path.join(path, "index.json")) else build_index(())
            written = _write_blobs(path, content, staging, self._together)
            index = build_index(_merged(old.manifests, content.entries), old.annotations)
            _put(os.path.join(path, "index.json"), index.raw, staging)
        except BaseException:
            for blob in written:
                os.unlink(blob)
            raise
        finally:
            os.close(fd)
            remove_tree(staging)
        return index.digest


def _existing(path: str) -> Layout:
    try:
        return Layout(path)
    except FormatError as cause:
        raise UsageError(
            f'"{path}" is not empty and not an OCI image layout', code="bad-output", hint="name a new directory"
        ) from cause


def _write_blobs(path: str, content: Content, staging: str, run: _Together) -> list[str]:
    """Blobs that are new. staging: a directory for what is not whole yet."""
    written: list[str] = []
    directory = os.path.join(path, "blobs", "sha256")
    os.makedirs(directory, exist_ok=True)
    if os.path.realpath(directory) != os.path.join(os.path.realpath(path), "blobs", "sha256"):
        raise FormatError(f'"{directory}" is a symlink', code="not-regular")

    def write(piece: Piece) -> None:
        place = _place(path, piece.descriptor.digest)
        if not _has(place, piece.descriptor):
            _copy(piece, place, staging)
            written.append(place)

    try:
        run(content.pieces, write)
    except BaseException:
        for place in written:
            os.unlink(place)
        raise
    return written


def _put(place: str, data: bytes, staging: str) -> None:
    """These bytes at the place, atomically."""
    temporary = os.path.join(staging, random_name())
    replace_file(temporary, data, mode=0o644, is_durable=False)
    os.rename(temporary, place)


def _place(path: str, digest: Digest) -> str:
    algorithm, _, name = parse_digest(digest).partition(":")
    os.makedirs(os.path.join(path, "blobs", algorithm), exist_ok=True)
    return os.path.join(path, "blobs", algorithm, name)


def _has(place: str, descriptor: Descriptor) -> bool:
    try:
        with open(open_regular(place), "rb") as stream:
            return os.fstat(stream.fileno()).st_size == descriptor.size
    except OSError:
        return False


def _copy(piece: Piece, place: str, staging: str) -> None:
    temporary = os.path.join(staging, random_name())
    fd = create_exclusive(temporary)
    try:
        with open(fd, "wb", buffering=0), piece.open() as stream:
            if piece.is_verified and not isinstance(stream, BytesIO):
                size = copy_data(stream.fileno(), fd)
                if size != piece.descriptor.size:
                    raise DigestMismatch(f"{piece.descriptor.size} bytes", f"{size} bytes")
            else:
                reader = checked(stream, piece.descriptor)
                while block := reader.read(BLOCK_BYTES):
                    write_all(fd, block)
            os.fchmod(fd, 0o644)
        os.rename(temporary, place)
    except BaseException:
        os.unlink(temporary)
        raise


def _merged(old: Iterable[Descriptor], new: Sequence[Descriptor]) -> list[Descriptor]:
    """The old entries that no new one replaces, then the new ones."""
    return [entry for entry in old if not any(_replaces(each, entry) for each in new)] + list(new)


def _replaces(new: Descriptor, old: Descriptor) -> bool:
    """One name means one image for a platform; what says no platform is all that the name means."""
    name = new.annotations.get(NAME) or new.annotations.get(TAG)
    if name is None:
        return new.digest == old.digest and NAME not in old.annotations and TAG not in old.annotations
    if name != (old.annotations.get(NAME) or old.annotations.get(TAG)):
        return False
    return new.platform is None or old.platform is None or new.platform == old.platform
