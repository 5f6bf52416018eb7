"""`slimstage sign`."""

from __future__ import annotations

import sys

import click

from slimstage.cli.authfile import authfile_option
from slimstage.cli.copiers import copier
from slimstage.cli.keys import annotations_of, private_key
from slimstage.cli.program import Session
from slimstage.cli.show import print_json
from slimstage.cli.verb import complete_images, json_option, option, pass_session, verb
from slimstage.transfer.place import parse_place

_EXAMPLES = """\
slimstage sign --key cosign.key registry.lan:5000/team/app:1
slimstage sign --key cosign.key -a commit=3f2a… registry.lan:5000/team/app@sha256:…
slimstage sign --key env://SIGNING_KEY store:app      before it is pushed or copied
cosign verify --key cosign.pub --insecure-ignore-tlog registry.lan:5000/team/app:1\
"""


@verb("sign", examples=_EXAMPLES)
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_images)
@option("--key", "key", required=True, metavar="FILE", help="The private key: of cosign, PEM, or env://VARIABLE.")
@option("-a", "--annotations", multiple=True, metavar="KEY=VALUE", help="Also signed; verify can ask for it.")
@option("-r", "--recursive", is_flag=True, help="Of an index also sign each image that it lists.")
@option("--sign-container-identity", "identity", metavar="NAME", help="What the signature says whose image it is.")
@option(
    "--registry-referrers-mode",
    "mode",
    metavar="MODE",
    help="oci-1-1: an artifact that belongs to the image; legacy: cosign's tag; both [default: both].",
)
@authfile_option
@json_option
@pass_session
def command(
    session: Session,
    names: tuple[str, ...],
    key: str,
    annotations: tuple[str, ...],
    recursive: bool,
    identity: str | None,
    mode: str | None,
    as_json: bool,
) -> None:
    """Sign an image in its registry, in the store or in an OCI layout, in cosign's format.

    NAME is an image in a registry, store:NAME or oci:DIR[:TAG]. What is signed is the manifest's digest, so it
    holds for every copy. The password of the key is taken from COSIGN_PASSWORD, or asked for.
    """
    from slimstage.cli.signing import check_signable, mode_of, sign_place, signed_documents, tell_signed
    from slimstage.transfer.signatures import Signer

    places = [parse_place(name, "NAME", is_reference=True) for name in names]
    for place in places:
        check_signable(place)
    said, where = annotations_of(annotations, "--annotations"), mode_of(mode)
    signer = Signer(private_key(key, "--key"), said, mode=where, identity=identity)
    documents = []
    with copier(session) as made:
        for place in places:
            done = sign_place(made, place, signer, is_recursive=recursive)
            documents += [{"name": str(place), **document} for document in signed_documents(done)]
            if not as_json:
                tell_signed(place, done)
                sys.stdout.write("".join(f"{each.digest}\n" for each in done))
    if as_json:
        print_json(documents)
