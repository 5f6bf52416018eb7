"""`slimstage push`."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from slimstage.cli.authfile import authfile_option
from slimstage.cli.image_documents import identity_of
from slimstage.cli.program import Session
from slimstage.cli.recompression import recompress_kind, recompress_option, recompressed_sources
from slimstage.cli.registries import Registries, registries
from slimstage.cli.show import note, plain, print_json
from slimstage.cli.sign_pushed import signatures_of, signer_of
from slimstage.cli.verb import complete_images, json_option, option, pass_session, verb
from slimstage.container.images import get_image, wanted_platform
from slimstage.diagnostics import did_you_mean
from slimstage.errors import FormatError, UsageError
from slimstage.oci.descriptor import Platform
from slimstage.oci.reference import Reference, familiar, parse_reference

if TYPE_CHECKING:
    from slimstage.build.pushing import ImagePusher
    from slimstage.build.request import PushedName
    from slimstage.oci.descriptor import Descriptor
    from slimstage.oci.manifest import Index
    from slimstage.store.growing import GrowingBlob
    from slimstage.store.images import StoredImage
    from slimstage.store.indexes import StoredIndex
    from slimstage.store.source import StoreSource
    from slimstage.store.store import Store
    from slimstage.tree.compress import Compression

_EXAMPLES = """\
slimstage push registry.lan:5000/team/app:1         one image, under its own name
slimstage push -a registry.lan:5000/team/app        every tag of it that the store has
slimstage push --recompress zstd:chunked ann/app:1  layers of which podman fetches only what changed
slimstage push --platform linux/arm64 ann/app:1     of an index, one image alone
slimstage tag app ann/app:1; slimstage push ann/app:1
slimstage push --sign-key cosign.key ann/app:1      signed as cosign does, once it is there
slimstage push --json ann/app:1 | jq -r '.[].digest'\
"""


@verb("push", examples=_EXAMPLES)
@click.argument("name", metavar="NAME[:TAG]", shell_complete=complete_images)
@option("-a", "--all-tags", is_flag=True, help="Push every tag of the repository that the store has.")
@option("--platform", metavar="OS/ARCH", help="Of an index, push this image alone [default: the whole index].")
@recompress_option
@option("--sign-key", metavar="FILE", help="Then sign what was pushed with this private key, as `sign` does.")
@option("-q", "--quiet", is_flag=True, help="Show no progress; print the name only.")
@authfile_option
@json_option
@pass_session
def command(
    session: Session,
    name: str,
    all_tags: bool,
    platform: str | None,
    recompress: str | None,
    sign_key: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Push an image, or the images of an index, from the store to the registry that its name says.

    Layers that the registry has are not sent again; those of a base that came from the same registry are mounted from
    there. Layers that were built here are sent as gzip, or all as --recompress says: the store's image stays as it is.
    A connection that breaks is taken up where the registry says. Signatures, SBOMs and other artifacts that belong to
    the image in the store go along.
    """
    reference, wanted, kind = _reference(name, all_tags), wanted_platform(platform), recompress_kind(recompress)
    known = registries()
    store = session.store()
    if not (all_tags or reference.tag or quiet or as_json):
        note("Using default tag: latest")
    names = _all_tags(store, reference) if all_tags else [reference.with_default_tag()]
    found = {str(each): _find(store, each, wanted) for each in names}
    signer = signer_of(sign_key)  # a bad key or password is known before anything goes
    pushed = _push(session, store, known, names, found, kind, is_quiet=quiet or as_json)
    signatures = signatures_of(session, known, pushed, signer)
    if as_json:
        print_json([plain(each) | signatures.get(each.name, {}) for each in pushed])
        return
    for each in pushed:
        tag = parse_reference(each.name).tag
        sys.stdout.write(f"{each.name}\n" if quiet else f"{tag}: digest: {each.digest} size: {each.size_bytes}\n")
        if each.name in signatures and not quiet:
            note(f"{each.name}: signed")


