"""The demo: builds the example twice, compares, runs the slim image and asks it for a prediction."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
IRIS = PROJECT / "examples" / "iris"
ROOT = Path(os.environ.get("SLIMSTAGE_ROOT", PROJECT / ".demo"))
FLOWER = [6.9, 3.1, 5.4, 2.1]


def slimstage(*args: object, capture: bool = False) -> str:
    """Runs the command; its progress is shown."""
    command = [sys.executable, "-m", "slimstage", *map(str, args)]
    shown = " ".join(["slimstage", *(str(a).replace(str(PROJECT) + "/", "") for a in args)])
    print(f"\n$ {shown}", flush=True)
    env = {**os.environ, "SLIMSTAGE_ROOT": str(ROOT)}
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE if capture else None, text=True, env=env)
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout or ""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(port: int, features: list[float]) -> Any:
    """The answer of the running container; waits until it listens."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/predict",
        data=json.dumps({"features": features}).encode(),
        headers={"Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + 60
    while True:
        try:
            with opener.open(request, timeout=10) as reply:
                return json.load(reply)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if time.monotonic() > end:
                raise SystemExit("the container did not answer within a minute: slimstage logs iris-demo") from None
            time.sleep(0.2)


def main() -> None:
    sizes = {}
    for name, dockerfile in (("iris-naive", "Dockerfile.naive"), ("iris", "Dockerfile")):
        document = json.loads(slimstage("build", "--json", "-t", name, "-f", IRIS / dockerfile, IRIS, capture=True))
        sizes[name] = int(document["size_bytes"])
    port = free_port()
    slimstage("run", "-d", "--name", "iris-demo", "-p", f"127.0.0.1:{port}:8080", "iris", capture=True)
    try:
        print(f"\n$ curl -d '{{\"features\": {FLOWER}}}' http://127.0.0.1:{port}/predict", flush=True)
        answer = ask(port, FLOWER)
        print(json.dumps(answer), flush=True)
    finally:
        slimstage("stop", "iris-demo", capture=True)
        slimstage("rm", "--force", "iris-demo", capture=True)

    widest = max(sizes.values())
    print("\nThe same model, the same answer:\n")
    for name, size in sizes.items():
        print(f"  {name:<11} {size / 1e6:>8.1f} MB  {'█' * max(1, round(40 * size / widest))}")
    naive, slim = sizes["iris-naive"], sizes["iris"]
    print(
        f"\nThe multi-stage image has {100 * slim / naive:.0f} % of the bytes; {(naive - slim) / 1e6:.0f} MB stayed behind."
    )
    if answer.get("species") != "virginica":
        raise SystemExit(f"unexpected answer: {answer}")


if __name__ == "__main__":
    main()
