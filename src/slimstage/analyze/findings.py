"""Bytes of an image that need not be there, each group with what it saves, why, whose fault it is, and how to mend it.

A finding names the instruction that causes it where one layer holds most of what it found. Savings of different findings
may be of the same bytes (a test suite in a package that nothing imports): they are not to be added.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from slimstage.analyze.analysis import (
    MOST_PATHS,
    AnalysisFinding,
    Duplicate,
    OwnedPackage,
    PythonFacts,
)
from slimstage.analyze.compressibility import Compressibility
from slimstage.analyze.contents import Contents
from slimstage.analyze.examine import Examined
from slimstage.analyze.finding_texts import CACHES, CODES, OTHER_CACHES, PURPOSES, SECRET_NAMES, Text
from slimstage.values import dataclass

_LEAST_BYTES = 4096
"""A finding that saves less is not worth a line."""
_MOSTLY = 0.6
"""Of a finding's bytes in one layer: then its instruction is the cause."""
_MOST_NAMES = 12
_GPU_VARIABLES = ("NVIDIA_VISIBLE_DEVICES=", "NVIDIA_DRIVER_CAPABILITIES=", "CUDA_VERSION=", "NVIDIA_REQUIRE_CUDA=")


@dataclass(frozen=True, slots=True)
class Facts:
    """What findings are made of. again: see `duplicates.stored_again`."""

    contents: Contents
    owners: Sequence[OwnedPackage]
    duplicates: Sequence[Duplicate]
    again: dict[int, int]
    examined: Examined
    python: PythonFacts


def find(facts: Facts) -> tuple[AnalysisFinding, ...]:
    """All findings, the largest saving first."""
    finder = _Finder(facts)
    found = [
        *finder.hidden(),
        *finder.duplicated(),
        *finder.by_purpose(),
        *finder.symbols(),
        *finder.gpu(),
        *finder.packages(),
    ]
    secrets = [each for each in found if each.code == "secret-still-there"]
    others = [each for each in found if each.code != "secret-still-there" and each.saving_bytes >= _LEAST_BYTES]
    return tuple(sorted([*secrets, *others], key=lambda each: (-each.saving_bytes, each.code, each.layer)))


