"""What an image is made of, for its bill of materials: packages of Debian and Python, weights of models.

Read from the tree of the image's layers; nothing of it is imported or run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from slimstage.analyze.debian import LIMIT_BYTES, STATUS, STATUS_DIRECTORY, DebianPackage, read_status
from slimstage.analyze.distribution import LIMIT_BYTES as METADATA_BYTES
from slimstage.analyze.distribution import Distribution, headers, read_distribution
from slimstage.digest import Digest
from slimstage.errors import ContextError
from slimstage.regex import pattern
from slimstage.tree.union import UnionTree
from slimstage.values import dataclass

_METADATA = (".dist-info", ".egg-info")
_WEIGHTS = {
    ".safetensors": "safetensors",
    ".gguf": "gguf",
    ".onnx": "onnx",
    ".pt": "pytorch",
    ".pth": "pytorch",
    ".ckpt": "checkpoint",
    ".joblib": "joblib",
    ".h5": "hdf5",
    ".keras": "keras",
    ".tflite": "tflite",
    ".ubj": "xgboost",
    ".cbm": "catboost",
    ".mlmodel": "coreml",
}
_NAMED_WEIGHTS = pattern(r"(?:pytorch_model|model|adapter_model)[\w.-]*\.(?:bin|pkl|pickle|txt|json)\Z")
_FEWEST_BYTES = 64
"""A shorter file of such a name is a placeholder."""
_PACKAGES = ("/site-packages/", "/dist-packages/")
_BLOCK_BYTES = 1 << 20
OS_RELEASE = ("etc/os-release", "usr/lib/os-release")


@dataclass(frozen=True, slots=True)
class System:
    """What os-release says: `debian`, `12`, `Debian GNU/Linux 12 (bookworm)`; empty where there is none."""

    id: str = ""
    version: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class PythonPackage:
    """A distribution, and its licence as an SPDX expression where its metadata has one."""

    distribution: Distribution
    licence: str | None = None


@dataclass(frozen=True, slots=True)
class Weights:
    """A model's file."""

    path: str
    format: str
    size_bytes: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class Inventory:
    """Each part sorted, so that equal trees give equal documents. faults: what could not be read, a sentence each."""

    system: System
    debian: tuple[DebianPackage, ...] = ()
    python: tuple[PythonPackage, ...] = ()
    weights: tuple[Weights, ...] = ()
    faults: tuple[str, ...] = ()


def take_inventory(tree: UnionTree) -> Inventory:
    """Reads the whole tree once. A package whose texts cannot be read is a fault of the value. Raises OSError."""
    faults: list[str] = []
    python: list[PythonPackage] = []
    weights: list[Weights] = []
    for entry in tree.walk(""):
        path = entry.path
        if entry.kind == "dir" and path.endswith(_METADATA):
            try:
                python.append(_distribution(tree, path))
            except ContextError as error:
                faults.append(error.message)
        elif entry.kind == "file" and entry.size >= _FEWEST_BYTES and (kind := weights_format(path)):
            weights.append(Weights(path, kind, entry.size, _digest(tree, path)))
    return Inventory(
        system=_system(tree),
        debian=tuple(sorted(set(_debian(tree, faults)), key=lambda each: (each.name, each.architecture, each.version))),
        python=tuple(sorted(python, key=lambda each: (each.distribution.key, each.distribution.directory))),
        weights=tuple(sorted(weights, key=lambda each: each.path)),
        faults=tuple(faults),
    )


def weights_format(path: str) -> str | None:
    """The format of a model's file, by its name; None for other files and for test data inside packages. Pure."""
    if any(part in f"/{path}" for part in _PACKAGES):
        return None
    name = path.rpartition("/")[2].lower()
    dot = name.rfind(".")
    if dot > 0 and (found := _WEIGHTS.get(name[dot:])):
        return found
    return "model" if _NAMED_WEIGHTS.match(name) else None


def read_os_release(text: str) -> System:
    """Source: os-release(5). Pure."""
    fields = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            fields[name.strip()] = value.strip().strip("\"'")
    return System(fields.get("ID", ""), fields.get("VERSION_ID", ""), fields.get("PRETTY_NAME", ""))


def _system(tree: UnionTree) -> System:
    for path in OS_RELEASE:
        if (text := _text(tree, path, 1 << 16)) is not None:
            return read_os_release(text)
    return System()


def _debian(tree: UnionTree, faults: list[str]) -> list[DebianPackage]:
    paths = [STATUS]
    paths += [f"{STATUS_DIRECTORY}/{name}" for name in tree.names(STATUS_DIRECTORY) if not name.endswith(".md5sums")]
    found: list[DebianPackage] = []
    for path in paths:
        try:
            found += read_status(_text(tree, path, LIMIT_BYTES) or "")
        except ContextError as error:
            faults.append(error.message)
    return found


def _text(tree: UnionTree, path: str, limit_bytes: int) -> str | None:
    data = tree.read(path, limit_bytes)
    return None if data is None else data.decode("utf-8", "replace")


def _distribution(tree: UnionTree, directory: str) -> PythonPackage:
    read: Callable[[str], bytes | None] = lambda name: tree.read(f"{directory}/{name}", METADATA_BYTES)  # noqa: E731
    metadata = read("METADATA") or read("PKG-INFO") or b""
    fields = dict(headers(metadata.decode("utf-8", "replace")))
    return PythonPackage(read_distribution(directory, read), fields.get("license-expression") or None)


def _digest(tree: UnionTree, path: str) -> Digest:
    hasher = hashlib.sha256()
    with open(tree.open(path), "rb", buffering=0) as stream:
        while block := stream.read(_BLOCK_BYTES):
            hasher.update(block)
    return Digest(f"sha256:{hasher.hexdigest()}")
