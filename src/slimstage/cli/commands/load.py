"""`slimstage load`."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from slimstage.cli.image_documents import identity_of, short_names
from slimstage.cli.program import Session
from slimstage.cli.show import note, print_json
from slimstage.cli.terminal import is_terminal
from slimstage.cli.units import short_digest
from slimstage.cli.verb import json_option, option, pass_session, verb
from slimstage.digest import Digest
from slimstage.errors import BlobMissing, FormatError, StoreError, UsageError
from slimstage.oci.descriptor import Descriptor, Platform, host_platform
from slimstage.store.images import StoredImage
from slimstage.store.indexes import IndexMember, StoredIndex
from slimstage.store.store import Store

if TYPE_CHECKING:
    from slimstage.oci.manifest import Index
    from slimstage.store.archive import Archive
    from slimstage.store.layout import Layout

_EXAMPLES = """\
slimstage load -i iris.tar           an archive of docker save, podman save or slimstage save
slimstage load -i layout             an OCI layout directory
docker save iris | slimstage load\
"""


@verb("load", examples=_EXAMPLES)
@option("-i", "--input", "path", metavar="PATH", help="What to read; - is stdin [default: stdin].")
@option("-q", "--quiet", is_flag=True, help="Do not say what was loaded.")
@json_option
@pass_session
def command(session: Session, path: str | None, quiet: bool, as_json: bool) -> None:
    """Read images from a docker or OCI archive, compressed or not, or from an OCI layout directory.

    Every digest is verified. Names move to the images that are loaded. An index of several platforms is loaded whole.
    """
    store = session.store()
    if path in (None, "-"):
        if is_terminal(sys.stdin):
            raise UsageError("stdin is a terminal", hint="add -i FILE, or a pipe")
        with _spooled(store) as spooled:
            loaded = load_images(store, spooled)
    else:
        assert path is not None
        if not os.path.exists(path):
            raise UsageError(f'there is nothing at "{path}"', code="archive-missing")
        loaded = load_images(store, path)
    if as_json:
        print_json(
            [
                {"id": identity_of(each), "names": short_names(each), "manifest_digest": _manifest(each)}
                for each in loaded
            ]
        )
    elif not quiet:
        for image in loaded:
            sys.stdout.write(f"{', '.join(short_names(image)) or short_digest(identity_of(image))}\n")


def _manifest(loaded: StoredImage | StoredIndex) -> Digest:
    return loaded.digest if isinstance(loaded, StoredIndex) else loaded.manifest


@contextmanager
def _spooled(store: Store) -> Iterator[str]:
    """Stdin as a file: archives are read out of order."""
    with tempfile.NamedTemporaryFile(dir=store.session.directory(), prefix="load-") as file:
        try:
            shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
            file.flush()
        except OSError as error:
            raise StoreError(f"read stdin: {(error.strerror or '').lower()}") from error
        yield file.name


def load_images(store: Store, path: str) -> list[StoredImage | StoredIndex]:
    """Every image of the archive or layout that this host can run, unpacked and under its names; of an index of several
    platforms all images that are there, and the index under its names.

    Raises FormatError: neither archive nor layout, malformed, no image for this host.
    """
    from slimstage.bases.resolve import Bases

    kind = "oci-layout://" if os.path.isdir(path) else "docker-archive:"
    bases = Bases(store, {})
    with _reader(store, path) as reader:
        entries = _entries(reader)
        indexes = {digest: found for digest in entries if (found := _index(reader, digest)) is not None}
    loaded: dict[str, StoredImage | StoredIndex] = {}
    subjects: list[Digest] = []

    def load(digest: str, platform: Platform, names: Sequence[str]) -> StoredImage:
        base = bases.resolve(f"{kind}{os.path.abspath(path)}@{digest}", platform)
        bases.fetch(base, _ignore, "")
        store.images.put(StoredImage(base.id, base.manifest, base.platform, bases.layers(base), time.time()), names)
        image = store.images.find(base.id)
        assert image is not None
        subjects.append(base.manifest)
        return image

    for digest, names in entries.items():
        if digest in indexes:
            index, listed = indexes[digest]
            parts = [(load(each.digest, platform, ()), each.digest) for each, platform in listed]
            members = tuple(IndexMember(manifest, image.id, image.platform) for image, manifest in parts)
            store.blobs.put(index.raw)
            store.indexes.put(StoredIndex(index.digest, members, time.time()), names)
            whole = store.indexes.get(index.digest)
            assert whole is not None
            loaded[index.digest] = whole
            subjects.append(index.digest)
        else:
            image = load(digest, host_platform(), names)
            loaded[image.id] = image
    if not loaded:
        raise FormatError(f'"{path}" holds no image', code="no-such-image")
    with _reader(store, path) as reader:
        for subject in dict.fromkeys(subjects):
            for left_out in store.referrers.take(reader, subject):
                note(f"{left_out.digest} belongs to the image and is an index: it is left out")
    return list(loaded.values())


def _index(reader: Layout | Archive, digest: str) -> tuple[Index, list[tuple[Descriptor, Platform]]] | None:
    """The listed index of several platforms' images that are there, and those; None where it is not several."""
    from slimstage.oci.descriptor import INDEX_TYPES, MANIFEST_TYPES
    from slimstage.oci.manifest import parse_index

    entry = next(each for each in reader.index().manifests if each.digest == digest)
    if entry.media_type not in INDEX_TYPES:
        return None
    index = parse_index(reader.read_blob(entry), entry.media_type)
    listed = [
        (each, each.platform)
        for each in index.manifests
        # Attestations say "unknown"; what an archive left out is not there to be loaded.
        if each.platform and each.platform.os != "unknown" and each.media_type in MANIFEST_TYPES and _has(reader, each)
    ]
    return (index, listed) if len(listed) > 1 else None


def _has(reader: Layout | Archive, descriptor: Descriptor) -> bool:
    try:
        reader.open_blob(descriptor.digest).close()
    except BlobMissing:
        return False
    return True


def _reader(store: Store, path: str) -> Layout | Archive:
    from slimstage.store.archive import Archive
    from slimstage.store.layout import open_layout

    return open_layout(path) if os.path.isdir(path) else Archive(path, store.session.directory())


def _entries(reader: Layout | Archive) -> dict[str, list[str]]:
    """Digest of each manifest or index that is listed as an image, with its full names."""
    from slimstage.oci.descriptor import MANIFEST_TYPES
    from slimstage.oci.manifest import parse_manifest
    from slimstage.oci.reference import parse_reference
    from slimstage.store.layout import NAME, TAG

    found: dict[str, list[str]] = {}
    for entry in reader.index().manifests:
        is_nameless = not entry.annotations.get(NAME) and entry.media_type in MANIFEST_TYPES
        if is_nameless and parse_manifest(reader.read_blob(entry), entry.media_type).subject is not None:
            continue  # it belongs to an image
        names = found.setdefault(entry.digest, [])
        for name in (entry.annotations.get(NAME), entry.annotations.get(TAG)):
            if not name:
                continue
            try:
                full = str(parse_reference(name).with_default_tag())
            except FormatError:
                note(f'the name "{name}" is none that an image can have; it is left out')
                continue
            names.append(full)
            break  # a bare tag repeats the end of the full name
    return found


def _ignore(event: object) -> None:
    pass
