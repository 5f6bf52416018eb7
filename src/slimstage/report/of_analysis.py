"""An analysis of an image → the report of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.analyze import analysis as analysed
from slimstage.analyze.analysis import AnalysedLayer, Analysis, AnalysisFinding, OwnedPackage
from slimstage.oci.config import ImageConfig
from slimstage.report.folding import MOST_NODES, FoldedFile, fold
from slimstage.report.record import (
    NOBODY,
    USER,
    FindingRow,
    ImageFacts,
    LayerRow,
    PackageRow,
    PurposeRow,
    Report,
)
from slimstage.version import __version__


def report_of(analysis: Analysis, config: ImageConfig, most_nodes: int = MOST_NODES) -> Report:
    """The report of an image, without what is known of its build."""
    purposes = _purposes(analysis)
    owners, packages = _packages(analysis)
    files = tuple(_files(analysis, {name: number for number, (name, _) in enumerate(purposes)}, owners))
    return Report(
        title=analysis.image.name,
        image=image_facts(analysis, config),
        layers=tuple(_layer(layer) for layer in analysis.layers),
        tree=fold(files, most_nodes),
        purposes=tuple(PurposeRow(name, size) for name, size in purposes),
        packages=packages,
        findings=tuple(_finding(each) for each in analysis.findings),
        faults=analysis.faults,
        version=__version__,
    )


def image_facts(analysis: Analysis, config: ImageConfig) -> ImageFacts:
    image = analysis.image
    return ImageFacts(
        name=image.name,
        id=image.id,
        digest=image.digest,
        platform=image.platform,
        created=image.created,
        system=analysis.system.name or f"{analysis.system.id} {analysis.system.version}".strip(),
        size_bytes=analysis.seen_bytes,
        hidden_bytes=analysis.size_bytes - analysis.seen_bytes,
        compressed_bytes=analysis.compressed_bytes,
        files=sum(1 for _ in analysis.files.seen()),
        user=config.user,
        command=(*(config.entrypoint or ()), *(config.cmd or ())),
        labels=tuple(config.labels),
    )


def _purposes(analysis: Analysis) -> list[tuple[str, int]]:
    """Bytes of the tree by purpose, the largest first; a part of a file counts for its own."""
    files = analysis.files
    found: dict[str, int] = {}
    for position in files.seen():
        size, purpose = files.sizes[position], files.purpose_of(position)
        for name, part in analysis.parts.get(position, ()):
            found[name] = found.get(name, 0) + part
            size -= part
        found[purpose] = found.get(purpose, 0) + size
    return sorted(found.items(), key=lambda item: (-item[1], item[0]))


def _packages(analysis: Analysis) -> tuple[list[int], tuple[PackageRow, ...]]:
    """For each owner what the tree calls it, and the packages with a file in the tree or none at all, the largest first."""
    there = [
        (position, owner)
        for position, owner in enumerate(analysis.owners)
        if owner.is_package and not (owner.is_removed and owner.size_bytes == owner.hidden_bytes)
    ]
    there.sort(key=lambda item: (item[1].hidden_bytes - item[1].size_bytes, item[1].kind, item[1].name))
    called = [NOBODY] * len(analysis.owners)
    called[analysed.USER] = USER
    for number, (position, _) in enumerate(there):
        called[position] = number
    return called, tuple(_package(owner) for _, owner in there)


def _package(owner: OwnedPackage) -> PackageRow:
    return PackageRow(
        kind=owner.kind,
        name=owner.name,
        version=owner.version,
        size_bytes=owner.size_bytes - owner.hidden_bytes,
        files=owner.files,
        layer=owner.layer,
        needed_by=owner.needed_by,
    )


def _files(analysis: Analysis, purposes: dict[str, int], owners: list[int]) -> Iterator[FoldedFile]:
    """Of the tree; parts of files that have a purpose of their own beside the rest of them."""
    files = analysis.files
    for position in files.seen():
        path, size = files.paths[position], files.sizes[position]
        owner = owners[files.owners[position]]
        for name, part in analysis.parts.get(position, ()):
            yield f"{path} ({name})", part, purposes[name], owner, 0
            size -= part
        yield path, size, purposes[files.purpose_of(position)], owner, 1


def _layer(layer: AnalysedLayer) -> LayerRow:
    return LayerRow(
        number=layer.number,
        diff_id=layer.diff_id or "",
        size_bytes=layer.size_bytes,
        hidden_bytes=layer.size_bytes - layer.seen_bytes,
        compressed_bytes=layer.compressed_bytes,
        files=layer.files,
        created_by=layer.created_by,
    )


def _finding(finding: AnalysisFinding) -> FindingRow:
    return FindingRow(
        code=finding.code,
        about="image",
        severity="warning",
        message=finding.reason,
        saving_bytes=finding.saving_bytes or None,
        hint=finding.hint,
        paths=tuple(path if path.startswith("/") else f"/{path}" for path in finding.paths),
        path_count=finding.path_count,
        layer=finding.layer,
        line=finding.line or 0,
    )
