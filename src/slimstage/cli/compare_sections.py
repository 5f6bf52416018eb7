"""A comparison in words and tables: what grew, why, and what an update costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from slimstage.cli.sections import Section
from slimstage.cli.units import size_text
from slimstage.compare.comparison import Comparison, ConfigChange, LayerChange, PackageChange
from slimstage.compare.pulling import PullCost

_SAMENESS = {
    "identical": "They are one image: the same config, so the same files.",
    "same-config": "The files and the config are the same; only the packing, history or times differ.",
    "same-files": "The files are the same; the config differs.",
}
_MOST_FIELDS = 40
_WIDEST = 60
_NO_PACKAGE = {"own": "your own files", "none": "files of no package"}


def comparison_sections(comparison: Comparison, most: int = 15) -> Iterator[Section]:
    """Sections from the whole to its parts. most: rows of a table; what is left out is counted."""
    yield _head(comparison)
    if comparison.pull is not None:
        yield _pull(comparison.pull)
    if comparison.sameness == "identical":
        return
    changed = [(name, *pair) for name, pair in comparison.purposes.items() if pair[0] != pair[1]]
    if changed:
        purposes = ((name, size_text(old), size_text(new), signed(new - old)) for name, old, new in changed)
        yield _table("By purpose", ("purpose", "old", "new", "difference"), purposes, (1, 2, 3), most)
    if comparison.packages:
        packages = map(_package, comparison.packages)
        yield _table("By package", ("package", "version", "old", "new", "difference"), packages, (2, 3, 4), most)
    yield _table("Layers", ("layer", "size", "made by"), map(_layer, comparison.layers), (1,), most)
    yield _files(comparison, most)
    if comparison.config:
        config = [_config(each) for each in comparison.config]
        yield _table("Config", ("field", "old", "new"), config, (), _MOST_FIELDS)


def _head(comparison: Comparison) -> Section:
    old, new = comparison.old, comparison.new
    grown = comparison.delta_bytes
    word = "larger" if grown > 0 else "smaller"
    if comparison.sameness == "identical":
        difference = _SAMENESS["identical"]
    elif grown:
        share = f" ({abs(grown) / old.size_bytes:.1%})" if old.size_bytes else ""
        difference = f"The new image is {size_text(abs(grown), ' ')}{share} {word}."
    else:
        difference = "Both hold the same number of bytes."
    more = (_SAMENESS[comparison.sameness],) if comparison.sameness in ("same-config", "same-files") else ()
    rows = tuple(
        (
            which,
            side.image.name,
            size_text(side.size_bytes),
            "-" if side.compressed_bytes is None else size_text(side.compressed_bytes),
            str(side.layers),
            str(side.files),
        )
        for which, side in (("old", old), ("new", new))
    )
    header = ("", "image", "size", "compressed", "layers", "files")
    return Section(f"{old.image.name} → {new.image.name}", (difference, *more), header, rows, (2, 3, 4, 5))


def _pull(cost: PullCost) -> Section:
    if not cost.total_bytes:
        return Section("Pull", ("A host that has the old image fetches nothing.",))
    fetched = [layer for layer in cost.layers if not layer.is_there]
    whole = size_text(cost.total_bytes, " ")
    there = f"{len(cost.layers) - len(fetched)} of {len(cost.layers)} layers are there"
    sentences = [
        f"A host that has the old image fetches {whole} ({cost.total_bytes} bytes) for the new one: {there}.",
        f"A host that has nothing fetches {size_text(cost.from_nothing_bytes, ' ')} of layers.",
    ]
    if (parts := cost.in_parts_bytes) is not None:
        sentences.append(f"A host that fetches layers in parts takes {size_text(parts, ' ')} of layers.")
    rows = tuple(
        (
            str(layer.number),
            size_text(layer.size_bytes),
            "-" if layer.in_parts_bytes is None else size_text(layer.in_parts_bytes),
            _cut(layer.created_by),
        )
        for layer in fetched
    )
    return Section("Pull", tuple(sentences), ("layer", "fetched", "in parts", "made by"), rows, (0, 1, 2))


def _package(change: PackageChange) -> tuple[str, ...]:
    name = _NO_PACKAGE.get(change.kind) or f"{change.kind}: {change.name}"
    version = change.new_version or change.old_version or ""
    if change.change in ("upgraded", "downgraded"):
        version = f"{change.old_version} → {change.new_version}"
    elif change.change in ("added", "removed"):
        version = f"{version} ({change.change})".strip()
    return name, version, size_text(change.old_bytes), size_text(change.new_bytes), signed(change.delta_bytes)


def _layer(change: LayerChange) -> tuple[str, ...]:
    size = change.old_bytes if change.change == "removed" else change.new_bytes
    return change.change, size_text(size), _cut(change.created_by)


def _files(comparison: Comparison, most: int) -> Section:
    changes = comparison.files
    counts = [f"{changes.count(kind)} {kind}" for kind in ("added", "removed") if changes.count(kind)]
    counts += [f"{changes.count('content')} changed"] if changes.count("content") else []
    counts += [f"{changes.count('attributes')} with other rights or owners"] if changes.count("attributes") else []
    counts += [f"{changes.links} symlinks"] if changes.links else []
    if not counts:
        return Section("Files", ("No file differs.",))
    rows = [
        (each.change, size_text(each.old_bytes), size_text(each.new_bytes), f"/{each.path}") for each in changes.files
    ]
    section = _table("Files", ("change", "old", "new", "path"), rows, (1, 2), most)
    return Section(
        section.title, (", ".join(counts) + ".",), section.header, section.rows, section.right, section.after
    )


def _config(change: ConfigChange) -> tuple[str, ...]:
    field = f"{change.field} {change.key}".strip()
    return field, _cut(change.old or "-"), _cut(change.new or "-")


def _table(
    title: str, header: tuple[str, ...], rows: Iterable[tuple[str, ...]], right: tuple[int, ...], most: int
) -> Section:
    found = tuple(rows)
    left = len(found) - most
    after = (f"… and {left} more; --json has all",) if left > 0 else ()
    return Section(title, (), header, found[:most], right, after)


def signed(size_bytes: int) -> str:
    """`+1.2MB`, `-300kB`, `0B`."""
    if not size_bytes:
        return "0B"
    return ("+" if size_bytes > 0 else "-") + size_text(abs(size_bytes))


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDEST else line[: _WIDEST - 1] + "…"
