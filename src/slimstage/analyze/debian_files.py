"""Which files a Debian package owns: `NAME.list` with what was diverted, settings, and both spellings of merged directories.

Pure text to values; the texts come from an image and are not trusted.

Source: dpkg-query(1) --listfiles, dpkg-divert(1), deb-conffiles(5); the file of diversions is lib/dpkg/divertdb.c's. "UsrMerge"
of the Debian wiki for directories that are symlinks into /usr.
"""

from __future__ import annotations

from collections.abc import Mapping

from slimstage.analyze.record import below_root
from slimstage.values import dataclass

DIVERSIONS = "var/lib/dpkg/diversions"
_MOST_LINES = 2_000_000
_MERGED = ("bin/", "sbin/", "lib/", "lib32/", "lib64/", "libx32/")


@dataclass(frozen=True, slots=True)
class Diversion:
    """Another package's file of this name is installed as `to`. package: whose file keeps its name; "" when nobody's."""

    to: str
    package: str


def read_diversions(text: str) -> dict[str, Diversion]:
    """Path below the root → what diverts it. Raises: nothing; what is cut off is left out."""
    lines = text.split("\n", _MOST_LINES)[:_MOST_LINES]
    found: dict[str, Diversion] = {}
    for at in range(0, len(lines) - 2, 3):
        path, to, package = below_root(lines[at], ""), below_root(lines[at + 1], ""), lines[at + 2].strip()
        if path is not None and to is not None:
            found[path] = Diversion(to, "" if package == ":" else package)
    return found


def owned_files(text: str, package: str = "", diversions: Mapping[str, Diversion] | None = None) -> tuple[str, ...]:
    """The paths of a `NAME.list` below the root, each once, as they are on disk: a diverted one where it was put.

    package: whose list it is. Directories are among them: the list does not tell them apart. Raises: nothing.
    """
    found: dict[str, None] = {}
    for line in text.split("\n", _MOST_LINES)[:_MOST_LINES]:
        path = below_root(line.rstrip("\r"), "")
        if path is None:
            continue
        diverted = (diversions or {}).get(path)
        found[path if diverted is None or diverted.package == package else diverted.to] = None
    return tuple(found)


def read_conffiles(text: str) -> tuple[str, ...]:
    """The settings of a package that dpkg does not overwrite, below the root: of `NAME.conffiles`, or of the field
    `Conffiles` of the status file, whose lines have a digest and perhaps `obsolete` behind the path. Raises: nothing."""
    found: dict[str, None] = {}
    for line in text.split("\n", _MOST_LINES)[:_MOST_LINES]:
        words = line.strip().removeprefix("remove-on-upgrade ").split(" ")
        path = below_root(words[0], "") if words[0].startswith("/") else None
        if path is not None and "obsolete" not in words[2:]:
            found[path] = None
    return tuple(found)


def spellings(path: str) -> tuple[str, ...]:
    """The path, and the other one by which the same file may be known where /bin, /sbin and /lib are symlinks into /usr."""
    if path.startswith(_MERGED):
        return path, f"usr/{path}"
    if path.startswith("usr/") and path[4:].startswith(_MERGED):
        return path, path[4:]
    return (path,)
