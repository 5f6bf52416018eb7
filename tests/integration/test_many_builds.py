"""Eight builds at once on one store, with prunes and removals of images running between them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from slimstage.store.doctor import examine
from slimstage.store.store import Store
from support.building import Image, Project, mounts_below, processes_with, statuses
from support.fake_registry import fake_registry
from support.images import memory_image
from support.rootfs import needs_sandbox

pytestmark = [*needs_sandbox, pytest.mark.slow]

BUILDS = 8

ALONE = (
    "RUN --mount=type=cache,id=seen,target=/seen mkdir /seen/{name} || exit 9; sleep 0.1;"
    " echo {name} > /{name}; rmdir /seen/{name}"
)
"""A step that fails when it is done twice at the same time: the directory that it makes is seen by every build.

What stands on a RUN that was pruned and done again is another step than what stood on the first. So these stand on files.
"""


def dockerfile(number: int) -> str:
    """Four different ones that have stages and steps in common."""
    pair = number % 2
    lines = [
        "FROM base AS common", "COPY common/ /common/",
        "FROM common AS first", ALONE.format(name="first"),
        "FROM base AS other", ALONE.format(name="second"), "WORKDIR /work", f"COPY own/{pair} /own{pair}",
        "FROM common", ALONE.format(name=f"third{pair}"), f"COPY --from=first /first /copied{pair}",
        f"COPY --from=other /second /work* /copied{pair}.d/", f"COPY own/{number} /mine{number}",
        f"RUN cat /copied* /mine{number} > /last{number}; true",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Kitchen:
    project: Project
    expected: dict[int, str]
    """Digest by the number of the Dockerfile."""

    def command(self, *args: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "slimstage", *map(str, args)],
            cwd=self.project.path,
            env={**os.environ, "SLIMSTAGE_ROOT": str(self.project.root), "NO_COLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def build(self, number: int, place: Path, *more: str) -> subprocess.Popen[str]:
        return self.command(
            "build", "--json", "--reproducible", "--build-context", f"base=oci-layout://{self.project.base}",
            "-f", f"Dockerfile.{number}", "-t", f"made{number}:1", "-o", f"type=oci,tar=false,dest={place}", *more, "."
        )  # fmt: skip


@pytest.fixture
def kitchen(tmp_path: Path, project: Project) -> Kitchen:
    for number in range(20):
        project.write(f"common/{number}", f"{number}\n" * 500)
    alone = Project(project.path, tmp_path / "alone", project.base, ("--reproducible",))
    expected = {}
    for number in range(4):
        project.write(f"own/{number}", f"own {number}")
        project.write(f"Dockerfile.{number}", dockerfile(number))
        expected[number] = alone.layout(f"alone{number}", "-f", f"Dockerfile.{number}").digest
    return Kitchen(project, expected)


def ended(children: Sequence[subprocess.Popen[str]]) -> list[dict[str, Any]]:
    """What each build said; all of them have ended well."""
    said = [child.communicate(timeout=250) for child in children]
    for child, (_, errors) in zip(children, said, strict=True):
        assert child.returncode == 0, errors[-3000:]
        assert "Traceback" not in errors
    return [json.loads(out) for out, _ in said]


def assert_sound(root: Path) -> None:
    with Store.open(root) as store:
        assert [str(finding) for finding in examine(store)] == []
    assert os.listdir(root / "tmp") == []
    assert mounts_below(root) == []
    assert processes_with(str(root)) == []


def test_a_step_that_eight_builds_want_is_done_by_one_of_them(tmp_path: Path, kitchen: Kitchen) -> None:
    places = [tmp_path / f"layout{number}" for number in range(BUILDS)]
    documents = ended([kitchen.build(number % 4, place) for number, place in enumerate(places)])
    for number, place in enumerate(places):
        assert Image.of(place).digest == kitchen.expected[number % 4]
    ran: Counter[tuple[str, str]] = Counter()
    for document in documents:
        # Equal texts stand for equal keys in these Dockerfiles.
        ran.update(step for step in statuses(document).items() if step[1] == "run")
    # Four steps of all; of each pair its own file, the third and what is copied; and two of each.
    assert dict(ran) == dict.fromkeys(ran, 1)
    assert len(ran) == 4 + 2 * 4 + 4 * 2
    assert_sound(kitchen.project.root)


def test_prunes_and_removals_between_eight_builds_break_none_of_them(tmp_path: Path, kitchen: Kitchen) -> None:
    places = [tmp_path / f"layout{number}" for number in range(2 * BUILDS)]
    disturbances = 0
    for begin in (0, BUILDS):
        children = [
            kitchen.build(number % 4, places[number], *(["--no-cache"] if number % 8 == 7 else []))
            for number in range(begin, begin + BUILDS)
        ]
        while any(child.poll() is None for child in children):
            for args in (["prune", "--all"], ["rmi", "--force", f"made{disturbances % 4}:1"], ["prune"]):
                child = kitchen.command(*args)
                _, errors = child.communicate(timeout=250)
                # An image that was not built yet, or whose name another removal took, is not there to be removed.
                assert child.returncode == 0 or (args[0] == "rmi" and child.returncode == 2), errors
                assert "Traceback" not in errors
            disturbances += 1
        ended(children)
        assert_sound(kitchen.project.root)
    assert disturbances >= 2
    for number, place in enumerate(places):
        assert Image.of(place).digest == kitchen.expected[number % 4]
    ended([kitchen.build(number, tmp_path / f"last{number}") for number in range(4)])
    for number in range(4):
        assert Image.of(tmp_path / f"last{number}").digest == kitchen.expected[number]


def test_a_base_that_eight_builds_want_is_brought_once(tmp_path: Path, kitchen: Kitchen) -> None:
    with fake_registry() as registry:
        image = memory_image({"a": b"1" * 100_000}, {"b": b"2" * 100_000})
        registry.add(image, "1")
        kitchen.project.write("Dockerfile.9", f"FROM {registry.host}/app:1\nCOPY own/1 /x\n")
        ended([kitchen.build(9, tmp_path / f"layout{number}") for number in range(BUILDS)])
        asked = Counter(request.path.rpartition("/")[2] for request in registry.requests if "/blobs/" in request.path)
    assert {
        digest: asked[digest] for digest in image.blobs if digest in {d.digest for d in image.manifest().layers}
    } == {layer.digest: 1 for layer in image.manifest().layers}
    assert len({Image.of(tmp_path / f"layout{number}").digest for number in range(BUILDS)}) == 1
    with Store.open(kitchen.project.root) as store:
        assert len(list(store.snapshots.list())) == 3
    assert_sound(kitchen.project.root)
