"""Signing as `sign` and `push --sign-key` do it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from slimstage.cli.show import note
from slimstage.cli.values import one_of
from slimstage.errors import UsageError
from slimstage.transfer.signatures import MODES, Mode, SignedImage, Signer, unsignable

if TYPE_CHECKING:
    from slimstage.transfer.copying import Copier
    from slimstage.transfer.place import Place


def mode_of(text: str | None) -> Mode:
    """Of `--registry-referrers-mode`. Raises UsageError."""
    chosen = one_of(text or "both", MODES, "--registry-referrers-mode")
    return next(mode for mode in MODES if mode == chosen)


def sign_place(copier: Copier, place: Place, signer: Signer, *, is_recursive: bool = False) -> list[SignedImage]:
    """Signs what is there, where it is. Raises UsageError for archives, which are not changed."""
    if place.reference is not None:
        return signer.in_registry(copier.client, copier.pusher, place.reference, is_recursive=is_recursive)
    if place.kind not in ("store", "oci"):
        raise unsignable(place)
    with copier.source(place) as source:
        if place.kind == "store":
            return signer.in_store(copier.store(), source, is_recursive=is_recursive)
        return signer.in_layout(copier.layout(place), source, is_recursive=is_recursive)


def tell_signed(place: object, done: Sequence[SignedImage]) -> None:
    """What was signed, for people, on stderr."""
    for each in done:
        where = f", {each.tag}" if each.tag else ""
        what = "signed" if each.is_new else "was signed with this key before"
        note(f"{place}: {each.digest} {what}{where}")


def signed_documents(done: Sequence[SignedImage]) -> list[dict[str, Any]]:
    """For --json."""
    return [{"digest": each.digest, "is_new": each.is_new, "artifact": each.artifact, "tag": each.tag} for each in done]


def check_signable(place: Place) -> None:
    """Raises UsageError before anything is done."""
    if place.kind in ("oci-archive", "docker-archive"):
        raise unsignable(place)
    if place.kind == "store" and place.name is None:
        raise UsageError("store: names no image", code="bad-place", hint="write store:NAME")
