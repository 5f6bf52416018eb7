"""An installed Python package as a value: METADATA, entry points, top-level names, where it came from, what it owns.

Pure: the texts of a .dist-info or .egg-info directory come in as bytes from an image that is not trusted. Requirement
lines are read by `packaging`; a line that is none is a fault of the value, never an error. Nothing is imported or run.

Source: packaging.python.org, "Core metadata specifications", "Entry points specification", "Recording the Direct URL Origin
of installed distributions"; setuptools, "The Internal Structure of Python Eggs" (requires.txt, top_level.txt).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from slimstage.analyze.record import Recorded, RecordedFile, read_installed_files, read_record
from slimstage.errors import FormatError
from slimstage.oci.document import read_object
from slimstage.regex import pattern
from slimstage.values import dataclass

if TYPE_CHECKING:
    from packaging.requirements import Requirement

LIMIT_BYTES = 16 << 20
"""Of METADATA with its description, and of every other text here."""
_LONGEST_REQUIREMENT = 4096
_MOST_LINES = 20_000
_NAME = pattern(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,254}[A-Za-z0-9])?\Z")
_ENTRY = pattern(r"([\w.]+)\s*(?::\s*([\w.]+)\s*)?(?:\[([^\]]*)\]\s*)?\Z")
_SECTION = pattern(r"\[([^\[\]]*)\]\Z")
_USERINFO = pattern(r"(?i)\A([a-z0-9+.-]+://)[^/?#]*@")


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """`value` as written; module and attribute ("" for none) of it, None when it names no object."""

    group: str
    name: str
    value: str
    module: str | None = None
    attribute: str = ""
    extras: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """What direct_url.json says. `url` without user and password."""

    url: str
    is_editable: bool = False
    vcs: str | None = None
    commit: str | None = None
    subdirectory: str | None = None


@dataclass(frozen=True, slots=True)
class Distribution:
    """One installed package. `name` and `version` as written, "" where the text has none that can be one.

    requires: with markers and extras, in the order written. provides_extra: the extras it offers.
    files: what it owns, None where nobody recorded it. faults: what could not be read, one sentence each.
    """

    directory: str
    name: str
    version: str
    requires: tuple[Requirement, ...] = ()
    provides_extra: tuple[str, ...] = ()
    requires_python: str | None = None
    entry_points: tuple[EntryPoint, ...] = ()
    top_level: tuple[str, ...] = ()
    origin: Origin | None = None
    installer: str | None = None
    is_requested: bool = False
    """True when the user asked for it, False when it came as a requirement or nobody says."""
    files: tuple[RecordedFile, ...] | None = None
    faults: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The name by which packages are compared: lower case, runs of `-`, `_` and `.` as one `-`."""
        return normalised(self.name)


def normalised(name: str) -> str:
    """Source: packaging.python.org, "Names and normalization"."""
    return _RUNS.sub("-", name).lower()


_RUNS = pattern(r"[-_.]+")


def read_distribution(directory: str, read: Callable[[str], bytes | None]) -> Distribution:
    """The package whose .dist-info or .egg-info is at `directory` (below the image's root, without a leading slash).

    read: gives a file of that directory by its name, None when it is not there; it bounds what it reads.
    Raises: what `read` raises.
    """
    faults: list[str] = []

    def text(name: str) -> str | None:
        data = read(name)
        if data is not None and len(data) > LIMIT_BYTES:
            faults.append(f"{name} is larger than {LIMIT_BYTES} bytes")
            return None
        return None if data is None else data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")

    is_egg = directory.endswith(".egg-info")
    fields = dict[str, list[str]]()
    for name, value in headers(text("PKG-INFO" if is_egg else "METADATA") or ""):
        fields.setdefault(name, []).append(value)
    lines = fields.get("requires-dist", [])
    if is_egg and not lines:
        lines = list(egg_requirements(text("requires.txt") or ""))
    recorded = _recorded(directory, read, is_egg)
    return Distribution(
        directory=directory,
        name=_name(fields, directory, faults),
        version=(fields.get("version") or [""])[0][:200],
        requires=tuple(_requirements(lines, faults)),
        provides_extra=tuple(fields.get("provides-extra", ())),
        requires_python=(fields.get("requires-python") or [""])[0] or None,
        entry_points=tuple(read_entry_points(text("entry_points.txt") or "")),
        top_level=tuple(
            word for line in (text("top_level.txt") or "").split("\n")[:_MOST_LINES] if (word := line.strip())
        ),
        origin=_origin(read("direct_url.json"), faults),
        installer=(text("INSTALLER") or "").strip()[:100] or None,
        is_requested=read("REQUESTED") is not None,
        files=None if recorded is None else recorded.files,
        faults=(*faults, *(recorded.faults if recorded else ())),
    )


