"""Measured rows → exponents, a table, plots."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_LEAST_RATIO = 1.5
"""Sizes whose cost is below this many times that of the smallest say more of an interpreter's start than of growth."""
MEASURES = {"cpu_s": "CPU, s", "wall_s": "wall, s", "peak_mb": "memory, MB"}


@dataclass(frozen=True)
class Row:
    """One build. peak_mb: proportional set size of slimstage's own processes, the largest sum that was seen."""

    axis: str
    variant: str
    scenario: str
    n: int
    wall_s: float
    cpu_s: float
    peak_mb: float
    others: float


Line = tuple[str, str, str]
"""Axis, variant, scenario."""


def read(path: Path) -> list[Row]:
    return [Row(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def write(path: Path, rows: Iterable[Row]) -> None:
    path.write_text("".join(json.dumps(vars(row)) + "\n" for row in rows))


def lines(rows: Iterable[Row]) -> dict[Line, list[Row]]:
    """By axis, variant and scenario, each in the order of n."""
    found: dict[Line, list[Row]] = {}
    for row in rows:
        found.setdefault((row.axis, row.variant, row.scenario), []).append(row)
    return {key: sorted(each, key=lambda row: row.n) for key, each in found.items()}


def exponent(points: list[tuple[float, float]]) -> float | None:
    """k of cost ~ n^k, by least squares of the logarithms; None when nothing grows enough to be fitted.

    points: (n, cost), the smallest n first. The cost of the smallest is what does not depend on n: it is taken off.
    """
    base = points[0][1]
    grown = [(math.log(n), math.log(cost - base)) for n, cost in points[1:] if cost >= base * _LEAST_RATIO and cost > 0]
    if len(grown) < 2:
        return None
    mean_x = sum(x for x, _ in grown) / len(grown)
    mean_y = sum(y for _, y in grown) / len(grown)
    return sum((x - mean_x) * (y - mean_y) for x, y in grown) / sum((x - mean_x) ** 2 for x, _ in grown)


def last_exponent(points: list[tuple[float, float]]) -> float | None:
    """k between the two largest sizes alone: where something is about to bend upwards."""
    return exponent([points[0], *points[-2:]]) if len(points) > 2 else None


def table(rows: list[Row]) -> str:
    """Markdown: for each line its ends, and how each measure grows."""
    head = "| axis | | scenario | n | CPU s | wall s | MB | k of CPU (last) | k of wall | k of memory |"
    out = [head, "|---|---|---|--:|--:|--:|--:|--:|--:|--:|"]
    for (axis, variant, scenario), found in lines(rows).items():
        first, last = found[0], found[-1]
        ks = {m: exponent([(row.n, getattr(row, m)) for row in found]) for m in MEASURES}
        end = last_exponent([(row.n, row.cpu_s) for row in found])
        spans = [
            f"{first.n:,} to {last.n:,}", f"{first.cpu_s:.2f} to {last.cpu_s:.2f}",
            f"{first.wall_s:.2f} to {last.wall_s:.2f}", f"{first.peak_mb:.0f} to {last.peak_mb:.0f}",
        ]  # fmt: skip
        grows = [f"{_k(ks['cpu_s'])} ({_k(end)})", _k(ks["wall_s"]), _k(ks["peak_mb"])]
        out.append("| " + " | ".join([axis, variant, scenario, *spans, *grows]) + " |")
    return "\n".join(out)


def _k(value: float | None) -> str:
    return "flat" if value is None else f"{value:.2f}"


def plot(rows: list[Row], to: Path) -> None:
    """One SVG an axis: CPU, wall and memory over n. The same rows give the same bytes."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update(
        {"svg.hashsalt": "slimstage", "svg.fonttype": "none", "font.size": 8, "axes.grid": True, "grid.linewidth": 0.3}
    )
    from matplotlib import pyplot as plt
    from scale_axes import AXES

    to.mkdir(parents=True, exist_ok=True)
    by_line = lines(rows)
    for name, axis in AXES.items():
        chosen = {key: found for key, found in by_line.items() if key[0] == name}
        if not chosen:
            continue
        figure, charts = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
        for chart, (field, title) in zip(charts, MEASURES.items(), strict=True):
            for (_, variant, scenario), found in chosen.items():
                chart.plot(
                    [row.n for row in found],
                    [getattr(row, field) for row in found],
                    marker=".",
                    linewidth=1,
                    label=f"{variant}, {scenario}",
                )
            chart.set_xscale("log")
            chart.set_yscale("log" if field != "peak_mb" and name != "jobs" else "linear")
            chart.set_ylim(bottom=None if chart.get_yscale() == "log" else 0)
            chart.set_xlabel(axis.unit)
            chart.set_title(title)
        figure.legend(*charts[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
        figure.savefig(to / f"scale-{name}.svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)
