"""Which modules an image's entries lead to by their imports: a closure over syntax trees, wide on purpose. Nothing is run.

A module that is missing in a slim image is a failure at the worst moment, one that is kept costs its bytes. So imports in
functions count, as do optional ones where they are there; an extension module brings the modules beside it, which it imports
unseen, those of its own package that it names in texts, and what sources of Cython beside it import; plug-ins of every group of
entry points that is asked for count, too.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial

from slimstage.analyze.imports import MOST_BYTES, modules_of
from slimstage.analyze.imports_text import imports_of_text
from slimstage.analyze.imports_values import Import, Imports
from slimstage.analyze.modules import Module, Modules, Read
from slimstage.regex import pattern
from slimstage.values import dataclass, field

_MOST_MODULES = 200_000
_MOST_PLACES = 2000
_DEEPEST = 60
"""Packages in each other."""
_STARTED = (
    "site", "encodings", "encodings.utf_8", "encodings.ascii", "encodings.latin_1", "encodings.idna", "codecs", "io", "abc",
    "sitecustomize", "usercustomize", "runpy", "importlib", "zipimport",
)  # fmt: skip
"""What an interpreter imports before the program, whatever that is."""
_NAMED = pattern(rb"(?:\.[A-Za-z_]\w{0,60}){1,8}")
_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.")
_TESTS = frozenset({"tests", "test", "conftest"})

Look = Callable[[bytes], Imports]
"""A source → its imports."""
Plugins = Callable[[str], Iterable[str]]
"""A group of entry points → modules of those that are installed; "" for all groups."""


@dataclass(frozen=True, slots=True)
class Reached:
    """modules: full name → the module, in the order they were found. came: name → the one that led to it, "" for an entry.

    certain: names that are imported whenever the entries are: by no optional import, and by none in a function of a package.
    paths: files of modules and scripts. dynamic: `path:line` of imports whose name is computed. missing: names that no file was
    found for and that are imported unconditionally, with who does. faults: a sentence each.
    """

    modules: dict[str, Module] = field(default_factory=dict)
    came: dict[str, str] = field(default_factory=dict)
    certain: frozenset[str] = frozenset()
    paths: frozenset[str] = frozenset()
    dynamic: tuple[str, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)
    faults: tuple[str, ...] = ()

    def chain(self, name: str) -> list[str]:
        """From an entry to a module that was reached, both included; empty when it was not."""
        found: list[str] = []
        while name and name in self.came and name not in found:
            found.append(name)
            name = self.came[name]
        return found[::-1]


def reachable(
    entries: Iterable[str],
    modules: Modules,
    read: Read,
    scripts: Iterable[str] = (),
    codes: Iterable[bytes] = (),
    plugins: Plugins = lambda group: (),
    closed: Iterable[str] = (),
    look: Look = modules_of,
) -> Reached:
    """All modules that the entries lead to.

    entries: full names of modules; `__main__` of a package too. scripts: paths of sources that are started as files. codes:
    sources of `python -c`. read: a source or an extension module by its path, None for what is not to be had. closed:
    directories whose modules import only each other (the standard library): they are found, and not looked into. look: finds
    the imports of a source; by lines (`imports_by_lines`) it takes a fifth of the time, and finds a few modules less.
    Raises: what `read` and the listing raise.
    """
    walker = _Walker(modules, read, plugins, tuple(f"{each}/" for each in closed), look)
    for name in _STARTED:
        walker.reach(name, "")
    for name in entries:
        walker.needed(name, "")
        walker.reach(f"{name}.__main__", name)
    for path in scripts:
        walker.script(path)
    for code in codes:
        walker.code(code)
    return walker.run()


class _Walker:
    """First all that is certain, then what may be: so what is found first is found by the stronger reason."""

    def __init__(self, modules: Modules, read: Read, plugins: Plugins, closed: tuple[str, ...], look: Look) -> None:
        self._modules, self._read, self._plugins, self._closed, self._look = modules, read, plugins, closed, look
        self._found: dict[str, Module] = {}
        self._came: dict[str, str] = {}
        self._missing: dict[str, str] = {}
        self._paths: dict[str, None] = {}
        self._dynamic: list[str] = []
        self._faults: dict[str, None] = {}
        self._todo: deque[Module] = deque()
        self._later: deque[Callable[[], None]] = deque()
        self._groups: set[str] = set()
        self._cython: set[str] = set()

    def run(self) -> Reached:
        certain: frozenset[str] | None = None
        while self._todo or self._later:
            if self._todo:
                self._look_into(self._todo.popleft())
                continue
            if certain is None:
                certain = frozenset(self._found)
            self._later.popleft()()
        return Reached(
            self._found,
            self._came,
            frozenset(self._found) if certain is None else certain,
            frozenset(self._paths),
            tuple(self._dynamic),
            self._missing,
            tuple(self._faults),
        )

    def reach(self, name: str, by: str) -> bool:
        """Notes a module and the packages above it; False when there is none of that name."""
        if name in self._found:
            return True
        above = name.rpartition(".")[0]
        if above.count(".") > _DEEPEST or (above and not self.reach(above, by)):
            return False
        module = self._modules.find(name)
        if module is None:
            return False
        if len(self._found) >= _MOST_MODULES:
            self._fault(f"there are more than {_MOST_MODULES} modules")
            return False
        self._found[name], self._came[name] = module, by
        if module.path:
            self._paths[module.path] = None
        self._todo.append(module)
        return True

    def needed(self, name: str, by: str) -> bool:
        """As `reach`; notes that it is missing."""
        is_there = self.reach(name, by)
        if not is_there and len(self._missing) < _MOST_PLACES and not self._is_built_in(name):
            self._missing.setdefault(name, by)
        return is_there

    def script(self, path: str) -> None:
        """A source that is started by its path."""
        name = self._modules.name_of(path)
        if name is not None:
            self.reach(name, "")
        elif self._source(path, path, None):
            self._came.setdefault(path, "")
            self._paths[path] = None

    def code(self, source: bytes) -> None:
        """A source that is no file."""
        self._came.setdefault("-c", "")
        self._take(source, "-c", "-c", None)

    def _is_built_in(self, name: str) -> bool:
        top = name.partition(".")[0]
        return top in sys.builtin_module_names or top in sys.stdlib_module_names

    def _look_into(self, module: Module) -> None:
        if module.path.startswith(self._closed) and not _is_packaged(module.path):
            return
        if module.kind == "source":
            self._source(module.path, module.name, module)
        elif module.kind == "extension":
            self._extension(module)
        elif module.kind == "bytecode":
            self._fault(f"{module.path} is bytecode without a source: what it imports is not known")

    def _source(self, path: str, name: str, module: Module | None) -> bool:
        """False when it cannot be read."""
        data = self._read(path)
        if data is None:
            self._fault(f"{path} cannot be read")
            return False
        self._take(data, path, name, module)
        return True

    def _take(self, data: bytes, path: str, name: str, module: Module | None) -> None:
        """module: None for what is no module of anything."""
        found = self._look(data)
        for fault in found.faults:
            self._fault(f"{path}: {fault}")
        self._dynamic += [f"{path}:{line}" for line in found.dynamic][: _MOST_PLACES - len(self._dynamic)]
        package = "" if module is None else name if module.is_package else name.rpartition(".")[0]
        is_own = not _is_packaged(path)
        for each in found.imports:
            if each.is_typing:
                continue
            is_weak = each.is_optional or each.is_deferred or each.is_main
            if is_weak and not is_own:
                self._later.append(partial(self._import, each, package, name))
            else:
                self._import(each, package, name, is_needed=not is_weak)
        if module is not None and module.is_package and found.exported:
            self._each([f"{name}.{each}" for each in found.exported], name)
        if found.below or found.groups:
            self._later.append(partial(self._by_texts, found, package, name))

    def _import(self, each: Import, package: str, by: str, is_needed: bool = False) -> None:
        base = _absolute(each.module, each.level, package)
        if base is None or (base and not (self.needed(base, by) if is_needed else self.reach(base, by))):
            return
        for name in each.names:
            # Of `*` a package's own `__all__` tells, when it is read itself.
            if name != "*":
                self.reach(f"{base}.{name}" if base else name, by)

    def _by_texts(self, found: Imports, package: str, by: str) -> None:
        """What a source imports by names that it computes, as far as they can be known."""
        for module, level in found.below:
            base = _absolute(module, level, package)
            if base and self.reach(base, by):
                self._each(self._modules.submodules(self._found[base]), by)
        for group in found.groups:
            if group not in self._groups:
                self._groups.add(group)
                self._each(self._plugins(group), by)

    def _each(self, names: Iterable[str], by: str) -> None:
        for name in names:
            if name.rpartition(".")[2] not in _TESTS:
                self.reach(name, by)

    def _extension(self, module: Module) -> None:
        self._each(self._modules.beside(module), module.name)
        top = module.name.partition(".")[0]
        if top == module.name:
            return
        data = self._read(module.path)
        if data is None:
            self._fault(f"{module.path} cannot be read")
            return
        self._each((name for name in _named(data, top) if self._modules.find(name) is not None), module.name)
        package = module.name.rpartition(".")[0]
        for path in self._modules.cython_beside(module):
            if path not in self._cython:
                self._cython.add(path)
                text = self._read(path) or b""
                for each in imports_of_text(text).imports if len(text) <= MOST_BYTES else ():
                    self._later.append(partial(self._import, each, package, module.name))

    def _fault(self, sentence: str) -> None:
        if len(self._faults) < _MOST_PLACES:
            self._faults[sentence] = None


def _is_packaged(path: str) -> bool:
    return "-packages/" in path


def _named(data: bytes, package: str) -> set[str]:
    """Texts of an extension module that can be names of modules of its own package."""
    found: set[str] = set()
    word = package.encode()
    at = data.find(word + b".")
    while at >= 0 and len(found) <= _MOST_PLACES:
        match = _NAMED.match(data, at + len(word))
        if match and (at == 0 or data[at - 1] not in _LETTERS):
            found.add(package + match[0].decode("ascii", "replace"))
        at = data.find(word + b".", at + len(word))
    return found


def _absolute(module: str, level: int, package: str) -> str | None:
    """The full name of what is imported; None where dots lead above the top."""
    if level == 0:
        return module
    parts = package.split(".") if package else []
    if level - 1 > len(parts) or not parts:
        return None
    base = parts[: len(parts) - (level - 1)]
    return ".".join([*base, module] if module else base) or None
