"""What packing and unpacking a layer costs, beside plain programs: MB of tar per CPU-second and per second.

    python bench/tree_pack.py DIRECTORY [--times 3]

DIRECTORY is packed as a layer. CPU seconds are those of this process or of the programs and their children; each figure
is the best of `--times` runs. The limits are sha256 alone and reading alone.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from slimstage.tree.blocks import pack_layer
from slimstage.tree.pack import pack
from slimstage.tree.scan import scan
from slimstage.tree.unpack import unpack_layer


def measured(times: int, work: Callable[[], object]) -> tuple[float, float]:
    """(least CPU seconds, least seconds) of so many runs."""
    cpu, wall = [], []
    for _ in range(times):
        before, start = cpu_s(), time.perf_counter()
        work()
        cpu.append(cpu_s() - before)
        wall.append(time.perf_counter() - start)
    return min(cpu), min(wall)


def cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def shell(command: str) -> Callable[[], object]:
    return lambda: subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory")
    parser.add_argument("--times", type=int, default=3)
    given = parser.parse_args()
    layer = os.path.abspath(given.directory)
    with tempfile.TemporaryDirectory() as folder:
        compare(layer, folder, given.times)


def compare(layer: str, folder: str, times: int) -> None:
    blob, out = Path(folder, "blob"), Path(folder, "out")
    size = pack_layer(layer, compression="uncompressed").size_bytes
    entries = sum(1 for _ in scan(layer))
    print(f"{entries} entries, {size / 1e6:.0f} MB of tar, {os.cpu_count()} processors")
    print(f"{'':34}{'CPU s':>8}{'s':>8}{'MB/CPU-s':>10}{'MB/s':>8}{'ratio':>8}")

    def row(name: str, work: Callable[[], object], written: Path | None = None) -> None:
        cpu, wall = measured(times, work)
        ratio = f"{written.stat().st_size / size:8.3f}" if written else ""
        print(f"{name:34}{cpu:8.2f}{wall:8.2f}{size / cpu / 1e6:10.0f}{size / wall / 1e6:8.0f}{ratio}", flush=True)

    def packing(compression: str, level: int | None = None) -> Callable[[], object]:
        def run() -> None:
            with blob.open("wb", buffering=0) as sink:
                pack_layer(layer, compression=compression, level=level, out=sink)  # type: ignore[arg-type]

        return run

    def unpacking() -> None:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        with blob.open("rb") as stream:
            unpack_layer(stream, str(out), ())

    row("scan", lambda: sum(1 for _ in scan(layer)))
    row("pack", lambda: pack(layer, lambda data: None))
    row("pack + sha256", lambda: pack_layer(layer, compression="uncompressed"))
    row("GNU tar", shell(f"tar -C '{layer}' -cf - . | cat"))
    row("GNU tar | sha256sum", shell(f"tar -C '{layer}' -cf - . | sha256sum"))
    row("pack + gzip + both digests", packing("gzip"), blob)
    row("unpack gzip + digest", unpacking)
    for level in (1, 6):
        row(f"pack + gzip level {level}", packing("gzip", level), blob)
        row(f"GNU tar | pigz -{level}", shell(f"tar -C '{layer}' -cf - . | pigz -{level} > '{blob}'"), blob)
    row("GNU tar | gzip -6", shell(f"tar -C '{layer}' -cf - . | gzip -6 > '{blob}'"), blob)
    shutil.rmtree(out)
    out.mkdir()
    row("tar -xzf", shell(f"rm -rf '{out}'; mkdir '{out}'; tar -C '{out}' -xzf '{blob}'"))
    row("pack + zstd + both digests", packing("zstd"), blob)
    row("unpack zstd + digest", unpacking)
    row("GNU tar | zstd -3 -T0", shell(f"tar -C '{layer}' -cf - . | zstd -q -3 -T0 -c > '{blob}'"), blob)
    data = bytes(64 << 20)
    cpu, _ = measured(times, lambda: hashlib.sha256(data))
    print(f"limit: sha256 {len(data) / cpu / 1e6:.0f} MB/CPU-s")


if __name__ == "__main__":
    main()
