"""Which file a module's name leads to in an image: what Python's own finders do, over names of directories. Nothing is run.

Source: Python language reference, "The import system" (5.3 to 5.5); importlib.machinery, FileFinder and the order of endings;
the `site` module (`.pth` files).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal, TypeAlias

from slimstage.analyze.imports import modules_of
from slimstage.analyze.record import below_root
from slimstage.regex import pattern
from slimstage.values import dataclass

ModuleKind: TypeAlias = Literal["source", "bytecode", "extension", "namespace"]
Names: TypeAlias = Callable[[str], Collection[str]]
"""A directory below the image's root → names in it; empty where there is none."""
Read: TypeAlias = Callable[[str], bytes | None]
"""A path → its bytes; None: no file, or not to be had."""

_EXTENSION = pattern(r"(?:\.(?:cpython|pypy)[\w.-]*|\.abi3)?\.so\Z")
_PTH_BYTES = 1 << 20
_MOST_PTH = 500


@dataclass(frozen=True, slots=True)
class Module:
    """One module. path: its file, "" of a namespace package. directories: where its submodules are; () for a plain module."""

    name: str
    kind: ModuleKind
    path: str
    directories: tuple[str, ...] = ()

    @property
    def is_package(self) -> bool:
        return bool(self.directories)


@dataclass(frozen=True, slots=True)
class SitePaths:
    """What `.pth` files of a site directory add: directories, and modules that are imported whenever Python starts."""

    directories: tuple[str, ...] = ()
    started: tuple[str, ...] = ()


class Modules:
    """Finds modules on a path of directories, the first first. Each directory is listed once."""

    def __init__(self, directories: Sequence[str], names: Names) -> None:
        self.directories = tuple(dict.fromkeys(each.strip("/") for each in directories))
        self._names = names
        self._listed: dict[str, dict[str, list[str]]] = {}
        self._found: dict[str, Module | None] = {}

    def find(self, name: str) -> Module | None:
        """The module of a full name; None where there is none (built into the interpreter, or missing)."""
        if name in self._found:
            return self._found[name]
        above, _, last = name.rpartition(".")
        places: tuple[str, ...] = self.directories
        if above:
            package = self.find(above) if above.count(".") < 100 else None
            places = package.directories if package else ()
        self._found[name] = found = self._search(name, last, places) if last.isidentifier() else None
        return found

    def submodules(self, module: Module) -> list[str]:
        """Full names of what lies right below a package, sorted."""
        found = set[str]()
        for directory in module.directories:
            found |= self._inside(directory, with_directories=True)
        return [f"{module.name}.{name}" for name in sorted(found)]

    def beside(self, module: Module) -> list[str]:
        """Full names of the modules in the package that holds one, without packages in it; none at the top."""
        package = module.name.rpartition(".")[0]
        inside = self._inside(module.path.rpartition("/")[0], with_directories=False) if package else ()
        return [f"{package}.{name}" for name in sorted(inside)]

    def cython_beside(self, module: Module) -> list[str]:
        """Paths of sources of Cython in the directory of a module, which wheels ship now and then."""
        directory = module.path.rpartition("/")[0]
        names = (name for row in self._list(directory).values() for name in row)
        return [f"{directory}/{name}" for name in sorted(names) if name.endswith((".pyx", ".pxi", ".pxd"))]

    def _inside(self, directory: str, *, with_directories: bool) -> set[str]:
        found = set()
        for stem, names in self._list(directory).items():
            if stem.isidentifier() and stem not in ("__init__", "__pycache__"):
                is_module = any(
                    name.endswith((".py", ".pyc")) or _EXTENSION.search(name) for name in names if name != stem
                )
                if is_module or (with_directories and stem in names):
                    found.add(stem)
        return found

    def name_of(self, path: str) -> str | None:
        """The name by which a source is imported; None where it lies on no directory of the path."""
        for directory in sorted(self.directories, key=len, reverse=True):
            prefix = f"{directory}/" if directory else ""
            if path.startswith(prefix) and path.endswith(".py"):
                parts = path[len(prefix) : -3].split("/")
                name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
                found = self.find(name)
                if found is not None and found.path == path:
                    return name
        return None

    def _list(self, directory: str) -> Mapping[str, Sequence[str]]:
        """The names in a directory by what stands before their first dot."""
        known = self._listed.get(directory)
        if known is None:
            known = self._listed[directory] = {}
            for name in self._names(directory):
                known.setdefault(name.partition(".")[0], []).append(name)
        return known

    def _search(self, name: str, last: str, places: Sequence[str]) -> Module | None:
        spaces = []
        for place in places:
            names = self._list(place).get(last)
            if names is None:
                continue
            prefix = f"{place}/" if place else ""
            if last in names:
                inner = f"{prefix}{last}"
                kind, file = _file(inner, "__init__", self._list(inner).get("__init__", ()))
                if file:
                    return Module(name, kind, file, (inner,))
                if self._list(inner):
                    spaces.append(inner)
            kind, file = _file(place, last, names)
            if file:
                return Module(name, kind, file)
        return Module(name, "namespace", "", tuple(spaces)) if spaces else None


def _file(directory: str, stem: str, names: Sequence[str]) -> tuple[ModuleKind, str]:
    """In the order of Python: extensions, sources, bytecode without a source. names: those that begin with the stem."""
    prefix = f"{directory}/" if directory else ""
    for name in names:
        if _EXTENSION.fullmatch(name[len(stem) :]):
            return "extension", prefix + name
    if f"{stem}.py" in names:
        return "source", f"{prefix}{stem}.py"
    return ("bytecode", f"{prefix}{stem}.pyc") if f"{stem}.pyc" in names else ("source", "")


def site_paths(directory: str, names: Names, read: Read) -> SitePaths:
    """What the `.pth` files of a site directory add, in their order. A path that leads outside of the image's root is none."""
    directories: dict[str, None] = {}
    started: dict[str, None] = {}
    for name in sorted(names(directory))[:100_000]:
        if not name.endswith(".pth") or name.startswith(".") or len(directories) > _MOST_PTH:
            continue
        data = read(f"{directory}/{name}" if directory else name)
        if data is None or len(data) > _PTH_BYTES:
            continue
        for line in data.decode("utf-8", "replace").removeprefix("\ufeff").split("\n")[:_MOST_PTH]:
            if line.startswith(("import ", "import\t")):
                # Such a line is run; what it imports is all that is asked for here.
                started.update((each.module, None) for each in modules_of(line.encode()).imports if not each.level)
            elif (
                (text := line.strip())
                and not text.startswith("#")
                and (path := below_root(text, directory))
                and names(path)
            ):
                directories[path] = None
    return SitePaths(tuple(directories), tuple(started))
