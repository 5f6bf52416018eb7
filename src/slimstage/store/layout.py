"""OCI image layout directories: reading what others wrote with suspicion, writing so that a reader never sees half.

Source: OCI image-spec v1.1, image-layout.md. Names of images are in index.json's descriptors, as containerd and BuildKit
write them: `io.containerd.image.name` the full name, `org.opencontainers.image.ref.name` the tag.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import BinaryIO

from slimstage.diagnostics import did_you_mean
from slimstage.digest import Digest, parse_digest
from slimstage.errors import BlobMissing, DigestMismatch, FormatError, StoreError, UsageError
from slimstage.oci.config import LIMIT_BYTES, ImageConfig, from_json
from slimstage.oci.descriptor import OCI_INDEX, Descriptor, Platform
from slimstage.oci.document import LIMIT_BYTES as DOCUMENT_BYTES
from slimstage.oci.document import read_object
from slimstage.oci.manifest import Index, Manifest, build_index, parse_document, parse_index
from slimstage.oci.reference import parse_reference
from slimstage.oci.select import DEEPEST_INDEX, check_platform, resolve, select
from slimstage.store.blobs import BLOCK_BYTES
from slimstage.store.files import (
    create_exclusive,
    guarded,
    open_regular,
    random_name,
    read_small,
    remove_tree,
    replace_file,
)
from slimstage.store.leftovers import beside
from slimstage.store.source import Export, StoreSource, checked, read_checked
from slimstage.store.space import saying_space
from slimstage.tree.copying import copy_data, write_all
from slimstage.values import replace

NAME = "io.containerd.image.name"
TAG = "org.opencontainers.image.ref.name"
VERSION_FILE = b'{"imageLayoutVersion":"1.0.0"}'
_VERSION = "1.0.0"


class BlobReader:
    """What layouts and archives have in common: an index, blobs by digest, and how an image is found in them."""

    def index(self) -> Index:
        raise NotImplementedError

    def open_blob(self, digest: Digest) -> BinaryIO:
        raise NotImplementedError

    def read_blob(self, descriptor: Descriptor, limit_bytes: int = DOCUMENT_BYTES) -> bytes:
        """A small blob, verified. Raises BlobMissing, FormatError."""
        with self.open_blob(descriptor.digest) as stream:
            return read_checked(stream, descriptor, f'blob "{descriptor.digest}"', limit_bytes)

    def names(self) -> list[str]:
        """Every name and tag that an image can be asked for by, sorted."""
        found = {value for d in self.index().manifests for key in (NAME, TAG) if (value := d.annotations.get(key))}
        return sorted(found)

    def image(self, platform: Platform, *, name: str | None = None, digest: Digest | None = None) -> ReadImage:
        """The image of that tag or full name and of that digest, for the platform.

        Without either, what the index offers for the platform, if all of it is one image. A digest may be that of any
        manifest or index that is listed, nested ones too. Raises FormatError: nothing fits (with what is there),
        several images, malformed, for another platform.
        """
        index = self.index()
        entries = index.manifests
        if name is not None:
            # A bare tag is the tag of several images perhaps: a whole name goes before it.
            entries = tuple(d for d in entries if d.annotations.get(NAME) == name) or tuple(
                d for d in entries if _is_named(d, name)
            )
            if not entries:
                names = self.names()
                raise FormatError(
                    f'there is no image "{name}" in it',
                    code="no-such-image",
                    notes=[f"there are: {', '.join(names)}"] if names else ["no image in it has a name"],
                    hint=did_you_mean(name, names),
                )
        if digest is not None:
            found = self._descriptor(entries, digest, DEEPEST_INDEX)
            if found is None:
                raise FormatError(f'there is no image "{digest}" in it', code="no-such-image")
            entries = (found,)
        distinct = tuple({entry.digest: entry for entry in entries}.values())
        if len(distinct) > 1:
            _check_one_image(distinct)
        entry = distinct[0] if len(distinct) == 1 else select(replace(index, manifests=distinct), platform)
        image = ReadImage(self, manifest := resolve(self.read_blob, entry, platform))
        if manifest.config.media_type.endswith((".image.config.v1+json", "container.image.v1+json")):
            check_platform(image.config(), platform)
        return image

    def _descriptor(self, entries: Iterable[Descriptor], digest: Digest, depth: int) -> Descriptor | None:
        entries = tuple(entries)
        for entry in entries:
            if entry.digest == digest:
                return entry
        for entry in entries if depth else ():
            if entry.media_type == OCI_INDEX or "manifest.list" in entry.media_type:
                document = parse_document(self.read_blob(entry), entry.media_type)
                if isinstance(document, Index) and (found := self._descriptor(document.manifests, digest, depth - 1)):
                    return found
        return None


class ReadImage:
    """One image of a layout or an archive; an ImageSource. Valid while its reader is open."""

    def __init__(self, reader: BlobReader, manifest: Manifest) -> None:
        self._reader, self._manifest = reader, manifest
        self._config: ImageConfig | None = None

    def manifest(self) -> Manifest:
        return self._manifest

    def config(self) -> ImageConfig:
        if self._config is None:
            self._config = from_json(self._reader.read_blob(self._manifest.config, LIMIT_BYTES))
        return self._config

    def open_blob(self, digest: Digest) -> BinaryIO:
        return self._reader.open_blob(digest)


class Layout(BlobReader):
    """A layout directory, open for reading: everything by descriptor, regular files only, no symlink followed."""

    def __init__(self, path: str) -> None:
        """Raises FormatError when it is no layout, StoreError when it cannot be read."""
        self._path = path
        with guarded(f'open the OCI layout "{path}"'):
            self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._index: Index | None = None
        try:
            fields = read_object(self._small("oci-layout", 4096), f'"{path}/oci-layout"')
            version = fields.needed_text("imageLayoutVersion")
            if version.partition(".")[0] != _VERSION.partition(".")[0]:
                raise FormatError(f'"{path}" has layout version {version}, want {_VERSION}', code="layout-version")
        except BaseException:
            self.close()
            raise

    def index(self) -> Index:
        if self._index is None:
            # The media type is implied by the file's name and often left out.
            self._index = parse_index(self._small("index.json", DOCUMENT_BYTES), OCI_INDEX)
        return self._index

    def open_blob(self, digest: Digest) -> BinaryIO:
        algorithm, _, name = parse_digest(digest).partition(":")
        fd = self._fd
        opened: list[int] = []
        try:
            for part in ("blobs", algorithm):
                fd = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
                opened.append(fd)
            return open(open_regular(name, dir_fd=fd), "rb", buffering=0)
        except FileNotFoundError as cause:
            raise BlobMissing(f'blob "{digest}" is not in the layout "{self._path}"') from cause
        except OSError as cause:
            raise FormatError(
                f'blob "{digest}" of the layout "{self._path}" is not a regular file', code="not-regular"
            ) from cause
        finally:
            for fd in opened:
                os.close(fd)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Layout:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _small(self, name: str, limit_bytes: int) -> bytes:
        try:
            return read_small(name, limit_bytes, dir_fd=self._fd)
        except FileNotFoundError as cause:
            raise FormatError(
                f'"{self._path}" is not an OCI image layout: there is no "{name}"', code="not-a-layout"
            ) from cause
        except OSError as cause:
            raise FormatError(
                f'"{name}" of the layout "{self._path}" cannot be used: {cause.strerror}', code="not-regular"
            ) from cause


class LayoutSink:
    """Writes images into a layout directory: a new one appears whole; one that is there gets the images added.

    In an existing layout, images of the same names and platforms are replaced in the index, all else stays, blobs too.
    A kill at any moment leaves the old state or the new one; nothing is synced to disk (see save.py).
    """

    def __init__(self, path: str, *, beside: Callable[[str], str] = beside) -> None:
        """beside: names the directory in which files are written (see `Session.beside`, which also sees to it after a kill)."""
        self._path, self._beside = path, beside

    def write(self, images: list[Export]) -> Digest:
        """Raises UsageError when something else is at the path, StoreError, FormatError when a blob lies."""
        path = os.path.realpath(self._path)
        with saying_space(self._path), guarded(f'write the OCI layout "{self._path}"'):
            if os.path.isdir(path):
                return self._add(path, images)
            if os.path.lexists(path):
                raise UsageError(
                    f'"{self._path}" is not a directory', code="bad-output", hint="use tar=true for a file"
                )
            return self._create(path, images)

    def _create(self, path: str, images: list[Export]) -> Digest:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        temporary = self._beside(path)
        os.mkdir(temporary)
        try:
            staging = os.path.join(temporary, ".new")
            os.mkdir(staging)
            _, descriptors = _write_blobs(temporary, images, staging)
            _put(os.path.join(temporary, "oci-layout"), VERSION_FILE, staging)
            index = build_index(descriptors)
            _put(os.path.join(temporary, "index.json"), index.raw, staging)
            os.rmdir(staging)
            os.rename(temporary, path)
        except BaseException:
            remove_tree(temporary)
            raise
        return index.digest

    def _add(self, path: str, images: list[Export]) -> Digest:
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
            written, descriptors = _write_blobs(path, images, staging)
            index = build_index(_merged(old.manifests, descriptors), old.annotations)
            _put(os.path.join(path, "index.json"), index.raw, staging)
        except BaseException:
            for blob in written:
                os.unlink(blob)
            raise
        finally:
            os.close(fd)
            remove_tree(staging)
        return index.digest


def index_entries(images: Sequence[Export]) -> list[Descriptor]:
    """The descriptors of the images in an index: one for each name, or one without a name."""
    entries = []
    for image in images:
        descriptor = image.source.manifest().descriptor(image.platform, image.annotations)
        if not image.names:
            entries.append(descriptor)
        for name in image.names:
            tag = parse_reference(name).with_default_tag()
            annotations = {NAME: str(tag), TAG: tag.tag or "", **image.annotations}
            entries.append(replace(descriptor, annotations=annotations))
    return entries


def blobs_of(image: Export) -> dict[Digest, Descriptor]:
    """Config and layers, each digest once, in this order."""
    manifest = image.source.manifest()
    return {d.digest: d for d in (manifest.config, *manifest.layers)}


def _existing(path: str) -> Layout:
    try:
        return Layout(path)
    except FormatError as cause:
        raise UsageError(
            f'"{path}" is not empty and not an OCI image layout', code="bad-output", hint="name a new directory"
        ) from cause


def _write_blobs(path: str, images: Sequence[Export], staging: str) -> tuple[list[str], list[Descriptor]]:
    """(blobs that are new, entries for the index). staging: a directory for what is not whole yet."""
    written: list[str] = []
    directory = os.path.join(path, "blobs", "sha256")
    os.makedirs(directory, exist_ok=True)
    if os.path.realpath(directory) != os.path.join(os.path.realpath(path), "blobs", "sha256"):
        raise FormatError(f'"{directory}" is a symlink', code="not-regular")
    try:
        for image in images:
            manifest = image.source.manifest()
            for descriptor in blobs_of(image).values():
                place = _place(path, descriptor.digest)
                if not _has(place, descriptor):
                    _copy(image, descriptor, place, staging)
                    written.append(place)
            place = _place(path, manifest.digest)
            if not _has(place, manifest.descriptor()):
                _put(place, manifest.raw, staging)
                written.append(place)
    except BaseException:
        for place in written:
            os.unlink(place)
        raise
    return written, index_entries(images)


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


def _copy(image: Export, descriptor: Descriptor, place: str, staging: str) -> None:
    temporary = os.path.join(staging, random_name())
    fd = create_exclusive(temporary)
    try:
        with open(fd, "wb", buffering=0), image.source.open_blob(descriptor.digest) as stream:
            if isinstance(image.source, StoreSource) and image.source.blobs.is_fresh(descriptor.digest):
                size = copy_data(stream.fileno(), fd)
                if size != descriptor.size:
                    raise DigestMismatch(f"{descriptor.size} bytes", f"{size} bytes")
            else:
                reader = checked(stream, descriptor)
                while block := reader.read(BLOCK_BYTES):
                    write_all(fd, block)
            os.fchmod(fd, 0o644)
        os.rename(temporary, place)
    except BaseException:
        os.unlink(temporary)
        raise


def _merged(old: Iterable[Descriptor], new: Sequence[Descriptor]) -> list[Descriptor]:
    """The old entries that no new one replaces, then the new ones."""
    taken = {_slot(entry) for entry in new}
    return [entry for entry in old if _slot(entry) not in taken] + list(new)


def _slot(entry: Descriptor) -> tuple[object, ...]:
    names: Mapping[str, str] = entry.annotations
    if TAG in names or NAME in names:
        return (names.get(NAME) or names.get(TAG), str(entry.platform))
    return (entry.digest,)


def _check_one_image(entries: Iterable[Descriptor]) -> None:
    """Raises FormatError unless the entries are one image's platforms: their order must not decide which image it is."""
    names = sorted({d.annotations.get(NAME) or d.annotations.get(TAG) or "" for d in entries} - {""})
    if len(names) > 1:
        raise FormatError(
            "there are several images in it",
            code="ambiguous-image",
            notes=[f"there are: {', '.join(names)}"],
            hint="say which, by name or digest",
        )


def _is_named(descriptor: Descriptor, name: str) -> bool:
    values = {descriptor.annotations.get(NAME), descriptor.annotations.get(TAG)}
    if name in values:
        return True
    try:
        return str(parse_reference(name).with_default_tag()) in values
    except FormatError:
        return False


def open_layout(path: str) -> Layout:
    """The layout at a path. Raises FormatError, StoreError."""
    if not os.path.isdir(path):
        raise StoreError(f'there is no directory "{path}"', code="layout-missing")
    return Layout(path)