def _reference(name: str, all_tags: bool) -> Reference:
    try:
        reference = parse_reference(name)
    except FormatError as error:
        raise UsageError(error.message, code=error.code, hint=error.hint) from error
    if reference.digest:
        raise UsageError(
            "an image is pushed under a tag, not under a digest", hint=f"write {reference.repository_name}:TAG"
        )
    if all_tags and reference.tag:
        raise UsageError("a tag cannot be used with --all-tags", hint=f"write {reference.repository_name}")
    return reference


def _all_tags(store: Store, repository: Reference) -> list[Reference]:
    names = [parse_reference(each) for each in store.images.names()]
    found = [each for each in names if each.repository_name == repository.repository_name]
    if not found:
        raise UsageError(
            f'the store has no image of "{repository.familiar()}"',
            code="no-such-image",
            hint=did_you_mean(repository.familiar(), [familiar(each.repository_name) for each in names])
            or "see: slimstage images",
        )
    return found


def _find(store: Store, name: Reference, platform: Platform | None) -> StoredImage | StoredIndex:
    """What the store calls by this very name; an ID would not say where to push it."""
    index = store.images.index(str(name)) if platform is None else None
    if index is not None:
        return index
    image = get_image(store, str(name), platform)
    if str(name) not in store.images.names():
        raise UsageError(
            f'no image "{name.familiar()}" in the store', code="no-such-image", hint="name it first: slimstage tag"
        )
    return image


def _push(
    session: Session,
    store: Store,
    known: Registries,
    names: list[Reference],
    found: dict[str, StoredImage | StoredIndex],
    kind: Compression | None,
    *,
    is_quiet: bool,
) -> list[PushedName]:
    from slimstage.build.pushing import ImagePusher, ended_by
    from slimstage.cli.interrupts import cancelled_by_signals
    from slimstage.cli.progress.bars import push_progress

    began, cancel = time.monotonic(), threading.Event()
    progress = push_progress(sys.stderr, session.colour, is_quiet=is_quiet)
    pusher = ImagePusher(store, known, progress, lambda: time.monotonic() - began)
    try:
        with cancelled_by_signals(cancel), ended_by(pusher, cancel):
            return [
                pushed
                for image, tags in _grouped(names, found)
                for pushed in pusher.push(tags, *_source(store, pusher, tags, image, kind))
            ]
    finally:
        progress.close()


def _grouped(
    names: list[Reference], found: dict[str, StoredImage | StoredIndex]
) -> list[tuple[StoredImage | StoredIndex, list[Reference]]]:
    """Each image with its tags, the first one's order kept: it is prepared once."""
    groups: dict[str, tuple[StoredImage | StoredIndex, list[Reference]]] = {}
    for name in names:
        image = found[str(name)]
        groups.setdefault(identity_of(image), (image, []))[1].append(name)
    return list(groups.values())


def _source(
    store: Store,
    pusher: ImagePusher,
    names: list[Reference],
    image: StoredImage | StoredIndex,
    kind: Compression | None,
) -> tuple[Sequence[StoreSource], Index | None]:
    """What is pushed; layers that have to be compressed for it go to the registry meanwhile."""
    from slimstage.cli.image_source import ready_index, ready_source
    from slimstage.cli.push_source import push_index, push_source
    from slimstage.store.indexes import StoredIndex

    if kind is not None:
        if isinstance(image, StoredIndex):
            index, sources = ready_index(store, image, has_others=True)
            return recompressed_sources(store, sources, index, kind)
        return recompressed_sources(store, (ready_source(store, image),), None, kind)

    def ahead(blobs: Sequence[Descriptor], growing: Sequence[GrowingBlob]) -> None:
        pusher.send_ahead(names, blobs, growing)

    if isinstance(image, StoredIndex):
        index, sources = push_index(store, image, ahead)
        return sources, index
    return (push_source(store, image, ahead),), None
