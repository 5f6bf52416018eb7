"""`slimstage tag`."""

from __future__ import annotations

import click

from slimstage.cli.program import Session
from slimstage.cli.show import print_json
from slimstage.cli.verb import complete_images, json_option, pass_session, verb
from slimstage.container.images import get_image
from slimstage.errors import FormatError, UsageError
from slimstage.oci.reference import parse_reference

_EXAMPLES = """\
slimstage tag iris iris:1.0                    another tag
slimstage tag 3f2a9c registry.lan:5000/iris    by the beginning of its ID\
"""


@verb("tag", examples=_EXAMPLES)
@click.argument("image", shell_complete=complete_images)
@click.argument("name")
@json_option
@pass_session
def command(session: Session, image: str, name: str, as_json: bool) -> None:
    """Give IMAGE another NAME. A name that another image had moves to this one; an index stays whole."""
    try:
        reference = parse_reference(name).with_default_tag()
    except FormatError as error:
        raise UsageError(error.message, hint=error.hint) from error
    if reference.digest:
        raise UsageError(f'"{name}" has a digest', hint="a name takes a tag, the digest is the image's own")
    store = session.store()
    index = store.images.index(image)
    if index is not None:
        store.indexes.tag(index.digest, str(reference))
        image_id = index.digest
    else:
        image_id = get_image(store, image).id
        store.images.tag(image_id, str(reference))
    if as_json:
        print_json({"image_id": image_id, "name": reference.familiar()})
