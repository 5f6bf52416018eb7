"""What each file of an image is for, by its path. Pure: nothing is opened, so what a name hides is not seen.

The purposes are a partition: every path has exactly one, the first of the rules that fits. Rules that say "not needed to run"
(tests, headers, documentation, …) are narrow: a directory that some package imports although it is called `tests` stays
with the libraries. docs/purposes.md shows the table.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, TypeAlias

from slimstage.analyze import purpose_names as names
from slimstage.analyze.purposes import PURPOSES, Purpose
from slimstage.values import dataclass

_Kind: TypeAlias = Literal["own", "cache", "python", "standard", "node", "system"]
_HUB_BYTES = 1 << 20
_FEWEST_WEIGHTS_BYTES = 64


@dataclass(frozen=True, slots=True)
class _Place:
    """What a directory decides. purpose: of all files in it. package: top-level name below a directory of packages.

    below: its parts below the prefix (`usr`, `opt/conda`) or the directory of packages, in lower case for those.
    """

    kind: _Kind
    purpose: Purpose | None = None
    package: str = ""
    below: tuple[str, ...] = ()
    directory: str = ""


def purpose_of(path: str, size_bytes: int) -> Purpose:
    """What the file is for. path: below the image's root. size_bytes: tells a blob of a model hub from a small file."""
    directory, _, name = path.rpartition("/")
    place = _place(directory)
    if place.purpose is not None:
        return place.purpose
    lower = name.lower()
    ending = _ending(lower)
    if ending == ".ipynb":
        return "notebooks"
    if place.kind == "python":
        return _in_python(place, name, lower, ending, size_bytes)
    if place.kind == "node":
        return _in_node(place, lower, ending)
    if place.kind == "standard":
        return _in_standard(lower, ending)
    if _is_weights(lower, ending, size_bytes):
        return "weights"
    if place.kind == "cache":
        return "caches"
    if place.kind == "own":
        return "datasets" if ending in names.DATASETS and size_bytes >= names.FEWEST_DATASET_BYTES else "application"
    return _in_system(place, name, lower, ending)


def _ending(name: str) -> str:
    """`.py`; `.so` of `libx.so.1.2` too; "" for none."""
    dot = name.rfind(".")
    if dot <= 0:
        return ""
    if ".so." in name and name.rpartition(".so.")[2].replace(".", "").isdigit():
        return ".so"
    return name[dot:]


def _is_weights(lower: str, ending: str, size_bytes: int) -> bool:
    if size_bytes < _FEWEST_WEIGHTS_BYTES:
        return False
    return ending in names.WEIGHTS or bool(names.NAMED_WEIGHTS.match(lower))


@lru_cache(maxsize=4096)
def _place(directory: str) -> _Place:
    parts = tuple(directory.split("/")) if directory else ()
    known = set(parts)
    slashed = f"{directory}/"
    if known & names.VCS:
        return _Place("own", "vcs")
    if any(part.startswith("models--") for part in parts) or "torch/hub/checkpoints" in directory:
        return _Place("own", "weights")
    if any(part.startswith("datasets--") for part in parts) or "/huggingface/datasets/" in slashed:
        return _Place("own", "datasets")
    if known & names.CACHE_PARTS or slashed.startswith(names.CACHE_PLACES) or _is_conda_cache(parts):
        return _Place("cache")
    if slashed.startswith("usr/lib/debug/") or any(part.endswith(".dSYM") for part in parts):
        return _Place("system", "debug-symbols")
    for number in range(len(parts) - 1, -1, -1):
        if parts[number] in names.SITES:
            return _python_place(parts[number + 1 :])
        if parts[number] == "node_modules":
            return _node_place(parts[number + 1 :])
    return _system_place(parts, slashed)


def _is_conda_cache(parts: tuple[str, ...]) -> bool:
    return any(parts[at] == "pkgs" and names.CONDA.match(parts[at - 1]) for at in range(1, len(parts)))


# Python packages ----------------------------------------------------------------------------------------------


def _python_place(parts: tuple[str, ...]) -> _Place:
    """parts: below site-packages."""
    if not parts:
        return _Place("python")
    top, below = parts[0], tuple(part.lower() for part in parts)
    package = top.lower()
    is_information = package.endswith((".dist-info", ".egg-info"))
    if is_information:
        package = package.partition("-")[0].removesuffix(".egg").removesuffix(".dist").replace("-", "_")
    if package in names.PACKAGE_MANAGERS:
        return _Place("python", "package-managers")
    if is_information:
        return _Place("python", None, "", ("metadata", *below[1:]))
    if package.endswith("-stubs"):
        return _Place("python", "type-stubs")
    if _is_test(parts):
        return _Place("python", "tests")
    if package in names.BUILD_PACKAGES or (package == "nvidia" and "cuda_nvcc" in below[1:2]):
        return _Place("python", "build-tools")
    if "cmake" in below[1:] and {"lib", "share"} & set(below[1:]):
        return _Place("python", "build-tools")
    return _Place("python", None, package, below)


