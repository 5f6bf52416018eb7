"""`slimstage rm` and `slimstage rmi`."""

from __future__ import annotations

import sys
from typing import Any

import click

from slimstage.cli.image_documents import identity_of, short_names
from slimstage.cli.program import Session
from slimstage.cli.show import print_json
from slimstage.cli.units import short_digest
from slimstage.cli.verb import complete_containers, complete_images, json_option, option, pass_session, verb
from slimstage.container.images import find_image, get_image
from slimstage.container.records import ContainerRecord, Containers
from slimstage.container.stopping import stop_container
from slimstage.diagnostics import did_you_mean
from slimstage.digest import Digest
from slimstage.errors import FormatError, UsageError
from slimstage.oci.reference import familiar, parse_reference
from slimstage.store.images import StoredImage
from slimstage.store.indexes import StoredIndex

_EXAMPLES = """\
slimstage rm web iris:old     a container and a name of an image
slimstage rm -f web           stop it first
slimstage rm --image web      the image, where a container has that name too\
"""
_RMI_EXAMPLES = """\
slimstage rmi iris:old        the name; and the image, when that was its only one
slimstage rmi -f 3f2a9c       the image with all its names\
"""


@verb("rm", examples=_EXAMPLES)
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_containers)
@option("-f", "--force", is_flag=True, help="Stop running containers; remove images with several names.")
@option("--container", "only_containers", is_flag=True, help="NAMEs are containers.")
@option("--image", "only_images", is_flag=True, help="NAMEs are images.")
@json_option
@pass_session
def command(
    session: Session, names: tuple[str, ...], force: bool, only_containers: bool, only_images: bool, as_json: bool
) -> None:
    """Remove containers and images, by name or ID.

    An image's layers go with the next `prune`, unless something else needs them.
    """
    if only_containers and only_images:
        raise UsageError("--container and --image exclude each other")
    remover = _Remover(session, force)
    targets = [remover.find(name, containers=not only_images, images=not only_containers) for name in names]
    removed = [line for target in targets for line in remover.remove(*target)]
    _tell(removed, as_json)


@verb("rmi", examples=_RMI_EXAMPLES)
@click.argument("names", nargs=-1, required=True, metavar="IMAGE...", shell_complete=complete_images)
@option("-f", "--force", is_flag=True, help="Remove images with several names, and those that containers came from.")
@json_option
@pass_session
def rmi(session: Session, names: tuple[str, ...], force: bool, as_json: bool) -> None:
    """Remove images, by name or ID.

    A name is taken away; with its last name the image goes. Its layers go with the next `prune`.
    """
    remover = _Remover(session, force)
    targets = [remover.find(name, containers=False, images=True) for name in names]
    removed = [line for target in targets for line in remover.remove(*target)]
    _tell(removed, as_json)


