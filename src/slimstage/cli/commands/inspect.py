"""`slimstage inspect`."""

from __future__ import annotations

import sys
from typing import Any

import click

from slimstage.cli.image_documents import identity_of, inspect_document
from slimstage.cli.program import Session
from slimstage.cli.show import note, plain, print_json
from slimstage.cli.verb import complete_images, json_option, option, pass_session, verb
from slimstage.container.images import find_image, get_image, wanted_platform
from slimstage.container.records import Containers
from slimstage.diagnostics import did_you_mean
from slimstage.errors import UsageError
from slimstage.oci.descriptor import Platform
from slimstage.oci.reference import familiar

_EXAMPLES = """\
slimstage inspect iris              config, layers and names, as JSON
slimstage inspect --verify iris     check digests, sizes and everything an image has to be
slimstage inspect --sbom iris       what it is made of, as SPDX; --sbom=cyclonedx, --provenance
slimstage inspect --platform linux/arm64 iris    that image of an index of several
slimstage inspect --format '{{.Size}}' iris    one number of it, for a script
slimstage inspect swift-pot         a container\
"""


@verb("inspect", examples=_EXAMPLES)
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_images)
@option("--verify", is_flag=True, help="Verify the images instead of showing them; status 1 when one is not valid.")
@option("--platform", metavar="OS/ARCH", help="Which image of an index to show [default: this host's].")
@option("--sbom", is_flag=False, flag_value="spdx", metavar="[=spdx|cyclonedx]", help="Show the bill of materials.")
@option("--provenance", is_flag=True, help="Show the statement of what it was built from.")
@option(
    "-f", "--format", "template", metavar="TEMPLATE", help="A Go template, as docker inspect takes it: '{{.Size}}'."
)
@json_option
@pass_session
@click.pass_context
def command(
    ctx: click.Context,
    session: Session,
    names: tuple[str, ...],
    verify: bool,
    platform: str | None,
    sbom: str | None,
    provenance: bool,
    template: str | None,
    as_json: bool,
) -> None:
    """Show images or containers in detail, as one JSON array; images in the form of `docker image inspect`.

    Of an index of several platforms this shows one image, and the index under Manifests; --verify takes all of it.
    """
    wanted = wanted_platform(platform)
    if verify:
        verdicts = [_verify(session, name, as_json) for name in names]  # all of them, also after a bad one
        if as_json:
            print_json(verdicts)
        ctx.exit(0 if all(verdict["is_valid"] for verdict in verdicts) else 1)
    if sbom is not None or provenance:
        from slimstage.cli.attested import attested_documents

        documents = [attested_documents(session, name, wanted, sbom, provenance=provenance) for name in names]
        print_json(documents[0] if len(documents) == 1 else documents)
        return
    if template is not None and template != "json":
        from slimstage.cli.go_template import Template

        show = Template(template)
        sys.stdout.write("".join(show(_document(session, name, wanted)) + "\n" for name in names))
        return
    print_json([_document(session, name, wanted) for name in names])


def _document(session: Session, name: str, platform: Platform | None) -> dict[str, Any]:
    store = session.store()
    if platform is not None or find_image(store, name) is not None:
        return inspect_document(store, get_image(store, name, platform), store.images.index(name))
    containers = Containers(session.root_path())
    record = containers.find(name)
    if record is None:
        known = [familiar(n) for n in store.images.names()] + [c.name for c in containers.list()]
        raise UsageError(f'no image or container "{name}"', code="no-such-object", hint=did_you_mean(name, known))
    document: dict[str, Any] = plain(record)
    return document


def _verify(session: Session, name: str, as_json: bool) -> dict[str, Any]:
    """Says what is wrong with the image, or that nothing is."""
    from slimstage.cli.verifying import faults_of

    store = session.store()
    image = store.images.index(name) or get_image(store, name)
    faults = faults_of(store, image)
    if not as_json:
        for fault in faults:
            note(f"{name}: {fault}")
        if not faults:
            note(f"{name}: valid")
    return {
        "name": name,
        "id": identity_of(image),
        "is_valid": not faults,
        "faults": [{"code": fault.code, "message": fault.message} for fault in faults],
    }
