"""What is in the files of an image's tree: symbols and device code of libraries, parameters of models. Nothing is loaded.

Whatever a file claims is held against its size by the readers behind this; a file that lies is a fault, and the others count.
"""

from __future__ import annotations

from collections.abc import Callable

from slimstage.analyze.analysis import WeightsFile
from slimstage.analyze.contents import Contents
from slimstage.analyze.elf import is_elf, read_elf
from slimstage.analyze.fatbin import SECTIONS, read_fatbins
from slimstage.analyze.inventory import weights_format
from slimstage.analyze.layers import Content
from slimstage.analyze.purpose import purpose_of
from slimstage.analyze.weights.read import read_weights
from slimstage.errors import FormatError
from slimstage.regex import pattern
from slimstage.values import dataclass, field

LEAST_ELF_BYTES = 32 << 10
"""Of smaller libraries no symbols are worth a look."""
_LEAST_SYMBOLS = 4096
_ELF_NAME = pattern(r".*\.so(?:\.[0-9.]+)?\Z|.*/s?bin/[^/.]+\Z|.*\.(?:node|bin|exe)\Z")
_PYTHON_PLACES = ("/site-packages/", "/dist-packages/")
_PICKLES = (".pkl", ".pickle", ".sav")
"""Whatever it is that was pickled: the file says."""
_LEAST_PACKAGED_WEIGHTS = 1 << 20
"""A smaller file of weights inside a Python package is its test data."""
HEAD_ONLY = {".safetensors": 32 << 20, ".gguf": 64 << 20}
"""Formats whose header stands at the beginning, and as much of it as is kept."""


@dataclass(slots=True)
class Examined:
    """symbols, gpu: bytes of a file by its position that nothing loads, and that are device code. by_gpu: of all files."""

    symbols: dict[int, int] = field(default_factory=dict)
    gpu: dict[int, int] = field(default_factory=dict)
    by_gpu: dict[str, int] = field(default_factory=dict)
    weights: list[WeightsFile] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def is_binary(path: str, size: int) -> bool:
    """True for what may be a library or program that is worth a look."""
    return size >= LEAST_ELF_BYTES and bool(_ELF_NAME.match(path))


def is_model(path: str, size: int) -> bool:
    """True for what is called like a model's file, and is no test data of a package."""
    if any(place in path for place in _PYTHON_PLACES):
        return size >= _LEAST_PACKAGED_WEIGHTS and weights_format(path.rpartition("/")[2]) not in (None, "model")
    return size > 0 and (path.endswith(_PICKLES) or purpose_of(path, size) == "weights" or bool(weights_format(path)))


def examine(contents: Contents) -> Examined:
    """Looks into every library and model of the tree, each file once."""
    found = Examined()
    files = contents.files
    for position in files.seen():
        size, path = files.sizes[position], files.paths[position]
        if is_model(path, size):
            _guarded(contents, position, found, _model)
        elif is_binary(path, size):
            _guarded(contents, position, found, _binary)
    found.weights.sort(key=lambda each: (-each.size_bytes, each.path))
    return found


def _guarded(
    contents: Contents, position: int, found: Examined, look: Callable[[Content, Contents, int, Examined], None]
) -> None:
    content = contents.open(position)
    if content is None:
        return
    try:
        look(content, contents, position, found)
    except FormatError as error:
        found.faults.append(f"{contents.files.paths[position]}: {error.message}")
    finally:
        content.close()


def _binary(content: Content, contents: Contents, position: int, found: Examined) -> None:
    if not is_elf(content.at(0, 4)):
        return
    elf = read_elf(content)
    if elf.faults:
        found.faults.append(f"{contents.files.paths[position]}: {elf.faults[0]}")
    if (elf.has_symtab or elf.debug_bytes) and elf.unloaded_bytes >= _LEAST_SYMBOLS:
        found.symbols[position] = min(elf.unloaded_bytes, content.size)
    if any(section.name in SECTIONS for section in elf.sections):
        code = read_fatbins(content.at, content.size)
        found.faults += [f"{contents.files.paths[position]}: {fault}" for fault in code.faults[:1]]
        if code.by_target:
            found.gpu[position] = sum(code.by_target.values())
        for target, size in code.by_target.items():
            found.by_gpu[target] = found.by_gpu.get(target, 0) + size


def _model(content: Content, contents: Contents, position: int, found: Examined) -> None:
    path = contents.files.paths[position]
    facts = read_weights(path, content.at, content.size)
    if facts is not None:
        found.weights.append(
            WeightsFile(
                path,
                facts.format,
                content.size,
                facts.parameters,
                facts.dtypes,
                facts.tensors,
                facts.classes,
                facts.external,
                facts.metadata,
                facts.faults,
            )
        )
    elif not path.endswith(_PICKLES):
        found.weights.append(WeightsFile(path, weights_format(path) or "unknown", content.size))
