"""tree/fold.py: one directory in place of several layers, seen through the stack that it stands in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slimstage.tree.fold import fold
from slimstage.tree.union import UnionTree
from support.trees import Dir, Fifo, File, Hardlink, Symlink, Tree, Whiteout, make_tree

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="makes whiteouts")]


def seen(layers: list[str]) -> list[tuple[Any, ...]]:
    with UnionTree(layers) as tree:
        root = tree.lstat("")
        assert root is not None
        return [
            (e.path, e.kind, e.mode, e.uid, e.gid, e.mtime_ns, e.target, dict(e.xattrs), e.kind == "file" and tree.read(e.path))
            for e in (root, *tree.walk(""))
        ]  # fmt: skip


def folded(tmp_path: Path, layers: list[str], start: int, end: int) -> list[str]:
    target = tmp_path / f"folded-{start}-{end}"
    target.mkdir()
    fold(layers[start:end], str(target))
    return [*layers[:start], str(target), *layers[end:]]


def check(tmp_path: Path, *trees: Tree) -> list[str]:
    """Any run of the layers can be folded without a difference. Returns the stack of the whole, folded."""
    layers = [make_tree(tmp_path / str(number), tree) for number, tree in enumerate(trees)]
    expected = seen(layers)
    for start in range(len(layers)):
        for end in range(start + 1, len(layers) + 1):
            assert seen(folded(tmp_path, layers, start, end)) == expected, (start, end)
    return [str(tmp_path / f"folded-0-{len(layers)}")]


def test_the_topmost_of_each_name_is_left(tmp_path: Path) -> None:
    check(
        tmp_path,
        {"d": Dir(mode=0o700), "d/a": b"1", "d/b": b"1", "link": Symlink("d/a")},
        {"d": Dir(mode=0o751, uid=3, mtime_s=77), "d/a": File(b"2", mode=0o4755, gid=5), "pipe": Fifo()},
        {"link": b"a file now", "other": Hardlink("link")},
    )


def test_deletions_hide_what_lies_below_the_folded_layers(tmp_path: Path) -> None:
    check(
        tmp_path,
        {"d/a": b"1", "d/b": b"1", "gone/x": b"1"},
        {"d/a": b"2", "gone/y": b""},
        {"d/a": Whiteout(), "gone": Whiteout()},
        {"gone/new": b""},
        {"d/c": b""},
    )


def test_an_opaque_directory_stays_one(tmp_path: Path) -> None:
    check(tmp_path, {"d/a": b"1"}, {"d/b": b"2"}, {"d": Dir(is_opaque=True), "d/c": b"3"}, {"d/e": b"4"})


def test_a_directory_in_place_of_a_file_shows_nothing_of_below(tmp_path: Path) -> None:
    check(tmp_path, {"x/old": b"1"}, {"x": b"a file"}, {"x/new": b"2"}, {"x": Symlink("y")}, {"x": Dir(mode=0o711)})


def test_xattrs_of_a_directory_are_those_of_its_topmost_layer(tmp_path: Path) -> None:
    check(tmp_path, {"d": Dir(xattrs={"user.old": b"1", "user.both": b"1"})}, {"d": Dir(xattrs={"user.both": b"2"})})


def test_no_byte_of_a_file_is_copied(tmp_path: Path) -> None:
    (whole,) = check(tmp_path, {"f": b"1"}, {"g": b"2"})
    assert os.stat(f"{whole}/f").st_ino == os.stat(tmp_path / "0/f").st_ino
    assert os.stat(f"{whole}/g").st_ino == os.stat(tmp_path / "1/g").st_ino


NAMES = st.sampled_from(["a", "b", "a/b", "b/a", "a/b/a"])
NODES = st.one_of(
    st.just(Whiteout()), st.builds(Dir, is_opaque=st.booleans()), st.binary(max_size=2), st.just(Symlink("b"))
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.lists(st.dictionaries(NAMES, NODES, max_size=4), min_size=2, max_size=4))
def test_any_run_of_any_layers_can_be_folded(tmp_path_factory: pytest.TempPathFactory, data: list[Any]) -> None:
    check(tmp_path_factory.mktemp("fold"), *map(_possible, data))


def _possible(nodes: dict[str, Any]) -> Tree:
    """Without names below what is no directory: no layer is so."""
    return {
        path: nodes[path]
        for path in sorted(nodes)
        if all(isinstance(nodes.get(above, Dir()), Dir) for above in _above(path))
    }


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]
