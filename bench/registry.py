"""Push and pull beside skopeo, podman and docker: each image with each tool in one run, against a registry on loopback.

    python bench/registry.py [--images sklearn-serve,one-layer] [--tools slimstage,skopeo,podman,docker] [--repeat 3]

Scenarios of one image and tool, in this order; before each that moves layers the page cache is dropped:
    pull        from the registry into the tool's own store, which is empty; unpacked, ready to run
    pull again  the same, with all there
    copy        from the registry into an OCI layout, nothing unpacked
    push        what was pulled, to a registry that has nothing; skopeo's from an OCI layout
    push again  the same, with all there
    push built  an image whose layers were never compressed, loaded from a docker archive; skopeo's from there
    push after build
                the same, of an image that the tool has just built itself; skopeo builds nothing

The images: the `sklearn-serve` workload, built by slimstage once, and `one-layer`, one file of 2 GiB that does not compress.
The registry is Debian's docker-registry; its own time and memory count for nobody. Needs root and 15 GB of disk. The
newest results lie in `.bench/registry.jsonl`; `--table` prints it as Markdown without running anything.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import measure
import peers
import run
from registry_tools import (
    SCENARIOS,
    Docker,
    Image,
    Podman,
    Skopeo,
    Slimstage,
    Tool,
    free_host,
    manifest_at,
    serving,
)

IMAGES = ("sklearn-serve", "one-layer")
SLIMSTAGE = [sys.executable, "-m", "slimstage"]
RESULTS = run.HOME / "registry.jsonl"


def prepared(name: str, source: Path) -> Image:
    """The image as a layout and as an archive, made once."""
    home = run.HOME / "images"
    context = run.HOME / "contexts/wide-copy" if name == "one-layer" else None
    image = Image(name, home / name, home / f"{name}.tar", context)
    made = home / f"{name}.made"
    if not made.exists():
        shutil.rmtree(image.layout, ignore_errors=True)
        image.archive.unlink(missing_ok=True)
        home.mkdir(parents=True, exist_ok=True)
        print(f"making {image.layout}", file=sys.stderr)
        (_one_layer if name == "one-layer" else _sklearn_serve)(image.layout, source)
        peers.call(*Skopeo.words, f"oci:{image.layout}", f"docker-archive:{image.archive}:{image.local}")
        made.touch()
    return image


def _one_layer(layout: Path, source: Path) -> None:
    context = run.context_of("wide-copy", source)
    (context / "Dockerfile").write_text("FROM scratch\nCOPY model.bin /model.bin\n")
    root = run.HOME / "one-layer-store"
    out = f"type=oci,dest={layout},tar=false,compression=gzip"
    peers.call(*SLIMSTAGE, "build", "-o", out, context, env={"SLIMSTAGE_ROOT": str(root)})
    shutil.rmtree(root)


def _sklearn_serve(layout: Path, source: Path) -> None:
    for name, packages in peers.BASES.items():
        peers.make_base(name, packages, run.HOME / "bases" / name.replace(":", "-"))
    builder = peers.Slimstage(run.HOME / "images-store", SLIMSTAGE)
    shelf = run.wheel_shelf(source / "sklearn-serve/requirements-train.txt")
    try:
        builder.prepare(run.HOME / "bases")
        extra = ["--build-arg", "PIP_NO_INDEX=1", "--build-arg", f"PIP_FIND_LINKS=http://127.0.0.1:{run.WHEELS_PORT}/"]
        context = run.context_of("sklearn-serve", source)
        peers.call(*builder.export(context, extra, "bench/sklearn-serve", layout), env=builder.env)
    finally:
        shelf.terminate()
        shelf.wait()
        shutil.rmtree(run.HOME / "images-store")


def seed(image: Image, host: str) -> Path:
    """The data of a registry that has the image, made once."""
    data = run.HOME / "registries" / image.name
    if not data.with_suffix(".made").exists():
        shutil.rmtree(data, ignore_errors=True)
        with serving(host, data):
            peers.call(*Skopeo.words, f"oci:{image.layout}", f"docker://{image.at(host)}")
        data.with_suffix(".made").touch()
    return data


def run_tool(tool: Tool, image: Image, host: str, wanted: tuple[str, ...]) -> Iterator[dict[str, object]]:
    """A row for each scenario that the tool has and that is wanted."""
    scratch, pushed = run.HOME / "registry-scratch", run.HOME / "registries/pushed"

    def row(scenario: str) -> dict[str, object] | None:
        command = tool.command(scenario, image, host, scratch)
        if command is None or scenario not in wanted:
            return None
        if not scenario.endswith("again"):
            measure.drop_page_cache()
            measure.wait_for_quiet(5)
        cost = measure.measure(command, daemons=tool.daemons, env=tool.env, log=run.HOME / "last.log")
        shutil.rmtree(scratch, ignore_errors=True)
        made = {"peer": tool.name, "image": image.name, "scenario": scenario, **vars(cost)}
        if scenario.startswith("push"):
            manifest = json.loads(manifest_at(host, image))
            made["layers_mb"] = round(sum(layer["size"] for layer in manifest["layers"]) / 2**20, 1)
        print(json.dumps(made), flush=True)
        return made

    def rows(*scenarios: str) -> Iterator[dict[str, object]]:
        yield from (made for scenario in scenarios if (made := row(scenario)) is not None)

    shutil.rmtree(scratch, ignore_errors=True)
    tool.clear()
    with serving(host, seed(image, host)):
        yield from rows("pull", "pull again", "copy")
        if "pull" not in wanted and (pull := tool.command("pull", image, host, scratch)):
            peers.call(*pull, env=tool.env)
    for scenarios in (("push", "push again"), ("push built",), ("push after build",)):
        if not any(scenario in wanted for scenario in scenarios):
            continue
        if scenarios == ("push built",):
            tool.clear()
            tool.load(image, host)
        if scenarios == ("push after build",):
            tool.clear()
            if image.context is None or not tool.build(image, host):
                continue
        shutil.rmtree(pushed, ignore_errors=True)
        with serving(host, pushed):
            yield from rows(*scenarios)
            if tool.name == "slimstage" and "push" in scenarios and manifest_at(host, image) != image.manifest():
                raise SystemExit("bench: slimstage pushed another manifest than it pulled")
    tool.clear()
    shutil.rmtree(pushed, ignore_errors=True)


def table(rows: list[dict[str, object]]) -> str:
    """Markdown, medians: wall seconds, with CPU seconds and MB of memory; slimstage's wall to that of the fastest other."""
    grouped: dict[tuple[str, str], dict[str, list[dict[str, object]]]] = {}
    for row in rows:
        key = (str(row["image"]), str(row["scenario"]))
        grouped.setdefault(key, {}).setdefault(str(row["peer"]), []).append(row)

    def median(found: list[dict[str, object]], field: str) -> float:
        return statistics.median(float(str(row[field])) for row in found)

    names = list(dict.fromkeys(str(row["peer"]) for row in rows))
    head = ["image", "scenario", *names, "ratio to fastest"]
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "--:|" * (len(names) + 1)]
    ordered = sorted(grouped, key=lambda key: (IMAGES.index(key[0]), SCENARIOS.index(key[1])))
    for image, scenario in ordered:
        by_peer = grouped[image, scenario]
        cells = []
        for name in names:
            found = by_peer.get(name)
            numbers = [median(found, field) for field in ("wall_s", "cpu_s", "peak_mb")] if found else []
            cells.append("{:.2f} ({:.2f}, {:.0f})".format(*numbers) if found else "-")
        walls = {name: median(found, "wall_s") for name, found in by_peer.items()}
        others = [wall for name, wall in walls.items() if name != "slimstage"]
        ratio = f"{walls['slimstage'] / min(others):.2f}" if others and "slimstage" in walls else "-"
        lines.append("| " + " | ".join([image, scenario, *cells, ratio]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default=",".join(IMAGES))
    parser.add_argument("--tools", default="slimstage,skopeo,podman,docker")
    parser.add_argument("--scenarios", default=",".join(SCENARIOS))
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument(
        "--source", type=Path, default=run.PROJECT.parent / "shared/bench/workloads", help="where the workloads lie"
    )
    parser.add_argument("--prepare", action="store_true", help="make the images and measure nothing")
    parser.add_argument("--table", action="store_true", help="print the last results as a table")
    given = parser.parse_args()
    if not given.table:
        if os.geteuid() != 0:
            raise SystemExit("bench: run it as root: the tools need it, and the page cache is dropped")
        run.HOME.mkdir(parents=True, exist_ok=True)
        host = free_host()
        images = [prepared(name, given.source) for name in given.images.split(",")]
        for image in images:
            seed(image, host)
        if given.prepare:
            return
        rows = measured(given.tools.split(","), images, host, tuple(given.scenarios.split(",")), given.repeat)
        with RESULTS.open("w") as out:
            for row in rows:
                print(json.dumps(row), file=out, flush=True)
    print(table([json.loads(line) for line in RESULTS.read_text().splitlines()]))


def measured(
    names: list[str], images: list[Image], host: str, wanted: tuple[str, ...], repeat: int
) -> Iterator[dict[str, object]]:
    makers = {
        "slimstage": lambda: Slimstage(run.HOME, SLIMSTAGE),
        "skopeo": Skopeo,
        "podman": lambda: Podman(run.HOME),
        "docker": lambda: Docker(run.HOME),
    }
    tools: list[Tool] = [makers[name]() for name in names]
    try:
        for tool in tools:
            tool.start()
        for image in images:
            for _ in range(repeat):
                for tool in tools:
                    yield from run_tool(tool, image, host, wanted)
    finally:
        for tool in tools:
            tool.close()


if __name__ == "__main__":
    main()
