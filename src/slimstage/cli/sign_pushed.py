"""`--sign-key FILE` of `push` and `build --push`: what was pushed is signed in its registry, as `sign` does it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from slimstage.cli.program import Session
from slimstage.digest import parse_digest
from slimstage.oci.reference import Reference, parse_reference
from slimstage.values import replace

if TYPE_CHECKING:
    from slimstage.build.request import PushedName
    from slimstage.cli.registries import Registries
    from slimstage.transfer.signatures import Signer


def signer_of(key: str | None) -> Signer | None:
    """None without a key. Raises UsageError: not there, not a key, a wrong password."""
    if key is None:
        return None
    from slimstage.cli.keys import private_key
    from slimstage.transfer.signatures import Signer

    return Signer(private_key(key, "--sign-key"))


def signatures_of(
    session: Session, known: Registries, pushed: Iterable[PushedName], signer: Signer | None
) -> dict[str, dict[str, Any]]:
    """Signs each digest in each repository once; by name, what --json says of it."""
    if signer is None:
        return {}
    from slimstage.cli.copiers import copier
    from slimstage.cli.signing import signed_documents

    done: dict[Reference, dict[str, Any]] = {}
    found: dict[str, dict[str, Any]] = {}
    with copier(session, known) as made:
        for each in pushed:
            reference = replace(parse_reference(each.name), tag=None, digest=parse_digest(each.digest))
            if reference not in done:
                signed = signer.in_registry(made.client, made.pusher, reference)
                done[reference] = {"signatures": signed_documents(signed)}
            found[each.name] = done[reference]
    return found
