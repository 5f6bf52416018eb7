"""Which files an installed Python package owns: `RECORD` of a .dist-info, `installed-files.txt` of an .egg-info.

Pure text to values; the text comes from an image and is not trusted. Paths are normalised against the directory that the
text stands in, as names below the image's root; one that leads above the root is marked, and is nobody's file.

Source: packaging.python.org, "Recording installed projects" (PEP 376, PEP 627) and "Binary distribution format"; pip and
setuptools for `installed-files.txt`.
"""

from __future__ import annotations

import base64
import binascii
import csv
import io

from slimstage.regex import pattern
from slimstage.values import dataclass

LIMIT_BYTES = 64 << 20
"""Of a RECORD: the largest known has some 3 MB."""
MOST_ROWS = 500_000
_MOST_FAULTS = 20
_PATH_CHARACTERS = 4096
_HASH = pattern(r"([a-z0-9_]{1,32})=([A-Za-z0-9_-]{1,200})={0,2}\Z")
_SIZE = pattern(r"[0-9]{1,18}\Z")


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """One file that a package says it installed.

    path: below the image's root, with `/`, without `.` and `..`; "" when is_outside.
    written: the path as the text has it. algorithm, digest: of the content, in hexadecimal; None: not said.
    is_outside: it leads above the root, or nowhere: never to be opened.
    """

    path: str
    written: str
    algorithm: str | None = None
    digest: str | None = None
    size_bytes: int | None = None
    is_outside: bool = False


@dataclass(frozen=True, slots=True)
class Recorded:
    """The files in the order written, each path once. faults: what could not be read, one sentence each."""

    files: tuple[RecordedFile, ...] = ()
    faults: tuple[str, ...] = ()


class _Faults:
    """The first faults of a text, and how many more there were."""

    def __init__(self) -> None:
        self._found: list[str] = []
        self._more = 0

    def add(self, sentence: str) -> None:
        if len(self._found) < _MOST_FAULTS:
            self._found.append(sentence)
        else:
            self._more += 1

    def all(self) -> tuple[str, ...]:
        return (*self._found, *([f"and {self._more} more"] if self._more else []))


def read_record(data: bytes, site: str) -> Recorded:
    """The files of a RECORD. Raises: nothing; a row that is none is a fault and the others count.

    site: the directory that holds the .dist-info, below the image's root: what RECORD's paths start from.
    """
    faults, files = _Faults(), dict[str, RecordedFile]()
    if len(data) > LIMIT_BYTES:
        return Recorded((), (f"RECORD is larger than {LIMIT_BYTES} bytes",))
    rows = csv.reader(io.StringIO(_text(data), newline=""))
    number = 0
    while True:
        number += 1
        try:
            row = next(rows)
        except StopIteration:
            break
        except csv.Error as error:
            faults.add(f"row {number} cannot be read: {error}")
            continue
        if number > MOST_ROWS:
            faults.add(f"there are more than {MOST_ROWS} rows")
            break
        if not row or not any(row):
            continue
        file = _file(row, site, number, faults)
        files.setdefault(file.path or f"\0{file.written}", file)
    return Recorded(tuple(files.values()), faults.all())


def read_installed_files(data: bytes, directory: str) -> Recorded:
    """The files of an installed-files.txt. Raises: nothing.

    directory: the .egg-info itself, below the image's root: what its paths start from.
    """
    if len(data) > LIMIT_BYTES:
        return Recorded((), (f"installed-files.txt is larger than {LIMIT_BYTES} bytes",))
    faults, files = _Faults(), dict[str, RecordedFile]()
    for number, line in enumerate(_text(data).split("\n"), 1):
        if number > MOST_ROWS:
            faults.add(f"there are more than {MOST_ROWS} rows")
            break
        if line := line.rstrip("\r"):
            file = _file([line], directory, number, faults)
            files.setdefault(file.path or f"\0{file.written}", file)
    return Recorded(tuple(files.values()), faults.all())


def below_root(written: str, directory: str) -> str | None:
    """The path as a name below the image's root; None when it leads above it, or cannot be a path at all.

    directory: what a relative path starts from, below the root too. Symlinks are not known here and not followed.
    """
    if not written or "\0" in written or len(written) > _PATH_CHARACTERS:
        return None
    parts = [] if written.startswith("/") else [part for part in directory.split("/") if part]
    for part in written.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts) or None


def _file(row: list[str], directory: str, number: int, faults: _Faults) -> RecordedFile:
    written, digest, size = (*row[:3], "", "")[:3]
    path = below_root(written, directory)
    if path is None:
        faults.add(f"row {number} leads outside: {written[:80]!r}")
    algorithm = hexadecimal = None
    if digest:
        algorithm, hexadecimal = _digest(digest)
        if algorithm is None:
            faults.add(f"row {number} has a hash that is none: {digest[:80]!r}")
    size_bytes = int(size) if _SIZE.match(size) else None
    if size and size_bytes is None:
        faults.add(f"row {number} has a size that is none: {size[:80]!r}")
    return RecordedFile(path or "", written, algorithm, hexadecimal, size_bytes, path is None)


def _digest(text: str) -> tuple[str | None, str | None]:
    """(algorithm, hexadecimal) of `sha256=URLSAFE-BASE64` without its padding."""
    found = _HASH.match(text)
    if not found:
        return None, None
    try:
        raw = base64.urlsafe_b64decode(found[2] + "=" * (-len(found[2]) % 4))
    except (binascii.Error, ValueError):
        return None, None
    return found[1], raw.hex()


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
