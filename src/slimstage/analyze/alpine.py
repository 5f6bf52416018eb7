"""What apk installed, read from its own database. Pure.

Source: apk-tools, "APKINDEX format" and src/database.c (`P:` name, `V:` version, `A:` architecture, `D:` needs, `p:` provides,
`o:` origin, `I:` installed size, `F:` directory, `R:` file of the last directory); the database is at lib/apk/db/installed.
"""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.analyze.record import below_root
from slimstage.values import dataclass

INSTALLED = ("lib/apk/db/installed", "usr/lib/apk/db/installed")
WORLD = "etc/apk/world"
"""What was asked for by name, one a line."""
LIMIT_BYTES = 64 << 20
_MOST_PACKAGES = 100_000
_MOST_FILES = 5_000_000
_OPERATORS = "<>=~"


@dataclass(frozen=True, slots=True)
class AlpinePackage:
    """One installed package. files: regular files and symlinks below the image's root, in the order written.

    depends, provides: names without versions, also of libraries (`so:libc.musl-x86_64.so.1`), commands (`cmd:sh`) and files
    (`/bin/sh`); what it conflicts with is left out.
    """

    name: str
    version: str
    architecture: str
    files: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    origin: str = ""
    installed_bytes: int = 0


def read_installed(text: str) -> list[AlpinePackage]:
    """The packages in their order. What is no paragraph of a package is passed over. Raises: nothing."""
    found: list[AlpinePackage] = []
    left = _MOST_FILES
    for lines in _paragraphs(text[:LIMIT_BYTES]):
        fields: dict[str, str] = {}
        files: list[str] = []
        directory = ""
        for line in lines:
            kind, value = line[0], line[2:]
            if kind == "F":
                directory = value
            elif kind == "R":
                path = below_root(f"{directory}/{value}" if directory else value, "")
                if path is not None and left > 0:
                    left -= 1
                    files.append(path)
            else:
                fields.setdefault(kind, value)
        if not (fields.get("P") and fields.get("V")):
            continue
        if len(found) >= _MOST_PACKAGES:
            break
        size = fields.get("I", "")
        found.append(
            AlpinePackage(
                fields["P"],
                fields["V"],
                fields.get("A", ""),
                tuple(files),
                _names(fields.get("D", "")),
                _names(fields.get("p", "")),
                fields.get("o", ""),
                int(size) if size.isascii() and size.isdigit() and len(size) < 18 else 0,
            )
        )
    return found


def read_world(text: str) -> frozenset[str]:
    """Names of the packages that were asked for, without versions and repositories. Source: apk-world(5)."""
    return frozenset(name.partition("@")[0] for name in _names(text.replace("\n", " ")))


def _names(text: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for word in text.split():
        if not word.startswith("!"):
            end = min((at for operator in _OPERATORS if (at := word.find(operator)) > 0), default=len(word))
            found[word[:end]] = None
    return tuple(found)


def _paragraphs(text: str) -> Iterator[list[str]]:
    """Lines of the form `X:value` between blank lines."""
    lines: list[str] = []
    for line in text.split("\n"):
        if not line:
            if lines:
                yield lines
            lines = []
        elif line[1:2] == ":":
            lines.append(line.rstrip("\r"))
    if lines:
        yield lines
