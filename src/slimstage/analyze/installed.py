"""Every package that an image knows, in any of its layers, with the files that its own list names.

The databases of all layers are read, the highest first: a package that only a lower layer knows was removed, and its bytes
are still stored. Nothing is executed; what cannot be read is a fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from slimstage.analyze.analysis import OwnerKind
from slimstage.analyze.contents import Contents
from slimstage.analyze.debian import (
    EXTENDED_STATES,
    INFO_DIRECTORY,
    STATUS,
    STATUS_DIRECTORY,
    DebianPackage,
    package_of,
    read_automatic,
    read_list,
    read_status,
)
from slimstage.analyze.debian import LIMIT_BYTES as STATUS_BYTES
from slimstage.analyze.distribution import LIMIT_BYTES as METADATA_BYTES
from slimstage.analyze.distribution import Distribution, read_distribution
from slimstage.regex import pattern
from slimstage.values import dataclass, replace

if TYPE_CHECKING:
    from collections.abc import Sequence

_LIST_BYTES = 16 << 20
_METADATA = pattern(
    r"(?:(.*)/)?([^/]+\.(?:dist-info|egg-info))/(?:METADATA|PKG-INFO|RECORD|INSTALLER|REQUESTED|entry_points\.txt|"
    r"top_level\.txt|direct_url\.json|requires\.txt|installed-files\.txt)\Z"
)
_DEBIAN = pattern(rf"(?:{STATUS}|{STATUS_DIRECTORY}/[^/]+|{INFO_DIRECTORY}/[^/]+\.list|{EXTENDED_STATES})\Z")


@dataclass(frozen=True, slots=True)
class Installed:
    """One package. files: as its list has them, below the root, directories perhaps among them; not resolved.

    layer: of the database that knows it. requires: each need as its alternatives, names as they are compared in its kind.
    metadata: a file or directory that is the package manager's own, and is the package's.
    """

    kind: OwnerKind
    name: str
    version: str
    layer: int
    directory: str = ""
    files: Sequence[str] = ()
    requires: tuple[tuple[str, ...], ...] = ()
    provides: tuple[str, ...] = ()
    is_requested: bool = False
    is_essential: bool = False
    is_removed: bool = False
    distribution: Distribution | None = None
    """Of a Python package, without its files."""

    @property
    def key(self) -> str:
        """The name by which packages of its kind are compared."""
        return self.distribution.key if self.distribution is not None else self.name


def is_package_text(path: str, size: int) -> bool:
    """True for what is read here."""
    if path.endswith((".list", "status", "extended_states")) or path.startswith(f"{STATUS_DIRECTORY}/"):
        return bool(_DEBIAN.match(path)) and size <= STATUS_BYTES
    return "-info/" in path and bool(_METADATA.match(path)) and size <= STATUS_BYTES


def read_installed(contents: Contents, faults: list[str]) -> list[Installed]:
    """All packages, sorted by kind and name; what is installed before what was removed."""
    found = [*_debian(contents), *_python(contents, faults)]
    return sorted(found, key=lambda each: (each.kind, each.key, each.is_removed, each.directory, each.version))


# Debian -------------------------------------------------------------------------------------------------------


def _debian(contents: Contents) -> Iterator[Installed]:
    files = contents.files
    databases: list[tuple[bool, int, int]] = []
    lists: dict[str, int] = {}
    automatic: frozenset[str] = frozenset()
    for position, path in enumerate(files.paths):
        if not path.startswith("var/lib/"):
            continue
        if path == STATUS or (path.startswith(STATUS_DIRECTORY) and not path.endswith(".md5sums")):
            databases.append((not files.is_seen(position), -files.layers[position], position))
        elif path.startswith(INFO_DIRECTORY) and path.endswith(".list"):
            name = path.rpartition("/")[2]
            known = lists.get(name)
            if known is None or not files.is_seen(known):
                lists[name] = position
        elif path == EXTENDED_STATES and files.is_seen(position):
            automatic = read_automatic(_text(contents, position, STATUS_BYTES))
    of_package: dict[str, list[int]] = {}
    for name, position in lists.items():
        of_package.setdefault(package_of(name), []).append(position)
    known_packages: dict[tuple[str, str], None] = {}
    for is_hidden, _, position in sorted(databases):
        for package in read_status(_text(contents, position, STATUS_BYTES)):
            key = (package.name, package.architecture)
            if key in known_packages:
                continue
            known_packages[key] = None
            yield _debian_package(contents, package, of_package.pop(package.name, []), position, automatic, is_hidden)


def _debian_package(
    contents: Contents,
    package: DebianPackage,
    lists: list[int],
    position: int,
    automatic: frozenset[str],
    is_hidden: bool,
) -> Installed:
    paths: list[str] = []
    for each in lists:
        paths += read_list(_text(contents, each, _LIST_BYTES))
    layers = [contents.files.layers[each] for each in lists]
    return Installed(
        "debian",
        package.name,
        package.version,
        max(layers, default=contents.files.layers[position]),
        files=paths,
        requires=package.depends,
        provides=package.provides,
        is_requested=package.name not in automatic,
        is_essential=package.is_essential,
        # What dpkg does not list any more was removed; a status of a lower layer says so of packages that are gone.
        is_removed=is_hidden,
    )


def _text(contents: Contents, position: int, limit_bytes: int) -> str:
    data = contents.read(position, limit_bytes)
    return "" if data is None else data.decode("utf-8", "surrogateescape")


# Python -------------------------------------------------------------------------------------------------------


def _python(contents: Contents, faults: list[str]) -> Iterator[Installed]:
    files = contents.files
    found: dict[str, dict[str, int]] = {}
    for position, path in enumerate(files.paths):
        if "-info/" in path and (match := _METADATA.match(path)):
            directory = path.rpartition("/")[0]
            texts = found.setdefault(directory, {})
            name = path[len(directory) + 1 :]
            known = texts.get(name)
            if known is None or files.is_seen(position) >= files.is_seen(known):
                texts[name] = position
            del match
    for directory, texts in sorted(found.items()):
        seen = {name: position for name, position in texts.items() if files.is_seen(position)}
        is_removed = not ({"METADATA", "PKG-INFO"} & seen.keys())
        used = texts if is_removed else seen
        if not {"METADATA", "PKG-INFO"} & used.keys():
            continue

        def read(name: str, used: dict[str, int] = used) -> bytes | None:
            return contents.read(used[name], METADATA_BYTES * 4) if name in used else None

        distribution = read_distribution(directory, read)
        if distribution.faults:
            faults.append(f"{directory}: {distribution.faults[0]}")
        layer = files.layers[used.get("METADATA", used.get("PKG-INFO", 0))]
        listed = distribution.files
        yield Installed(
            "python",
            distribution.name,
            distribution.version,
            layer,
            directory,
            [] if listed is None else [each.path for each in listed if not each.is_outside],
            is_requested=distribution.is_requested,
            is_removed=is_removed,
            distribution=replace(distribution, files=None),
        )