class _Finder:
    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._contents, self._files = facts.contents, facts.contents.files
        self._compressed = Compressibility(facts.contents)

    def hidden(self) -> Iterable[AnalysisFinding]:
        """What a layer stores and a later one hides, by the layer that stores it."""
        files = self._files
        groups: dict[tuple[str, int, int], list[int]] = {}
        secrets: dict[int, list[int]] = {}
        for position, state in enumerate(files.states):
            if not state:
                continue
            layer, by = files.layers[position], files.hidden_by[position]
            if state == 2 and SECRET_NAMES.match(files.paths[position]):
                secrets.setdefault(layer, []).append(position)
            if not files.sizes[position]:
                continue
            if position in self._facts.again:
                # The second copy is the one that is too much.
                groups.setdefault(("copied-again", by, layer), []).append(self._facts.again[position])
            else:
                code = "deleted-later" if state == 2 else "overwritten-later"
                groups.setdefault((code, layer, by), []).append(position)
        for (code, layer, other), positions in groups.items():
            yield self._made(CODES[code], positions, layer=layer, other=other)
        for layer, positions in secrets.items():
            by = files.hidden_by[positions[0]]
            yield self._made(CODES["secret-still-there"], positions, layer=layer, other=by)

    def duplicated(self) -> Iterable[AnalysisFinding]:
        if not self._facts.duplicates:
            return
        seen = self._contents.seen
        extra = [seen[path] for each in self._facts.duplicates for path in each.paths[1:]]
        yield self._made(CODES["duplicate-files"], extra)

    def by_purpose(self) -> Iterable[AnalysisFinding]:
        """Caches by whose they are; else one finding for each purpose that no running program needs."""
        files = self._files
        groups: dict[Text, list[int]] = {}
        for position in files.seen():
            if not files.sizes[position]:
                continue
            purpose = files.purpose_of(position)
            if purpose == "caches":
                path = files.paths[position]
                text = next((text for matches, text in CACHES if matches.match(path)), OTHER_CACHES)
            elif (known := PURPOSES.get(purpose)) is not None:
                text = known
            else:
                continue
            groups.setdefault(text, []).append(position)
        for text, positions in groups.items():
            yield self._made(text, positions)

    def symbols(self) -> Iterable[AnalysisFinding]:
        symbols = self._facts.examined.symbols
        if symbols:
            yield self._made(CODES["unneeded-symbols"], list(symbols), parts=symbols)

    def gpu(self) -> Iterable[AnalysisFinding]:
        """Device code for more than one GPU; all of it, and its libraries, where the image asks for none."""
        examined, files = self._facts.examined, self._files
        if not examined.gpu:
            return
        # Of PTX a newer GPU makes its code: it is no waste where the GPU is not known.
        by_gpu = {name: size for name, size in examined.by_gpu.items() if name.startswith("sm_")}
        saving = sum(by_gpu.values()) - max(by_gpu.values(), default=0)
        if saving:
            listed = ", ".join(f"{name} {size / 1e6:.3g} MB" for name, size in sorted(by_gpu.items(), key=_number))
            yield self._made(CODES["other-gpus"], list(examined.gpu), saving_bytes=saving, detail=listed)
        if not any(variable.startswith(_GPU_VARIABLES) for variable in self._contents.image.config.env):
            # Of a library that is of use without a GPU only the device code.
            parts = {position: size for position, size in examined.gpu.items() if files.sizes[position]}
            for position in files.seen():
                if files.purpose_of(position) == "cuda" and files.sizes[position]:
                    parts[position] = files.sizes[position]
            yield self._made(CODES["gpu-libraries"], list(parts), parts=parts)

    def packages(self) -> Iterable[AnalysisFinding]:
        """Python packages that nothing leads to, or nothing but imports that may never be done."""
        python = self._facts.python
        yield from self._of_packages("unreachable-packages", python.unreachable)
        yield from self._of_packages("optional-packages", python.optional)

    def _of_packages(self, code: str, names: Sequence[str]) -> Iterable[AnalysisFinding]:
        wanted = set(names)
        numbers = {
            number
            for number, owner in enumerate(self._facts.owners)
            if owner.kind == "python" and owner.name in wanted and not owner.is_removed
        }
        files = self._files
        positions = [
            position for position in files.seen() if files.owners[position] in numbers and files.sizes[position]
        ]
        if positions:
            largest = sorted(numbers, key=lambda each: -self._facts.owners[each].size_bytes)
            listed = [self._facts.owners[number].name for number in largest]
            more = f" and {len(listed) - _MOST_NAMES} more" if len(listed) > _MOST_NAMES else ""
            yield self._made(CODES[code], positions, detail=", ".join(listed[:_MOST_NAMES]) + more)

    def _made(
        self,
        text: Text,
        positions: list[int],
        *,
        layer: int = -1,
        other: int = -1,
        parts: Mapping[int, int] | None = None,
        saving_bytes: int | None = None,
        detail: str = "",
    ) -> AnalysisFinding:
        """parts: what of each file is too much, where it is not all. saving_bytes: of all of them, where it is less."""
        files, layers = self._files, self._contents.image.layers
        sizes = {position: files.sizes[position] for position in positions} if parts is None else parts
        positions.sort(key=lambda each: (-sizes[each], files.paths[each]))
        total = sum(files.sizes[position] for position in positions)
        saving = sum(sizes.values()) if saving_bytes is None else saving_bytes
        layer = layer if layer >= 0 else self._cause(sizes)
        facts = layers[layer].facts if layer >= 0 else None
        compressed = self._compressed.compressed(positions)
        if compressed is not None and saving < total:
            compressed = round(compressed * saving / total)
        reason = text.reason.format(
            by=f"layer {other}" if other >= 0 else "a later layer", detail=detail, files=_counted(len(positions))
        )
        return AnalysisFinding(
            text.code,
            saving,
            reason,
            text.hint,
            tuple(files.paths[position] for position in positions[:MOST_PATHS]),
            len(positions),
            layer,
            facts.line if facts else None,
            compressed,
        )

    def _cause(self, sizes: Mapping[int, int]) -> int:
        """The layer that has most of it; -1: none has."""
        by_layer: dict[int, int] = {}
        for position, size in sizes.items():
            layer = self._files.layers[position]
            by_layer[layer] = by_layer.get(layer, 0) + size
        layer = max(by_layer, key=lambda each: (by_layer[each], each), default=-1)
        return layer if layer >= 0 and by_layer[layer] >= sum(sizes.values()) * _MOSTLY else -1


def _counted(number: int) -> str:
    return "1 file" if number == 1 else f"{number} files"


def _number(target: tuple[str, int]) -> tuple[int, str]:
    """Of `sm_90a` and its bytes (90, "sm_90a"): architectures in their order."""
    digits = "".join(filter(str.isdigit, target[0]))
    return int(digits or 0), target[0]
