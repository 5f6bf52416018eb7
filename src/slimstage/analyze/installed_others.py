"""Packages of Alpine, RPM, conda and npm of an image, from their databases in all of its layers."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.analyze import alpine, rpm
from slimstage.analyze.conda import read_meta
from slimstage.analyze.contents import Contents
from slimstage.analyze.installed import Installed, highest_first
from slimstage.analyze.npm import read_package
from slimstage.regex import pattern

_RPM_BYTES = 128 << 20
"""Of a database, which is read into memory: that of 5,000 packages has some 100 MB."""
_META_BYTES = 16 << 20
_MOST_DATABASES = 4
"""Of one kind in several layers: each is a copy of the one below it with some packages more or less."""
_CONDA = pattern(r"(?:(.*)/)?conda-meta/[^/]+\.json\Z")
_NPM = pattern(r"(?:(?:.*/)?node_modules/(?:@[^/]+/)?[^/]+)/package\.json\Z")
_RPM = frozenset(f"{directory}/{name}" for directory in rpm.DIRECTORIES for name in rpm.DATABASES)


def is_text(path: str, size: int) -> bool:
    """True for what is read here."""
    if path.endswith(".json"):
        return size <= _META_BYTES and bool(_CONDA.match(path) or _NPM.match(path))
    if path in _RPM:
        return size <= _RPM_BYTES
    return path in alpine.INSTALLED or path == alpine.WORLD


def other_packages(contents: Contents, faults: list[str]) -> Iterator[Installed]:
    """All of them, those that only a lower layer knows too."""
    apk: dict[str, list[int]] = {}
    rpms: dict[str, list[int]] = {}
    conda: dict[str, int] = {}
    npm: dict[str, int] = {}
    files = contents.files
    for position, path in enumerate(files.paths):
        if path in alpine.INSTALLED:
            apk.setdefault(path, []).append(position)
        elif path in _RPM:
            rpms.setdefault(path, []).append(position)
        elif path.endswith(".json"):
            found = conda if _CONDA.match(path) else npm if _NPM.match(path) else None
            if found is not None and (path not in found or files.is_seen(position) or not files.is_seen(found[path])):
                found[path] = position
    yield from _alpine(contents, apk)
    yield from _rpm(contents, rpms, faults)
    yield from _conda(contents, conda, faults)
    yield from _npm(contents, npm, faults)


def _alpine(contents: Contents, databases: dict[str, list[int]]) -> Iterator[Installed]:
    world = alpine.read_world(contents.text(alpine.WORLD) or "")
    known: set[str] = set()
    for positions in databases.values():
        for position in highest_first(contents, positions)[:_MOST_DATABASES]:
            data = contents.read(position, alpine.LIMIT_BYTES) or b""
            for package in alpine.read_installed(data.decode("utf-8", "surrogateescape")):
                if package.name in known:
                    continue
                known.add(package.name)
                yield Installed(
                    "alpine",
                    package.name,
                    package.version,
                    contents.files.layers[position],
                    files=package.files,
                    requires=tuple((name,) for name in package.depends),
                    provides=package.provides,
                    is_requested=package.name in world,
                    is_removed=not contents.files.is_seen(position),
                )


def _rpm(contents: Contents, databases: dict[str, list[int]], faults: list[str]) -> Iterator[Installed]:
    known: set[tuple[str, str]] = set()
    files = contents.files
    for path, positions in databases.items():
        for position in highest_first(contents, positions)[:_MOST_DATABASES]:
            data = contents.read(position, _RPM_BYTES)
            if data is None:
                faults.append(f"{path}: more than {_RPM_BYTES >> 20} MiB are not read")
                continue
            found = rpm.read_database(data, rpm.DATABASES[path.rpartition("/")[2]])
            faults += [f"{path}: {fault}" for fault in found.faults[:3]]
            for package in found.packages:
                key = (package.name, package.architecture)
                if key in known:
                    continue
                known.add(key)
                yield Installed(
                    "rpm",
                    package.name,
                    package.version,
                    files.layers[position],
                    files=package.files,
                    requires=tuple((name,) for name in package.depends),
                    # A package that needs a file needs whoever has it.
                    provides=(*package.provides, *(f"/{file}" for file in package.files)),
                    is_removed=not files.is_seen(position),
                )


def _conda(contents: Contents, documents: dict[str, int], faults: list[str]) -> Iterator[Installed]:
    for path, position in sorted(documents.items()):
        data = contents.read(position, _META_BYTES)
        package = read_meta(data) if data is not None else None
        if package is None or not package.name:
            continue
        faults += [f"{path}: {fault}" for fault in package.faults[:1]]
        match = _CONDA.match(path)
        prefix = f"{match[1]}/" if match and match[1] else ""
        yield Installed(
            "conda",
            package.name,
            package.version,
            contents.files.layers[position],
            files=[path, *(prefix + file for file in package.files)],
            requires=tuple((name,) for name in package.depends),
            is_requested=package.is_requested,
            is_removed=not contents.files.is_seen(position),
        )


def _npm(contents: Contents, documents: dict[str, int], faults: list[str]) -> Iterator[Installed]:
    for path, position in sorted(documents.items()):
        data = contents.read(position, _META_BYTES)
        directory = path.rpartition("/")[0]
        package = read_package(data, directory) if data is not None else None
        if package is None or not package.name:
            continue
        faults += [f"{path}: {fault}" for fault in package.faults[:1]]
        yield Installed(
            "npm",
            package.name,
            package.version,
            contents.files.layers[position],
            directory,
            [path],
            requires=tuple((name,) for name in package.depends),
            is_removed=not contents.files.is_seen(position),
        )
