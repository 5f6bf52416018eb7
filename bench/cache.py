"""A cache that travels, measured: two machines are two stores, with a registry on loopback between them.

    python bench/cache.py [--source DIR]

Builds sklearn-serve on one machine, which writes its cache, and on a second one, which has nothing; then a package more
into a cache mount. Prints Markdown: seconds, steps that ran, bytes that were sent and fetched. Needs docker-registry, the
network of a Debian mirror and of a Python index.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import peers
import run

PLACE = run.HOME / "cache"
_SYSTEMS = {f"{peers.REGISTRY}/{name}": f"debian://bookworm?include={names}" for name, names in peers.BASES.items()}
_MOUNTED = """\
FROM {base}
COPY requirements.txt .
RUN --mount=type=cache,id=wheels,target=/wheels \\
    pip3 download -q -d /wheels --find-links /wheels {options} -r requirements.txt && ls /wheels | wc -l
"""


@contextmanager
def registry() -> Iterator[str]:
    """`host:port` of an empty one; its log is PLACE/registry.log."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = PLACE / "registry.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {PLACE / 'registry'}}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    with open(PLACE / "registry.log", "wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=log, stderr=log)
    try:
        for _ in range(200):
            try:
                urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://127.0.0.1:{port}/v2/")
                break
            except OSError:
                time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def fetched_bytes(start: int) -> tuple[int, int]:
    """(bytes of blobs that the registry gave since this offset of its log, where the log ends now)."""
    log = (PLACE / "registry.log").read_bytes()
    lines = re.findall(rb'"GET /v2/[^ ]+/blobs/[^"]*" 20[06] (\d+)', log[start:])
    return sum(map(int, lines)), len(log)


def build(machine: str, context: Path, *args: str) -> dict[str, Any]:
    contexts = [part for name, spec in _SYSTEMS.items() for part in ("--build-context", f"{name}={spec}")]
    wheels = ["--build-arg", "PIP_NO_INDEX=1", "--build-arg", f"PIP_FIND_LINKS=http://127.0.0.1:{run.WHEELS_PORT}/"]
    command = [sys.executable, "-m", "slimstage", "build", "--json", *contexts, *wheels, *args, str(context)]
    began = time.monotonic()
    done = subprocess.run(
        command, stdout=subprocess.PIPE, env={**os.environ, "SLIMSTAGE_ROOT": str(PLACE / machine)}, check=True
    )
    document: dict[str, Any] = json.loads(done.stdout)
    return {**document, "wall_s": time.monotonic() - began}


def ran(document: dict[str, Any]) -> int:
    return sum(step["status"] == "run" and step["instruction"].startswith("RUN") for step in document["steps"])


def row(what: str, document: dict[str, Any], fetched: int) -> str:
    sent = sum(cache["sent_bytes"] for cache in document["caches"])
    return f"| {what} | {document['wall_s']:.1f} s | {ran(document)} | {fetched / 1e6:.1f} MB | {sent / 1e6:.1f} MB |"


def measured(host: str, source: Path) -> Iterator[str]:
    context = run.context_of("sklearn-serve", source)
    place, end = f"{host}/cache:main", 0
    reads, writes = ("--cache-from", place), ("--cache-to", f"type=registry,ref={place},mode=max")
    cases: list[tuple[str, str, tuple[str, ...]]] = [
        ("one machine, nothing cached, cache written", "one", writes),
        ("the same again", "one", (*reads, *writes)),
        ("a second machine, all from the cache, image in its store", "two", reads),
    ]
    for what, machine, args in cases:
        document = build(machine, context, "-t", "serve", *args)
        fetched, end = fetched_bytes(end)
        yield row(what, document, fetched)
    app = context / "app/server.py"
    app.write_text(app.read_text() + "\n# changed\n")
    document = build("three", context, "-t", "serve", *reads)
    fetched, end = fetched_bytes(end)
    yield row("a third machine, one line of the application changed", document, fetched)
    shutil.copy(source / "sklearn-serve/app/server.py", app)
    yield from mounts(host, context, end)


def mounts(host: str, workload: Path, end: int) -> Iterator[str]:
    context = PLACE / "mounted"
    context.mkdir(exist_ok=True)
    place = f"{host}/mounts:main"
    flags = ("--cache-mounts", "--cache-from", place, "--cache-to", f"type=registry,ref={place},mode=max")
    base = next(name for name in _SYSTEMS if name.endswith("python:slim"))
    options = f"--no-index --find-links http://127.0.0.1:{run.WHEELS_PORT}/"
    (context / "Dockerfile").write_text(_MOUNTED.format(base=base, options=options))
    first = (workload / "requirements-serve.txt").read_text()
    for what, machine, text in (
        ("cache mount: five packages downloaded, nothing cached", "one", first),
        ("cache mount: a cold machine, one package more", "four", first + "cycler\n"),
    ):
        (context / "requirements.txt").write_text(text)
        document = build(machine, context, *flags)
        fetched, end = fetched_bytes(end)
        yield row(what, document, fetched)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=run.PROJECT.parent / "shared/bench/workloads")
    given = parser.parse_args()
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    shelf = run.wheel_shelf(given.source / "sklearn-serve/requirements-train.txt")
    try:
        print("| | time | RUN steps | fetched from the registry | sent to it |\n|---|---|---|---|---|", flush=True)
        with registry() as host:
            for line in measured(host, given.source):
                print(line, flush=True)
    finally:
        shelf.terminate()
        shutil.rmtree(PLACE, ignore_errors=True)


if __name__ == "__main__":
    main()
