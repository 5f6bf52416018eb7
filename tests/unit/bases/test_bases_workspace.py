"""Whether a system is made in memory, and with which command."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slimstage.bases.workspace import in_memory, spare_memory

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a tmpfs")


def _meminfo(directory: Path, gibibytes: int) -> str:
    path = directory / "meminfo"
    path.write_text(f"MemTotal: 99999999 kB\nMemAvailable: {gibibytes << 20} kB\n")
    return str(path)


@pytest.mark.root
@as_root
def test_half_of_plentiful_memory_may_be_used(tmp_path: Path) -> None:
    assert spare_memory(_meminfo(tmp_path, 8), ()) == 4 << 30


@pytest.mark.root
@as_root
def test_the_limit_of_a_container_counts(tmp_path: Path) -> None:
    (tmp_path / "max").write_text(f"{7 << 30}\n")
    (tmp_path / "now").write_text(f"{1 << 30}\n")
    limit = (str(tmp_path / "max"), str(tmp_path / "now"))
    assert spare_memory(_meminfo(tmp_path, 64), (limit,)) == 3 << 30
    (tmp_path / "now").write_text(f"{5 << 30}\n")
    assert spare_memory(_meminfo(tmp_path, 64), (limit,)) == 0
    (tmp_path / "max").write_text("max\n")
    assert spare_memory(_meminfo(tmp_path, 64), (limit,)) == 32 << 30


def test_little_or_unknown_memory_is_not_used(tmp_path: Path) -> None:
    assert spare_memory(_meminfo(tmp_path, 2), ()) == 0
    assert spare_memory(str(tmp_path / "none"), ()) == 0


def test_the_command_stays_itself_without_memory() -> None:
    assert in_memory(["a", "b"], "/x", 0) == ["a", "b"]


def test_the_command_is_the_last_part_of_the_wrapped_one() -> None:
    wrapped = in_memory(["a", "b c"], "/x y", 1024)
    assert wrapped[0] == "unshare"
    assert wrapped[-4:] == ["1024", "/x y", "a", "b c"]
