"""Asks a real BuildKit what it runs again after each change of the cache matrix, and writes its answers down.

    python scripts/ask_buildkit_cache.py [--row TEXT]... [--place DIRECTORY]

Needs root, dockerd and docker with buildx (Debian's docker.io and docker-buildx). `BENCH_PATH` is put in front of PATH for
newer ones, `BENCH_DOCKER_CONFIG` names a directory whose `cli-plugins` has their buildx. The daemon is this script's
alone: data, sockets and pid lie in one directory, and it is ended by its pid.

The answers are in tests/support/cache_matrix_buildkit.json; scripts/make_cache_docs.py puts them beside ours. A row that
BuildKit answers otherwise than we do is asked a second time, with nothing in its cache but the first build.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support.cache_matrix import BASE, EVERY, Workspace, column_of, lay_out, write_bases
from support.cache_matrix_rows import ANSWERS, ROWS, Row


def environment() -> dict[str, str]:
    found = dict(os.environ)
    if extra := os.environ.get("BENCH_PATH"):
        found["PATH"] = f"{extra}:{found['PATH']}"
    if config := os.environ.get("BENCH_DOCKER_CONFIG"):
        found["DOCKER_CONFIG"] = config
    return found


class BuildKit:
    """The daemon and its client."""

    def __init__(self, place: Path) -> None:
        self._env = {**environment(), "DOCKER_HOST": f"unix://{place}/d.sock"}
        (place / "d.json").write_text(json.dumps({"features": {"containerd-snapshotter": True}}))
        words = ["dockerd", "--config-file", place / "d.json", "--data-root", place / "data", "--exec-root", place / "exec",
                 "-H", self._env["DOCKER_HOST"], "-p", place / "d.pid", "--iptables=false", "--bridge=none",
                 "--ip-forward=false"]  # fmt: skip
        with (place / "d.log").open("wb") as log:
            self._daemon = subprocess.Popen(
                [str(word) for word in words], env=self._env, stdout=log, stderr=log, start_new_session=True
            )
        for _ in range(300):
            if subprocess.run(["docker", "info"], env=self._env, capture_output=True, check=False).returncode == 0:
                return
            time.sleep(0.2)
        raise SystemExit(f"dockerd does not answer: see {place / 'd.log'}")

    def close(self) -> None:
        self._daemon.send_signal(signal.SIGTERM)
        self._daemon.wait(60)

    def version(self) -> str:
        words = ["docker", "version", "--format", "{{.Server.Version}}"]
        return self._call(words, Path("/")).stdout.strip()

    def prune(self) -> None:
        self._call(["docker", "buildx", "prune", "-af"], Path("/"))

    def build(self, work: Workspace, *more: str, fails: bool = False) -> dict[str, str]:
        """The status of each column, "run" or "cached"; those that BuildKit did not even look at are left out."""
        words = [
            "docker",
            "buildx",
            "build",
            "--progress=rawjson",
            "--output",
            "type=cacheonly",
            *more,
            *work.arguments(),
        ]
        if "--network" not in words:
            words[3:3] = ["--network", "host"]  # the daemon has no bridge
        done = self._call(words, work.project, {**self._env, **work.env}, status=1 if fails else 0)
        return _statuses(done.stderr)

    def _call(
        self, words: list[str], cwd: Path, env: dict[str, str] | None = None, status: int = 0
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            words, cwd=cwd, env=env or self._env, capture_output=True, text=True, check=False, timeout=600
        )
        if (done.returncode == 0) != (status == 0):
            raise SystemExit(f"exit status {done.returncode}: {' '.join(words)}\n{done.stderr[-3000:]}")
        return done


def _statuses(progress: str) -> dict[str, str]:
    vertices: dict[str, dict[str, Any]] = {}
    for line in progress.splitlines():
        if line.startswith("{"):
            for vertex in json.loads(line).get("vertexes") or ():
                vertices.setdefault(vertex["digest"], {}).update(vertex)
    found: dict[str, str] = {}
    for vertex in vertices.values():
        stage, bracket, title = vertex["name"].partition("] ")
        if not bracket or not vertex.get("started") or stage.startswith("[internal"):
            continue
        name = column_of(title) or title
        if title.startswith(("FROM ", "LINK ")) or stage.startswith("[context"):
            continue  # BuildKit says of a base only that it was looked at; LINK is the merge behind a COPY --link
        status = "cached" if vertex.get("cached") else "run"
        found[name] = "run" if "run" in (status, found.get(name)) else "cached"
    return found


def ask(tool: BuildKit, row: Row, make: Any, *, alone: bool) -> list[str]:
    """The columns that run because of the change."""
    if alone:
        tool.prune()
    tool.build(make())
    work: Workspace = make()
    row.edit(work)
    work.more += row.args
    if row.between is not None:
        row.between(tool, work)
    statuses = tool.build(work)
    return sorted(name for name, status in statuses.items() if status == "run" and name in EVERY)


@contextmanager
def agents(place: Path) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as two:
        for name, agent in (("agent", one), ("agent2", two)):
            agent.bind(str(place / name))
            agent.listen()
        yield


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", action="append", default=[], help="only rows whose name has this text")
    parser.add_argument("--new", action="store_true", help="only rows that were not asked yet")
    parser.add_argument("--place", type=Path, help="an empty directory for the daemon [default: a temporary one]")
    options = parser.parse_args()
    place = options.place or Path(tempfile.mkdtemp(prefix="ask-buildkit-"))
    place.mkdir(parents=True, exist_ok=True)
    known = json.loads(ANSWERS.read_text()) if ANSWERS.exists() else {"rows": {}}
    tool = BuildKit(place)
    try:
        base, hooks = write_bases(place / "bases")

        def make() -> Workspace:
            for name in ("work", "elsewhere"):
                shutil.rmtree(place / name, ignore_errors=True)
            return lay_out(place / "work", base, hooks, place / "agent")

        known["version"] = tool.version()
        with agents(place):
            for row in ROWS:
                if not row.asks or (options.row and not any(text in row.name for text in options.row)):
                    continue
                if options.new and row.name in known["rows"]:
                    continue
                ran = ask(tool, row, make, alone=False)
                if set(ran) != row.runs - {BASE}:
                    ran = ask(tool, row, make, alone=True)
                known["rows"][row.name] = ran
                extra, fewer = sorted(set(ran) - row.runs), sorted(row.runs - {BASE} - set(ran))
                print(f"{row.name}: " + (f"more: {extra}, less: {fewer}" if extra or fewer else "the same"), flush=True)
                _write(known)
    finally:
        tool.close()
        if options.place is None:
            shutil.rmtree(place, ignore_errors=True)
    return 0


def _write(known: dict[str, Any]) -> None:
    rows = {row.name: known["rows"][row.name] for row in ROWS if row.name in known["rows"]}
    text = json.dumps({"version": known["version"], "rows": rows}, indent=1) + "\n"
    ANSWERS.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
