"""How long a step takes to start and end: /bin/true over an overlay, in our sandbox, and in runc and bwrap beside it.

    python bench/sandbox_start.py [--steps 40] [--layers 8] [--json]

As root. Prints the median and the best of so many steps in milliseconds, mount and cleanup included, and the same at two
at a time. runc and bwrap do less: they are given a root that is mounted already.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from slimstage.sandbox.native import NativeSandbox
from slimstage.sandbox.spec import OverlayRoot, PlainRoot, SandboxSpec

BUSYBOX = "/bin/busybox"


def make_layers(base: Path, count: int) -> tuple[str, ...]:
    layers = []
    for number in range(count):
        layer = base / f"layer{number}"
        (layer / "bin").mkdir(parents=True)
        (layer / f"file{number}").write_text("x")
        layers.append(str(layer))
    shutil.copy(BUSYBOX, base / "layer0/bin/busybox")
    (base / "layer0/bin/true").symlink_to("busybox")
    for name in ("etc", "proc", "sys", "dev", "tmp"):
        (base / "layer0" / name).mkdir()
    return tuple(layers)


def timed(action: Callable[[], object], steps: int) -> list[float]:
    """Milliseconds of each, the first (which starts what is started once) left out."""
    action()
    result = []
    for _ in range(steps):
        start = time.perf_counter()
        action()
        result.append((time.perf_counter() - start) * 1000)
    return result


def step(sandbox: NativeSandbox, base: Path, layers: tuple[str, ...]) -> None:
    directory = Path(tempfile.mkdtemp(dir=base))
    for name in ("upper", "work"):
        (directory / name).mkdir()
    root = OverlayRoot(layers, str(directory / "upper"), str(directory / "work"))
    spec = SandboxSpec(root=root, argv=("true",), env=(("PATH", "/bin"),))
    ended = sandbox.run(spec, lambda _stream, _data: None, threading.Event())
    if ended.status != 0:
        raise SystemExit(f"the step ended with {ended}")


def runc(base: Path, root: str) -> Callable[[], object]:
    from slimstage.sandbox.runc import oci_config

    bundle = base / "bundle"
    bundle.mkdir()
    config = json.dumps(oci_config(SandboxSpec(root=PlainRoot(root), argv=("/bin/true",), env=(("PATH", "/bin"),))))
    (bundle / "config.json").write_text(config.replace("@ROOT@", root))
    command = ["runc", "--root", str(base / "state"), "run", "--bundle", str(bundle), "bench"]
    return lambda: subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def bwrap(root: str) -> Callable[[], object]:
    command = ["bwrap", "--bind", root, "/", "--proc", "/proc", "--dev", "/dev", "--unshare-all", "/bin/true"]
    return lambda: subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def first(base: Path, layers: tuple[str, ...]) -> float:
    """Milliseconds of a first step, with what is started once."""
    sandbox = NativeSandbox()
    start = time.perf_counter()
    step(sandbox, base, layers)
    result = (time.perf_counter() - start) * 1000
    sandbox.close()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("needs root")
    base = Path(tempfile.mkdtemp(prefix="slimstage-bench-"))
    try:
        layers = make_layers(base, options.layers)
        sandbox = NativeSandbox()
        results = {"slimstage": timed(lambda: step(sandbox, base, layers), options.steps)}
        with ThreadPoolExecutor(2) as pool:
            start = time.perf_counter()
            list(pool.map(lambda _: step(sandbox, base, layers), range(options.steps)))
            each = (time.perf_counter() - start) * 1000 / options.steps
        results["slimstage, two at a time"] = [each]
        results["slimstage, the first step"] = [first(base, layers) for _ in range(3)]
        if shutil.which("runc"):
            results["runc run"] = timed(runc(base, layers[0]), max(5, options.steps // 4))
        if shutil.which("bwrap"):
            results["bwrap"] = timed(bwrap(layers[0]), options.steps)
        sandbox.close()
    finally:
        shutil.rmtree(base)
    rows = [{"what": k, "median_ms": statistics.median(v), "best_ms": min(v)} for k, v in results.items()]
    if options.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(f"{row['what']:28} {row['median_ms']:8.1f} ms median {row['best_ms']:8.1f} ms best")


if __name__ == "__main__":
    main()
