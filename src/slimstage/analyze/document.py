"""An analysis as the JSON document that `analyze --json` prints: plain values, keys in a fixed order. Pure.

docs/analyze.md describes it; fields are added, never renamed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from slimstage.analyze.analysis import (
    NOBODY,
    USER,
    AnalysedFile,
    AnalysedLayer,
    Analysis,
    AnalysisFinding,
    OwnedPackage,
)

_LARGEST = 50
_DIRECTORY_DEPTH = 3
_MOST_DIRECTORIES = 200


def document(analysis: Analysis) -> dict[str, Any]:
    """The whole document. All sizes are in bytes; `layer` is the number of a layer, base 0."""
    image, waste = analysis.image, analysis.waste
    owners = analysis.owners
    return {
        "image": {
            "name": image.name,
            "id": image.id,
            "digest": image.digest,
            "platform": image.platform,
            "created": image.created,
            "system": {"id": analysis.system.id, "version": analysis.system.version, "name": analysis.system.name},
        },
        "size_bytes": analysis.size_bytes,
        "seen_bytes": analysis.seen_bytes,
        "compressed_bytes": analysis.compressed_bytes,
        "layers": [_layer(layer) for layer in analysis.layers],
        "packages": [_package(owner) for owner in _by_size(analysis.packages)],
        "owners": _owner_totals(owners),
        "purposes": dict(analysis.purposes),
        "directories": _largest_first(analysis.by_directory(_DIRECTORY_DEPTH), _MOST_DIRECTORIES),
        "types": _largest_first(analysis.by_type()),
        "waste": {
            "overwritten_bytes": waste.overwritten_bytes,
            "deleted_bytes": waste.deleted_bytes,
            "duplicate_bytes": waste.duplicate_bytes,
            "efficiency": waste.efficiency,
            "dive_wasted_bytes": waste.dive_wasted_bytes,
        },
        "duplicates": [
            {"size_bytes": each.size_bytes, "saving_bytes": each.saving_bytes, "paths": list(each.paths)}
            for each in analysis.duplicates
        ],
        "weights": [
            {
                "path": each.path,
                "format": each.format,
                "size_bytes": each.size_bytes,
                "parameters": each.parameters,
                "dtypes": dict(each.dtypes),
                "tensors": each.tensors,
                "classes": list(each.classes),
                "external": list(each.external),
                "metadata": dict(each.metadata),
                "faults": list(each.faults),
            }
            for each in analysis.weights
        ],
        "cuda": dict(analysis.cuda),
        "python": {
            "entries": list(analysis.python.entries),
            "reached_modules": analysis.python.reached,
            "is_exact": analysis.python.is_exact,
            "reachable": list(analysis.python.reachable),
            "optional": list(analysis.python.optional),
            "unreachable": list(analysis.python.unreachable),
            "dynamic": list(analysis.python.dynamic),
            "faults": list(analysis.python.faults),
        },
        "findings": [finding_document(each) for each in analysis.findings],
        "largest": [_file(analysis, each) for each in analysis.largest(_LARGEST)],
        "faults": list(analysis.faults),
    }


def finding_document(finding: AnalysisFinding) -> dict[str, Any]:
    """One finding as in the document."""
    return {
        "code": finding.code,
        "saving_bytes": finding.saving_bytes,
        "compressed_saving_bytes": finding.compressed_saving_bytes,
        "paths": list(finding.paths),
        "path_count": finding.path_count,
        "reason": finding.reason,
        "layer": finding.layer if finding.layer >= 0 else None,
        "line": finding.line,
        "hint": finding.hint,
    }


def _layer(layer: AnalysedLayer) -> dict[str, Any]:
    return {
        "number": layer.number,
        "diff_id": layer.diff_id,
        "digest": layer.digest,
        "size_bytes": layer.size_bytes,
        "seen_bytes": layer.seen_bytes,
        "compressed_bytes": layer.compressed_bytes,
        "files": layer.files,
        "created_by": layer.created_by,
        "stage": layer.stage,
        "line": layer.line,
    }


def _package(owner: OwnedPackage) -> dict[str, Any]:
    return {
        "kind": owner.kind,
        "name": owner.name,
        "version": owner.version,
        "size_bytes": owner.size_bytes,
        "hidden_bytes": owner.hidden_bytes,
        "unlisted_bytes": owner.unlisted_bytes,
        "files": owner.files,
        "layer": owner.layer if owner.layer >= 0 else None,
        "needed_by": list(owner.needed_by),
        "is_requested": owner.is_requested,
        "is_removed": owner.is_removed,
    }


def _owner_totals(owners: Iterable[OwnedPackage]) -> dict[str, int]:
    """Bytes by the kind of owner; the sum is the image's."""
    found: dict[str, int] = {}
    for owner in owners:
        found[owner.kind] = found.get(owner.kind, 0) + owner.size_bytes
    return found


def _file(analysis: Analysis, file: AnalysedFile) -> dict[str, Any]:
    owner = analysis.owners[file.owner]
    return {
        "path": file.path,
        "size_bytes": file.size_bytes,
        "layer": file.layer,
        "purpose": file.purpose,
        "owner": owner.kind if file.owner in (NOBODY, USER) else f"{owner.kind}:{owner.name}",
        "state": file.state,
    }


def _by_size(packages: Iterable[OwnedPackage]) -> list[OwnedPackage]:
    return sorted(packages, key=lambda each: (-each.size_bytes, each.kind, each.name, each.version))


def _largest_first(sizes: Mapping[str, int], most: int | None = None) -> dict[str, int]:
    ordered = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    return dict(ordered[:most])
