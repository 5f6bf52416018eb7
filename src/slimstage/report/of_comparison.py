"""A comparison of two images → the part of a report about it. Pure."""

from __future__ import annotations

from slimstage.compare import comparison as compared
from slimstage.report.record import Change, Comparison, ImageFacts

MOST_PACKAGES = 200
MOST_FILES = 200


def comparison_of(found: compared.Comparison, old: ImageFacts) -> Comparison:
    """old: the facts of the older image. Bytes are of all layers, as `compare` counts them."""
    packages = [each for each in found.packages if each.kind not in ("none", "own")]
    new = [layer for layer in found.layers if layer.change in ("added", "repacked")]
    compressed = [layer.compressed_bytes for layer in new if layer.compressed_bytes is not None]
    is_compressed = len(compressed) == len(new)
    pull = sum(compressed) if is_compressed else sum(layer.new_bytes for layer in new)
    return Comparison(
        old=old,
        pull_bytes=found.pull.total_bytes if found.pull else pull,
        pull_is_compressed=found.pull is not None or is_compressed,
        shared_layers=sum(layer.change == "same" for layer in found.layers),
        new_layers=len(new),
        purposes=tuple(
            Change(name, before, after) for name, (before, after) in found.purposes.items() if before or after
        ),
        packages=tuple(_package(each) for each in packages[:MOST_PACKAGES]),
        files=tuple(_file(each) for each in found.files.files[:MOST_FILES]),
        package_count=len(packages),
        file_count=len(found.files.files),
    )


def _package(change: compared.PackageChange) -> Change:
    versions = [change.old_version, change.new_version]
    known = list(dict.fromkeys(version for version in versions if version))
    return Change(
        name=change.name,
        old_bytes=None if change.change == "added" else change.old_bytes,
        new_bytes=None if change.change == "removed" else change.new_bytes,
        kind=change.kind,
        detail=" → ".join(known),
    )


def _file(change: compared.FileChange) -> Change:
    return Change(
        name=f"/{change.path}",
        old_bytes=None if change.change == "added" else change.old_bytes,
        new_bytes=None if change.change == "removed" else change.new_bytes,
        detail="rights or owner" if change.change == "attributes" else "",
    )
