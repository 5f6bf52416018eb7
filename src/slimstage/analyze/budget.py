"""Limits that an image has to keep, and what breaks them. Pure: sizes come in as bytes.

The bytes are those of analysis.py, hidden ones included: what an image holds, not what a container sees.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from slimstage.analyze.analysis import Analysis
from slimstage.analyze.distribution import normalised
from slimstage.values import dataclass, field


@dataclass(frozen=True, slots=True)
class Budget:
    """None and empty: no limit. layer: of each layer. purposes, packages: by name. growth: against a reference image."""

    total: int | None = None
    compressed: int | None = None
    layer: int | None = None
    purposes: Mapping[str, int] = field(default_factory=dict)
    packages: Mapping[str, int] = field(default_factory=dict)
    growth: int | None = None

    @property
    def is_empty(self) -> bool:
        return self == Budget()


@dataclass(frozen=True, slots=True)
class Excess:
    """A limit that is broken. kind: total, compressed, layer, purpose, package or growth. name: of what; "" for the whole.

    details: (whose, bytes) of what has most of it. note, line: of a layer, its instruction and where that stands.
    """

    kind: str
    name: str
    limit_bytes: int
    size_bytes: int
    details: tuple[tuple[str, int], ...] = ()
    note: str = ""
    line: int | None = None

    @property
    def over_bytes(self) -> int:
        return self.size_bytes - self.limit_bytes


def exceeded(analysis: Analysis, budget: Budget, reference: Analysis | None = None) -> tuple[Excess, ...]:
    """Everything that breaks the budget, in the order of its fields. reference: what growth is measured against."""
    return tuple(_exceeded(analysis, budget, reference))


def _exceeded(analysis: Analysis, budget: Budget, reference: Analysis | None) -> Iterator[Excess]:
    if budget.total is not None and analysis.size_bytes > budget.total:
        yield Excess("total", "", budget.total, analysis.size_bytes, _largest_owners(analysis))
    size = analysis.compressed_bytes
    if budget.compressed is not None and size is not None and size > budget.compressed:
        yield Excess("compressed", "", budget.compressed, size)
    for layer in analysis.layers:
        if budget.layer is not None and layer.size_bytes > budget.layer:
            yield Excess("layer", str(layer.number), budget.layer, layer.size_bytes, (), layer.created_by, layer.line)
    for name, limit in budget.purposes.items():
        if (size := analysis.purposes.get(name, 0)) > limit:
            yield Excess("purpose", name, limit, size)
    packages: dict[str, int] = {}
    for owner in analysis.packages:
        for key in {owner.name, normalised(owner.name), f"{owner.kind}:{owner.name}"}:
            packages[key] = packages.get(key, 0) + owner.size_bytes
    for name, limit in budget.packages.items():
        size = packages.get(name, packages.get(normalised(name), 0))
        if size > limit:
            yield Excess("package", name, limit, size)
    if budget.growth is not None and reference is not None:
        grown = analysis.size_bytes - reference.size_bytes
        if grown > budget.growth:
            yield Excess("growth", reference.image.name, budget.growth, grown, _grown_owners(analysis, reference))


def _largest_owners(analysis: Analysis) -> tuple[tuple[str, int], ...]:
    owners = sorted(analysis.owners, key=lambda each: -each.size_bytes)[:5]
    return tuple((_named(each.kind, each.name), each.size_bytes) for each in owners if each.size_bytes)


def _grown_owners(analysis: Analysis, reference: Analysis) -> tuple[tuple[str, int], ...]:
    """The owners that grew most, with how much."""
    grown: dict[tuple[str, str], int] = {}
    for sign, each in ((1, analysis), (-1, reference)):
        for owner in each.owners:
            key = (owner.kind, owner.name)
            grown[key] = grown.get(key, 0) + sign * owner.size_bytes
    most = sorted(grown.items(), key=lambda item: (-item[1], item[0]))[:5]
    return tuple((_named(kind, name), size) for (kind, name), size in most if size > 0)


def _named(kind: str, name: str) -> str:
    return {"none": "files of no package", "own": "own files"}.get(kind, f"{kind} {name}")
