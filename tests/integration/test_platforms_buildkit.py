"""A cross build for four platforms beside what BuildKit made of it (`support/platforms_buildkit.py` asks it again)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.building import Project
from support.platforms_buildkit import ANSWERS, PLATFORMS, observed, write_context

pytestmark = pytest.mark.root
BUILDKIT = json.loads(ANSWERS.read_text())


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory, busybox: Path) -> dict[str, Any]:
    place = tmp_path_factory.mktemp("cross")
    project = Project(place / "context", place / "root", busybox)
    write_context(project.path)
    project.build("--network=none", "--platform", PLATFORMS, "-t", "app:1", "-o", f"type=oci,dest={place}/out.tar")
    return observed(place / "out.tar")


def test_the_index_has_buildkits_shape(ours: dict[str, Any]) -> None:
    assert ours["index.json"]["mediaType"] == BUILDKIT["index.json"]["mediaType"]
    assert ours["index.json"]["entry"] == BUILDKIT["index.json"]["entry"]
    assert ours["index"] == BUILDKIT["index"]


@pytest.mark.parametrize("number", range(len(BUILDKIT["images"])), ids=PLATFORMS.split(","))
def test_each_image_has_buildkits_config_history_and_layers(ours: dict[str, Any], number: int) -> None:
    made, theirs = ours["images"][number], BUILDKIT["images"][number]
    for part in ("config", "history", "layers", "types", "manifest"):
        assert made[part] == theirs[part], part
