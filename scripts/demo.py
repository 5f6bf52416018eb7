"""The demo: builds the example twice, compares, runs the slim image and asks it for a prediction.

It can be called again and again, also after one that was interrupted.
"""

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
CONTAINER = "iris-demo"
FLOWER = [6.9, 3.1, 5.4, 2.1]
ANSWER_WITHIN_S = 60


def command(*args: object) -> list[str]:
    return [sys.executable, "-m", "slimstage", *map(str, args)]


def environment() -> dict[str, str]:
    return {**os.environ, "SLIMSTAGE_ROOT": str(ROOT)}


def slimstage(*args: object) -> None:
    """Shows the command and runs it in the open."""
    print(f"\n$ slimstage {' '.join(str(a).replace(f'{PROJECT}/', '') for a in args)}", flush=True)
    status = subprocess.run(command(*args), check=False, env=environment()).returncode
    if status:
        raise SystemExit(status)


def quietly(*args: object) -> str:
    """What the command prints, whatever comes of it: for tidying up and for looking."""
    done = subprocess.run(command(*args), check=False, capture_output=True, text=True, env=environment())
    return done.stdout


def size_of(image: str) -> int:
    return int(json.loads(quietly("inspect", image))[0]["Size"])


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
    end = time.monotonic() + ANSWER_WITHIN_S
    while True:
        try:
            with opener.open(request, timeout=10) as reply:
                return json.load(reply)
        except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
            if time.monotonic() > end:
                print(quietly("logs", CONTAINER), file=sys.stderr)
                raise SystemExit(f"the container did not answer within {ANSWER_WITHIN_S} seconds: {error}") from None
            time.sleep(0.2)


def bars(sizes: dict[str, int]) -> str:
    widest = max(sizes.values())
    return "\n".join(
        f"  {name:<11} {size / 1e6:>8.1f} MB  {'█' * max(1, round(40 * size / widest))}" for name, size in sizes.items()
    )


def main() -> None:
    print("Two images of the same model: as people write it first, and in stages.")
    print("(The first time, Debian systems are made and Python packages are downloaded: a few minutes.)")
    slimstage("build", "-t", "iris-naive", "-f", IRIS / "Dockerfile.naive", IRIS)
    slimstage("build", "-t", "iris", IRIS)

    port = free_port()  # the image's own, 8080, may be taken on this host
    quietly("rm", "--force", CONTAINER)  # of a demo that was interrupted
    slimstage("run", "-d", "--name", CONTAINER, "-p", f"{port}:{port}", "-e", f"PORT={port}", "iris")
    try:
        print(f"\n$ curl -d '{{\"features\": {FLOWER}}}' http://127.0.0.1:{port}/predict", flush=True)
        answer = ask(port, FLOWER)
        print(json.dumps(answer), flush=True)
        slimstage("stop", CONTAINER)
    finally:
        quietly("rm", "--force", CONTAINER)

    if answer.get("species") != "virginica":
        raise SystemExit(f"unexpected answer: {answer}")
    sizes = {name: size_of(name) for name in ("iris-naive", "iris")}
    naive, slim = sizes["iris-naive"], sizes["iris"]
    print(f"\nThe same model, the same answer:\n\n{bars(sizes)}\n")
    print(
        f"The multi-stage image has {100 * slim / naive:.0f} % of the bytes: {(naive - slim) / 1e6:.0f} MB less to ship."
    )


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
