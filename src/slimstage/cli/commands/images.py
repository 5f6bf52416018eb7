"""`slimstage images`."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from slimstage.cli.image_documents import image_size, short_names
from slimstage.cli.program import Session
from slimstage.cli.show import print_json, print_table
from slimstage.cli.units import age_text, short_digest, size_text, time_text
from slimstage.cli.verb import json_option, option, pass_session, verb
from slimstage.store.images import StoredImage

_EXAMPLES = """\
slimstage images                 all images
slimstage images iris            those called iris
slimstage images -q | xargs slimstage rmi\
"""


@verb("images", examples=_EXAMPLES)
@click.argument("name", required=False)
@option("-q", "--quiet", is_flag=True, help="Print image IDs only.")
@option("--digests", is_flag=True, help="Show the manifests' digests too.")
@option("--no-trunc", is_flag=True, help="Show whole IDs.")
@json_option
@pass_session
def command(session: Session, name: str | None, quiet: bool, digests: bool, no_trunc: bool, as_json: bool) -> None:
    """List the images in the store, newest first.

    NAME keeps those of that repository, with that tag when it has one.
    """
    images = session.store().images.list()
    lines = [(image, label) for image in images for label in (short_names(image) or [""]) if _matches(label, name)]
    if quiet:
        for image in dict.fromkeys(image.id for image, _ in lines):
            sys.stdout.write(f"{image if no_trunc else short_digest(image)}\n")
    elif as_json:
        found = {image.id: image for image, _ in lines}
        print_json([_document(image) for image in found.values()])
    else:
        _print(lines, digests=digests, no_trunc=no_trunc)


def _print(lines: list[tuple[StoredImage, str]], *, digests: bool, no_trunc: bool) -> None:
    header = ["REPOSITORY", "TAG", *(["DIGEST"] if digests else []), "IMAGE ID", "AGE", "SIZE"]
    now = time.time()
    rows = []
    for image, label in lines:
        repository, tag = split_name(label)
        row = [repository or "<none>", tag or "<none>"]
        row += [image.manifest] if digests else []
        row += [image.id if no_trunc else short_digest(image.id), age_text(now - image.created_s)]
        rows.append([*row, size_text(image_size(image))])
    print_table(header, rows, right=(len(header) - 1,))


def split_name(label: str) -> tuple[str, str]:
    """(repository, tag) of a short name; the colon of a registry's port is not a tag's."""
    head, colon, tail = label.rpartition(":")
    return (head, tail) if colon and "/" not in tail else (label, "")


def _matches(label: str, wanted: str | None) -> bool:
    if wanted is None:
        return True
    from slimstage.oci.reference import familiar

    repository, tag = split_name(label)
    name, wanted_tag = split_name(familiar(wanted))
    return repository == name and (not wanted_tag or wanted_tag == tag)


def _document(image: StoredImage) -> dict[str, Any]:
    return {
        "id": image.id,
        "names": short_names(image),
        "manifest_digest": image.manifest,
        "platform": str(image.platform),
        "created": time_text(image.created_s),
        "size_bytes": image_size(image),
        "layers": len(image.layers),
    }
