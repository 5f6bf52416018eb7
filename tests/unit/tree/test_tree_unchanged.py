"""What a new layer loses because it is as it was: by whole trees, written over one below."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slimstage.tree.marks import make_whiteout, set_opaque
from slimstage.tree.scan import scan, scan_at
from slimstage.tree.unchanged import drop_unchanged
from slimstage.tree.union import UnionTree

pytestmark = pytest.mark.root
NOW_NS = 1_600_000_000_000_000_000


@pytest.fixture
def lower(tmp_path: Path) -> Path:
    place = tmp_path / "lower"
    _fill(place)
    return place


def _fill(place: Path) -> None:
    (place / "d/e").mkdir(parents=True)
    (place / "d/f").write_bytes(b"content\n" * 300_000)
    (place / "d/e/g").write_text("g")
    (place / "link").symlink_to("d/f")
    os.mkfifo(place / "fifo")
    for path in (*place.rglob("*"), place):
        os.utime(path, ns=(NOW_NS, NOW_NS), follow_symlinks=False)


def _left(upper: Path) -> list[str]:
    return [entry.path + ("(gone)" if entry.is_whiteout else "") for entry in scan(str(upper))]


def test_nothing_is_left_of_a_tree_that_was_written_over_itself(lower: Path, tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    _fill(upper)
    assert drop_unchanged(str(upper), [str(lower)])
    assert _left(upper) == []
    assert not drop_unchanged(str(upper), [str(lower)])


def test_a_directory_in_the_place_of_anything_else_hides_nothing(lower: Path, tmp_path: Path) -> None:
    upper, deepest = tmp_path / "upper", tmp_path / "deepest"
    (deepest / "link").mkdir(parents=True)
    (deepest / "link/old").write_text("below a symlink that is gone")
    for name in ("link", "fifo", "new", "d/f"):
        place = upper / name
        place.mkdir(parents=True)
        set_opaque(fd := os.open(place, os.O_RDONLY))
        os.close(fd)
    drop_unchanged(str(upper), [str(deepest), str(lower)])
    assert [entry.path for entry in scan(str(upper)) if entry.is_opaque] == []
    with UnionTree([str(deepest), str(lower), str(upper)]) as tree:
        assert [entry.path for entry in tree.walk("")] == ["d", "d/e", "d/e/g", "d/f", "fifo", "link", "new"]


@pytest.mark.parametrize("change", ["mode", "owner", "time", "content", "size", "xattr"])
def test_what_changed_is_left_with_the_way_to_it(lower: Path, tmp_path: Path, change: str) -> None:
    upper = tmp_path / "upper"
    _fill(upper)
    path, mtime_ns = upper / "d/f", NOW_NS
    if change == "mode":
        path.chmod(0o600)
    elif change == "owner":
        os.chown(path, 0, 7)
    elif change == "time":
        mtime_ns += 1
    elif change == "content":
        path.write_bytes(path.read_bytes()[:-2] + b"!\n")
    elif change == "size":
        path.write_bytes(b"short")
    else:
        os.setxattr(path, "user.k", b"v")
    os.utime(path, ns=(mtime_ns, mtime_ns))
    os.utime(upper / "d", ns=(5, 5))
    assert drop_unchanged(str(upper), [str(lower)])
    assert _left(upper) == ["d", "d/f"]
    assert (upper / "d").stat().st_mtime_ns == 5, "the directory keeps the time that it had"


def test_a_directory_with_another_mode_is_left(lower: Path, tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    _fill(upper)
    (upper / "d/e").chmod(0o700)
    drop_unchanged(str(upper), [str(lower)])
    assert _left(upper) == ["d", "d/e"]


def test_another_kind_or_target_is_left(lower: Path, tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    upper.mkdir()
    (upper / "d").symlink_to("elsewhere")
    (upper / "link").symlink_to("d/e/g")
    os.utime(upper / "link", ns=(NOW_NS, NOW_NS), follow_symlinks=False)
    (upper / "fifo").write_text("")
    assert not drop_unchanged(str(upper), [str(lower)])
    assert _left(upper) == ["d", "fifo", "link"]


def test_a_directory_made_again_says_by_name_what_is_gone(lower: Path, tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    (upper / "d/e").mkdir(parents=True)
    (upper / "d/new").write_text("new")
    fd = os.open(upper / "d", os.O_RDONLY)
    try:
        set_opaque(fd)
        before = _seen(lower, upper)
        assert drop_unchanged(str(upper), [str(lower)])
    finally:
        os.close(fd)
    assert _left(upper) == ["d", "d/e", "d/e/g(gone)", "d/f(gone)", "d/new"]
    assert not any(entry.is_opaque for entry in scan(str(upper)))
    assert _seen(lower, upper) == before


def test_deletions_and_what_is_below_other_layers_stay(lower: Path, tmp_path: Path) -> None:
    middle, upper = tmp_path / "middle", tmp_path / "upper"
    (middle / "d").mkdir(parents=True)
    fd = os.open(middle / "d", os.O_RDONLY)
    try:
        make_whiteout(fd, "f")
    finally:
        os.close(fd)
    _fill(upper)
    fd = os.open(upper, os.O_RDONLY)
    try:
        os.unlink("link", dir_fd=fd)
        make_whiteout(fd, "link")
    finally:
        os.close(fd)
    drop_unchanged(str(upper), [str(lower), str(middle)])
    assert _left(upper) == ["d", "d/f", "link(gone)"]


def test_ways_deeper_than_descriptors_are_kept_open(tmp_path: Path) -> None:
    deep = "/".join(["n"] * 150)
    for layer in ("lower", "upper"):
        (tmp_path / layer / deep).mkdir(parents=True)
        (tmp_path / layer / deep / "f").write_text("same")
        os.utime(tmp_path / layer / deep / "f", ns=(NOW_NS, NOW_NS))
    (tmp_path / "upper" / "n/n/other").write_text("new")
    drop_unchanged(str(tmp_path / "upper"), [str(tmp_path / "lower")])
    assert _left(tmp_path / "upper") == ["n", "n/n", "n/n/other"]


def _seen(*layers: Path) -> list[str]:
    with UnionTree([str(layer) for layer in layers]) as tree:
        return [entry.path for entry in tree.walk("")]


def test_an_unchanged_file_with_a_new_name_stays_one_file_and_is_not_packed(lower: Path, tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    _fill(upper)
    os.link(upper / "d/f", upper / "d/again")
    drop_unchanged(str(upper), [str(lower)], keeps_links=True)
    assert _left(upper) == ["d", "d/again", "d/f"], "a later step still sees one file with two names"
    assert (upper / "d/f").stat().st_ino == (upper / "d/again").stat().st_ino
    packed = [entry.path for entry, *_ in scan_at(str(upper), for_packing=True)]
    assert packed == ["d", "d/again"]
