"""An analysis in the terminal: where the bytes are as trees with bars, then findings. Text reads the same without colour."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from slimstage.analyze.analysis import Analysis, AnalysisFinding, OwnedPackage
from slimstage.cli.terminal import Paint
from slimstage.cli.units import size_text
from slimstage.diagnostics import shown
from slimstage.values import dataclass

_BAR = 20
_EIGHTHS = " ▏▎▍▌▋▊▉"
_SMALLEST_SHARE = 0.005
_DEPTH = 8
"""Components of a path that the tree of directories looks into: packages lie deep."""
_NAMES = {
    "own": "own files",
    "none": "no package",
    "python": "Python",
    "debian": "Debian",
    "alpine": "Alpine",
    "rpm": "RPM",
}


@dataclass(frozen=True, slots=True)
class _Row:
    """A line with a bar: how deep it is, and what stands behind its size."""

    name: str
    size: int
    depth: int = 0
    note: str = ""


class AnalysisText:
    """Renders one analysis. top: so many lines of each kind."""

    def __init__(
        self, analysis: Analysis, paint: Paint, *, top: int = 10, width: int = 100, is_plain: bool = False
    ) -> None:
        self._analysis, self._paint, self._top, self._width = analysis, paint, top, max(60, width)
        self._is_plain = is_plain

    def lines(self) -> Iterator[str]:
        """The whole text, line by line."""
        yield from self._head()
        yield from self._section("Layers", self._layers())
        yield from self._section(
            "Purposes", [_Row(name, size) for name, size in self._largest(self._analysis.purposes)]
        )
        yield from self._section("Owners", self._owners())
        yield from self._section("Directories", self._directories())
        yield from self._section(
            "Types", [_Row(name or "(none)", size) for name, size in self._largest(self._analysis.by_type())]
        )
        yield from self._models()
        yield from self._findings()

    def _head(self) -> Iterator[str]:
        analysis = self._analysis
        waste = analysis.waste
        name = self._paint(shown(analysis.image.name), "bold")
        files = len(analysis.files)
        compressed = (
            "" if analysis.compressed_bytes is None else f", {size_text(analysis.compressed_bytes, ' ')} compressed"
        )
        system = f"; {shown(analysis.system.name)}" if analysis.system.name else ""
        count = f"{len(analysis.layers)} layer{'s' * (len(analysis.layers) != 1)}"
        yield f"{name}: {size_text(analysis.size_bytes, ' ')}{compressed} in {files} files and {count}{system}"
        yield (
            f"efficiency {100 * waste.efficiency:.2f} %: {size_text(waste.overwritten_bytes, ' ')} overwritten,"
            f" {size_text(waste.deleted_bytes, ' ')} deleted by later layers,"
            f" {size_text(waste.duplicate_bytes, ' ')} stored twice"
        )
        python = analysis.python
        if python.entries:
            reached = f": {python.reached} modules can be reached from there" if python.reached else ""
            yield f"starts {', '.join(map(shown, python.entries))}{reached}"

    def _layers(self) -> list[_Row]:
        rows = []
        for layer in self._analysis.layers:
            where = f"line {layer.line}, {layer.stage}: " if layer.line else ""
            hidden = layer.size_bytes - layer.seen_bytes
            gone = f" ({size_text(hidden, ' ')} hidden)" if hidden >= 1000 else ""
            rows.append(
                _Row(str(layer.number), layer.size_bytes, 0, f"{where}{' '.join(layer.created_by.split())}{gone}")
            )
        return rows

    def _owners(self) -> list[_Row]:
        totals: dict[str, int] = {}
        for owner in self._analysis.owners:
            totals[owner.kind] = totals.get(owner.kind, 0) + owner.size_bytes
        rows = []
        for kind, size in sorted(totals.items(), key=lambda item: (-item[1], item[0])):
            rows.append(_Row(_NAMES.get(kind, kind), size))
            packages = [owner for owner in self._analysis.packages if owner.kind == kind and owner.size_bytes]
            packages.sort(key=lambda each: (-each.size_bytes, each.name))
            rows += [
                _Row(f"{each.name} {each.version}", each.size_bytes, 1, _note(each)) for each in packages[: self._top]
            ]
            rest = packages[self._top :]
            if rest:
                rows.append(_Row(f"{len(rest)} more", sum(each.size_bytes for each in rest), 1))
        return rows

    def _directories(self) -> list[_Row]:
        """The directories with most, further down as long as they have enough; chains of single ones in one line."""
        sizes = self._analysis.by_directory(_DEPTH)
        children: dict[str, list[str]] = {}
        for path in sizes:
            if path:
                children.setdefault(path.rpartition("/")[0], []).append(path)
        least = max(1, sizes[""] * 0.03)
        rows: list[_Row] = []

        def descend(path: str, prefix: str, depth: int) -> None:
            large = [each for each in children.get(path, ()) if sizes[each] >= least]
            if path and len(large) == 1 and sizes[large[0]] >= sizes[path] * 0.97:
                descend(large[0], prefix, depth)
                return
            if path:
                rows.append(_Row(path[len(prefix) :].lstrip("/") + "/", sizes[path], depth))
            for each in sorted(large, key=lambda each: (-sizes[each], each)):
                descend(each, path, depth + 1 if path else 0)

        descend("", "", 0)
        # The largest, in the order of the tree: what holds one of them is no smaller.
        order = sorted(range(len(rows)), key=lambda each: (-rows[each].size, each))[: 2 * self._top]
        return [rows[each] for each in sorted(order)]

    def _models(self) -> Iterator[str]:
        analysis = self._analysis
        if analysis.weights:
            yield ""
            yield self._paint("Weights", "bold")
            for each in analysis.weights[: self._top]:
                parameters = "" if each.parameters is None else f", {_count(each.parameters)} parameters"
                dtypes = f" ({', '.join(sorted(each.dtypes))})" if each.dtypes else ""
                yield f"  {size_text(each.size_bytes, ' '):>8}  {shown(each.path)}: {each.format}{parameters}{dtypes}"
        yield from self._section("GPU code", [_Row(name, size) for name, size in analysis.cuda.items()])

    def _findings(self) -> Iterator[str]:
        findings = self._analysis.findings
        yield ""
        if not findings:
            yield "No findings."
            return
        yield self._paint("Findings", "bold")
        for finding in findings:
            yield from self._finding(finding)

    def _finding(self, finding: AnalysisFinding) -> Iterator[str]:
        compressed = finding.compressed_saving_bytes
        packed = "" if compressed is None else f" ({size_text(compressed, ' ')} compressed)"
        where = ""
        if finding.layer >= 0:
            where = f", layer {finding.layer}"
        if finding.line:
            where = f", line {finding.line} of the Dockerfile"
        code = self._paint(finding.code, "yellow")
        yield f"  {code}: saves {self._paint(size_text(finding.saving_bytes, ' '), 'bold')}{packed}{where}"
        yield f"      {shown(finding.reason)}"
        if finding.paths:
            yield f"      most: {shown(finding.paths[0])}"
        yield f"      {self._paint('hint', 'cyan')}: {shown(finding.hint)}"

    def _largest(self, sizes: Mapping[str, int]) -> list[tuple[str, int]]:
        """The largest; what is left as one more, so that it sums to the image."""
        ordered = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
        shown_ = [item for item in ordered[: self._top + 10] if item[1] >= self._analysis.size_bytes * _SMALLEST_SHARE]
        rest = sum(size for _, size in ordered[len(shown_) :])
        return [*shown_, (f"{len(ordered) - len(shown_)} more", rest)] if rest else shown_

    def _section(self, title: str, rows: Sequence[_Row]) -> Iterator[str]:
        if not rows:
            return
        yield ""
        yield self._paint(title, "bold")
        names = [_branch(rows, number) + shown(row.name) for number, row in enumerate(rows)]
        widest = min(max(map(len, names)), 46)
        total = self._analysis.size_bytes if title != "GPU code" else sum(row.size for row in rows)
        for name, row in zip(names, rows, strict=True):
            share = row.size / total if total else 0.0
            name = name if len(name) <= widest else name[: widest - 1] + "…"
            line = f"  {name.ljust(widest)} {self._bar(share)} {size_text(row.size, ' '):>8} {100 * share:5.1f} %"
            if row.note:
                room = self._width - len(line) - 2
                note = shown(row.note)
                if room >= 12:
                    line += "  " + self._paint(note if len(note) <= room else note[: room - 1] + "…", "dim")
            yield line

    def _bar(self, share: float) -> str:
        eighths = round(min(1.0, share) * _BAR * 8)
        if self._is_plain:
            return ("#" * round(eighths / 8)).ljust(_BAR)
        whole, part = divmod(eighths, 8)
        return self._paint(("█" * whole + (_EIGHTHS[part] if part else "")).ljust(_BAR), "green")


def _branch(rows: Sequence[_Row], number: int) -> str:
    """The lines of a tree before a row's name."""
    depth = rows[number].depth
    if not depth:
        return ""
    parts = []
    for level in range(1, depth + 1):
        following = next((row.depth for row in rows[number + 1 :] if row.depth <= level), 0)
        goes_on = following == level
        if level == depth:
            parts.append("├─ " if goes_on else "└─ ")
        else:
            parts.append("│  " if goes_on else "   ")
    return "".join(parts)


def _note(owner: OwnedPackage) -> str:
    if owner.is_removed:
        return "removed by a later layer"
    if owner.needed_by:
        return f"needed by {_some(owner.needed_by)}"
    return ""


def _some(names: Iterable[str], most: int = 4) -> str:
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


def _count(number: int) -> str:
    """As people say numbers of parameters: `66.4M`, `7.24G`."""
    return size_text(number).removesuffix("B").replace("k", "K")
