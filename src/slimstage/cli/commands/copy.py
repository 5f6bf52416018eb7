"""`slimstage copy`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from slimstage.cli.authfile import authfile_option
from slimstage.cli.copiers import copier, transfer_shown
from slimstage.cli.program import Session
from slimstage.cli.show import note, print_json
from slimstage.cli.units import counted, size_text
from slimstage.cli.verb import json_option, option, pass_session, verb
from slimstage.container.images import wanted_platform
from slimstage.errors import UsageError
from slimstage.oci.descriptor import host_platform
from slimstage.oci.reference import Reference
from slimstage.transfer.place import Place, parse_place
from slimstage.values import replace

if TYPE_CHECKING:
    from slimstage.transfer.copying import Copied, Copier

_EXAMPLES = """\
slimstage copy docker://python:3.11-slim docker://registry.lan:5000/python:3.11-slim
slimstage copy --referrers registry.lan:5000/app:1 registry.lan:5000/app:stable   with signatures and SBOMs
slimstage copy docker://debian oci:mirror:12                all platforms, into an OCI layout
slimstage copy --platform linux/arm64 docker://debian docker-archive:debian.tar
slimstage copy oci-archive:iris.tar store:iris              into the store, to be run
slimstage copy --all-tags docker://team/app oci:backup\
"""


@verb("copy", examples=_EXAMPLES)
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@option("-a", "--all", "is_all", is_flag=True, help="All platforms of an index; that is the default.")
@option("--platform", metavar="OS/ARCH", help="Of an index only this image.")
@option("--referrers", is_flag=True, help="Also what belongs to the image: signatures, SBOMs, provenance.")
@option("--all-tags", is_flag=True, help="Every tag of the repository SRC.")
@option("-q", "--quiet", is_flag=True, help="Show no progress; print nothing.")
@authfile_option
@json_option
@pass_session
def command(
    session: Session,
    source: str,
    target: str,
    is_all: bool,
    platform: str | None,
    referrers: bool,
    all_tags: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Copy an image from one place to another, byte for byte: digests stay, all platforms go along.

    SRC and DST are docker://NAME[:TAG|@DIGEST] in a registry, oci:DIR[:TAG], oci-archive:FILE[:TAG],
    docker-archive:FILE[:NAME] or store:NAME in slimstage's own store. A name that begins with a host, as
    registry.lan:5000/app, needs no docker://. Blobs stream through; what is there already is not sent.
    """
    if is_all and platform is not None:
        raise UsageError("--all and --platform contradict each other", code="bad-flag")
    wanted = wanted_platform(platform)
    places = parse_place(source, "SRC"), parse_place(target, "DST")
    is_preferred = wanted is None and places[1].kind == "docker-archive"
    if is_preferred:
        wanted = host_platform()
        note(f"docker's archives hold one platform: the image for {wanted} is taken")
    with copier(session) as made, transfer_shown(session, is_quiet=quiet) as listener:
        pairs = _every_tag(made, *places) if all_tags else [places]
        done = [
            made.copy(*pair, listener, platform=wanted, has_referrers=referrers, is_preferred=is_preferred)
            for pair in pairs
        ]
    if as_json:
        documents = [_document(each) for each in done]
        print_json(documents if all_tags else documents[0])
        return
    for each in done:
        for remark in each.remarks:
            note(f"warning: {remark}")
        if not quiet:
            note(_said(each, is_one_of_many=all_tags))
            sys.stdout.write(f"{each.digest}\n")


def _every_tag(made: Copier, source: Place, target: Place) -> list[tuple[Place, Place]]:
    """A pair for each tag, sorted; cosign's own tags go with --referrers."""
    from slimstage.oci.referrer import is_artifact_tag
    from slimstage.registry.pull import Puller

    if source.reference is None or source.reference.tag or source.reference.digest:
        raise UsageError("--all-tags needs a repository without a tag as SRC", hint="write docker://REPOSITORY")
    if target.kind not in ("registry", "oci") or target.name is not None:
        raise UsageError("--all-tags needs a repository or an OCI layout as DST", hint="write oci:DIR, without a tag")
    if target.reference is not None and (target.reference.tag or target.reference.digest):
        raise UsageError("--all-tags keeps the tags: DST has none", hint=f"write docker://{_bare(target.reference)}")
    tags = sorted(tag for tag in Puller({}, client=made.client).tags(source.reference) if not is_artifact_tag(tag))
    if not tags:
        raise UsageError(f'"{source}" has no tags', code="no-tags")

    def tagged(place: Place, tag: str) -> Place:
        return place if place.reference is None else replace(place, reference=replace(_bare(place.reference), tag=tag))

    return [(tagged(source, tag), tagged(target, tag)) for tag in tags]


def _bare(reference: Reference) -> Reference:
    return Reference(reference.registry, reference.repository)


def _said(copied: Copied, *, is_one_of_many: bool) -> str:
    written = copied.written
    parts = [f"{size_text(written.sent_bytes)} in {counted(written.sent, 'blob')} copied"]
    if written.mounted:
        parts.append(f"{written.mounted} mounted")
    if written.there:
        parts.append(f"{written.there} were there")
    what = counted(copied.images, "image")
    beside = len(copied.referrers) + len(copied.tags)
    belonging = f" and {beside} that belong to it" if beside else ""
    place = f"{copied.source} to {copied.target}" if is_one_of_many else copied.target
    return f"{place}: {what}{belonging}; {', '.join(parts)}"


def _document(copied: Copied) -> dict[str, Any]:
    written = copied.written
    return {
        "source": copied.source,
        "target": copied.target,
        "digest": copied.digest,
        "media_type": copied.media_type,
        "images": copied.images,
        "size_bytes": copied.bytes,
        "sent_bytes": written.sent_bytes,
        "blobs": {"sent": written.sent, "mounted": written.mounted, "there": written.there},
        "referrers": [
            {"digest": d.digest, "artifact_type": d.artifact_type, "annotations": dict(d.annotations)}
            for d in copied.referrers
        ],
        "tags": list(copied.tags),
        "warnings": list(copied.remarks),
    }
