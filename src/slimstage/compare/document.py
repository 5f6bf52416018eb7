"""A comparison as the JSON document of `compare --json`: plain values, keys in a fixed order. Pure.

docs/compare.md describes it; fields are added, never renamed.
"""

from __future__ import annotations

from typing import Any

from slimstage.compare.comparison import Comparison, FileChanges, Side
from slimstage.compare.pulling import PullCost
from slimstage.compare.stages import StageComparison

_MOST_FILES = 1000


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """Sizes in bytes. Of files the largest differences; `counts` are of all."""
    return {
        "old": _side(comparison.old),
        "new": _side(comparison.new),
        "sameness": comparison.sameness,
        "delta_bytes": comparison.delta_bytes,
        "purposes": {
            name: {"old_bytes": old, "new_bytes": new, "delta_bytes": new - old}
            for name, (old, new) in comparison.purposes.items()
        },
        "packages": [
            {
                "kind": each.kind,
                "name": each.name,
                "change": each.change,
                "old_version": each.old_version,
                "new_version": each.new_version,
                "old_bytes": each.old_bytes,
                "new_bytes": each.new_bytes,
                "delta_bytes": each.delta_bytes,
            }
            for each in comparison.packages
        ],
        "layers": [
            {
                "change": each.change,
                "number": each.number,
                "diff_id": each.diff_id,
                "old_bytes": each.old_bytes,
                "new_bytes": each.new_bytes,
                "compressed_bytes": each.compressed_bytes,
                "created_by": each.created_by,
                "line": each.line,
            }
            for each in comparison.layers
        ],
        "files": _files(comparison.files),
        "config": [
            {"field": each.field, "key": each.key, "old": each.old, "new": each.new} for each in comparison.config
        ],
        "pull": _pull(comparison.pull) if comparison.pull else None,
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "name": side.image.name,
        "id": side.image.id,
        "digest": side.image.digest,
        "platform": side.image.platform,
        "size_bytes": side.size_bytes,
        "seen_bytes": side.seen_bytes,
        "compressed_bytes": side.compressed_bytes,
        "layers": side.layers,
        "files": side.files,
    }


def _files(changes: FileChanges) -> dict[str, Any]:
    kinds = ("added", "removed", "content", "attributes")
    return {
        "counts": {kind: changes.count(kind) for kind in kinds} | {"links": changes.links},
        "largest": [
            {"path": each.path, "change": each.change, "old_bytes": each.old_bytes, "new_bytes": each.new_bytes}
            for each in changes.files[:_MOST_FILES]
        ],
    }


def _pull(cost: PullCost) -> dict[str, Any]:
    return {
        "total_bytes": cost.total_bytes,
        "manifest_bytes": cost.manifest_bytes,
        "config_bytes": cost.config_bytes,
        "layer_bytes": cost.layer_bytes,
        "from_nothing_bytes": cost.from_nothing_bytes,
        "in_parts_bytes": cost.in_parts_bytes,
        "layers": [
            {
                "number": each.number,
                "digest": each.digest,
                "size_bytes": each.size_bytes,
                "is_there": each.is_there,
                "in_parts_bytes": each.in_parts_bytes,
                "created_by": each.created_by,
            }
            for each in cost.layers
        ],
    }


def stages_document(comparison: StageComparison) -> dict[str, Any]:
    """The document of `compare --stages --json`."""
    return {
        "target": comparison.target,
        "image_bytes": comparison.image_bytes,
        "together_bytes": comparison.together_bytes,
        "saved_bytes": comparison.saved_bytes,
        "saved_share": round(comparison.saved_share, 4),
        "verdict": comparison.verdict,
        "stages": [
            {
                "index": each.index,
                "name": each.name,
                "line": each.line,
                "base": each.base,
                "size_bytes": each.size_bytes,
                "own_bytes": each.own_bytes,
                "taken": [
                    {"source": copy.source, "stage": copy.stage, "line": copy.line, "paths": list(copy.paths)}
                    | {"size_bytes": copy.size_bytes}
                    for copy in each.taken
                ],
                "handed_on_bytes": each.handed_on_bytes,
                "behind_bytes": each.behind_bytes,
                "behind_purposes": None if each.purposes is None else dict(each.purposes),
                "is_in_image": each.is_in_image,
                "is_skipped": each.is_skipped,
                "why": each.why,
            }
            for each in comparison.stages
        ],
    }
