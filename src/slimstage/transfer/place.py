"""What names a place that an image is copied from or to. Pure.

The names are skopeo's: `docker://REF`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:REF]`; `store:NAME`
is ours. Source: containers/image, docs/containers-transports.5.md.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from slimstage.diagnostics import near
from slimstage.errors import FormatError, UsageError
from slimstage.oci.reference import Reference, parse_reference
from slimstage.values import dataclass

Kind: TypeAlias = Literal["registry", "oci", "oci-archive", "docker-archive", "store"]
_FILES: tuple[Kind, ...] = ("oci", "oci-archive", "docker-archive")
_TRANSPORTS = ("docker://", "oci:", "oci-archive:", "docker-archive:", "store:")
_OTHERS = frozenset({"containers-storage", "dir", "docker-daemon", "ostree", "sif", "tarball"})
"""Transports of skopeo that are not here."""


@dataclass(frozen=True, slots=True)
class Place:
    """path: of a file or directory. name: a tag or a name in it, or the image's name in the store; None when not said.

    reference: in a registry, as it was written; there it has a tag or digest only when one was written.
    """

    kind: Kind
    path: str = ""
    name: str | None = None
    reference: Reference | None = None

    def __str__(self) -> str:
        if self.reference is not None:
            return f"docker://{self.reference}"
        if self.kind == "store":
            return f"store:{self.name or ''}"
        return f"{self.kind}:{self.path}" + (f":{self.name}" if self.name else "")


def parse_place(text: str, what: str, *, is_reference: bool = False) -> Place:
    """The place that the text names. what: the argument's name, for messages.

    A name that begins with a registry's host is one in that registry, without `docker://`, too. is_reference: so is every
    other name, as for docker. Raises UsageError: no transport, an unknown one, a bad name.
    """
    if text.startswith("docker://"):
        return Place("registry", reference=_reference(text[len("docker://") :], what))
    head, colon, rest = text.partition(":")
    if colon and head == "store":
        return Place("store", name=rest or None)
    for kind in _FILES:
        if colon and head == kind:
            path, _, name = rest.partition(":")
            if not path:
                raise UsageError(f'{what}: "{text}" names no path', code="bad-place", hint=f"write {kind}:PATH")
            return Place(kind, path, name or None)
    if is_reference or _has_host(text):
        return Place("registry", reference=_reference(text, what))
    raise _no_transport(text, head if colon else "", what)


def _has_host(text: str) -> bool:
    """True when the first component can only be a registry's host."""
    first, slash, _ = text.partition("/")
    return bool(slash) and (first == "localhost" or any(c in first for c in ".:[")) and not first.startswith(".")


def _reference(text: str, what: str) -> Reference:
    try:
        return parse_reference(text)
    except FormatError as error:
        raise UsageError(f"{what}: {error.message}", code=error.code, hint=error.hint) from error


def _no_transport(text: str, head: str, what: str) -> UsageError:
    if head in _OTHERS:
        return UsageError(
            f'{what}: the transport "{head}" is not known here',
            code="bad-place",
            notes=[f"there are: {', '.join(_TRANSPORTS)}"],
        )
    close = near(head, [transport.rstrip(":/") for transport in _TRANSPORTS]) if head else None
    meant = f'did you mean "{close}:{text[len(head) + 1 :]}"?' if close else None
    return UsageError(
        f'{what}: "{text}" may be an image in a registry, in the store, or a file',
        code="bad-place",
        notes=[f"there are: {', '.join(_TRANSPORTS)}"],
        hint=meant or f"write docker://{text} for a registry, store:{text} for the store",
    )
