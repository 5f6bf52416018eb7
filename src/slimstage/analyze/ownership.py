"""Whose each file of an image is: a package's whose list names it or whose all around it is, the user's, or nobody's.

A path belongs to one owner: the system's package manager goes before conda, conda before Python, Python before npm, since
each of them may list what the one before it brought. Bytecode goes with its source, and what no list names with the package
that has all else in the nearest directory below where packages lie.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from slimstage.analyze.analysis import NOBODY, USER, OwnedPackage
from slimstage.analyze.contents import Contents
from slimstage.analyze.debian import INFO_DIRECTORY, package_of
from slimstage.regex import pattern

if TYPE_CHECKING:
    from slimstage.analyze.installed import Installed

_PRIORITY = {"debian": 0, "alpine": 0, "rpm": 0, "conda": 1, "python": 2, "npm": 3}
_BYTECODE = pattern(r"((?:.*/)?)__pycache__/([^/]+?)\.[^/]*\.pyc\Z")
_SYSTEM = (
    "bin/", "boot/", "dev/", "etc/", "lib/", "lib32/", "lib64/", "libx32/", "proc/", "run/", "sbin/", "sys/", "tmp/", "usr/",
    "var/", "root/.cache/",
)  # fmt: skip
_OS_RELEASE = ("etc/os-release", "usr/lib/os-release")
_COPIES = pattern(r"(?:\S+ )*?(?:/bin/sh -c #\(nop\) +)?(?:COPY|ADD)\b")


def assign(contents: Contents, installed: Sequence[Installed]) -> list[OwnedPackage]:
    """Notes the owner of every file in the table; returns the owners, with their bytes but without who needs them."""
    files = contents.files
    present = set(files.paths)
    first = USER + 1
    listed = _listed(contents, installed, present)
    places = _Places(installed, listed)
    own_layers, environments = _own_layers(contents), _environments(contents)
    for position, path in enumerate(files.paths):
        owner = listed.get(path)
        if owner is not None:
            files.own(position, owner + first, is_listed=True)
            continue
        owner = places.owner(path)
        if owner is not None:
            files.own(position, owner + first, is_listed=False)
        elif not path.startswith(environments) and (
            not path.startswith(_SYSTEM) or files.layers[position] in own_layers
        ):
            files.own(position, USER, is_listed=False)
    return list(_owners(contents, installed))


def _listed(contents: Contents, installed: Sequence[Installed], present: set[str]) -> dict[str, int]:
    """Path → position in `installed` of the package whose list names it, of those that there are in any layer."""
    resolve = contents.stack.resolve
    found: dict[str, int] = {}
    order = sorted(
        range(len(installed)), key=lambda each: (installed[each].is_removed, _PRIORITY[installed[each].kind], each)
    )
    for number in order:
        for path in installed[number].files:
            if path not in present:
                path = resolve(path)  # a list says /lib/x where /lib is a symlink to /usr/lib
                if path not in present:
                    continue
            found.setdefault(path, number)
    return found


class _Places:
    """Whose a file is that no list names, by where it lies."""

    def __init__(self, installed: Sequence[Installed], listed: Mapping[str, int]) -> None:
        self._listed = listed
        self._debian = {each.name: number for number, each in enumerate(installed) if each.kind == "debian"}
        self._metadata = {each.directory: number for number, each in enumerate(installed) if each.kind == "python"}
        self._sites = {each.directory.rpartition("/")[0] for each in installed if each.kind == "python"}
        self._packages = {
            each.directory: number for number, each in enumerate(installed) if each.kind == "npm" and each.directory
        }
        self._single = _single_owners(
            (path, number) for path, number in listed.items() if installed[number].kind in ("python", "conda")
        )

    def owner(self, path: str) -> int | None:
        above = path.rpartition("/")[0]
        if path.startswith(INFO_DIRECTORY):
            return self._debian.get(package_of(path.rpartition("/")[2]))
        if above in self._metadata:
            return self._metadata[above]
        if path.endswith(".pyc") and (source := _BYTECODE.match(path)):
            owner = self._listed.get(f"{source[1]}{source[2]}.py")
            if owner is not None:
                return owner
        if "node_modules/" in path and (owner := self._npm(above)) is not None:
            return owner
        return self._nearest(above) if self._sites else None

    def _npm(self, directory: str) -> int | None:
        while directory:
            owner = self._packages.get(directory)
            if owner is not None:
                return owner
            directory = directory.rpartition("/")[0]
        return None

    def _nearest(self, directory: str) -> int | None:
        """The package that has all that is listed in the nearest directory that has any, below where packages are."""
        found: int | None = None
        while directory:
            if directory in self._sites:
                return found
            if found is None:
                owner = self._single.get(directory)
                if owner is not None:
                    if owner < 0:
                        return None
                    found = owner
            directory = directory.rpartition("/")[0]
        return None


def _single_owners(listed: Iterator[tuple[str, int]]) -> dict[str, int]:
    """Directories in which all that is listed, further down too, is one package's; -1 for the others."""
    found: dict[str, int] = {}
    for path, owner in listed:
        while path := path.rpartition("/")[0]:
            known = found.setdefault(path, owner)
            if known != owner:
                if known == -1:
                    break  # then those above are mixed, too
                found[path] = -1
    return found


def _environments(contents: Contents) -> tuple[str, ...]:
    """Prefixes of Python's and conda's environments: what lies there and no package owns was made by installing."""
    found = {path[: -len("pyvenv.cfg")] for path in contents.files.paths if path.endswith("/pyvenv.cfg")}
    found |= {
        path.partition("conda-meta/")[0]
        for path in contents.files.paths
        if "/conda-meta/" in path and path.endswith(".json")
    }
    return tuple(sorted(found - {"", "/"}))


def _own_layers(contents: Contents) -> frozenset[int]:
    """Layers above that of the system in which all that no package owns was copied in by whoever wrote the Dockerfile."""
    files = contents.files
    system = [files.layers[position] for path in _OS_RELEASE if (position := contents.seen.get(path)) is not None]
    first = max(system, default=-1) + 1
    return frozenset(
        number
        for number, layer in enumerate(contents.image.layers)
        if number >= first and _COPIES.match(layer.facts.created_by)
    )


def _owners(contents: Contents, installed: Sequence[Installed]) -> Iterator[OwnedPackage]:
    files = contents.files
    count = len(installed) + USER + 1
    sizes, hidden, unlisted, numbers = ([0] * count for _ in range(4))
    for position, owner in enumerate(files.owners):
        size = files.sizes[position]
        sizes[owner] += size
        numbers[owner] += 1
        if files.states[position]:
            hidden[owner] += size
        if not files.flags[position] & 1:
            unlisted[owner] += size
    yield OwnedPackage("none", size_bytes=sizes[NOBODY], hidden_bytes=hidden[NOBODY], files=numbers[NOBODY])
    yield OwnedPackage("own", size_bytes=sizes[USER], hidden_bytes=hidden[USER], files=numbers[USER])
    for number, each in enumerate(installed, USER + 1):
        yield OwnedPackage(
            each.kind,
            each.name,
            each.version,
            each.directory,
            each.layer,
            sizes[number],
            hidden[number],
            unlisted[number],
            numbers[number],
            is_requested=each.is_requested,
            is_essential=each.is_essential,
            is_removed=each.is_removed,
        )
