"""OCI image layout directories: reading what others wrote with suspicion. `layout_sink.py` writes them.

Source: OCI image-spec v1.1, image-layout.md. Names of images are in index.json's descriptors, as containerd and BuildKit
write them: `io.containerd.image.name` the full name, `org.opencontainers.image.ref.name` the tag.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import BinaryIO

from slimstage.diagnostics import did_you_mean
from slimstage.digest import Digest, parse_digest
from slimstage.errors import BlobMissing, FormatError, StoreError
from slimstage.oci.config import LIMIT_BYTES, ImageConfig, from_json
from slimstage.oci.descriptor import INDEX_TYPES, MANIFEST_TYPES, OCI_INDEX, Descriptor, Platform
from slimstage.oci.document import LIMIT_BYTES as DOCUMENT_BYTES
from slimstage.oci.document import read_object
from slimstage.oci.manifest import Index, Manifest, parse_document, parse_index
from slimstage.oci.reference import parse_reference
from slimstage.oci.referrer import fallback_tag, is_artifact, is_artifact_tag, referrer_descriptor, refers_to
from slimstage.oci.select import DEEPEST_INDEX, check_platform, resolve, select
from slimstage.store.files import (
    guarded,
    open_regular,
    read_small,
)
from slimstage.store.source import read_checked
from slimstage.values import replace

NAME = "io.containerd.image.name"
TAG = "org.opencontainers.image.ref.name"
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
        distinct = self.entries(name, digest)
        entry = distinct[0] if len(distinct) == 1 else select(replace(self.index(), manifests=distinct), platform)
        image = ReadImage(self, manifest := resolve(self.read_blob, entry, platform))
        if manifest.config.media_type.endswith((".image.config.v1+json", "container.image.v1+json")):
            check_platform(image.config(), platform)
        return image

    def entries(self, name: str | None, digest: Digest | None) -> tuple[Descriptor, ...]:
        """The entries of one image, for its platforms: at least one, each digest once. Arguments and errors as `image`."""
        entries = self.index().manifests
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
        if name is None and digest is None:
            # What belongs to an image is no second image to choose from.
            entries = tuple(entry for entry in entries if not _is_beside(entry)) or entries
        distinct = tuple({entry.digest: entry for entry in entries}.values())
        if len(distinct) > 1:
            _check_one_image(distinct)
        if not distinct:
            raise FormatError("there is no image in it", code="no-such-image")
        return distinct

    def full_name(self, entries: Iterable[Descriptor]) -> str | None:
        """The full name with tag that all of the entries have; None when they have none, or a bare tag."""
        names = {entry.annotations.get(NAME) for entry in entries}
        return names.pop() if len(names) == 1 else None

    def referrers(self, subject: Digest) -> list[Descriptor]:
        """Artifacts that belong to the manifest of that digest, in the index' order, each with type and annotations.

        They are entries without a name, as we and ORAS write them, or listed by an index under the fallback tag.
        What says itself that it belongs to something else is left out. Raises FormatError, BlobMissing.
        """
        tag, found = fallback_tag(subject), dict[Digest, Descriptor]()
        for entry in self.index().manifests:
            if entry.annotations.get(TAG) == tag and entry.media_type == OCI_INDEX:
                listed = parse_index(self.read_blob(entry), entry.media_type).manifests
            elif entry.media_type in INDEX_TYPES | MANIFEST_TYPES and NAME not in entry.annotations:
                listed = (entry,)
            else:
                continue
            for descriptor in listed:
                document = parse_document(self.read_blob(descriptor), descriptor.media_type)
                if refers_to(document, subject):
                    found.setdefault(descriptor.digest, referrer_descriptor(document))
        return list(found.values())

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


def _is_beside(entry: Descriptor) -> bool:
    return is_artifact(entry) or is_artifact_tag(entry.annotations.get(TAG, ""))


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
