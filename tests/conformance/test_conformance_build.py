"""The shared build cases, where the suite stands beside the checkout: what a real BuildKit made of each is what we make.

A third of the cases runs by default, all of them with SLIMSTAGE_CONFORMANCE=all.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import shlex
import sys
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from support import forking
from support.rootfs import needs_sandbox

SUITE = Path(__file__).resolve().parents[3] / "shared" / "conformance"
PART = 1 if os.environ.get("SLIMSTAGE_CONFORMANCE") == "all" else 3

pytestmark = [
    *needs_sandbox,
    pytest.mark.skipif(not SUITE.is_dir(), reason="the shared conformance suite is not beside this checkout"),
    # The suite's runner leaves the archives that it reads to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

DIFFERENT: dict[str, str] = {}
"""Cases whose result differs on purpose: id and cause."""


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"conformance_{name}", SUITE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def chosen() -> list[Any]:
    """Every third case by its name, so that adding one does not choose others; and all that differ."""
    if not SUITE.is_dir():
        return [pytest.param({}, id="none")]
    cases = load("run").read_cases("build")
    return [
        pytest.param(case, id=case["id"])
        for case in cases
        if zlib.crc32(case["id"].encode()) % PART == 0 or case["id"] in DIFFERENT
    ]


def tool_of(runner: ModuleType) -> Any:
    """The runner's way to call us, with processes that are forked."""
    tool = runner.Slimstage(f"{shlex.quote(sys.executable)} -m slimstage")

    def build(*what: Any) -> tuple[int, str]:
        done = forking.run(tool.arguments(*what), timeout=tool.timeout, merged=True)
        return done.returncode, done.stdout.decode(errors="replace")

    tool.build = build
    return tool


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModuleType, Any]:
    """The suite's runner and the base of its cases."""
    runner = load("run")
    place = tmp_path_factory.mktemp("conformance") / "busybox"
    with contextlib.redirect_stdout(io.StringIO()):
        load("make_base").write_layout(place)
    return runner, runner.Base(place)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("conformance") / "root"


@pytest.mark.parametrize("case", chosen())
def test_the_image_is_what_buildkit_makes(
    case: dict[str, Any], suite: tuple[ModuleType, Any], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, base = suite
    monkeypatch.setenv("SLIMSTAGE_ROOT", str(root))
    tool = tool_of(runner)
    why = runner.check_build(case, tool, base, strict=True)
    if case["id"] in DIFFERENT:
        assert why is not None, f"it passes now: take it out of DIFFERENT ({DIFFERENT[case['id']]})"
        pytest.xfail(f"{DIFFERENT[case['id']]}: {why}")
    assert why is None, why
