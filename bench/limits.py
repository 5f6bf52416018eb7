"""What plain programs need for the bytes of a workload: reading, copying, hashing, compressing. How near is slimstage to that?

    python bench/limits.py [--workloads many-files,wide-copy] [--repeat 2]     # as root
    python bench/limits.py --table                                             # the last results as Markdown

The trees are those of `bench/run.py`, which slimstage copies into an empty stage. The least of the repetitions counts, with
files in the page cache unless it says cold. Results lie in `.bench/limits.jsonl`; `others` is the share of the machine that
other work had.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import measure
import run

TREES = {"many-files": "data", "wide-copy": "model.bin"}
RESULTS = run.HOME / "limits.jsonl"
SCRATCH = run.HOME / "limits"


@dataclass(frozen=True)
class Work:
    """One row. command: a shell's, in the directory of `tree`, with `$OUT` an empty directory of its own."""

    name: str
    command: str
    is_cold: bool = False


def plain(tree: str) -> Iterator[Work]:
    """What programs do that know nothing of images. tar is given a pipe: into /dev/null it would not read."""
    tar = f"tar -cf - {tree}"
    yield Work("look at every file (find, stat)", f"find {tree} -printf '%s %T@ %p\\n' >/dev/null")
    yield Work("read, cold (tar to a pipe)", f"{tar} | cat >/dev/null", is_cold=True)
    yield Work("read (tar to a pipe)", f"{tar} | cat >/dev/null")
    yield Work("sha256 of each file (sha256sum)", f"find {tree} -type f -print0 | xargs -0 sha256sum >/dev/null")
    yield Work("sha256 of the tar (openssl)", f"{tar} | openssl dgst -sha256 -r >/dev/null")
    yield Work("hard links (cp -al)", f'cp -al {tree} "$OUT/"')
    yield Work("copy, cold (cp -a)", f'cp -a {tree} "$OUT/"', is_cold=True)
    yield Work("copy (cp -a)", f'cp -a {tree} "$OUT/"')
    yield Work("tar to a file", f'{tar} >"$OUT/tar"')
    for program in ("gzip -1", "pigz -1", "pigz -6", "igzip -1", "zstd -q -1 -T2", "zstd -q -3 -T2"):
        if shutil.which(program.split()[0]):
            yield Work(f"tar to a file, {program}", f'{tar} | {program} >"$OUT/tar"')


def ours(tree: str) -> Iterator[Work]:
    """What slimstage does with them: each build on an empty store, the export on the store of the build before it."""
    slimstage = f'"{sys.executable}" -m slimstage build --progress=quiet'
    made = f"printf 'FROM scratch\\nCOPY {tree} /{tree}\\n' | {slimstage} -f -"
    yield Work("slimstage build, cold", f'export SLIMSTAGE_ROOT="$OUT/s"; {made} .', is_cold=True)
    yield Work("slimstage build", f'export SLIMSTAGE_ROOT="$OUT/s"; {made} .')
    for form in ("uncompressed", "gzip", "zstd"):
        to = f"type=oci,dest='\"$OUT/oci\"',tar=false,compression={form}"
        yield Work(
            f"slimstage build and OCI layout, {form}", f"export SLIMSTAGE_ROOT=\"$OUT/s\"; {made} --output '{to}' ."
        )


def cost_of(work: Work, context: Path, repeat: int) -> dict[str, object]:
    """The least of several, in wall time, with the bytes that it left in `$OUT` (neither a store nor further names)."""
    costs = []
    size = 0
    for _ in range(repeat):
        shutil.rmtree(SCRATCH, ignore_errors=True)
        SCRATCH.mkdir(parents=True)
        if work.is_cold:
            measure.drop_page_cache()
        else:
            os.sync()
        costs.append(
            measure.measure(
                ["/bin/bash", "-ec", f'set -o pipefail; cd "$0"; {work.command}', str(context)],
                daemons=[],
                env={"OUT": str(SCRATCH), "PYTHONDONTWRITEBYTECODE": ""},
                log=run.HOME / "limits.log",
            )
        )
        shutil.rmtree(SCRATCH / "s", ignore_errors=True)
        left = [path.lstat() for path in SCRATCH.rglob("*") if path.is_file()]
        size = sum(each.st_size for each in left if each.st_nlink == 1)
    shutil.rmtree(SCRATCH, ignore_errors=True)
    best = min(costs, key=lambda cost: cost.wall_s)
    return {"what": work.name, **vars(best), "out_mb": round(size / 1e6)}


def table(rows: list[dict[str, object]]) -> str:
    """Markdown, a column for each workload: wall seconds (CPU seconds; MB written), and how busy the machine was."""
    names = list(dict.fromkeys(str(row["workload"]) for row in rows))
    cells: dict[str, dict[str, str]] = {}
    for row in rows:
        text = f"{row['wall_s']:.2f} ({row['cpu_s']:.2f}; {row['out_mb']:,})"
        cells.setdefault(str(row["what"]), {})[str(row["workload"])] = text
    lines = ["| | " + " | ".join(names) + " |", "|---" + "|--:" * len(names) + "|"]
    lines += [f"| {what} | " + " | ".join(each.get(name, "") for name in names) + " |" for what, each in cells.items()]
    others = [float(str(row["others"])) for row in rows]
    return "\n".join([*lines, "", f"others: {min(others):.2f} to {max(others):.2f}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", default=",".join(TREES))
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--source", type=Path, default=run.PROJECT.parent / "shared/bench/workloads")
    parser.add_argument("--table", action="store_true", help="print the last results")
    given = parser.parse_args()
    if not given.table:
        if os.geteuid() != 0:
            raise SystemExit("bench: run it as root: the page cache is dropped")
        run.HOME.mkdir(parents=True, exist_ok=True)
        rows: list[dict[str, object]] = []
        for workload in given.workloads.split(","):
            context = run.context_of(workload, given.source)
            measure.wait_for_quiet()
            for work in (*plain(TREES[workload]), *ours(TREES[workload])):
                rows.append({"workload": workload, **cost_of(work, context, given.repeat)})
                print(json.dumps(rows[-1]), flush=True)
        RESULTS.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(table([json.loads(line) for line in RESULTS.read_text().splitlines()]))


if __name__ == "__main__":
    main()
