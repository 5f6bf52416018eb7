"""What of an image's Python can be reached from where it is started: modules by imports, packages by them and requirements.

Sources are looked at, never imported. What a pickle among the image's models would import counts as started: a program that
loads it does import it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from slimstage.analyze.analysis import USER, PythonFacts, WeightsFile
from slimstage.analyze.contents import Contents
from slimstage.analyze.distribution import Distribution
from slimstage.analyze.imports import modules_of
from slimstage.analyze.imports_text import imports_by_lines
from slimstage.analyze.installed import Installed
from slimstage.analyze.modules import Modules, site_paths
from slimstage.analyze.needs import closure
from slimstage.analyze.reach import Reached, reachable
from slimstage.analyze.starts import Start
from slimstage.regex import pattern
from slimstage.values import dataclass, field

_MOST_BYTES = 64 << 20
"""Of a source or an extension module that is read."""
_MOST_SHOWN = 200
_SITES = ("site-packages", "dist-packages")
_STDLIB = pattern(r"(?:.*/)?lib(?:64)?/python3(?:\.\d+)?t?\Z")


@dataclass(frozen=True, slots=True)
class PythonReach:
    """facts: for the analysis. reached: the modules, None where nothing is known to be started. packages: position in
    `installed` → the first module of it that was reached.
    """

    facts: PythonFacts
    reached: Reached | None = None
    packages: Mapping[int, str] = field(default_factory=dict)


def reach(
    contents: Contents,
    installed: Sequence[Installed],
    edges: Mapping[int, Iterable[int]],
    starts: Sequence[Start],
    weights: Sequence[WeightsFile],
    *,
    is_exact: bool = False,
) -> PythonReach:
    """Empty where Python is not started, as far as the config tells, or where sources were not kept.

    is_exact: by syntax trees, which takes five times as long; else by lines, which leads to the same packages.
    """
    entries = tuple(start.shown for start in starts)
    directories = _Directories(contents)
    if not starts or not any(each.kind == "python" for each in installed):
        return PythonReach(PythonFacts(entries))
    if any(layer.facts.remark for layer in contents.image.layers):
        return PythonReach(PythonFacts(entries, faults=("sources were not read, so nothing is known of imports",)))
    libraries = [d for d in directories if _STDLIB.match(d) and "os.py" in directories.names(d)]
    search = tuple(_search_path(contents, directories, starts, libraries))
    modules = Modules(search, directories.names)
    started = list(_started(starts, modules, weights))
    for directory in search:
        if directory.rpartition("/")[2] in _SITES:
            started += site_paths(directory, directories.names, directories.read).started
    plugins = _Plugins(each.distribution for each in installed if each.distribution is not None and not each.is_removed)
    reached = reachable(
        started,
        modules,
        directories.read,
        scripts=[start.name for start in starts if start.kind == "script"],
        codes=[start.name.encode("utf-8", "surrogateescape") for start in starts if start.kind == "code"],
        plugins=plugins,
        closed=libraries,
        look=modules_of if is_exact else imports_by_lines,
    )
    packages = _packages(contents, reached, reached.modules)
    needed = closure(edges, packages)
    certain = closure(
        edges, _packages(contents, reached, (name for name in reached.modules if name in reached.certain))
    )
    python = [
        number
        for number, each in enumerate(installed)
        if each.kind == "python" and not each.is_removed and each.directory.rpartition("/")[0] in search
    ]
    facts = PythonFacts(
        entries,
        len(reached.modules),
        tuple(sorted({installed[number].name for number in python if number in needed})),
        tuple(sorted({installed[number].name for number in python if number not in needed})),
        reached.dynamic[:_MOST_SHOWN],
        reached.faults[:_MOST_SHOWN],
        is_exact,
        tuple(sorted({installed[number].name for number in python if number in needed and number not in certain})),
    )
    return PythonReach(facts, reached, packages)


class _Directories:
    """Names in the directories of the image's tree; symlinks of directories are followed inside."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._names: dict[str, dict[str, None]] = {}
        for path in (*contents.seen, *contents.stack.symlinks):
            directory, _, name = path.rpartition("/")
            while name not in (there := self._names.setdefault(directory, {})):
                there[name] = None
                if not directory:
                    break
                directory, _, name = directory.rpartition("/")

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def names(self, directory: str) -> Collection[str]:
        found = self._names.get(directory)
        if found is None or directory in self._contents.stack.symlinks:
            found = self._names.get(self._contents.stack.resolve(f"{directory}/."), {})
        return found.keys()

    def read(self, path: str) -> bytes | None:
        position = self._contents.find(path)
        return None if position is None else self._contents.read(position, _MOST_BYTES)


def _search_path(
    contents: Contents, directories: _Directories, starts: Sequence[Start], libraries: Iterable[str]
) -> Iterator[str]:
    """What would be `sys.path`: of several interpreters and environments those in PATH first, but all of them.

    A package too many in it is kept for nothing; one too few would be taken for useless.
    """
    config = contents.image.config
    environment = dict(text.partition("=")[::2] for text in config.env)
    for start in starts:
        if start.kind == "script":
            yield start.name.rpartition("/")[0]
    for directory in environment.get("PYTHONPATH", "").split(":"):
        if directory:
            yield posixpath.normpath(posixpath.join("/", config.working_dir or "/", directory)).strip("/")
    yield (config.working_dir or "/").strip("/")
    prefixes = [directory.strip("/").rpartition("/")[0] for directory in environment.get("PATH", "").split(":")]

    def order(directory: str) -> tuple[int, str]:
        ranks = [rank for rank, prefix in enumerate(prefixes) if prefix and directory.startswith(f"{prefix}/")]
        return (min(ranks, default=len(prefixes)), directory)

    sites = [d for d in directories if d.rpartition("/")[2] in _SITES]
    for directory in sorted(libraries, key=order):
        yield directory
        yield f"{directory}/lib-dynload"
    for directory in sorted(sites, key=order):
        yield directory
        yield from site_paths(directory, directories.names, directories.read).directories


def _started(starts: Sequence[Start], modules: Modules, weights: Sequence[WeightsFile]) -> Iterator[str]:
    for start in starts:
        if start.kind == "module":
            yield start.name
    for model in weights:
        for name in model.classes:
            # `package.module.Class`: as much of it as is a module.
            module = name.rpartition(".")[0]
            while module and modules.find(module) is None:
                module = module.rpartition(".")[0]
            if module:
                yield module


class _Plugins:
    """Modules of the entry points of a group; "" for all."""

    def __init__(self, distributions: Iterable[Distribution]) -> None:
        self._groups: dict[str, list[str]] = {}
        for distribution in distributions:
            for point in distribution.entry_points:
                if point.module and point.group not in ("console_scripts", "gui_scripts"):
                    self._groups.setdefault(point.group, []).append(point.module)

    def __call__(self, group: str) -> Iterable[str]:
        if group:
            return self._groups.get(group, ())
        return [module for modules in self._groups.values() for module in modules]


def _packages(contents: Contents, reached: Reached, names: Iterable[str]) -> dict[int, str]:
    """Position of each package that has one of these modules → that module, the first that was found."""
    found: dict[int, str] = {}
    owners = contents.files.owners
    for name in names:
        path = reached.modules[name].path
        position = contents.find(path) if path else None
        if position is not None and owners[position] > USER:
            found.setdefault(owners[position] - USER - 1, name)
    return found
