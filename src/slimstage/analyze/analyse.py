"""An image → its `Analysis`: everything is read once, attributed, and summed up.

Nothing of the image is executed, imported or unpickled; what cannot be read is a fault of the value and the rest counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from slimstage.analyze.analysis import (
    AnalysedImage,
    AnalysedLayer,
    Analysis,
    Waste,
)
from slimstage.analyze.contents import Contents
from slimstage.analyze.databases import is_package_text, read_installed
from slimstage.analyze.duplicates import find_duplicates, stored_again
from slimstage.analyze.efficiency import EfficiencyCount
from slimstage.analyze.examine import HEAD_ONLY, Examined, examine, is_binary, is_model
from slimstage.analyze.findings import Facts, find
from slimstage.analyze.installed import Installed
from slimstage.analyze.inventory import OS_RELEASE, System, read_os_release
from slimstage.analyze.layers import ImageLayers
from slimstage.analyze.needs import requirements, with_needs
from slimstage.analyze.ownership import assign
from slimstage.analyze.purpose import purpose_of
from slimstage.analyze.python_reach import PythonReach, reach
from slimstage.analyze.starts import find_starts, is_script
from slimstage.values import dataclass

_MOST_SOURCE_BYTES = 2 << 20
_MOST_FAULTS = 100
_FETCHED_HEAD_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Analysed:
    """The analysis, and what of it is asked about a single package (see needs.why)."""

    analysis: Analysis
    installed: tuple[Installed, ...]
    edges: dict[int, dict[int, str]]
    python: PythonReach


def analyse(image: ImageLayers, entries: Sequence[str] = (), *, is_exact: bool = False) -> Analysed:
    """All that is known of the image. entries: what is started beside its CMD and ENTRYPOINT: modules, or paths of scripts.

    is_exact: imports by syntax trees rather than by lines, see `python_reach.reach`.

    Raises FormatError: a layer that is malformed; OSError, and what the layers' source raises.
    """
    faults: list[str] = []
    count = EfficiencyCount()
    contents = Contents(image, keeps, lambda _, layer: count.add(layer))
    installed = read_installed(contents, faults)
    architecture = image.config.architecture
    edges = requirements(installed, architecture)
    owners = with_needs(assign(contents, installed), installed, edges)
    examined = examine(contents)
    faults += examined.faults
    for number, layer in enumerate(image.layers):
        if layer.facts.remark:
            faults.append(f"layer {number} {layer.facts.remark}")
    files = contents.files
    for position, path in enumerate(files.paths):
        files.purpose(position, purpose_of(path, files.sizes[position]))
    for each in examined.weights:
        files.purpose(contents.seen[each.path], "weights")
    parts = _parts(contents, examined)
    duplicates = find_duplicates(contents)
    again = stored_again(contents)
    python = reach(contents, installed, edges, find_starts(contents, entries), examined.weights, is_exact=is_exact)
    findings = find(Facts(contents, owners, duplicates, again, examined, python.facts))
    efficiency = count.result()
    hidden = [0, 0, 0]
    for size, state in zip(files.sizes, files.states, strict=True):
        hidden[state] += size
    size_bytes = sum(files.sizes)
    analysis = Analysis(
        image=AnalysedImage(image.name, image.id, image.digest, str(image.config.platform), image.config.created),
        system=_system(contents),
        size_bytes=size_bytes,
        seen_bytes=hidden[0],
        compressed_bytes=image.compressed_bytes,
        layers=tuple(_layers(contents)),
        files=files,
        owners=owners,
        purposes=_purposes(contents, parts),
        parts=parts,
        waste=Waste(
            hidden[1],
            hidden[2],
            sum(each.saving_bytes for each in duplicates),
            efficiency.score,
            efficiency.wasted_bytes,
        ),
        duplicates=duplicates,
        weights=tuple(examined.weights),
        cuda=dict(sorted(examined.by_gpu.items(), key=lambda item: (-item[1], item[0]))),
        python=python.facts,
        findings=findings,
        symlinks=contents.stack.symlinks,
        faults=tuple(dict.fromkeys(faults))[:_MOST_FAULTS],
    )
    return Analysed(analysis, tuple(installed), edges, python)


def keeps(path: str, size: int) -> int:
    """How much of a file's content is wanted: texts of packages, sources, models' headers, libraries."""
    if is_package_text(path, size) or path in OS_RELEASE:
        return size
    if path.endswith((".py", ".pth", ".pyx", ".pxi")):
        return size if size <= _MOST_SOURCE_BYTES else 0
    if is_script(path, size):
        return size
    if is_model(path, size):
        return min(size, HEAD_ONLY.get(path[path.rfind(".") :].lower(), size))
    return size if is_binary(path, size) else 0


def keeps_texts(path: str, size: int) -> int:
    """As `keeps`, where each file costs a request: databases of packages, and the beginnings of models that say all there."""
    if is_package_text(path, size) or path in OS_RELEASE:
        return size
    if is_model(path, size) and path[path.rfind(".") :].lower() in HEAD_ONLY:
        return min(size, _FETCHED_HEAD_BYTES)
    return 0


def _system(contents: Contents) -> System:
    for path in OS_RELEASE:
        if (text := contents.text(path)) is not None:
            return read_os_release(text)
    return System()


def _layers(contents: Contents) -> Iterator[AnalysedLayer]:
    files, count = contents.files, len(contents.image.layers)
    sizes, seen, numbers = ([0] * count for _ in range(3))
    for number, size, state in zip(files.layers, files.sizes, files.states, strict=True):
        sizes[number] += size
        numbers[number] += 1
        if not state:
            seen[number] += size
    for number, layer in enumerate(contents.image.layers):
        facts = layer.facts
        yield AnalysedLayer(
            number,
            facts.diff_id,
            facts.digest,
            sizes[number],
            seen[number],
            facts.compressed_bytes,
            numbers[number],
            facts.created_by,
            facts.stage,
            facts.line,
        )


def _parts(contents: Contents, examined: Examined) -> dict[int, tuple[tuple[str, int], ...]]:
    """What of a file is symbols or device code, where the rest of it is not."""
    found: dict[int, tuple[tuple[str, int], ...]] = {}
    for purpose, sizes in (("debug-symbols", examined.symbols), ("cuda", examined.gpu)):
        for position, size in sizes.items():
            taken = sum(part for _, part in found.get(position, ()))
            size = min(size, contents.files.sizes[position] - taken)
            if size > 0 and contents.files.purpose_of(position) != purpose:
                found[position] = (*found.get(position, ()), (purpose, size))
    return found


def _purposes(contents: Contents, parts: Mapping[int, Sequence[tuple[str, int]]]) -> dict[str, int]:
    """Bytes by purpose, the largest first: a part of a file counts for its own."""
    files = contents.files
    found: dict[str, int] = {}
    for position, size in enumerate(files.sizes):
        for purpose, part in parts.get(position, ()):
            found[purpose] = found.get(purpose, 0) + part
            size -= part
        purpose = files.purpose_of(position)
        found[purpose] = found.get(purpose, 0) + size
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
