"""Which files of a COPY become a layer of their own: by how often they change. Pure.

From the bottom: the system's files, the interpreter, heavy Python packages one by one, light ones together, weights one
file a layer, and last what is nobody's: the user's own code. A layer that did not change keeps its digest and its place on
those below it, so an update of one package costs a pull of that one alone.

A file belongs to the package whose RECORD names it. Bytecode goes with its source, and what nobody names with the package
that has all else in that directory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

from slimstage.analyze.record import read_record
from slimstage.regex import pattern
from slimstage.tree.entry import Entry
from slimstage.values import dataclass

Kind: TypeAlias = Literal["system", "interpreter", "package", "packages", "weight", "weights", "own"]

MOST_LAYERS = 127
"""In one image: what Docker's overlay driver takes."""
HEAVY_BYTES = 4 << 20
"""A package of so many bytes has a layer of its own; a layer costs a request, some 20 ms."""
WEIGHT_BYTES = 1 << 20
"""A file of weights of so many bytes has one."""
BIG_BYTES = 16 << 20
"""Any file of nobody's of so many bytes has one, whatever it is called."""

_NO_KEY: tuple[Kind, str] = ("own", "/")
_ORDER: tuple[Kind, ...] = ("system", "interpreter", "package", "packages", "weight", "weights", "own")
_SURE_WEIGHTS = pattern(
    r".*\.(safetensors|pt|pth|ckpt|onnx|h5|hdf5|keras|tflite|gguf|ggml|joblib|pkl|pickle|npz|mlmodel|engine|ubj|cbm|skops"
    r"|pdparams|pdiparams|caffemodel)\Z",
    re.IGNORECASE | re.DOTALL,
)
_MAYBE_WEIGHTS = pattern(
    r".*\.(bin|npy|pb|model|data|params|plan|msgpack|parquet|arrow|index|faiss|dat|txt|vocab)\Z",
    re.IGNORECASE | re.DOTALL,
)
"""Endings that weights have among much else: by size alone."""
_RECORD = pattern(r"(?:(.*)/)?([^/]+)\.dist-info/RECORD\Z")
_STDLIB = pattern(r"(?:(.*)/)?lib/(python3\.\d+)/os\.py\Z")
_BYTECODE = pattern(r"((?:.*/)?)__pycache__/([^/]+?)\.[^/]*\.pyc\Z")
_SYSTEM = pattern(
    r"(?:usr/(?:s?bin|lib|lib32|lib64|libx32|libexec|share|include|games)|s?bin|lib|lib32|lib64|libx32|"
    r"var/(?:lib|cache))/"
)


@dataclass(frozen=True, slots=True)
class Group:
    """What one layer holds. title: for people, in the image's history."""

    kind: Kind
    title: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Layering:
    """groups: base first. parts: for each entry, in order, the number of its group."""

    groups: tuple[Group, ...]
    parts: tuple[int, ...]


def layering(entries: Sequence[Entry], read: Callable[[str], bytes | None], most: int) -> Layering:
    """How the entries of a layer directory are split.

    read: gives a small file of the layer by its path, None when it is too large. most: layers there may be; the lightest
    are joined until it fits. One group means that nothing is split.
    """
    owners = _owners(entries, read)
    interpreter = _Interpreter(entries)
    keys: list[tuple[Kind, str]] = []
    first: dict[tuple[int, int], tuple[Kind, str]] = {}
    sizes: dict[tuple[Kind, str], int] = {}
    for entry in entries:
        if entry.kind == "dir" or entry.is_whiteout:
            keys.append(_NO_KEY)
            continue
        key = _key(entry, owners, interpreter)
        size = entry.size
        if entry.kind == "file" and entry.nlink > 1:
            if entry.identity in first:
                key, size = first[entry.identity], 0  # names of one file cannot be in two layers
            first.setdefault(entry.identity, key)
        keys.append(key)
        sizes[key] = sizes.get(key, 0) + size
    joined = _joined(sizes, most)
    groups = _groups(sizes, joined)
    numbers = {key: number for number, (_, members) in enumerate(groups) for key in members}
    # Marks of deletion are the first layer's; a directory's own part counts when it is empty: then it is the user's.
    own = numbers.get(("own", ""), max(len(groups) - 1, 0))
    parts = tuple(
        numbers[key] if key is not _NO_KEY else 0 if entry.is_whiteout else own
        for entry, key in zip(entries, keys, strict=True)
    )
    return Layering(tuple(group for group, _ in groups), parts)