class _Remover:
    def __init__(self, session: Session, force: bool) -> None:
        self._store, self._force = session.store(), force
        self._containers = Containers(session.root_path())

    def find(
        self, name: str, *, containers: bool, images: bool
    ) -> tuple[str, ContainerRecord | StoredImage | StoredIndex]:
        """(name, what it is). Raises UsageError: nothing, or both a container and an image."""
        record = self._containers.find(name) if containers else None
        image = (self._store.images.index(name) or find_image(self._store, name)) if images else None
        if record is not None and image is not None:
            raise UsageError(
                f'"{name}" is a container and an image', code="ambiguous", hint="add --container or --image"
            )
        found = record or image
        if found is not None:
            return name, found
        if not containers:
            return name, get_image(self._store, name)  # raises, with a hint
        known = [c.name for c in self._containers.list()]
        known += [familiar(name) for name in self._store.images.names()] if images else []
        kinds = " or ".join(["container", "image"] if images else ["container"])
        raise UsageError(f'no {kinds} "{name}"', code="no-such-object", hint=did_you_mean(name, known))

    def remove(self, name: str, found: ContainerRecord | StoredImage | StoredIndex) -> list[dict[str, Any]]:
        if isinstance(found, ContainerRecord):
            return self._remove_container(found)
        return self._remove_image(name, found)

    def _remove_container(self, record: ContainerRecord) -> list[dict[str, Any]]:
        if record.status == "running":
            if not self._force:
                raise UsageError(
                    f'the container "{record.name}" is running',
                    code="container-running",
                    hint=f"stop it first, or: slimstage rm -f {record.name}",
                )
            stop_container(self._containers, record, timeout_s=0)
        self._containers.remove(record.id)
        return [{"kind": "container", "id": record.id, "name": record.name}]

    def _remove_image(self, name: str, found: StoredImage | StoredIndex) -> list[dict[str, Any]]:
        current = self._current(found)
        if current is None:
            return []  # removed a moment ago, under another of its names
        identity, shown_names = identity_of(current), short_names(current)
        full = self._full_name(name, current)
        indexes = self._store.indexes.holding(identity)
        if full is not None and (len(current.names) > 1 or indexes) and not self._force:
            self._untag(current, full)
            return [{"kind": "name", "id": identity, "name": familiar(full)}]
        if full is None and len(current.names) > 1 and not self._force:
            raise UsageError(
                f"image {short_digest(identity)} has {len(current.names)} names",
                code="image-has-names",
                notes=tuple(shown_names),
                hint="remove the names one by one, or add -f",
            )
        if indexes and not self._force:
            whole = (short_names(indexes[0]) or [indexes[0].digest])[0]
            raise UsageError(
                f'image {short_digest(identity)} is the one for "{_platforms(current)}" of "{whole}"',
                code="image-in-index",
                hint=f"remove that: slimstage rmi {whole}",
            )
        goes = [identity] if isinstance(current, StoredImage) else self._only_here(current)
        users = [r for r in self._containers.list() if r.image_id in goes]
        if users and not self._force:
            raise UsageError(
                f'container "{users[0].name}" was made from image "{name}"',
                code="image-in-use",
                hint=f"remove it first: slimstage rm {users[0].name}",
            )
        for index in [*indexes, *([current] if isinstance(current, StoredIndex) else [])]:
            self._store.indexes.remove(index.digest)
        for image in goes:
            self._store.images.remove(image)
        return [{"kind": "image", "id": identity, "name": ", ".join(shown_names) or short_digest(identity)}]

    def _current(self, found: StoredImage | StoredIndex) -> StoredImage | StoredIndex | None:
        if isinstance(found, StoredIndex):
            return self._store.indexes.get(found.digest)
        return self._store.images.find(found.id)

    def _untag(self, found: StoredImage | StoredIndex, full: str) -> None:
        names = self._store.indexes if isinstance(found, StoredIndex) else self._store.images
        names.untag(full)

    def _only_here(self, index: StoredIndex) -> list[Digest]:
        """The images of an index that have no name and are in no other one: they go with it."""
        found = []
        for member in index.members:
            image = self._store.images.find(member.image)
            if image is not None and not image.names and len(self._store.indexes.holding(member.image)) == 1:
                found.append(image.id)
        return found

    def _full_name(self, name: str, image: StoredImage | StoredIndex) -> str | None:
        """The image's full name that `name` means; None when it is an ID."""
        try:
            full = str(parse_reference(name).with_default_tag())
        except FormatError:
            return None
        return full if full in image.names else None


def _platforms(found: StoredImage | StoredIndex) -> str:
    return found.platforms() if isinstance(found, StoredIndex) else str(found.platform)


def _tell(removed: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(removed)
        return
    for line in removed:
        verb_word = "untagged" if line["kind"] == "name" else "removed"
        sys.stdout.write(f"{verb_word} {line['kind'] if line['kind'] != 'name' else 'image'} {line['name']}\n")
