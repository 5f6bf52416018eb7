"""`slimstage load`."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from slimstage.cli.image_documents import short_names
from slimstage.cli.program import Session
from slimstage.cli.show import note, print_json
from slimstage.cli.terminal import is_terminal
from slimstage.cli.units import short_digest
from slimstage.cli.verb import json_option, option, pass_session, verb
from slimstage.errors import FormatError, StoreError, UsageError
from slimstage.oci.descriptor import host_platform
from slimstage.store.images import StoredImage
from slimstage.store.store import Store

if TYPE_CHECKING:
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

    Every digest is verified. Names move to the images that are loaded.
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
            [{"id": image.id, "names": short_names(image), "manifest_digest": image.manifest} for image in loaded]
        )
    elif not quiet:
        for image in loaded:
            sys.stdout.write(f"{', '.join(short_names(image)) or short_digest(image.id)}\n")


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


def load_images(store: Store, path: str) -> list[StoredImage]:
    """Every image of the archive or layout that this host can run, unpacked and under its names.

    Raises FormatError: neither archive nor layout, malformed, no image for this host.
    """
    from slimstage.bases.resolve import Bases

    platform = host_platform()
    kind = "oci-layout://" if os.path.isdir(path) else "docker-archive:"
    bases = Bases(store, {})
    loaded: dict[str, StoredImage] = {}
    with _reader(store, path) as reader:
        entries = _entries(reader)
    for digest, names in entries.items():
        base = bases.resolve(f"{kind}{os.path.abspath(path)}@{digest}", platform)
        bases.fetch(base, _ignore, "")
        store.images.put(StoredImage(base.id, base.manifest, base.platform, bases.layers(base), time.time()), names)
        found = store.images.find(base.id)
        assert found is not None
        loaded[base.id] = found
    if not loaded:
        raise FormatError(f'"{path}" holds no image', code="no-such-image")
    with _reader(store, path) as reader:
        for image in loaded.values():
            for left_out in store.referrers.take(reader, image.manifest):
                note(f"{left_out.digest} belongs to the image and is an index: it is left out")
    return list(loaded.values())


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