def shares(wanted: Sequence[int], room: int) -> list[int]:
    """How many layers each of several steps may have: what it wants, or an equal share of what the others leave.

    At least one each, whatever the room is.
    """
    found = [1] * len(wanted)
    for done, number in enumerate(sorted(range(len(wanted)), key=lambda number: wanted[number])):
        found[number] = max(1, min(wanted[number], room // (len(wanted) - done)))
        room -= found[number]
    return found


def _key(entry: Entry, owners: Mapping[str, str], interpreter: _Interpreter) -> tuple[Kind, str]:
    path = entry.path
    owner = owners.get(path)
    if owner is not None:
        return "package", owner
    if interpreter.has(path):
        return "interpreter", interpreter.title
    if _SYSTEM.match(path):
        return "system", ""
    if entry.kind == "file":
        is_weight = _SURE_WEIGHTS.match(path) or (entry.size >= WEIGHT_BYTES and _MAYBE_WEIGHTS.match(path))
        if is_weight and entry.size < WEIGHT_BYTES:
            return "weights", ""
        if is_weight or entry.size >= BIG_BYTES:
            return "weight", path
    return "own", ""


def _joined(sizes: Mapping[tuple[Kind, str], int], most: int) -> dict[tuple[Kind, str], tuple[Kind, str]]:
    """Which group each key is in: light packages together, and of what could be alone the lightest too, until it fits."""
    into = {key: key for key in sizes}
    for key, size in sizes.items():
        if key[0] == "package" and size < HEAVY_BYTES:
            into[key] = ("packages", "")
    alone = sorted((size, key) for key, size in sizes.items() if into[key][0] in ("package", "weight"))
    left = set(into.values())
    for _, key in alone:
        if len(left) <= most:
            break
        into[key] = ("packages", "") if key[0] == "package" else ("weights", "")
        left = (left - {key}) | {into[key]}
    # Only kinds are left now: neighbours in the order of change become one, the most stable first.
    ordered = sorted(left, key=lambda each: _ORDER.index(each[0]))
    while len(ordered) > max(most, 1):
        gone = ordered.pop(0)
        into = {key: ordered[0] if found == gone else found for key, found in into.items()}
    return into


def _groups(
    sizes: Mapping[tuple[Kind, str], int], into: Mapping[tuple[Kind, str], tuple[Kind, str]]
) -> list[tuple[Group, list[tuple[Kind, str]]]]:
    """The groups with their keys, in the order of the layers."""
    members: dict[tuple[Kind, str], list[tuple[Kind, str]]] = {}
    for key in sorted(into):
        members.setdefault(into[key], []).append(key)
    found = []
    for target, keys in members.items():
        size = sum(sizes[key] for key in keys)
        found.append((Group(target[0], _title(keys), size), keys))
    # Of one kind the heaviest at the bottom, by powers of two: a little more or less must not move it.
    found.sort(key=lambda each: (_ORDER.index(each[0].kind), -each[0].size_bytes.bit_length(), each[0].title))
    return found


def _title(keys: Sequence[tuple[Kind, str]]) -> str:
    """What the layer holds, kind by kind."""
    words: list[str] = []
    for kind in _ORDER:
        names = sorted(name for own, name in keys if own == kind)
        if not names:
            continue
        if kind == "package" and len(names) > 1:
            shown = ", ".join(names[:3])
            words.append(f"{len(names)} Python packages: {shown}" + (", …" if len(names) > 3 else ""))
        elif kind == "weight" and len(names) > 1:
            words.append(f"{len(names)} large files")
        else:
            fixed = {"system": "system files", "weights": "small files of weights", "own": "everything else"}
            words.append(fixed.get(kind) or (f"/{names[0]}" if kind == "weight" else names[0]))
    return "; ".join(words)


class _Interpreter:
    """Where a Python installation is among the files."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.title = ""
        self._prefixes: list[tuple[str, str]] = []
        self._environments: list[str] = []
        for entry in entries:
            if found := _STDLIB.match(entry.path):
                prefix = f"{found[1]}/" if found[1] else ""
                self._prefixes.append((prefix, found[2]))
                self.title = self.title or f"{found[2].replace('python', 'Python ')} interpreter"
            elif entry.path.rpartition("/")[2] == "pyvenv.cfg":
                self._environments.append(entry.path[: -len("pyvenv.cfg")])
        self.title = self.title or "Python environment"

    def has(self, path: str) -> bool:
        for prefix, version in self._prefixes:
            if path.startswith(prefix) and self._is_of(path[len(prefix) :], version):
                return True
        return any(
            path.startswith(place) and path[len(place) :].startswith(("pyvenv.cfg", "bin/", "lib64", "include"))
            for place in self._environments
        )

    @staticmethod
    def _is_of(path: str, version: str) -> bool:
        library = f"lib/{version}/"
        if path.startswith(library):
            return not path[len(library) :].startswith(("site-packages/", "dist-packages/"))
        return path.startswith(
            ("bin/python", "bin/pydoc", "bin/idle", "lib/libpython", f"include/{version}", "lib/pkgconfig/python")
        )


def _owners(entries: Sequence[Entry], read: Callable[[str], bytes | None]) -> dict[str, str]:
    """`name version` of the package that each path belongs to, as far as it belongs to one."""
    paths = {entry.path for entry in entries if entry.kind != "dir"}
    listed: dict[str, str] = {}
    sites: set[str] = set()
    for entry in entries:
        found = _RECORD.match(entry.path)
        data = read(entry.path) if found and entry.kind == "file" else None
        if found is None or data is None:
            continue
        name, _, version = found[2].partition("-")
        label = f"{name} {version}".strip()
        sites.add(found[1] or "")
        for file in read_record(data, found[1] or "").files:
            if file.path in paths:
                listed.setdefault(file.path, label)
        listed.setdefault(entry.path, label)
    if not listed:
        return {}
    directories = _single_owners(listed)
    unlisted: dict[str, str] = {}
    for path in paths - listed.keys():
        source = _BYTECODE.match(path)
        owner = listed.get(f"{source[1]}{source[2]}.py") if source else None
        if owner := owner or _owner_of_directory(path, sites, directories):
            unlisted[path] = owner
    return {**listed, **unlisted}


def _owner_of_directory(path: str, sites: set[str], directories: Mapping[str, str]) -> str:
    """The package that has all else in the nearest directory, if that is further down than where packages are."""
    owner: str | None = None
    for above in (*_above(path), ""):
        if above in sites:
            return owner or ""
        if owner is None:
            owner = directories.get(above)
    return ""


def _single_owners(listed: Mapping[str, str]) -> dict[str, str]:
    """Directories in which all that is listed, further down too, is one package's; "" for the others."""
    found: dict[str, str] = {}
    for path, owner in listed.items():
        for above in _above(path):
            if found.setdefault(above, owner) != owner:
                found[above] = ""
    return found


def _above(path: str) -> Iterator[str]:
    """The directories that hold it, nearest first, without the root."""
    while path := path.rpartition("/")[0]:
        yield path
