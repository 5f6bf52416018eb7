"""Opens an image for analysis, wherever it is: the store, a registry, a layout, an archive, a running Docker.

Of a store nothing is unpacked or packed. Layers elsewhere pass by once; in a registry those with a table of contents are read
by it, and only the files that are looked into are fetched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from slimstage.cli.copiers import copier
from slimstage.cli.program import Session
from slimstage.container.images import find_image, get_image, wanted_platform
from slimstage.errors import FormatError, UsageError
from slimstage.oci.config import LIMIT_BYTES, ImageConfig, from_json
from slimstage.oci.descriptor import Descriptor, Platform, host_platform
from slimstage.oci.manifest import Manifest, parse_document
from slimstage.oci.select import check_platform, resolve
from slimstage.store.source import read_checked
from slimstage.transfer.place import Place, parse_place

if TYPE_CHECKING:
    from slimstage.analyze.layers import ImageLayers, Layer
    from slimstage.transfer.source import Source

DAEMON = "docker-daemon:"
_SAVE_S = 3600


@contextmanager
def analyzed_image(
    session: Session, text: str, platform: str | None = None, *, is_compared: bool = False
) -> Iterator[ImageLayers]:
    """The image that the text names, its layers open until the end. is_compared: every file has its digest.

    NAME of the store, or a place as `copy` takes it; `docker-daemon:NAME` is what `docker save` gives; the path of an
    archive or layout needs no transport. A name that begins with a registry's host is looked up in the store first.
    Raises UsageError: no such image; and as the place does.
    """
    wanted = wanted_platform(platform)
    if text.startswith(DAEMON):
        with (
            _saved(text.removeprefix(DAEMON)) as path,
            _elsewhere(session, text, Place("docker-archive", path), wanted, is_compared) as it,
        ):
            yield it
        return
    place = image_place(session, text, wanted)
    if place.kind == "store":
        from slimstage.analyze.stored import stored_layers

        if place.name is None:
            raise UsageError("store: names no image", code="bad-place", hint="write store:NAME")
        store = session.store()
        with stored_layers(store, get_image(store, place.name, wanted), place.name, digests_all=is_compared) as layers:
            yield layers
        return
    with _elsewhere(session, text, place, wanted, is_compared) as layers:
        yield layers


def image_place(session: Session, text: str, platform: Platform | None) -> Place:
    """Where the image is that a text names, as `analyzed_image` takes it. Raises UsageError: the text makes no sense."""
    if "://" not in text and text.partition(":")[0] not in ("oci", "oci-archive", "docker-archive", "store"):
        if os.path.lexists(text) and (os.sep in text or text.endswith((".tar", ".tar.gz", ".tgz", ".tar.zst"))):
            # An archive says itself which of the two kinds it is.
            return Place("oci" if os.path.isdir(text) else "oci-archive", text)
        if find_image(session.store(), text, platform) is not None or not _has_host(text):
            return Place("store", name=text)
    return parse_place(text, "IMAGE")


def _has_host(text: str) -> bool:
    try:
        return parse_place(text, "IMAGE").kind == "registry"
    except UsageError:
        return False


@contextmanager
def _elsewhere(
    session: Session, name: str, place: Place, wanted: Platform | None, is_compared: bool
) -> Iterator[ImageLayers]:
    from slimstage.analyze.analyse import keeps_texts
    from slimstage.analyze.blob_layer import BlobLayer, Spool
    from slimstage.analyze.layers import ImageLayers, LayerFacts, instructions
    from slimstage.analyze.table_layer import TableLayer, has_table

    with copier(session) as made, made.source(place) as source:
        manifest, config = image_documents(source, wanted)
        texts = instructions(config, len(manifest.layers))
        diff_ids = config.diff_ids if len(config.diff_ids) == len(manifest.layers) else (None,) * len(manifest.layers)
        spool = Spool()
        try:

            def open_blob(blob: Descriptor) -> BinaryIO:
                return source.open_at(blob, 0)

            layers: list[Layer] = []
            for blob, diff_id, created_by in zip(manifest.layers, diff_ids, texts, strict=True):
                facts = LayerFacts(diff_id, blob.digest, blob.size, None, created_by)
                if place.kind == "registry" and has_table(blob):
                    layers.append(TableLayer(blob, source.open_at, facts, spool, keeps_texts))
                else:
                    layers.append(BlobLayer(blob, open_blob, facts, spool, digests_all=is_compared))
            yield ImageLayers(name, manifest.config.digest, manifest.digest, config, tuple(layers))
        finally:
            spool.close()


def image_documents(source: Source, wanted: Platform | None) -> tuple[Manifest, ImageConfig]:
    """Manifest and config of the image; of an index those for the platform, or this host's."""
    descriptor, raw = source.top()
    document = parse_document(raw, descriptor.media_type)
    if not isinstance(document, Manifest):
        document = resolve(source.document, descriptor, wanted or host_platform())
    with source.open_at(document.config, 0) as stream:
        config = from_json(read_checked(stream, document.config, "the image's config", LIMIT_BYTES))
    if wanted is not None:
        check_platform(config, wanted)
    return document, config


@contextmanager
def _saved(name: str) -> Iterator[str]:
    """The path of an archive with the image of a running Docker, which is asked by its own command."""
    program = shutil.which("docker")
    if program is None:
        raise UsageError(
            "there is no docker command", code="no-docker", hint="write docker-archive:FILE for a saved image"
        )
    if not name or name.startswith("-"):
        raise UsageError(f'"{DAEMON}{name}" names no image', code="bad-place", hint=f"write {DAEMON}NAME")
    with tempfile.TemporaryDirectory(prefix="slimstage-") as directory:
        path = os.path.join(directory, "image.tar")
        done = subprocess.run(
            [program, "save", "-o", path, "--", name], capture_output=True, timeout=_SAVE_S, check=False
        )
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise UsageError(
                f'docker gives no image "{name}"', code="no-such-image", notes=said[-3:], hint="see: docker images"
            )
        if not os.path.isfile(path):
            raise FormatError("docker save wrote nothing", code="bad-tar")
        yield path
