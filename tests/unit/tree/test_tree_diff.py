"""tree/diff.py: what changed between two scans."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slimstage.tree.diff import Change, diff, whiteout_path
from slimstage.tree.entry import Entry
from slimstage.tree.scan import scan
from support.trees import Dir, File, Symlink, Tree, make_tree


def changes(tmp_path: Path, before: Tree, after: Tree) -> list[tuple[str, str]]:
    old = make_tree(tmp_path / "old", before)
    new = make_tree(tmp_path / "new", after)
    return [(change.kind, change.entry.path) for change in diff(scan(old), scan(new))]


def test_equal_trees_have_no_changes(tmp_path: Path) -> None:
    tree: Tree = {"d/f": b"x", "l": Symlink("d"), "e": Dir()}
    assert changes(tmp_path, tree, tree) == []


def test_added_modified_and_deleted_are_told_apart(tmp_path: Path) -> None:
    before: Tree = {"a": b"1", "b": b"2", "c": b"3"}
    after: Tree = {"a": b"1", "b": b"22", "d": b"4"}
    assert changes(tmp_path, before, after) == [("modified", "b"), ("deleted", "c"), ("added", "d")]


@pytest.mark.parametrize(
    "node",
    [
        File(b"y"),
        File(b"x", mode=0o600),
        File(b"x", mtime_s=1),
        File(b"x", xattrs={"user.a": b"1"}),
        Symlink("x"),
        Dir(),
    ],
)
def test_anything_that_a_layer_holds_is_a_modification(tmp_path: Path, node: File | Symlink | Dir) -> None:
    if node == File(b"y"):  # equal time and size are taken to mean equal content
        assert changes(tmp_path, {"f": b"x"}, {"f": node}) == []
    else:
        assert changes(tmp_path, {"f": b"x"}, {"f": node}) == [("modified", "f")]


def test_a_deleted_directory_is_one_change(tmp_path: Path) -> None:
    assert changes(tmp_path, {"d/a/b": b"", "d.x": b"", "e": b""}, {"d.x": b"", "e": b""}) == [("deleted", "d")]


def test_a_directory_that_became_a_file_says_nothing_of_what_was_in_it(tmp_path: Path) -> None:
    assert changes(tmp_path, {"d/a": b"", "z": b""}, {"d": b"", "z": b""}) == [("modified", "d")]
    assert changes(tmp_path / "2", {"d": b""}, {"d/a": b""}) == [("modified", "d"), ("added", "d/a")]


def test_names_that_sort_around_the_slash_stay_in_step(tmp_path: Path) -> None:
    before: Tree = {"a/x": b"", "a-b": b"", "a.b": b"", "a0": b""}
    after: Tree = {**before, "a/y": b"", "a.c": b""}
    assert changes(tmp_path, before, after) == [("added", "a/y"), ("added", "a.c")]


def test_the_callers_own_comparison_decides(tmp_path: Path) -> None:
    old, new = make_tree(tmp_path / "o", {"f": b"x"}), make_tree(tmp_path / "n", {"f": b"y"})
    found = list(diff(scan(old), scan(new), same=lambda before, after: False))
    assert [change.kind for change in found] == ["modified"]


def test_deletions_are_named_beside_what_is_deleted() -> None:
    assert whiteout_path("f") == ".wh.f"
    assert whiteout_path("a/b/f") == "a/b/.wh.f"


def test_changes_are_values() -> None:
    entry = Entry("f", "file", 0o644, 0, 0)
    assert Change("added", entry) == Change("added", entry)
    assert os.fsencode(entry.path) == b"f"
