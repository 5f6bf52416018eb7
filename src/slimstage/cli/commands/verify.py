"""`slimstage verify`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from slimstage.cli.authfile import authfile_option
from slimstage.cli.copiers import copier
from slimstage.cli.keys import annotations_of, public_key
from slimstage.cli.program import Session
from slimstage.cli.show import note, print_json
from slimstage.cli.verb import complete_images, json_option, option, pass_session, verb
from slimstage.diagnostics import shown
from slimstage.errors import NotVerified
from slimstage.transfer.place import Place, parse_place

if TYPE_CHECKING:
    from slimstage.transfer.signatures import Verification

_SHOWN = 10
"""Reasons that are shown of one image."""

_EXAMPLES = """\
slimstage verify --key cosign.pub registry.lan:5000/team/app:1
slimstage verify --key cosign.pub -a commit=3f2a… registry.lan:5000/team/app:1
slimstage run registry.lan:5000/team/app@$(slimstage verify --key cosign.pub registry.lan:5000/team/app:1)\
"""


@verb("verify", examples=_EXAMPLES)
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=complete_images)
@option("--key", "key", required=True, metavar="FILE", help="The public key, in PEM, or env://VARIABLE.")
@option("-a", "--annotations", multiple=True, metavar="KEY=VALUE", help="The signature has to say this, too.")
@authfile_option
@json_option
@pass_session
def command(session: Session, names: tuple[str, ...], key: str, annotations: tuple[str, ...], as_json: bool) -> None:
    """Check that images were signed with a key; print their digests. Exit status 1 when one has no good signature.

    NAME is an image in a registry, store:NAME, oci:DIR[:TAG] or an archive. A signature is good when it was made with the key
    for just the digest that NAME leads to now. Those of slimstage, cosign and skopeo are found, wherever they are kept.
    """
    from slimstage.transfer.signatures import verify

    places = [parse_place(name, "NAME", is_reference=True) for name in names]
    wanted, public = annotations_of(annotations, "--annotations"), public_key(key, "--key")
    checked: list[tuple[Place, Verification]] = []
    with copier(session) as made:
        for place in places:
            with made.source(place) as source:
                checked.append((place, verify(source, public, wanted)))
    if as_json:
        print_json([_document(place, verification) for place, verification in checked])
    for place, verification in checked:
        for remark in verification.remarks:
            note(f"warning: {shown(remark)}")
        if verification.claims and not as_json:
            note(f"{place}: {_said(verification)}")
            sys.stdout.write(f"{verification.digest}\n")
    bad = [(place, verification) for place, verification in checked if not verification.claims]
    if bad:
        raise _refusal(*bad[0], key) if len(bad) == 1 else _refusals(bad, key)


def _said(verification: Verification) -> str:
    told = []
    for claim in verification.claims:
        annotations = "".join(f", {name}={value}" for name, value in claim.annotations.items())
        as_what = f' as "{claim.identity}"' if claim.identity else ""  # in a layout images have no full names
        told.append(shown(f"signed{as_what}{annotations}"))
    return "; ".join(dict.fromkeys(told))


def _refusal(place: Place, verification: Verification, key: str) -> NotVerified:
    reasons = [f"{shown(each.place)}: {shown(each.fault)}" for each in verification.signatures]
    if len(reasons) > _SHOWN:
        reasons[_SHOWN:] = [f"and {len(reasons) - _SHOWN} more"]
    if not reasons:
        return NotVerified(f'"{place}" is not signed: {verification.digest} has no signature', code="not-signed")
    return NotVerified(f'"{place}" has no good signature of "{key}": {verification.digest}', notes=tuple(reasons))


def _refusals(bad: list[tuple[Place, Verification]], key: str) -> NotVerified:
    errors = [_refusal(place, verification, key) for place, verification in bad]
    return NotVerified(
        f'{len(bad)} images have no good signature of "{key}"', notes=tuple(error.message for error in errors)
    )


def _document(place: Place, verification: Verification) -> dict[str, Any]:
    return {
        "name": str(place),
        "digest": verification.digest,
        "is_verified": bool(verification.claims),
        "signatures": [
            {
                "place": each.place,
                "is_good": each.claim is not None,
                "fault": each.fault or None,
                "identity": each.claim.identity if each.claim else None,
                "annotations": dict(each.claim.annotations) if each.claim else None,
            }
            for each in verification.signatures
        ],
        "warnings": list(verification.remarks),
    }
