"""How cost grows: one axis after another, each measured at several sizes, fitted as cost ~ n^k, drawn.

    python bench/scale.py [--axes files,stages,...] [--most N]     # as root
    python bench/scale.py --table                                  # the last results as Markdown
    python bench/scale.py --plot                                   # the last results as docs/images/scale-*.svg

Every build begins with an empty store, in a directory of its own that is removed again. Results lie in
`.bench/scale.jsonl`, a line for each build; measuring an axis again replaces its lines only. CPU seconds are the figure
to trust on a machine that does other work as well: `others` is that work's share.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import measure
import scale_axes
import scale_report

PROJECT = Path(__file__).resolve().parent.parent
HOME = Path(os.environ.get("BENCH_DIR", PROJECT / ".bench"))
RESULTS = HOME / "scale.jsonl"
IMAGES = PROJECT / "docs/images"


def run_axis(axis: scale_axes.Axis, most: float) -> list[scale_report.Row]:
    work = HOME / "scale"
    rows: list[scale_report.Row] = []
    for variant in axis.variants:
        for n in axis.sizes:
            if n > min(most, variant.most):
                continue
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            project = scale_axes.Scaled(work / "context", work / "out")
            project.context.mkdir()
            variant.make(project.context, n)
            for scenario, arguments in variant.commands(project, n):
                cost = measure.measure(
                    [sys.executable, "-m", "slimstage", "build", "--progress=quiet", *arguments, str(project.context)],
                    daemons=[],
                    env={"SLIMSTAGE_ROOT": str(work / "store"), "PYTHONDONTWRITEBYTECODE": ""},
                    log=HOME / "scale.log",
                    size=measure.proportional,
                    every_s=0.02,
                )
                rows.append(scale_report.Row(axis.name, variant.name, scenario, n, **vars(cost)))
                print(json.dumps(vars(rows[-1])), flush=True)
    shutil.rmtree(work, ignore_errors=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--axes", default=",".join(scale_axes.AXES))
    parser.add_argument("--most", type=float, default=float("inf"), help="no size above this one")
    parser.add_argument("--table", action="store_true", help="print the last results")
    parser.add_argument("--plot", action="store_true", help="draw the last results")
    given = parser.parse_args()
    if not (given.table or given.plot):
        if os.geteuid() != 0:
            raise SystemExit("bench: run it as root: steps run in the sandbox, and the page cache is dropped")
        HOME.mkdir(parents=True, exist_ok=True)
        for name in given.axes.split(","):
            rows = run_axis(scale_axes.AXES[name], given.most)
            kept = [row for row in scale_report.read(RESULTS) if row.axis != name]
            scale_report.write(RESULTS, kept + rows)
    results = scale_report.read(RESULTS)
    if given.plot:
        scale_report.plot(results, IMAGES)
    print(scale_report.table(results))


if __name__ == "__main__":
    main()
