"""What the browser says of layers, files and findings: plain text, others' names escaped. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.analyze.analysis import NOBODY, USER, AnalysedLayer, Analysis, AnalysisFinding, OwnedPackage
from slimstage.diagnostics import shown
from slimstage.explore.tree import Directory
from slimstage.units import size_text

_BAR = 10
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def bar(share: float, width: int = _BAR) -> str:
    """A bar of `width` columns, filled by a share between 0 and 1."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def directory_line(directory: Directory, whole_bytes: int) -> str:
    """Size, share of the whole, name."""
    return f"{_measure(directory.size_bytes, whole_bytes)}  {shown(directory.name)}/"


def file_line(analysis: Analysis, position: int, whole_bytes: int) -> str:
    """Size, share of the whole, name, and for what is hidden how."""
    files = analysis.files
    name = shown(files.paths[position].rpartition("/")[2])
    file = files[position]
    marks = {"seen": "", "overwritten": "  (overwritten)", "deleted": "  (deleted)"}[file.state]
    if file.is_link:
        marks += "  (further name)"
    return f"{_measure(file.size_bytes, whole_bytes)}  {name}{marks}"


def _measure(size_bytes: int, whole_bytes: int) -> str:
    share = size_bytes / whole_bytes if whole_bytes else 0.0
    return f"{size_text(size_bytes, ' '):>8} {share:>4.0%}"


def owner_name(owner: OwnedPackage) -> str:
    """`python: numpy 2.4.6`; words for those that are no package."""
    if not owner.is_package:
        return "your own files" if owner.kind == "own" else "no package"
    return shown(f"{owner.kind}: {owner.name} {owner.version}".rstrip())


def file_details(analysis: Analysis, position: int) -> Iterator[tuple[str, str]]:
    """(what, value) for the panel of a file."""
    file = analysis.files[position]
    owner = analysis.owners[file.owner]
    yield "path", shown(f"/{file.path}")
    yield "size", f"{size_text(file.size_bytes, ' ')} ({file.size_bytes:,} bytes)"
    yield "purpose", file.purpose or "-"
    yield "owner", owner_name(owner) + ("" if file.is_listed or file.owner in (NOBODY, USER) else ", by where it lies")
    if owner.needed_by:
        yield "needed by", shown(", ".join(owner.needed_by[:12]) + (" …" if len(owner.needed_by) > 12 else ""))
    yield "layer", layer_name(analysis.layers[file.layer])
    if file.state != "seen":
        by = f" by layer {file.hidden_by}" if file.hidden_by >= 0 else ""
        yield "state", f"{file.state}{by}: it is stored and nobody sees it"
    yield "rights", f"{file.mode:04o} {file.uid}:{file.gid}"


def layer_name(layer: AnalysedLayer) -> str:
    """`3: COPY app/ /app/ (line 9, stage serve)`."""
    place = [f"line {layer.line}"] if layer.line else []
    place += [f"stage {layer.stage}"] if layer.stage else []
    made = " ".join(layer.created_by.split()) or "not said by what"
    return shown(f"{layer.number}: {made}" + (f" ({', '.join(place)})" if place else ""))


def finding_details(finding: AnalysisFinding) -> Iterator[tuple[str, str]]:
    """(what, value) for the panel of a finding."""
    yield "finding", shown(finding.code)
    saving = size_text(finding.saving_bytes, " ")
    if finding.compressed_saving_bytes is not None:
        saving += f", about {size_text(finding.compressed_saving_bytes, ' ')} compressed"
    yield "saves", saving
    yield "reason", shown(finding.reason)
    yield "hint", shown(finding.hint)
    if finding.line:
        yield "line", f"{finding.line} of the Dockerfile"
    for path in finding.paths:
        yield "", shown(f"/{path}")
    if finding.path_count > len(finding.paths):
        yield "", f"… and {finding.path_count - len(finding.paths)} more"
