"""`slimstage save`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from slimstage.cli.image_documents import identity_of
from slimstage.cli.image_source import ready_index, ready_source
from slimstage.cli.program import Session
from slimstage.cli.recompression import recompress_kind, recompress_option, recompressed_sources
from slimstage.cli.show import print_json
from slimstage.cli.terminal import is_terminal
from slimstage.cli.values import one_of
from slimstage.cli.verb import complete_images, json_option, option, pass_session, verb
from slimstage.container.images import get_image, wanted_platform
from slimstage.digest import Digest
from slimstage.errors import FormatError, UsageError
from slimstage.oci.reference import parse_reference
from slimstage.store.images import StoredImage
from slimstage.store.indexes import StoredIndex
from slimstage.store.source import AnyExport, Export, IndexExport
from slimstage.store.store import Store

if TYPE_CHECKING:
    from slimstage.tree.compress import Compression

FORMATS = ("docker", "oci", "oci-dir")

_EXAMPLES = """\
slimstage save -o iris.tar iris                      for docker load and podman load
slimstage save --format oci -o iris.oci.tar iris     an OCI archive
slimstage save --format oci-dir -o layout iris base  an OCI layout directory with two images
slimstage save --recompress estargz --format oci -o iris.oci.tar iris   read in parts by podman and snapshotters
slimstage save --platform linux/arm64 -o pi.tar iris  one image of an index of several
slimstage save iris | ssh host docker load\
"""


@verb("save", examples=_EXAMPLES)
@click.argument("names", nargs=-1, required=True, metavar="IMAGE...", shell_complete=complete_images)
@option("-o", "--output", metavar="PATH", help="Where to write; - is stdout [default: stdout].")
@option("--format", "wanted_format", metavar="FORMAT", help="docker, oci or oci-dir [default: docker].")
@option("--platform", metavar="OS/ARCH", help="Only this image of an index [default: the whole index].")
@recompress_option
@json_option
@pass_session
def command(
    session: Session,
    names: tuple[str, ...],
    output: str | None,
    wanted_format: str | None,
    platform: str | None,
    recompress: str | None,
    as_json: bool,
) -> None:
    """Write images to an archive that docker, podman and skopeo read, or to an OCI layout directory.

    Manifests, configs and layers are written as they are in the store, so digests stay, unless --recompress is given.
    Signatures and other artifacts that belong to an image go with it, except in docker's format, which has no place for
    them.
    """
    wanted, kind = wanted_platform(platform), recompress_kind(recompress)
    chosen = one_of(wanted_format or "docker", FORMATS, "--format")
    to_stdout = output in (None, "-")
    if chosen == "oci-dir" and to_stdout:
        raise UsageError("--format=oci-dir needs a directory", hint="add -o DIR")
    if to_stdout and as_json:
        raise UsageError("stdout cannot hold both the archive and --json", hint="add -o FILE")
    if to_stdout and is_terminal(sys.stdout):
        raise UsageError("an archive is not written to a terminal", hint="add -o FILE, or a pipe")
    store = session.store()
    found: dict[str, tuple[StoredImage | StoredIndex, list[str]]] = {}
    for name in names:
        index = store.images.index(name)
        image = index if index is not None and wanted is None else get_image(store, name, wanted)
        found.setdefault(identity_of(image), (image, []))[1].extend(_names_of(index or image, name))
    exports = [_export(store, image, tuple(dict.fromkeys(given)), kind) for image, given in found.values()]
    digest = _write(exports, None if to_stdout else output, chosen, store.session.beside)
    if as_json:
        print_json(
            {
                "output": output,
                "format": chosen,
                "index_digest": digest,
                "images": [{"id": i, "names": list(dict.fromkeys(given))} for i, (_, given) in found.items()],
            }
        )


def _export(
    store: Store, image: StoredImage | StoredIndex, names: tuple[str, ...], kind: Compression | None
) -> AnyExport:
    """With the artifacts that belong to it, of an index those of its images too; recompressed, without them."""
    if isinstance(image, StoredIndex):
        index, members = ready_index(store, image, has_others=True)
        if kind is not None:
            sources, made = recompressed_sources(store, members, index, kind)
            assert made is not None
            return IndexExport(made, sources, names)
        subjects = [image.digest, *(member.manifest for member in image.members)]
        artifacts = tuple(each for subject in subjects for each in store.referrers.sources(subject))
        return IndexExport(index, members, names, referrers=artifacts)
    if kind is not None:
        (source,), _ = recompressed_sources(store, (ready_source(store, image),), None, kind)
        return Export(source, names, platform=image.platform)
    artifacts = store.referrers.sources(image.manifest)
    return Export(ready_source(store, image), names, platform=image.platform, referrers=artifacts)


def _names_of(image: StoredImage | StoredIndex, given: str) -> list[str]:
    """The name it was asked for by; none for an ID."""
    try:
        full = str(parse_reference(given).with_default_tag())
    except FormatError:
        return []
    return [full] if full in image.names else []


def _write(exports: Sequence[AnyExport], path: str | None, chosen: str, beside: Callable[[str], str]) -> Digest:
    from slimstage.store.layout_sink import LayoutSink
    from slimstage.store.save import ArchiveSink, write_archive

    if path is None:
        digest = write_archive(sys.stdout.buffer, exports, is_docker=chosen == "docker")
        sys.stdout.buffer.flush()
        return digest
    if chosen == "oci-dir":
        return LayoutSink(path, beside=beside).write(exports)
    return ArchiveSink(path, is_docker=chosen == "docker", beside=beside).write(exports)
