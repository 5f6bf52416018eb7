"""Writing what was mended: whole or not at all, and never over what is there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from slimstage.cli.fixing import write_fixed, write_new
from slimstage.errors import ContextError, UsageError
from slimstage.lint.finding import NewFile


def test_the_mode_stays(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text("a")
    path.chmod(0o604)
    write_fixed(str(path), "a", "b")
    assert path.read_text() == "b"
    assert stat.S_IMODE(path.stat().st_mode) == 0o604


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file away")
def test_the_owner_stays(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text("a")
    os.chown(path, 1234, 2345)
    write_fixed(str(path), "a", "b")
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)


def test_a_file_that_was_changed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    path.write_text("other")
    with pytest.raises(ContextError, match="was changed while it was checked"):
        write_fixed(str(path), "a", "b")
    assert path.read_text() == "other"
    assert os.listdir(tmp_path) == ["Dockerfile"]


def test_a_new_file_is_written_where_none_is(tmp_path: Path) -> None:
    assert write_new(str(tmp_path), NewFile(".dockerignore", "x\n"))
    assert (tmp_path / ".dockerignore").read_text() == "x\n"
    assert not write_new(str(tmp_path), NewFile(".dockerignore", "y\n"))
    assert (tmp_path / ".dockerignore").read_text() == "x\n"


def test_a_new_file_never_follows_a_symlink_or_leaves_the_directory(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/.dockerignore").symlink_to(tmp_path / "target")
    assert not write_new(str(tmp_path / "in"), NewFile(".dockerignore", "x\n"))
    assert not (tmp_path / "target").exists()
    for path in ("../x", "/x", "a/../../x", ""):
        with pytest.raises(UsageError):
            write_new(str(tmp_path / "in"), NewFile(path, "x\n"))
