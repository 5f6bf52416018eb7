"""Fuzzes one target for some minutes: `python -m fuzz.run tar --minutes 60`.

The fuzzer (atheris, which drives libFuzzer) is a child process. New inputs are kept in `.fuzz/TARGET/corpus`, what
broke the target in `.fuzz/TARGET/crash-…`. The last line says what was done. Exit status 1 when something was found.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from fuzz.harness import CORPUS, CPU_BOUND_S, MEMORY_BOUND_MB, SLOWER, check_bounded, load, targets

WORK = Path(os.environ.get("FUZZ_DIR", ".fuzz"))
_STATUS = re.compile(r"#(\d+)\s+\S+\s+cov: (\d+) ft: (\d+) corp: (\d+)/\S+.*?rss: (\d+)Mb")
_CONFINED = (
    'mount --bind "$1" "$1" && mount -t tmpfs -o size=1g fuzz /tmp && mount -o remount,bind,ro / && shift && exec "$@"'
)
"""The file system is read-only for a fuzzer that runs as root, but for its own directory: it unpacks hostile archives."""


def main() -> int:
    parser = argparse.ArgumentParser(description="fuzz one target")
    parser.add_argument("target", choices=targets())
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--child", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        _fuzz(arguments.target, arguments.child)
    return _drive(arguments.target, arguments.minutes)


def _drive(name: str, minutes: float) -> int:
    """Starts the fuzzer, shows what it says, sums up."""
    place = (WORK / name).resolve()
    corpus = place / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    target = load(name)
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    for path in sorted((CORPUS / name).glob("*")):
        shutil.copyfile(path, corpus / path.name)
    words = place / "dictionary"
    words.write_text("".join('"' + "".join(f"\\x{b:02x}" for b in token) + '"\n' for token in target.TOKENS if token))
    command = [sys.executable, "-m", "fuzz.run", name, "--child", str(corpus)]
    command += [f"-max_total_time={int(minutes * 60)}", f"-dict={words}", f"-max_len={target.MAX_BYTES}"]
    command += [f"-timeout={int(60 * CPU_BOUND_S)}", f"-rss_limit_mb={MEMORY_BOUND_MB}", f"-artifact_prefix={place}/"]
    command += ["-print_final_stats=1"]
    if os.geteuid() == 0 and shutil.which("unshare"):
        command = ["unshare", "--mount", "--propagation=private", "sh", "-c", _CONFINED, "sh", str(place), *command]
    start, started_s, last = time.monotonic(), time.time(), None
    with (place / "log").open("w") as log:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        assert child.stdout is not None
        for line in child.stdout:
            log.write(line)
            if status := _STATUS.search(line):
                last = status
            if not line.startswith("#") or "pulse" in line:
                sys.stdout.write(line)
        status_code = child.wait()
    executions, coverage, features, inputs, rss = (int(x) for x in last.groups()) if last else (0, 0, 0, 0, 0)
    found = sorted(str(path) for path in place.glob("*-*") if path.stat().st_mtime >= started_s)
    summary = {
        "target": name,
        "minutes": round((time.monotonic() - start) / 60, 1),
        "executions": executions,
        "coverage": coverage,
        "features": features,
        "inputs": inputs,
        "peak_mb": rss,
        "found": found,
    }
    with (WORK / "runs.jsonl").open("a") as runs:
        runs.write(json.dumps(summary) + "\n")
    print(json.dumps(summary))
    return 1 if found or status_code else 0


def _fuzz(name: str, options: list[str]) -> None:
    """In the child: never returns."""
    import atheris  # only here: the corpus is replayed without it

    with atheris.instrument_imports(include=["slimstage", "tomllib"]):
        import tomllib  # noqa: F401  # imported late by the program, so it would not be instrumented

        target = load(name)
        for seed in target.seeds():
            # Modules that the program imports when it first needs them have to be instrumented as well.
            check_bounded(target, seed, SLOWER * CPU_BOUND_S)
    atheris.Setup([sys.argv[0], *options], lambda data: check_bounded(target, data, SLOWER * CPU_BOUND_S))
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
