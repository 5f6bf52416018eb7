"""slimstage beside BuildKit and buildah: each workload with each builder in one run, as ratios.

    python bench/run.py [--workloads many-files,wide-copy] [--peers slimstage,buildkit,buildah] [--repeat 3]

Scenarios of one workload and builder, in this order:
    cold     base images there, nothing cached, page cache dropped
    oci      that result written as an OCI layout with gzip layers
    noop     the same build again, nothing changed
    touch    one source file of the app changed
    step     what one more `RUN true` costs, from builds of 1 and 21 steps

Needs root. The newest results lie in `.bench/results.jsonl`; `--table` prints it as Markdown without running anything.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import measure
import peers

PROJECT = Path(__file__).resolve().parent.parent
HOME = Path(os.environ.get("BENCH_DIR", PROJECT / ".bench"))
WORKLOADS = {"many-files": None, "wide-copy": None, "deep-dag": None, "sklearn-serve": "app/server.py"}
SCENARIOS = ("cold", "cold+oci", "noop", "touch", "step")
WHEELS_PORT = 5001


def context_of(workload: str, source: Path) -> Path:
    """A copy of the workload to build from, with its big files made once."""
    to = HOME / "contexts" / workload
    shutil.copytree(source / workload, to, dirs_exist_ok=True)
    generator = to / "gen.py"
    if generator.exists() and not (to / ".made").exists():
        subprocess.run([sys.executable, str(generator), str(to)], check=True)
        (to / ".made").touch()
    return to


def steps_context(count: int) -> Path:
    to = HOME / "contexts" / f"steps-{count}"
    to.mkdir(parents=True, exist_ok=True)
    lines = [f"FROM {peers.REGISTRY}/debian:slim", f"ARG X={uuid.uuid4().hex}", *["RUN true"] * count]
    (to / "Dockerfile").write_text("\n".join(lines) + "\n")
    return to


def wheel_shelf(requirements: Path) -> subprocess.Popen[bytes]:
    """The wheels of sklearn-serve, fetched once, then served on loopback: no network is timed."""
    to = HOME / "wheels"
    if not (to / ".done").exists():
        to.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pip",
                "download",
                "-q",
                "--only-binary",
                ":all:",
                "-d",
                str(to),
                "-r",
                str(requirements),
            ],
            check=True,
        )
        (to / ".done").touch()
    shelf = subprocess.Popen(
        [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(to), str(WHEELS_PORT)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    for _ in range(200):
        if shelf.poll() is not None:
            raise SystemExit(f"bench: no server on port {WHEELS_PORT}: somebody else has it?")
        try:
            socket.create_connection(("127.0.0.1", WHEELS_PORT)).close()
            return shelf
        except ConnectionError:
            time.sleep(0.05)
    raise SystemExit(f"bench: the server on port {WHEELS_PORT} does not answer")


def run_workload(peer: peers.Peer, workload: str, context: Path, extra: list[str]) -> list[dict[str, object]]:
    tag, out, log = f"bench/{workload}:latest", HOME / "out", HOME / "last.log"
    rows: list[dict[str, object]] = []

    def row(scenario: str, command: list[str]) -> measure.Cost:
        cost = measure.measure(command, daemons=peer.daemons, env=peer.env, log=log)
        rows.append({"peer": peer.name, "workload": workload, "scenario": scenario, **vars(cost)})
        print(json.dumps(rows[-1]), flush=True)
        return cost

    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    peer.clear()
    measure.drop_page_cache()
    measure.wait_for_quiet()
    cold = row("cold", peer.build(context, extra, tag))
    export = row("oci", peer.export(context, extra, tag, out / "layout"))
    both = {key: round(getattr(cold, key) + getattr(export, key), 3) for key in ("wall_s", "cpu_s")}
    rows.append({"peer": peer.name, "workload": workload, "scenario": "cold+oci", **both,
                 "peak_mb": max(cold.peak_mb, export.peak_mb), "others": max(cold.others, export.others)})  # fmt: skip
    for _ in range(3):  # so short that one alone says little
        row("noop", peer.build(context, extra, tag))
    touched = WORKLOADS[workload]
    if touched:
        with (context / touched).open("a") as file:
            file.write(f"# {uuid.uuid4().hex}\n")
        row("touch", peer.build(context, extra, tag))
    shutil.rmtree(out)
    peer.clear()
    return rows


def run_steps(peer: peers.Peer) -> list[dict[str, object]]:
    """What one more RUN costs: (21 steps - 1 step) / 20."""
    costs = {}
    for count in (1, 21):
        costs[count] = measure.measure(
            peer.build(steps_context(count), [], f"bench/steps{count}:latest"),
            daemons=peer.daemons,
            env=peer.env,
            log=HOME / "last.log",
        )
    one, many = costs[1], costs[21]
    row = {
        "peer": peer.name, "workload": "RUN true", "scenario": "step", "wall_s": round((many.wall_s - one.wall_s) / 20, 4),
        "cpu_s": round((many.cpu_s - one.cpu_s) / 20, 4), "peak_mb": many.peak_mb, "others": many.others,
    }  # fmt: skip
    print(json.dumps(row), flush=True)
    return [row]


def table(rows: list[dict[str, object]]) -> str:
    """Markdown: for each workload and scenario the medians, and slimstage's ratio to the best peer of the same run."""
    grouped: dict[tuple[str, str], dict[str, list[dict[str, object]]]] = {}
    for row in rows:
        key = (str(row["workload"]), str(row["scenario"]))
        grouped.setdefault(key, {}).setdefault(str(row["peer"]), []).append(row)

    def median(found: list[dict[str, object]], field: str) -> float:
        return statistics.median(float(str(row[field])) for row in found)

    names = list(dict.fromkeys(str(row["peer"]) for row in rows))
    head = [
        "workload",
        "scenario",
        *[f"{name} s" for name in names],
        "ratio to best peer",
        *[f"{name} MB" for name in names],
    ]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for (workload, scenario), by_peer in grouped.items():
        if scenario not in SCENARIOS:
            continue
        walls = {name: median(found, "wall_s") for name, found in by_peer.items()}
        others = [wall for name, wall in walls.items() if name != "slimstage"]
        ratio = f"{walls['slimstage'] / min(others):.2f}" if others and "slimstage" in walls else "-"
        cells = [
            f"{walls[name]:.2f}" if scenario != "step" else f"{walls[name]:.3f}" for name in names if name in walls
        ]
        memory = [f"{median(by_peer[name], 'peak_mb'):.0f}" for name in names if name in by_peer]
        if len(cells) == len(names):
            lines.append("| " + " | ".join([workload, scenario, *cells, ratio, *memory]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", default=",".join([*WORKLOADS, "steps"]))
    parser.add_argument("--peers", default="slimstage,buildkit,buildah")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument(
        "--source", type=Path, default=PROJECT.parent / "shared/bench/workloads", help="where the workloads lie"
    )
    parser.add_argument("--table", action="store_true", help="print the last results as a table")
    given = parser.parse_args()
    results = HOME / "results.jsonl"
    if not given.table:
        if os.geteuid() != 0:
            raise SystemExit("bench: run it as root: the peers need it, and the page cache is dropped")
        HOME.mkdir(parents=True, exist_ok=True)
        for name, packages in peers.BASES.items():
            peers.make_base(name, packages, HOME / "bases" / name.replace(":", "-"))
        makers = {
            "slimstage": lambda: peers.Slimstage(HOME, [sys.executable, "-m", "slimstage"]),
            "buildkit": lambda: peers.BuildKit(HOME),
            "buildah": lambda: peers.Buildah(HOME),
        }
        chosen = [makers[name]() for name in given.peers.split(",")]
        workloads = given.workloads.split(",")
        shelf = (
            wheel_shelf(given.source / "sklearn-serve/requirements-train.txt") if "sklearn-serve" in workloads else None
        )
        rows: list[dict[str, object]] = []
        try:
            for peer in chosen:
                peer.prepare(HOME / "bases")
            for _ in range(given.repeat):
                for workload in workloads:
                    for peer in chosen:
                        if workload == "steps":
                            rows += run_steps(peer)
                            continue
                        wheels = [
                            "--build-arg",
                            "PIP_NO_INDEX=1",
                            "--build-arg",
                            f"PIP_FIND_LINKS=http://127.0.0.1:{WHEELS_PORT}/",
                        ]
                        extra = wheels if workload == "sklearn-serve" else []
                        rows += run_workload(peer, workload, context_of(workload, given.source), extra)
        finally:
            for peer in chosen:
                peer.close()
            if shelf:
                shelf.terminate()
            if rows:
                results.write_text("".join(json.dumps(row) + "\n" for row in rows))
    print(table([json.loads(line) for line in results.read_text().splitlines()]))


if __name__ == "__main__":
    main()
