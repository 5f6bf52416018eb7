"""`slimstage pull`."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import click

from slimstage.cli.authfile import authfile_option
from slimstage.cli.image_documents import short_names
from slimstage.cli.program import Session
from slimstage.cli.registries import registries
from slimstage.cli.show import note, print_json, print_table
from slimstage.cli.units import short_digest, size_text
from slimstage.cli.verb import complete_images, json_option, option, pass_session, verb
from slimstage.errors import FormatError, UsageError
from slimstage.oci.descriptor import Platform, host_platform, parse_platform
from slimstage.oci.reference import Reference, parse_reference

if TYPE_CHECKING:
    from slimstage.bases.base import Base
    from slimstage.bases.pulling import PullPlan
    from slimstage.bases.resolve import Bases
    from slimstage.store.images import StoredImage
    from slimstage.store.store import Store

_EXAMPLES = """\
slimstage pull python:3.11-slim                     the image for this host
slimstage pull registry.lan:5000/team/app@sha256:…  exactly that one
slimstage pull --platform linux/arm64 debian        for another machine
slimstage pull --explain python:3.12                what would come, and from where; nothing is fetched
slimstage pull -a registry.lan:5000/team/app        every tag\
"""


@verb("pull", examples=_EXAMPLES)
@click.argument("name", metavar="NAME[:TAG|@DIGEST]", shell_complete=complete_images)
@option("-a", "--all-tags", is_flag=True, help="Pull every tag of the repository.")
@option("--platform", metavar="OS/ARCH", help="Of an image for several platforms, this one [default: this host].")
@option("-q", "--quiet", is_flag=True, help="Show no progress; print the name only.")
@option("--explain", is_flag=True, help="Say what is here and what would come from where; fetch no layer.")
@authfile_option
@json_option
@pass_session
def command(
    session: Session, name: str, all_tags: bool, platform: str | None, quiet: bool, explain: bool, as_json: bool
) -> None:
    """Pull an image from a registry into the store, unpacked and ready to run.

    Layers that are here are not fetched again, and a pull that was interrupted goes on where it stopped. Logins are
    those of slimstage login, docker login and podman login; mirrors and certificates are in slimstage.toml.
    """
    reference, wanted = _reference(name, all_tags), _platform(platform)
    known = registries()
    store = session.store()
    from slimstage.bases.resolve import Bases
    from slimstage.cli.interrupts import closed_by_signals

    cancel = threading.Event()
    bases = Bases(store, known, cancel=cancel, is_build=False)
    with closed_by_signals(bases.close, cancel):
        found = [reference]
        if all_tags:
            found = [Reference(reference.registry, reference.repository, tag) for tag in bases.tags(str(reference))]
        if not (all_tags or reference.tag or reference.digest or quiet or as_json):
            note("Using default tag: latest")
        names = [str(each.with_default_tag()) for each in found]
        if explain:
            _explain(store, bases, names, wanted, as_json=as_json)
            return
        done = [_pull(session, store, bases, each, wanted, is_quiet=quiet, as_json=as_json) for each in names]
    if as_json:
        print_json(done)


def _reference(name: str, all_tags: bool) -> Reference:
    try:
        reference = parse_reference(name)
    except FormatError as error:
        raise UsageError(error.message, code=error.code, hint=error.hint) from error
    if all_tags and (reference.tag or reference.digest):
        raise UsageError("a tag cannot be used with --all-tags", hint=f"write {reference.repository_name}")
    return reference


def _platform(text: str | None) -> Platform:
    try:
        return host_platform() if text is None else parse_platform(text)
    except FormatError as error:
        raise UsageError(f"--platform: {error.message}", hint=error.hint) from error


def _pull(
    session: Session, store: Store, bases: Bases, name: str, platform: Platform, *, is_quiet: bool, as_json: bool
) -> dict[str, Any]:
    from slimstage.bases.pulling import plan_pull, pull_base
    from slimstage.cli.progress.transfer import transfer_progress
    from slimstage.container.images import find_image

    base = bases.resolve(name, platform, pull=True)
    before = find_image(store, name)
    plan = plan_pull(store, bases, base)
    progress = transfer_progress(sys.stderr, session.colour, is_quiet=is_quiet)
    try:
        image = pull_base(bases, base, progress)
    finally:
        progress.close()
    is_new = before is None or before.manifest != image.manifest or plan.fetch_bytes > 0
    if as_json:
        return _document(name, base, image, plan, is_new=is_new)
    if not is_quiet:
        note(f"Digest: {base.manifest}")
        note(f"Status: {'Downloaded newer image' if is_new else 'Image is up to date'} for {_familiar(name)}")
    sys.stdout.write(f"{name}\n")
    return {}


def _document(name: str, base: Base, image: StoredImage, plan: PullPlan, *, is_new: bool) -> dict[str, Any]:
    return {
        "reference": name,
        "id": image.id,
        "names": short_names(image),
        "manifest_digest": base.manifest,
        "platform": str(image.platform),
        "is_new": is_new,
        "here_bytes": plan.here_bytes,
        "fetched_bytes": plan.fetch_bytes,
        "size_bytes": plan.size_bytes,
    }


def _explain(store: Store, bases: Bases, names: list[str], platform: Platform, *, as_json: bool) -> None:
    from slimstage.bases.pulling import plan_pull

    plans = [plan_pull(store, bases, bases.resolve(name, platform, pull=True), asks=True) for name in names]
    if as_json:
        print_json([_plan_document(plan) for plan in plans])
        return
    for number, plan in enumerate(plans):
        if number:
            sys.stdout.write("\n")
        sys.stdout.write(f"{_familiar(plan.reference)}  {plan.platform}  {plan.manifest}\n")
        rows = [
            (
                short_digest(layer.digest),
                size_text(layer.size_bytes),
                size_text(layer.here_bytes),
                size_text(layer.fetch_bytes),
                f"{_PLACES[layer.place]}{layer.source}",
            )
            for layer in plan.layers
        ]
        total = ("total", size_text(plan.size_bytes), size_text(plan.here_bytes), size_text(plan.fetch_bytes), "")
        print_table(("LAYER", "SIZE", "HERE", "TO FETCH", "FROM"), [*rows, total], right=(1, 2, 3))


_PLACES = {
    "unpacked": "local, unpacked",
    "store": "local, to be unpacked",
    "partly": "an interrupted pull, and ",
    "registry": "",
    "mirror": "the mirror ",
}


def _plan_document(plan: PullPlan) -> dict[str, Any]:
    return {
        "reference": plan.reference,
        "id": plan.id,
        "manifest_digest": plan.manifest,
        "platform": str(plan.platform),
        "size_bytes": plan.size_bytes,
        "here_bytes": plan.here_bytes,
        "fetch_bytes": plan.fetch_bytes,
        "layers": [
            {
                "digest": layer.digest,
                "media_type": layer.media_type,
                "size_bytes": layer.size_bytes,
                "here_bytes": layer.here_bytes,
                "fetch_bytes": layer.fetch_bytes,
                "place": layer.place,
                "from": layer.source or None,
            }
            for layer in plan.layers
        ],
    }


def _familiar(name: str) -> str:
    return parse_reference(name).familiar()
