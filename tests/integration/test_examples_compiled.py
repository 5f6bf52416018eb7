"""A C extension built by make in the builder stage: only the result is in the final image."""

from __future__ import annotations

import os

import pytest

from support.command import PROJECT, slimstage

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="base systems are made as root"),
    pytest.mark.slow,
    pytest.mark.timeout(800),
    pytest.mark.xdist_group("tutorial-python"),
]

COMPILED = PROJECT / "examples" / "compiled"


def test_the_extension_works_where_there_is_no_compiler() -> None:
    document = slimstage("build", "--json", "-t", "compiled", COMPILED, timeout_s=700).json()
    assert slimstage("run", "--rm", "compiled").out == "distance 5.0\ncompiler none, make none\n"
    sizes = {stage["name"]: stage["size_bytes"] for stage in document["stages"]}
    assert sizes["stage-1"] < sizes["builder"] / 2
    (copied,) = next(stage["copied_from"] for stage in document["stages"] if stage["name"] == "stage-1")
    assert copied["source"] == "builder"
    assert 0 < copied["size_bytes"] < 200_000


def test_two_files_are_all_that_the_final_stage_adds() -> None:
    slimstage("build", "-t", "compiled", COMPILED, timeout_s=700)
    (document,) = slimstage("inspect", "compiled").json()
    assert len(document["RootFS"]["Layers"]) == 3  # the base, the extension, the program
    assert document["Config"]["User"] == "10001"
    slimstage("inspect", "--verify", "compiled")