def _is_test(parts: tuple[str, ...]) -> bool:
    """Only directories called so: `numpy.testing` and `jinja2/tests.py` are loaded by programs."""
    return bool(names.TESTS.intersection(parts)) and "/".join(parts[:2]) not in names.TESTS_THAT_ARE_LOADED


def _in_python(place: _Place, name: str, lower: str, ending: str, size_bytes: int) -> Purpose:
    below = place.below
    if below[:1] == ("metadata",):
        return "licences" if names.LICENCE.match(lower) or "licenses" in below else "package-metadata"
    if not below or below == ("__pycache__",):
        # Files right in site-packages: modules of one file, and `.pth` files that add directories.
        if lower.partition(".")[0] in {"distutils-precedence", "easy_install"}:
            return "package-managers"
        if ending in (".egg-info", ".egg-link"):
            return "package-metadata"
    if ending in (".pyi", ".typed") and place.package not in names.TYPES_ARE_LOADED:
        return "type-stubs"
    if place.package not in names.COMPILES_AT_RUN_TIME:
        if ending in names.HEADERS or ending in names.NATIVE_SOURCES:
            return "headers"
        if ending in names.STATIC:
            return "static-libraries"
        if "bin" in below[1:] and names.BUILD_COMMANDS.match(name.partition(".")[0]):
            return "build-tools"
    if ending in names.DEBUG:
        return "debug-symbols"
    if ending in (".pyc", ".pyo"):
        return "bytecode"
    if ending not in (".py", ".pyi") and (found := _about_python(place, lower, ending)) is not None:
        return found
    if place.package in names.CUDA_PACKAGES or names.CUDA_FILE.match(lower):
        return "cuda"
    if (
        below
        and ending not in (".txt", ".json")
        and _is_weights(lower, ending, size_bytes)
        and not names.TESTS & set(below)
    ):
        return "weights"
    return "library"


def _about_python(place: _Place, lower: str, ending: str) -> Purpose | None:
    """Of a file that is no module: what is about the package rather than part of it."""
    below = place.below
    directory = "/".join(below)
    if directory.startswith(names.SAMPLE_PLACES):
        return "sample-data"
    if names.EXAMPLES.intersection(below[1:]) and place.package not in names.EXAMPLES_THAT_ARE_LOADED:
        return "sample-data"
    if ending == ".so":
        return None
    if names.LICENCE.match(lower):
        return "licences"
    if names.README.match(lower):
        return "docs"
    if {"doc", "docs"}.intersection(below[1:]):
        return "docs"
    if ending in (".mo", ".po", ".pot") or "locale-data" in below:
        return "library" if any(names.ENGLISH.match(part) for part in (*below[1:], lower)) else "locales"
    return "build-tools" if ending in names.BUILD_FILES else None


# Node packages and the standard library ---------------------------------------------------------------------------


def _node_place(parts: tuple[str, ...]) -> _Place:
    """parts: below the innermost node_modules."""
    top = parts[0] if parts else ""
    if top in ("npm", "corepack", "yarn", "pnpm"):
        return _Place("node", "package-managers")
    inside = parts[2 if top.startswith("@") else 1 :]
    if inside[:1] and inside[0] in names.TESTS:
        return _Place("node", "tests")
    return _Place("node", None, top, inside)


def _in_node(place: _Place, lower: str, ending: str) -> Purpose:
    if names.LICENCE.match(lower):
        return "licences"
    if names.README.match(lower) or (
        place.below[:1] in (("docs",), ("doc",)) and ending not in (".js", ".cjs", ".mjs")
    ):
        return "docs"
    if lower.endswith((".d.ts", ".d.mts", ".d.cts", ".flow")):
        return "type-stubs"
    if ending == ".map":
        return "debug-symbols"
    if lower == "package.json" and not place.below:
        return "library"
    if place.package == ".package-lock.json" or lower == ".package-lock.json":
        return "package-metadata"
    if ending in names.HEADERS or ending in names.NATIVE_SOURCES:
        return "headers"
    return "static-libraries" if ending in names.STATIC else "library"


def _in_standard(lower: str, ending: str) -> Purpose:
    if ending in names.STATIC:
        return "static-libraries"
    if ending in names.HEADERS or ending in names.NATIVE_SOURCES:
        return "headers"
    return "bytecode" if ending in (".pyc", ".pyo") else "interpreter"


# The system -------------------------------------------------------------------------------------------------------


