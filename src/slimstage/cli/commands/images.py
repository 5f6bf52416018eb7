"""`slimstage images`."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import click

from slimstage.cli.image_documents import identity_of, image_size, index_size, short_names
from slimstage.cli.program import Session
from slimstage.cli.show import print_json, print_table
from slimstage.cli.units import age_text, short_digest, size_text, time_text
from slimstage.cli.verb import json_option, option, pass_session, verb
from slimstage.digest import Digest
from slimstage.store.images import StoredImage
from slimstage.store.indexes import StoredIndex
from slimstage.values import replace

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

    NAME keeps those of that repository, with that tag when it has one. An index of several platforms is followed by its
    images.
    """
    store = session.store()
    images = {image.id: image for image in store.images.list()}
    indexes = {index: _members(index, images) for index in store.indexes.list()}
    parts = {image.id for members in indexes.values() for image in members}
    # An image that is only there as a part of an index is shown with it.
    whole: list[StoredImage | StoredIndex] = [
        *indexes,
        *(image for image in images.values() if image.names or image.id not in parts),
    ]
    whole.sort(key=lambda each: (-each.created_s, identity_of(each)))
    lines = [(each, label) for each in whole for label in (short_names(each) or [""]) if _matches(label, name)]
    if quiet:
        for identity in dict.fromkeys(identity_of(each) for each, _ in lines):
            sys.stdout.write(f"{identity if no_trunc else short_digest(identity)}\n")
    elif as_json:
        found = {identity_of(each): each for each, _ in lines}
        print_json([_document(each, indexes) for each in found.values()])
    else:
        _print(lines, indexes, digests=digests, no_trunc=no_trunc)


def _members(index: StoredIndex, images: Mapping[Digest, StoredImage]) -> list[StoredImage]:
    """The images of an index, each with the manifest that the index lists."""
    return [
        replace(images[member.image], manifest=member.manifest) for member in index.members if member.image in images
    ]


_Members: TypeAlias = Mapping[StoredIndex, Sequence[StoredImage]]


def _print(
    lines: Sequence[tuple[StoredImage | StoredIndex, str]], indexes: _Members, *, digests: bool, no_trunc: bool
) -> None:
    header = ["REPOSITORY", "TAG", *(["DIGEST"] if digests else []), "IMAGE ID", "AGE", "SIZE"]
    now = time.time()
    rows = []
    for each, label in lines:
        repository, tag = split_name(label)
        members = indexes[each] if isinstance(each, StoredIndex) else [each]
        size = index_size(members)
        rows.append(_row(each, repository or "<none>", tag or "<none>", size, now, digests, no_trunc))
        if isinstance(each, StoredIndex):
            rows += [_row(m, f"  {m.platform}", "", image_size(m), now, digests, no_trunc) for m in members]
    print_table(header, rows, right=(len(header) - 1,))


def _row(
    each: StoredImage | StoredIndex, name: str, tag: str, size: int, now: float, digests: bool, no_trunc: bool
) -> list[str]:
    identity = identity_of(each)
    manifest = each.digest if isinstance(each, StoredIndex) else each.manifest
    row = [name, tag, *([manifest] if digests else []), identity if no_trunc else short_digest(identity)]
    return [*row, age_text(now - each.created_s), size_text(size)]


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


def _document(image: StoredImage | StoredIndex, indexes: _Members) -> dict[str, Any]:
    """Of an index: `platforms` has its images, `platform` and `layers` are null and 0, `size_bytes` counts a layer once."""
    if isinstance(image, StoredIndex):
        members = indexes[image]
        return {
            "id": image.digest,
            "names": short_names(image),
            "manifest_digest": image.digest,
            "platform": None,
            "created": time_text(image.created_s),
            "size_bytes": index_size(members),
            "layers": 0,
            "platforms": [_document(member, indexes) for member in members],
        }
    return {
        "id": image.id,
        "names": short_names(image),
        "manifest_digest": image.manifest,
        "platform": str(image.platform),
        "created": time_text(image.created_s),
        "size_bytes": image_size(image),
        "layers": len(image.layers),
    }
