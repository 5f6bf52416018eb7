"""How large the report of a large image is, and how quick in a browser: `python bench/report.py [--files N]`.

An image of N files and 5 GB is made up (`tests/support/reports.py`); a headless Chromium without a GPU shows its report. Times
are of the page's own clock. The table goes to docs/report.md by hand.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from slimstage.report.folding import fold
from slimstage.report.html import page
from slimstage.values import replace
from support.browser import Visit, chromium
from support.reports import PURPOSES, image_facts, large_files, purpose_rows, usual_report

_ROUNDS = 5
_ZOOM = """async (way) => {
  const times = [];
  const counted = new Promise((done) => {
    let last = performance.now();
    const begun = last;
    const tick = (now) => {
      times.push(now - last);
      last = now;
      if (now - begun < 320) requestAnimationFrame(tick);
      else done();
    };
    requestAnimationFrame(tick);
  });
  const begun = performance.now();
  if (way === "in") document.querySelector("#map .entries button").click();
  else document.querySelector("#map .trail button").click();
  const handled = performance.now() - begun;
  await counted;
  return { handled, frames: times.slice(1) };
}"""
_SEARCH = """async (text) => {
  const search = document.querySelector("#map-search");
  const heading = document.querySelector("#map-heading");
  const begun = performance.now();
  const told = new Promise((done) => new MutationObserver(() => done(performance.now())).observe(heading, {childList: true}));
  search.value = text;
  search.dispatchEvent(new Event("input"));
  return (await told) - begun;
}"""
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
_READY = "performance.getEntriesByName('map-ready')[0].startTime"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--files", type=int, default=200_000)
    count = arguments.parse_args().files
    files = large_files(count)
    begun = time.process_time()
    tree = fold(files)
    folded = time.process_time()
    image = image_facts(size_bytes=tree.nodes[0].size_bytes, files=count)
    report = replace(usual_report(), image=image, tree=tree, purposes=purpose_rows(files, PURPOSES))
    text = page(report)
    written = time.process_time()
    print(f"{count:,} files, {image.size_bytes / 1e9:.2f} GB, {len(tree.nodes):,} nodes")
    print(f"folding          {folded - begun:8.2f} s of CPU")
    print(f"page             {written - folded:8.2f} s of CPU, {len(text.encode()) / 1e6:.2f} MB")
    with tempfile.TemporaryDirectory() as directory, chromium() as browser:
        path = Path(directory) / "report.html"
        path.write_text(text, encoding="utf-8")
        measured: dict[str, list[float]] = {}

        def note(name: str, value: float) -> None:
            measured.setdefault(name, []).append(value)

        for _ in range(_ROUNDS):
            visit = Visit(browser, path)
            visit.page.wait_for_timeout(300)
            note("first paint", visit.page.evaluate(_PAINT))
            note("map is there", visit.page.evaluate(_READY))
            for way in ("in", "in", "out"):
                found = visit.page.evaluate(_ZOOM, way)
                note("zoom handled", found["handled"])
                note("zoom frame, median", statistics.median(found["frames"]))
                note("zoom frame, worst", max(found["frames"]))
            note("search", visit.page.evaluate(_SEARCH, "file12") - 120)  # it waits for the next letter
            visit.close()
    for name, values in measured.items():
        print(f"{name:22} {statistics.median(values):8.1f} ms   worst {max(values):.1f}")


if __name__ == "__main__":
    main()