def _system_place(parts: tuple[str, ...], slashed: str) -> _Place:
    if slashed.startswith(names.METADATA_PLACES) or "conda-meta" in parts:
        return _Place("system", "package-metadata")
    if slashed.startswith(names.MANAGER_PLACES):
        return _Place("system", "package-managers")
    if slashed.startswith("usr/src/linux-"):
        return _Place("system", "headers")
    if slashed.startswith(names.OWN_PLACES):
        return _Place("own")
    below = _below_prefix(parts)
    if below is None:
        return _Place("own")
    if (number := _standard_library(below)) is not None:
        inside = below[number:]
        if inside[:1] == ("ensurepip",):
            return _Place("standard", "package-managers")
        if names.STANDARD_TESTS.intersection(inside[:2]):
            return _Place("standard", "tests")
        return _Place("standard", None, "", inside)
    return _Place("system", _of_directory(below, slashed), "", below, slashed)


def _below_prefix(parts: tuple[str, ...]) -> tuple[str, ...] | None:
    """The parts below `usr`, `usr/local`, an environment of conda or a virtual one; None: the place is the user's."""
    first = parts[0] if parts else ""
    if first == "usr":
        return parts[2:] if parts[1:2] == ("local",) else parts[1:]
    for number, part in enumerate(parts):
        if names.CONDA.match(part) and number < 4:
            rest = parts[number + 1 :]
            return rest[2:] if rest[:1] == ("envs",) else rest
        if part in names.VENVS and parts[number + 1 : number + 2] in (("bin",), ("lib",), ("include",), ("share",)):
            return parts[number + 1 :]
    if first in names.SYSTEM_ROOTS or (first == "opt" and parts[1:2] and names.CUDA_PLACES.match("/".join(parts))):
        return parts
    if first == "opt" and parts[2:3] in (("bin",), ("lib",), ("include",)):
        return parts[2:]
    return None


def _standard_library(below: tuple[str, ...]) -> int | None:
    """Where what is in the standard library of Python begins among the parts."""
    if below[:1] and below[0] in ("lib", "lib64") and len(below) > 1 and names.STANDARD_LIBRARY.match(below[1]):
        return 2
    return None


def _of_directory(below: tuple[str, ...], slashed: str) -> Purpose | None:
    top, second = (*below[:2], "", "")[:2]
    if top == "include" or (top in ("lib", "libexec") and second == "gcc" and "include" in below):
        return "headers"
    if top == "share":
        if second in names.LOCALE_SHARES:
            return "locales"
        if second == "common-licenses" or second == "licenses":
            return "licences"
        if names.RUNTIME_PRINTERS.match(slashed):
            return "system"
        if second in names.BUILD_SHARES or second.startswith(("cmake-", "automake-", "aclocal-", "gcc-")):
            return "build-tools"
    if top == "man":
        return "docs"
    if top == "lib" and second == "locale":
        return "system" if "C.utf8" in below else "locales"
    if names.INTERPRETER_PARTS.intersection(below[1:3]):
        return "interpreter"
    return None


def _in_system(place: _Place, name: str, lower: str, ending: str) -> Purpose:
    below, slashed = place.below, place.directory
    top, second = (*below[:2], "", "")[:2]
    if top == "share" and second in names.DOC_SHARES:
        return "licences" if names.LICENCE.match(lower) else "docs"
    if ending in names.STATIC and top.startswith("lib"):
        return "static-libraries"
    if ending in names.DEBUG:
        return "debug-symbols"
    if names.CUDA_PLACES.match(slashed):
        return _in_toolkit(below, name, ending)
    if slashed.startswith(names.BUILD_PLACES) or {"cmake", "pkgconfig", "bfd-plugins"} & set(below[1:4]):
        return "build-tools"
    if top in ("bin", "sbin", "libexec"):
        return _command(name, below)
    if ending == ".so":
        return _shared(name, lower)
    if ending in (".pyc", ".pyo"):
        return "bytecode"
    if ending in names.HEADERS:
        return "headers"
    return "system"


def _in_toolkit(below: tuple[str, ...], name: str, ending: str) -> Purpose:
    """Of a GPU's toolkit: what compiles is a build tool."""
    if "include" in below or ending in names.HEADERS:
        return "headers"
    if ending in names.STATIC:
        return "static-libraries"
    if {"doc", "docs", "man", "EULA"} & set(below):
        return "docs"
    if {"nvvm", "nvvm-prev"} & set(below) and ending != ".so" and ending != ".bc":
        return "build-tools"
    return "build-tools" if "bin" in below and names.BUILD_COMMANDS.match(name) else "cuda"


def _command(name: str, below: tuple[str, ...]) -> Purpose:
    if names.MANAGER_COMMANDS.match(name):
        return "package-managers"
    if names.BUILD_COMMANDS.match(name):
        return "build-tools"
    if names.INTERPRETERS.match(name):
        return "interpreter"
    return "system"


def _shared(name: str, lower: str) -> Purpose:
    if names.CUDA_FILE.match(lower):
        return "cuda"
    if names.MANAGER_LIBRARIES.match(name):
        return "package-managers"
    if names.BUILD_LIBRARIES.match(name):
        return "build-tools"
    return "interpreter" if names.INTERPRETERS.match(name) else "library"


__all__ = ["PURPOSES", "Purpose", "purpose_of"]
