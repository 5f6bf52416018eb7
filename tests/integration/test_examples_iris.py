"""The example that `make demo` shows: the slim image answers as the naive one does, and has none of what training needs."""

from __future__ import annotations

import json
import os
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from support.command import PROJECT, slimstage

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="base systems are made as root"),
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    # With the tutorial's: both need the same base systems, and one worker makes them while others do something else.
    pytest.mark.xdist_group("tutorial-python"),
]

IRIS = PROJECT / "examples" / "iris"
FLOWERS = ([5.1, 3.5, 1.4, 0.2], [6.0, 2.7, 4.2, 1.3], [6.9, 3.1, 5.4, 2.1])


@pytest.fixture(scope="module")
def naive() -> dict[str, Any]:
    done = slimstage("build", "--json", "-t", "iris-naive", "-f", IRIS / "Dockerfile.naive", IRIS, timeout_s=1200)
    return dict(done.json())


@pytest.fixture(scope="module")
def slim() -> dict[str, Any]:
    return dict(slimstage("build", "--json", "-t", "iris", IRIS, timeout_s=1200).json())


@contextmanager
def serving(image: str) -> Iterator[int]:
    """Runs the image detached; the port that leads to it."""
    # The network is the host's: other tests may use the image's own port.
    with socket.socket() as outer, socket.socket() as inner:
        outer.bind(("127.0.0.1", 0))
        inner.bind(("0.0.0.0", 0))
        port, own = (int(each.getsockname()[1]) for each in (outer, inner))
    name = f"test-{image}-{os.getpid()}"
    slimstage("run", "-d", "--name", name, "-p", f"127.0.0.1:{port}:{own}", "-e", f"PORT={own}", image)
    try:
        yield port
        slimstage("stop", name)
    finally:
        slimstage("rm", "--force", name)


def ask(port: int, features: list[float]) -> Any:
    """The prediction; asks again while the server is starting."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/predict",
        data=json.dumps({"features": features}).encode(),
        headers={"Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + 120
    while True:
        try:
            with opener.open(request, timeout=30) as reply:
                return json.load(reply)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def answers(image: str) -> list[tuple[str, float]]:
    with serving(image) as port:
        replies = [ask(port, flower) for flower in FLOWERS]
    return [(reply["species"], round(float(reply["probability"]), 6)) for reply in replies]


def found_in(image: str, code: str, python: str = "python3") -> str:
    return slimstage("run", "--rm", "--entrypoint", python, image, "-c", code).out.strip()


def test_the_slim_image_has_less_than_half_of_the_bytes(naive: dict[str, Any], slim: dict[str, Any]) -> None:
    assert slim["size_bytes"] < naive["size_bytes"] / 2
    stages = {stage["name"]: stage for stage in slim["stages"]}
    assert set(stages) == {"toolchain", "train", "test", "packages", "serve"}
    assert all(stage["status"] in ("built", "cached") for stage in stages.values())
    assert slim["stayed_behind"]["size_bytes"] > naive["size_bytes"] / 2
    assert slim["stayed_behind"]["stages"] == ["toolchain", "train", "test", "packages"]


def test_both_images_give_the_same_answers(naive: dict[str, Any], slim: dict[str, Any]) -> None:
    assert naive["image_id"] != slim["image_id"]
    found = answers("iris")
    assert found == answers("iris-naive")
    assert [species for species, _ in found] == ["setosa", "versicolor", "virginica"]


@pytest.mark.usefixtures("slim", "naive")
def test_compilers_pip_and_training_packages_are_in_the_naive_image_only() -> None:
    code = (
        "import shutil, importlib.util as u\n"
        "print([p for p in ('gcc', 'make', 'git', 'pip', 'pip3') if shutil.which(p)],"
        " [m for m in ('pip', 'pandas', 'matplotlib', 'pytest', 'sklearn') if u.find_spec(m)])"
    )
    assert found_in("iris", code) == "[] ['sklearn']"
    assert found_in("iris-naive", code) == (
        "['gcc', 'make', 'git', 'pip', 'pip3'] ['pip', 'pandas', 'matplotlib', 'pytest', 'sklearn']"
    )


@pytest.mark.usefixtures("slim")
def test_the_server_is_not_root() -> None:
    assert found_in("iris", "import os; print(os.getuid())") == "10001"


@pytest.mark.usefixtures("slim")
def test_a_second_build_does_nothing_and_is_the_same_image(slim: dict[str, Any]) -> None:
    again = slimstage("build", "--json", "-t", "iris", IRIS).json()
    assert {step["status"] for step in again["steps"]} == {"cached"}
    assert again["image_id"] == slim["image_id"]
    assert again["stages"] == [stage | {"status": "cached"} for stage in slim["stages"]]
    assert again["stayed_behind"] == slim["stayed_behind"]
