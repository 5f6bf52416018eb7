"""The digest of a selection: what changes it, what does not, and what is read for it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slimstage.context.fingerprint import WORTH_REMEMBERING_BYTES, selection_digest
from slimstage.context.local import LocalContext
from slimstage.context.select import select
from slimstage.context.tree import DigestMemory, Forgetful, SourceTree
from slimstage.digest import Digest
from slimstage.errors import ContextError
from slimstage.tree.union import UnionTree
from support.trees import File, Symlink, Tree, make_tree

TREE: Tree = {"a": File(b"one", mode=0o644), "d/b": File(b"two", mode=0o755), "l": Symlink("a")}


def digest(path: str | Path, *paths: str, memory: DigestMemory | None = None) -> Digest:
    with LocalContext(path) as context:
        return selection_digest(select(context, paths or (".",)), context, memory or Forgetful())


def changed(top: Path, tree: Tree, *paths: str) -> Digest:
    return digest(make_tree(top, tree), *paths)


def test_equal_trees_elsewhere_have_equal_digests(tmp_path: Path) -> None:
    assert changed(tmp_path / "1", TREE) == changed(tmp_path / "2", TREE)


def test_times_do_not_count(tmp_path: Path) -> None:
    path = make_tree(tmp_path / "1", TREE)
    before = digest(path)
    os.utime(f"{path}/a", (5, 5))
    os.utime(f"{path}/d", (6, 6))
    assert digest(path) == before


@pytest.mark.parametrize(
    "other",
    [
        {**TREE, "a": File(b"One")},
        {**TREE, "a": File(b"one", mode=0o600)},
        {**TREE, "l": Symlink("d")},
        {**TREE, "more": ""},
        {"A": File(b"one"), "d/b": File(b"two", mode=0o755), "l": Symlink("a")},
    ],
    ids=["content", "mode", "target", "added", "renamed"],
)
def test_content_mode_target_and_names_count(tmp_path: Path, other: Tree) -> None:
    assert changed(tmp_path / "1", TREE) != changed(tmp_path / "2", other)


def test_xattrs_count(tmp_path: Path) -> None:
    path = make_tree(tmp_path / "1", TREE)
    before = digest(path)
    os.setxattr(f"{path}/a", "user.note", b"x")
    assert digest(path) != before


def test_a_renamed_match_of_a_wildcard_counts_and_an_unmatched_file_does_not(tmp_path: Path) -> None:
    path = make_tree(tmp_path / "1", {"a1.txt": "x", "other": "y"})
    before = digest(path, "*.txt")
    Path(path, "other").write_text("changed")
    assert digest(path, "*.txt") == before
    os.rename(f"{path}/a1.txt", f"{path}/a2.txt")
    assert digest(path, "*.txt") != before


def test_content_cannot_pose_as_another_entry(tmp_path: Path) -> None:
    assert changed(tmp_path / "1", {"a": "", "b": ""}) != changed(tmp_path / "2", {"a\nb": ""})


@pytest.mark.root
def test_owners_count_only_where_they_are_written(tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("needs root to give files away")
    one, two = make_tree(tmp_path / "1", {"f": File(b"x", uid=1)}), make_tree(tmp_path / "2", {"f": File(b"x", uid=2)})
    assert digest(one) == digest(two)

    def kept(path: str) -> Digest:
        with UnionTree([path]) as tree:
            return selection_digest(select(tree, ["f"]), tree, Forgetful(), keeps_owners=True)

    assert kept(one) != kept(two)


class Counting(LocalContext):
    opened = 0

    def open(self, path: str) -> int:
        type(self).opened += 1
        return super().open(path)


def test_what_is_remembered_is_not_read_again(tmp_path: Path) -> None:
    path = make_tree(tmp_path / "1", TREE)
    memory = Forgetful()
    Counting.opened = 0
    results = set()
    for _ in range(2):
        with Counting(path) as context:
            results.add(selection_digest(select(context, ["."]), context, memory))
    assert len(results) == 1
    assert Counting.opened == 2


def test_a_touched_file_is_read_again(tmp_path: Path) -> None:
    path = make_tree(tmp_path / "1", {"f": "1234"})
    memory = Forgetful()
    before = digest(path, memory=memory)
    Path(path, "f").write_text("5678")
    os.utime(f"{path}/f", (1_000_000_000, 1_000_000_000))
    assert digest(path, memory=memory) != before


def test_a_large_file_of_a_layer_is_remembered_though_it_gets_more_names(tmp_path: Path) -> None:
    path = make_tree(tmp_path / "1", {"w": b"x" * WORTH_REMEMBERING_BYTES})

    class Once(Forgetful):
        learnt = 0

        def remember(self, *fact: object) -> None:
            self.learnt += 1
            super().remember(*fact)  # type: ignore[arg-type]

    memory = Once()
    for number in range(3):
        with UnionTree([path]) as tree:
            selection_digest(select(tree, ["w"]), tree, memory)
        os.link(f"{path}/w", tmp_path / f"name-{number}")
    assert memory.learnt == 1


def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    path = make_tree(tmp_path / "1", {"f": "1234"})

    class Changing(LocalContext):
        def open(self, name: str) -> int:
            fd = super().open(name)
            Path(path, "f").write_text("grown while open")
            return fd

    with Changing(path) as context, pytest.raises(ContextError) as caught:
        selection_digest(select(context, ["f"]), context, Forgetful())
    assert caught.value.code == "context-changes"


def test_both_kinds_of_tree_are_source_trees(tmp_path: Path) -> None:
    path = make_tree(tmp_path / "1", {"f": "1234"})
    digests = set()
    for tree in (LocalContext(path), UnionTree([path])):
        source: SourceTree = tree
        digests.add(selection_digest(select(source, ["f"]), source, Forgetful()))
        tree.close()
    assert len(digests) == 1