def headers(text: str) -> Iterator[tuple[str, str]]:
    """(name in lower case, value) of each header in order, continuation lines joined; the body is not looked at."""
    name, value = "", list[str]()
    for line in _lines(text):
        if line[:1] in (" ", "\t"):
            if not line.strip():  # some writers put blanks into the line that ends the headers
                break
            value.append(line.strip())
            continue
        if name:
            yield name, "\n".join(value)
        name, colon, first = line.partition(":")
        if not colon:
            return
        name, value = name.strip().lower(), [first.strip()]
    if name:
        yield name, "\n".join(value)


def read_entry_points(text: str) -> Iterator[EntryPoint]:
    """The entry points of an entry_points.txt, in order; lines that are none are left out."""
    for group, line in _sections(text):
        name, equals, value = (part.strip() for part in line.partition("="))
        if not (group and equals and name):
            continue
        found = _ENTRY.match(value)
        if not found:
            yield EntryPoint(group, name, value)
            continue
        extras = tuple(word for part in (found[3] or "").split(",") if (word := part.strip()))
        yield EntryPoint(group, name, value, found[1], found[2] or "", extras)


def egg_requirements(text: str) -> Iterator[str]:
    """The lines of a requires.txt as requirement lines: `[extra:marker]` sections become markers."""
    for section, line in _sections(text):
        extra, _, marker = section.partition(":")
        conditions = [f"({marker})"] if marker else []
        conditions += [f'extra == "{normalised(extra)}"'] if extra else []
        # A direct reference needs a blank in front of its marker.
        yield f"{line} ; {' and '.join(conditions)}" if conditions else line


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """(section, line) of each line that is neither blank nor a comment; "" before the first section."""
    section = ""
    for raw in _lines(text):
        line = raw.strip()
        if not line or line.startswith(("#", ";")):
            continue
        if found := _SECTION.match(line):
            section = found[1].strip()
        else:
            yield section, line


def _lines(text: str) -> Iterator[str]:
    """Lines without their ends, at most `_MOST_LINES`; a blank one included, which ends headers."""
    at = 0
    for _ in range(_MOST_LINES):
        if at >= len(text):
            return
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        yield text[at:end].rstrip("\r")
        at = end + 1


def _name(fields: dict[str, list[str]], directory: str, faults: list[str]) -> str:
    name = (fields.get("name") or [""])[0]
    if _NAME.match(name):
        return name
    faults.append(f"the metadata names no package: {name[:80]!r}")
    own = directory.rpartition("/")[2].rpartition(".")[0].partition("-")[0]
    return own if _NAME.match(own) else ""


def _requirements(lines: list[str], faults: list[str]) -> Iterator[Requirement]:
    from packaging.requirements import InvalidRequirement, Requirement  # takes 30 ms to import

    for line in lines[:_MOST_LINES]:
        if len(line) > _LONGEST_REQUIREMENT:
            faults.append("a requirement is too long")
            continue
        try:
            yield Requirement(line)
        except (InvalidRequirement, RecursionError):
            if len(faults) < 20:
                faults.append(f"a requirement cannot be read: {line[:80]!r}")


def _origin(data: bytes | None, faults: list[str]) -> Origin | None:
    if data is None:
        return None
    try:
        document = read_object(data, "direct_url.json")
        directory, vcs = document.fields("dir_info"), document.fields("vcs_info")
        return Origin(
            _USERINFO.sub(r"\1", document.needed_text("url")),
            directory.flag("editable") if directory else False,
            vcs.text("vcs") if vcs else None,
            vcs.text("commit_id") if vcs else None,
            document.text("subdirectory"),
        )
    except FormatError as error:
        faults.append(error.message)
        return None


def _recorded(directory: str, read: Callable[[str], bytes | None], is_egg: bool) -> Recorded | None:
    data = read("installed-files.txt" if is_egg else "RECORD")
    if data is None:
        return None
    return read_installed_files(data, directory) if is_egg else read_record(data, directory.rpartition("/")[0])
