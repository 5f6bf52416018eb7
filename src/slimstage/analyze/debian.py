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
INFO_DIRECTORY = "var/lib/dpkg/info"
EXTENDED_STATES = "var/lib/apt/extended_states"
_MOST_RELATION_CHARACTERS = 1 << 18


@dataclass(frozen=True, slots=True)
class DebianPackage:
    """One installed package. source: (name, version) of what it was built from, where that is another.

    depends: of Depends and Pre-Depends, each as its alternatives without versions. provides: other names of it.
    """

    name: str
    version: str
    architecture: str
    source: tuple[str, str] | None = None
    maintainer: str = ""
    homepage: str = ""
    installed_kib: int = 0
    depends: tuple[tuple[str, ...], ...] = ()
    provides: tuple[str, ...] = ()
    is_essential: bool = False


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
            depends=(*_relations(fields.get("pre-depends", "")), *_relations(fields.get("depends", ""))),
            provides=tuple(name for names in _relations(fields.get("provides", "")) for name in names),
            is_essential="yes" in (fields.get("essential"), fields.get("protected")),
        )


def package_of(name: str) -> str:
    """The package that a file in var/lib/dpkg/info belongs to by its name: `libc6:amd64.list` → `libc6`."""
    return name.rpartition(".")[0].partition(":")[0]


def read_automatic(text: str) -> frozenset[str]:
    """Packages that apt installed because others need them. Source: var/lib/apt/extended_states, apt-mark(8)."""
    return frozenset(
        fields["package"] for fields in _paragraphs(text) if fields.get("auto-installed") == "1" and "package" in fields
    )


def _relations(text: str) -> tuple[tuple[str, ...], ...]:
    """`a (>= 1) | b:any, c` as its names: (("a", "b"), ("c",)). Source: deb-control(5), "Depends"."""
    found = []
    for part in text[:_MOST_RELATION_CHARACTERS].split(","):
        names = tuple(
            word.partition(":")[0]
            for each in part.split("|")
            if (word := each.strip().partition(" ")[0].partition("(")[0])
        )
        if names:
            found.append(names)
    return tuple(found)


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
