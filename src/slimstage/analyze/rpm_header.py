"""One header of an RPM database as a package: names, versions, files, needs. Pure.

Source: rpm, docs/manual/format_header.md ("Header format": index of 16-byte entries, then the store; numbers big-endian) and
docs/manual/tags.md. In a database a header is stored without its magic number.
"""

from __future__ import annotations

import struct

from slimstage.analyze.record import below_root
from slimstage.values import dataclass

MOST_ENTRIES = 65_536
"""Of one header's index. Source: rpm's `hdrchkTags`."""
MOST_BYTES = 256 << 20
"""Of one header's store. Source: rpm's `HEADER_DATA_MAX`."""
MOST_FILES = 500_000
_NAME, _VERSION, _RELEASE, _EPOCH, _SIZE, _LICENCE, _ARCH = 1000, 1001, 1002, 1003, 1009, 1014, 1022
_OLD_FILES, _SOURCE, _PROVIDES, _REQUIRES = 1027, 1044, 1047, 1049
_DIRECTORY_NUMBERS, _BASE_NAMES, _DIRECTORIES = 1116, 1117, 1118
_WANTED = frozenset(
    {
        _NAME, _VERSION, _RELEASE, _EPOCH, _SIZE, _LICENCE, _ARCH, _OLD_FILES, _SOURCE, _PROVIDES, _REQUIRES,
        _DIRECTORY_NUMBERS, _BASE_NAMES, _DIRECTORIES,
    }
)  # fmt: skip
_INT32, _STRING, _STRINGS, _TRANSLATED = 4, 6, 8, 9


@dataclass(frozen=True, slots=True)
class RpmPackage:
    """One installed package. version: `EPOCH:VERSION-RELEASE`, without an epoch of 0. source: the source package's file.

    files: with directories that are its own, below the image's root, in the order written. depends, provides: names without
    versions, also of libraries and files; what rpm itself must understand (`rpmlib(…)`) is left out.
    """

    name: str
    version: str
    architecture: str
    files: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    source: str = ""
    licence: str = ""
    installed_bytes: int = 0


def read_header(blob: bytes) -> RpmPackage | str:
    """The package of a header without its magic number; a sentence of what is wrong with it. Raises: nothing."""
    if len(blob) < 8:
        return "a header is cut off"
    count, size = struct.unpack_from(">II", blob)
    start = 8 + 16 * count
    if count > MOST_ENTRIES or size > MOST_BYTES:
        return f"a header has {count} entries and {size} bytes"
    if start + size > len(blob):
        return "a header passes the end of its record"
    store = memoryview(blob)[start : start + size]
    values: dict[int, list[str] | list[int]] = {}
    for tag, kind, offset, entries in struct.iter_unpack(">IIII", blob[8:start]):
        if tag in _WANTED and tag not in values:
            values[tag] = _values(store, kind, offset, entries)

    def text(tag: int) -> str:
        found = values.get(tag) or [""]
        return found[0] if isinstance(found[0], str) else ""

    def number(tag: int) -> int:
        found = values.get(tag) or [0]
        return found[0] if isinstance(found[0], int) else 0

    if not (name := text(_NAME)):
        return "a header names no package"
    version, release, epoch = text(_VERSION), text(_RELEASE), number(_EPOCH)
    full = f"{epoch}:" * bool(epoch) + version + f"-{release}" * bool(release)
    return RpmPackage(
        name,
        full,
        text(_ARCH),
        _files(values),
        _needs(values.get(_REQUIRES, [])),
        _needs(values.get(_PROVIDES, [])),
        text(_SOURCE),
        text(_LICENCE),
        number(_SIZE),
    )


def _values(store: memoryview, kind: int, offset: int, count: int) -> list[str] | list[int]:
    """What of an entry lies in the store: fewer than it claims where it passes the end."""
    if offset > len(store):
        return []
    if kind == _INT32:
        count = min(count, (len(store) - offset) // 4, MOST_FILES)
        return list(struct.unpack_from(f">{count}I", store, offset))
    if kind in (_STRING, _STRINGS, _TRANSLATED):
        # Each text has at least its NUL, so there cannot be more of them than bytes.
        limit = 1 if kind == _STRING else min(count, MOST_FILES)
        texts = bytes(store[offset : offset + 65_536] if kind == _STRING else store[offset:]).split(b"\0", limit)
        return [text.decode("utf-8", "surrogateescape") for text in texts[:-1]]
    return []


def _files(values: dict[int, list[str] | list[int]]) -> tuple[str, ...]:
    names, directories = values.get(_BASE_NAMES, []), values.get(_DIRECTORIES, [])
    written = [
        f"{directories[number]}{name}"
        for name, number in zip(names, values.get(_DIRECTORY_NUMBERS, []), strict=False)
        if isinstance(number, int) and number < len(directories)
    ] or [str(name) for name in values.get(_OLD_FILES, [])]
    return tuple(path for each in written if (path := below_root(each, "")) is not None)


def _needs(names: list[str] | list[int]) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(name for name in map(str, names) if name and not name.startswith(("rpmlib(", "config(")))
    )
