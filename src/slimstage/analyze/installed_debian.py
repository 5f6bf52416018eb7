"""Debian packages of an image, from dpkg's databases in all of its layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from slimstage.analyze.contents import Contents
from slimstage.analyze.debian import (
    EXTENDED_STATES,
    INFO_DIRECTORY,
    LIMIT_BYTES,
    STATUS,
    STATUS_DIRECTORY,
    DebianPackage,
    package_of,
    read_automatic,
    read_status,
)
from slimstage.analyze.debian_files import DIVERSIONS, Diversion, owned_files, read_diversions
from slimstage.analyze.installed import Installed, highest_first

_LIST_BYTES = 16 << 20


def is_text(path: str, size: int) -> bool:
    """True for what is read here."""
    if size > LIMIT_BYTES or not path.startswith("var/lib/"):
        return False
    if path.startswith(f"{INFO_DIRECTORY}/"):
        return path.endswith(".list")
    return path in (STATUS, EXTENDED_STATES, DIVERSIONS) or path.startswith(f"{STATUS_DIRECTORY}/")


def debian_packages(contents: Contents) -> Iterator[Installed]:
    """All of them, those that only a lower layer knows too."""
    files = contents.files
    databases: list[int] = []
    lists: dict[str, int] = {}
    for position, path in enumerate(files.paths):
        if not path.startswith("var/lib/dpkg/"):
            continue
        if path == STATUS or (path.startswith(f"{STATUS_DIRECTORY}/") and not path.endswith(".md5sums")):
            databases.append(position)
        elif path.startswith(f"{INFO_DIRECTORY}/") and path.endswith(".list"):
            name = path.rpartition("/")[2]
            known = lists.get(name)
            if known is None or not files.is_seen(known):
                lists[name] = position
    of_package: dict[str, list[int]] = {}
    for name, position in lists.items():
        of_package.setdefault(package_of(name), []).append(position)
    automatic = read_automatic(contents.text(EXTENDED_STATES, LIMIT_BYTES) or "")
    diversions = read_diversions(contents.text(DIVERSIONS, LIMIT_BYTES) or "")
    known_packages: set[tuple[str, str]] = set()
    for position in highest_first(contents, databases):
        for package in read_status(_text(contents, position, LIMIT_BYTES)):
            key = (package.name, package.architecture)
            if key not in known_packages:
                known_packages.add(key)
                positions = of_package.pop(package.name, [])
                yield _installed(contents, package, positions, position, automatic, diversions)


def _installed(
    contents: Contents,
    package: DebianPackage,
    lists: list[int],
    database: int,
    automatic: frozenset[str],
    diversions: Mapping[str, Diversion],
) -> Installed:
    files = contents.files
    paths: list[str] = []
    for each in lists:
        paths += owned_files(_text(contents, each, _LIST_BYTES), package.name, diversions)
    return Installed(
        "debian",
        package.name,
        package.version,
        max((files.layers[each] for each in lists), default=files.layers[database]),
        files=paths,
        requires=package.depends,
        provides=package.provides,
        is_requested=package.name not in automatic,
        is_essential=package.is_essential,
        is_removed=not files.is_seen(database),
    )


def _text(contents: Contents, position: int, limit_bytes: int) -> str:
    data = contents.read(position, limit_bytes)
    return "" if data is None else data.decode("utf-8", "surrogateescape")
