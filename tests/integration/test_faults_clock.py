"""The wall clock jumps, and files have times that cannot be: what is built depends on bytes, not on clocks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slimstage.store.collect import prune
from slimstage.store.store import Store
from support.building import Image, Project, ran
from support.faults import Injector, fault_library, injector, unsound
from support.rootfs import needs_sandbox

__all__ = ["fault_library", "injector"]
pytestmark = needs_sandbox

YEAR_S = 365 * 86400
SHIFTS = [
    pytest.param(-10 * YEAR_S, id="ten years back"),
    pytest.param(-3600, id="an hour back"),
    pytest.param(20 * YEAR_S, id="twenty years on"),
]


@pytest.fixture
def dated(project: Project) -> Project:
    project.dockerfile("FROM base\nCOPY files /files\nRUN cat /files/* > /all\n")
    project.more = ("--reproducible",)
    for name in "abc":
        project.write(f"files/{name}", f"file {name}\n")
    return project


@pytest.mark.parametrize("shift_s", SHIFTS)
def test_a_jump_between_two_builds(shift_s: int, dated: Project, injector: Injector) -> None:
    first = dated.layout("first", "-o", "type=image", "-t", "it")
    env = injector.env()
    injector.shift_clock(shift_s)
    assert ran(dated.document(env=env)) == []
    dated.write("files/b", "other b\n")  # of the same length, at once
    document = dated.document(env=env)
    assert ran(document) == ["COPY", "RUN"]
    changed = dated.layout("changed", env=env)
    assert changed.read("all") == b"file a\nother b\nfile c\n"
    dated.write("files/b", "file b\n")
    assert dated.layout("again").digest == first.digest
    assert unsound(dated.root) == []


@pytest.mark.parametrize("shift_s", SHIFTS)
def test_a_jump_during_a_build(shift_s: int, dated: Project, injector: Injector, tmp_path: Path) -> None:
    wanted = dated.layout("wanted").digest
    dated.root = tmp_path / "other"
    env = {**os.environ, **injector.env(), "SLIMSTAGE_ROOT": str(dated.root)}
    dated.dockerfile(
        "FROM base\nCOPY files /files\nRUN cat /files/* > /all\n"
        "FROM base AS waits\n"
        "RUN --mount=type=cache,target=/gate echo be''gun; until [ -e /gate/on ]; do sleep 0.02; done\n"
        "FROM base\nCOPY files /files\nCOPY --from=waits /etc/passwd /x\nRUN cat /files/* > /all; rm /x\n"
    )
    with subprocess.Popen(
        [sys.executable, "-m", "slimstage", "build", "--progress=plain", "--reproducible", "--build-context",
         f"base=oci-layout://{dated.base}", "."],
        cwd=dated.path, env=env, stderr=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert child.stderr is not None
        assert any(" begun" in line for line in child.stderr)
        injector.shift_clock(shift_s)
        (slot,) = dated.root.glob("caches/*/0/fs")
        (slot / "on").touch()
        said = child.stderr.read()
        assert child.wait() == 0, said
    assert unsound(dated.root) == []
    # The clock is right again, and the builds of before are there.
    dated.dockerfile("FROM base\nCOPY files /files\nRUN cat /files/* > /all\n")
    assert dated.layout("again").digest == wanted


@pytest.mark.parametrize("at_s", [-(2**31) + 1, 0, 2**33], ids=["1901", "1970", "2242"])
def test_files_of_impossible_dates(at_s: int, dated: Project) -> None:
    wanted = dated.layout("wanted").digest
    for name in "abc":
        os.utime(dated.path / "files" / name, (at_s, at_s))
    assert dated.layout("again", "--no-cache").digest == wanted
    assert ran(dated.document()) == []
    # Written again within the same tick, and the time put back: only the change time tells.
    (dated.path / "files/a").write_text("fILE A\n")
    os.utime(dated.path / "files/a", (at_s, at_s))
    assert ran(dated.document()) == ["COPY", "RUN"]


def test_a_digest_is_not_remembered_of_a_file_from_the_future(dated: Project, injector: Injector) -> None:
    # Seen by a clock that went back, every file is of the future: none may be trusted by its times alone.
    env = injector.env()
    injector.shift_clock(-3600)
    dated.build(env=env)
    with Store.open(dated.root) as store:
        facts = [(dated.path / "files" / name).stat() for name in "abc"]
        known = [store.digests.get(f.st_dev, f.st_ino, f.st_size, f.st_mtime_ns, f.st_ctime_ns) for f in facts]
    assert known == [None, None, None]


def test_a_prune_by_age_after_the_clock_was_set_right(dated: Project, injector: Injector) -> None:
    env = injector.env()
    injector.shift_clock(20 * YEAR_S)
    dated.build(env=env)
    with Store.open(dated.root) as store:
        # What seems to be used in the future is young, not old.
        prune(store, older_than_s=3600)
    assert ran(dated.document()) == []
    assert time.time() < 2**31
    assert Image.of(dated.layout("x").path).digest
