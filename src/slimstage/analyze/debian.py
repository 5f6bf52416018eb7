"""What dpkg installed, read from its own texts. Pure.

Source: dpkg(1) and deb-control(5); distroless images keep one paragraph a file in var/lib/dpkg/status.d.
"""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.values import dataclass

STATUS = "var/lib/dpkg/status"
STATUS_DIRECTORY = "var/lib/dpkg/status.d"
LIMIT_BYTES = 64 << 20
_MOST_PACKAGES = 100_000


@dataclass(frozen=True, slots=True)
class DebianPackage:
    """One installed package. source: (name, version) of what it was built from, where that is another."""

    name: str
    version: str
    architecture: str
    source: tuple[str, str] | None = None
    maintainer: str = ""
    homepage: str = ""
    installed_kib: int = 0


def read_status(text: str) -> Iterator[DebianPackage]:
    """The installed packages of a status file in their order. What is no paragraph of a package is passed over.

    A paragraph without a Status line counts as installed: those of status.d have none.
    """
    for number, fields in enumerate(_paragraphs(text)):
        if number >= _MOST_PACKAGES:
            return
        words = fields.get("status", "install ok installed").split()
        name, version = fields.get("package", ""), fields.get("version", "")
        if not (name and version) or words[-1:] != ["installed"]:
            continue
        size = fields.get("installed-size", "")
        yield DebianPackage(
            name=name,
            version=version,
            architecture=fields.get("architecture", ""),
            source=_source(fields.get("source", ""), version),
            maintainer=fields.get("maintainer", ""),
            homepage=fields.get("homepage", ""),
            installed_kib=int(size) if size.isdigit() and len(size) < 16 else 0,
        )


def _source(text: str, version: str) -> tuple[str, str] | None:
    """`Source: NAME` or `NAME (VERSION)`; without one the binary's own version."""
    name, _, rest = text.partition(" ")
    return (name, rest.strip().strip("()") or version) if name else None


def _paragraphs(text: str) -> Iterator[dict[str, str]]:
    """Fields by name in lower case; of a folded one the first line, which is all that is asked for here."""
    fields: dict[str, str] = {}
    for line in text.split("\n"):
        if not line.strip():
            if fields:
                yield fields
            fields = {}
        elif line[0] not in " \t#":
            name, colon, value = line.partition(":")
            if colon:
                fields.setdefault(name.strip().lower(), value.strip())
    if fields:
        yield fields
