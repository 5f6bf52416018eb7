"""Two analyses → a comparison. Pure but for the content of files that `files.py` reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from slimstage.analyze.analysis import AnalysedLayer, Analysis, OwnedPackage, OwnerKind
from slimstage.compare.comparison import (
    Comparison,
    ConfigChange,
    FileChanges,
    LayerChange,
    PackageChange,
    Sameness,
    Side,
)
from slimstage.compare.config import changed_config
from slimstage.compare.files import Opened, changed_files
from slimstage.compare.pulling import PullCost
from slimstage.compare.versions import order


def compared(old: Opened, new: Opened, pull: PullCost | None = None) -> Comparison:
    """Raises as `changed_files`."""
    files = changed_files(old, new)
    config = tuple(changed_config(old.layers.config, new.layers.config))
    return Comparison(
        old=_side(old.analysis),
        new=_side(new.analysis),
        sameness=_sameness(old.analysis, new.analysis, files, config),
        purposes=_purposes(old.analysis, new.analysis),
        packages=tuple(_packages(old.analysis, new.analysis)),
        layers=tuple(_layers(old.analysis.layers, new.analysis.layers)),
        files=files,
        config=config,
        pull=pull,
    )


def _side(analysis: Analysis) -> Side:
    return Side(
        image=analysis.image,
        size_bytes=analysis.size_bytes,
        seen_bytes=analysis.seen_bytes,
        compressed_bytes=analysis.compressed_bytes,
        layers=len(analysis.layers),
        files=sum(1 for _ in analysis.files.seen()),
    )


def _sameness(old: Analysis, new: Analysis, files: FileChanges, config: Sequence[ConfigChange]) -> Sameness:
    if old.image.id == new.image.id:
        return "identical"
    if not files.are_none:
        return "different"
    return "same-files" if config else "same-config"


def _purposes(old: Analysis, new: Analysis) -> dict[str, tuple[int, int]]:
    names = {*old.purposes, *new.purposes}
    pairs = {name: (old.purposes.get(name, 0), new.purposes.get(name, 0)) for name in names}
    return dict(sorted(pairs.items(), key=lambda item: (-abs(item[1][1] - item[1][0]), -item[1][1], item[0])))


# Packages ---------------------------------------------------------------------------------------------------------


def _packages(old: Analysis, new: Analysis) -> list[PackageChange]:
    """All owners whose bytes or version are others now; the largest difference first."""
    before, after = _by_name(old.owners), _by_name(new.owners)
    found: list[PackageChange] = []
    for key in {*before, *after}:
        found += _changes(before.get(key, []), after.get(key, []))
    return sorted(found, key=lambda each: (-abs(each.delta_bytes), each.kind, each.name, each.new_version or ""))


def _by_name(owners: Sequence[OwnedPackage]) -> dict[tuple[OwnerKind, str], list[OwnedPackage]]:
    found: dict[tuple[OwnerKind, str], list[OwnedPackage]] = {}
    for owner in owners:
        if owner.is_package or owner.size_bytes:
            found.setdefault((owner.kind, owner.name), []).append(owner)
    return found


def _changes(before: list[OwnedPackage], after: list[OwnedPackage]) -> Iterator[PackageChange]:
    """Of one name, which may be there several times: the same versions belong together, then the rest in order."""
    before, after = sorted(before, key=_place), sorted(after, key=_place)
    pairs: list[tuple[OwnedPackage, OwnedPackage]] = []
    for each in list(after):
        same = next((other for other in before if other.version == each.version), None)
        if same is not None:
            pairs.append((same, each))
            before.remove(same)
            after.remove(each)
    for old, new in (*pairs, *zip_longest(before, after)):
        if (change := _change(old, new)) is not None:
            yield change


def _place(owner: OwnedPackage) -> tuple[str, str]:
    return owner.directory, owner.version


def _change(old: OwnedPackage | None, new: OwnedPackage | None) -> PackageChange | None:
    some = new or old
    assert some is not None
    sizes = (old.size_bytes if old else 0, new.size_bytes if new else 0)
    if old is None or new is None:
        return PackageChange(
            some.kind,
            some.name,
            "removed" if new is None else "added",
            old.version if old else None,
            new.version if new else None,
            *sizes,
        )
    if old.version != new.version:
        is_up = order(old.version, new.version, some.kind) <= 0
        change = "upgraded" if is_up else "downgraded"
        return PackageChange(some.kind, some.name, change, old.version, new.version, *sizes)  # type: ignore[arg-type] # a literal
    if sizes[0] != sizes[1]:
        return PackageChange(some.kind, some.name, "resized", old.version, new.version, *sizes)
    return None


# Layers -----------------------------------------------------------------------------------------------------------


def _layers(old: Sequence[AnalysedLayer], new: Sequence[AnalysedLayer]) -> list[LayerChange]:
    """The new image's layers in order, then the old one's that are gone. One that is in an image twice counts twice."""
    left = list(old)
    found: list[LayerChange] = []
    for layer in new:
        there = next((each for each in left if each.diff_id is not None and each.diff_id == layer.diff_id), None)
        if there is None:
            found.append(_layer("added", layer, 0, layer.size_bytes))
            continue
        left.remove(there)
        is_same = there.digest == layer.digest or None in (there.digest, layer.digest)
        found.append(_layer("same" if is_same else "repacked", layer, there.size_bytes, layer.size_bytes))
    return found + [_layer("removed", layer, layer.size_bytes, 0) for layer in left]


def _layer(change: str, layer: AnalysedLayer, old_bytes: int, new_bytes: int) -> LayerChange:
    return LayerChange(
        change,  # type: ignore[arg-type] # a literal
        layer.number,
        layer.diff_id,
        old_bytes,
        new_bytes,
        layer.compressed_bytes,
        layer.created_by,
        layer.line,
    )
