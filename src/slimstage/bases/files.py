"""Bases that are files on this host: OCI layouts and image archives."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from slimstage.diagnostics import did_you_mean
from slimstage.digest import Digest, parse_digest
from slimstage.errors import FormatError, PlanError, StoreError
from slimstage.oci.descriptor import Platform
from slimstage.oci.reference import DEFAULT_TAG
from slimstage.regex import pattern
from slimstage.store.layout import Layout, ReadImage
from slimstage.values import dataclass

if TYPE_CHECKING:
    from slimstage.store.archive import Archive

_LAYOUT = "oci-layout://"
_ARCHIVES = ("oci-archive:", "docker-archive:")
_TAG = pattern(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")


@dataclass(frozen=True, slots=True)
class FileBase:
    """Where the image is. `name`: a tag or a whole name; None: the only image in it, or `latest`."""

    path: str
    is_layout: bool
    name: str | None = None
    digest: Digest | None = None

    def open(self, spool: str | None = None) -> Layout | Archive:
        """The reader; the caller closes it. spool: a directory for the plain copy of a compressed archive.

        Raises PlanError when nothing is there or it cannot be read, FormatError when it is no image.
        """
        if not os.path.lexists(self.path):
            directory = os.path.dirname(self.path) or "."
            siblings = os.listdir(directory) if os.path.isdir(directory) else []
            raise PlanError(
                f'there is no {"layout" if self.is_layout else "archive"} "{self.path}"',
                code="base-not-found",
                hint=did_you_mean(os.path.basename(self.path), siblings),
            )
        try:
            if self.is_layout:
                return Layout(self.path)
            from slimstage.store.archive import Archive  # tars and their decompressors: only when there is one

            return Archive(self.path, spool)
        except StoreError as error:
            raise PlanError(error.message, code=error.code, hint=error.hint) from error

    def find(self, reader: Layout | Archive, platform: Platform) -> ReadImage:
        """The image that is meant. Raises FormatError: not there, several of which none is `latest`, malformed."""
        if self.name is not None or self.digest is not None:
            return reader.image(platform, name=self.name, digest=self.digest)
        try:
            return reader.image(platform)
        except FormatError as error:
            if error.code != "ambiguous-image" or DEFAULT_TAG not in reader.names():
                raise
            return reader.image(platform, name=DEFAULT_TAG)


def parse_file_base(reference: str) -> FileBase | None:
    """The file that a reference means; None when it means something else. Raises FormatError for a bad digest."""
    if reference.startswith(_LAYOUT):
        path, digest = _digest(reference[len(_LAYOUT) :])
        path, name = _tag(path)
        return FileBase(path, True, name, digest)
    for scheme in _ARCHIVES:
        if reference.startswith(scheme):
            path, digest = _digest(reference[len(scheme) :].removeprefix("//"))
            name = None
            if not os.path.lexists(path) and ":" in path:
                path, _, name = path.partition(":")
            return FileBase(path, False, name or None, digest)
    return None


def _digest(text: str) -> tuple[str, Digest | None]:
    path, at, digest = text.rpartition("@")
    if at and digest.startswith(("sha256:", "sha512:")):
        return path, parse_digest(digest)
    return text, None


def _tag(path: str) -> tuple[str, str | None]:
    """A colon in the last component begins the tag, unless the whole path is there."""
    directory, colon, tag = path.rpartition(":")
    if colon and "/" not in tag and _TAG.match(tag) and not os.path.isdir(path):
        return directory, tag
    return path, None
