"""An installed Node package by its `package.json`. Pure.

What such a package owns is its directory without the `node_modules` in it: there is no list of files.

Source: npm, "package.json".
"""

from __future__ import annotations

from slimstage.errors import FormatError
from slimstage.oci.document import Fields, read_object
from slimstage.values import dataclass

LIMIT_BYTES = 4 << 20
_MOST_NEEDS = 10_000


@dataclass(frozen=True, slots=True)
class NpmPackage:
    """One package. name, version: "" where the document has none; directory: as given, "" for the root.

    depends: names from `dependencies` and `optionalDependencies`, sorted; what only its developers need is left out.
    faults: what could not be read, one sentence each.
    """

    name: str
    version: str
    directory: str
    depends: tuple[str, ...] = ()
    licence: str = ""
    faults: tuple[str, ...] = ()


def read_package(data: bytes, directory: str) -> NpmPackage:
    """The package of a `package.json` in `directory`. Raises: nothing.

    A document without a name and version is a marker for a module system, no package: its name is "".
    """
    faults: list[str] = []
    try:
        document = read_object(data, "package.json", LIMIT_BYTES)
    except FormatError as error:
        return NpmPackage("", "", directory, faults=(error.message,))
    name, version = _text(document, "name", faults), _text(document, "version", faults)
    needs = set(_keys(document, "dependencies", faults)) | set(_keys(document, "optionalDependencies", faults))
    licence = document.values.get("license")
    return NpmPackage(
        name,
        version,
        directory,
        tuple(sorted(needs)),
        licence if isinstance(licence, str) else "",
        tuple(faults),
    )


def _text(document: Fields, name: str, faults: list[str]) -> str:
    try:
        return (document.text(name) or "")[:300]
    except FormatError as error:
        faults.append(error.message)
        return ""


def _keys(document: Fields, name: str, faults: list[str]) -> tuple[str, ...]:
    value = document.values.get(name)
    if isinstance(value, list):  # an empty one, as some tools write it
        return ()
    try:
        return document.keys(name)[:_MOST_NEEDS]
    except FormatError as error:
        faults.append(error.message)
        return ()
