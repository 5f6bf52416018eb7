"""tree/union.py and tree/scan.py: what is seen through a stack of layer directories."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from slimstage.errors import ContextError
from slimstage.tree.scan import scan
from slimstage.tree.union import UnionTree
from support.trees import Dir, Fifo, File, Hardlink, Symlink, Tree, Whiteout, make_tree

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="makes whiteouts")


def stack(tmp_path: Path, *trees: Tree) -> UnionTree:
    return UnionTree([make_tree(tmp_path / str(number), tree) for number, tree in enumerate(trees)])


def walked(tree: UnionTree, path: str = "") -> list[str]:
    return [entry.path for entry in tree.walk(path)]


def test_the_topmost_layer_decides_what_a_file_is(tmp_path: Path) -> None:
    with stack(tmp_path, {"a/f": b"old", "a/g": b"g"}, {"a/f": File(b"new", mode=0o600)}) as tree:
        assert tree.read("a/f") == b"new"
        entry = tree.lstat("a/f")
        assert entry is not None
        assert (entry.mode, entry.size) == (0o600, 3)
        assert walked(tree) == ["a", "a/f", "a/g"]


def test_a_directory_in_several_layers_has_the_topmost_metadata(tmp_path: Path) -> None:
    with stack(tmp_path, {"d": Dir(mode=0o700), "d/a": b""}, {"d": Dir(mode=0o751), "d/b": b""}) as tree:
        entry = tree.lstat("d")
        assert entry is not None
        assert entry.mode == 0o751
        assert tree.names("d") == ["a", "b"]


@root_only
@pytest.mark.root
def test_a_whiteout_hides_the_name_in_all_layers_below(tmp_path: Path) -> None:
    with stack(tmp_path, {"d/a": b"", "d/b": b""}, {"d/a": b""}, {"d/a": Whiteout()}, {"d/c": b""}) as tree:
        assert tree.names("d") == ["b", "c"]
        assert tree.lstat("d/a") is None
        assert walked(tree) == ["d", "d/b", "d/c"]


@root_only
@pytest.mark.root
def test_a_name_made_again_above_a_whiteout_shows_nothing_of_below(tmp_path: Path) -> None:
    with stack(tmp_path, {"d/old": b""}, {"d": Whiteout()}, {"d/new": b""}) as tree:
        assert tree.names("d") == ["new"]
        assert tree.lstat("d/old") is None


def test_an_opaque_directory_hides_what_is_below(tmp_path: Path) -> None:
    with stack(tmp_path, {"d/x/1": b"", "e": b""}, {"d/x/2": b""}, {"d": Dir(is_opaque=True), "d/x/3": b""}) as tree:
        assert walked(tree) == ["d", "d/x", "d/x/3", "e"]
        assert tree.lstat("d/x/1") is None


def test_a_file_over_a_directory_and_a_directory_over_a_file(tmp_path: Path) -> None:
    lower: Tree = {"a/in": b"", "b": b"file"}
    with stack(tmp_path, lower, {"a": b"file", "b/in": b""}, {"a/again": b""}) as tree:
        assert walked(tree) == ["a", "a/again", "b", "b/in"]
        assert tree.lstat("a/in") is None


@pytest.mark.parametrize(
    ("path", "resolved"),
    [
        ("abs/x", "real/x"),
        ("rel/x", "real/x"),
        ("up", "real"),
        ("/abs//./x", "real/x"),
        ("../../real/x", "real/x"),
        ("real/../abs/x", "real/x"),
        ("abs/..", ""),
        ("dangling/y", "no/such/y"),
        ("missing/../../real", "real"),
        ("chain", "real/x"),
        ("", ""),
        ("/", ""),
    ],
)
def test_symlinks_are_resolved_inside_the_stack(tmp_path: Path, path: str, resolved: str) -> None:
    lower: Tree = {"real/x": b"1", "abs": Symlink("/real"), "up": Symlink("../../../real"), "chain": Symlink("abs/x")}
    upper: Tree = {"rel": Symlink("./real"), "dangling": Symlink("/no/such")}
    with stack(tmp_path, lower, upper) as tree:
        assert tree.resolve(path) == resolved


def test_the_last_component_is_only_followed_when_asked(tmp_path: Path) -> None:
    with stack(tmp_path, {"d/f": b"", "l": Symlink("d"), "d/m": Symlink("f")}) as tree:
        assert tree.resolve("l", follows_last=False) == "l"
        assert tree.resolve("l/m", follows_last=False) == "d/m"
        assert tree.resolve("l/m/", follows_last=False) == "d/m"
        entry = tree.lstat("l/m")
        assert entry is not None
        assert (entry.path, entry.kind, entry.target) == ("d/m", "symlink", "f")
        assert tree.resolve("d/m", follows_last=True) == "d/f"


def test_a_symlink_loop_is_an_error_and_ends(tmp_path: Path) -> None:
    with (
        stack(tmp_path, {"a": Symlink("b"), "b": Symlink("a/x")}) as tree,
        pytest.raises(ContextError, match="too many"),
    ):
        tree.resolve("a/y")


def test_forty_symlinks_are_followed_and_one_more_is_not(tmp_path: Path) -> None:
    links: dict[str, Symlink | bytes] = {f"l{n}": Symlink(f"l{n + 1}") for n in range(41)}
    with stack(tmp_path, {**links, "l41": b"end"}) as tree:
        assert tree.read("l1") == b"end"
        with pytest.raises(ContextError):
            tree.read("l0")


def test_a_symlink_to_the_host_stays_inside(tmp_path: Path) -> None:
    with stack(tmp_path, {"e": Symlink("/etc"), "p": Symlink("/proc/self/root/etc")}) as tree:
        assert tree.lstat("e/passwd") is None
        assert tree.read("p/passwd") is None


def test_only_regular_files_are_opened_and_a_fifo_never_blocks(tmp_path: Path) -> None:
    with stack(tmp_path, {"p": Fifo(), "f": b"x", "d": Dir()}) as tree:
        assert tree.read("p") is None
        assert tree.read("d") is None
        for path in ("p", "d", ""):
            with pytest.raises(ContextError, match="not a regular file"):
                tree.open(path)
        with pytest.raises(ContextError, match="too large"):
            tree.read("f", limit_bytes=0)


def test_place_names_the_file_in_the_layer_that_has_it(tmp_path: Path) -> None:
    with stack(tmp_path, {"d/f": b"old", "d/g": b"g"}, {"d/f": b"new"}) as tree:
        dirfd, name = tree.place("d/f")
        assert os.stat(name, dir_fd=dirfd).st_ino == (tmp_path / "1/d/f").stat().st_ino
        dirfd, name = tree.place("d/g")
        assert os.stat(name, dir_fd=dirfd).st_ino == (tmp_path / "0/d/g").stat().st_ino
        with pytest.raises(FileNotFoundError):
            tree.place("d/none")


def test_names_are_sorted_by_bytes_and_any_bytes_are_names(tmp_path: Path) -> None:
    odd = os.fsdecode(b"\xff\xfe")
    with stack(tmp_path, {"é": b"", odd: b"", "Z": b"", "a\nb": b"", "\U0001f600": b"", "\uffee": b""}) as tree:
        names = tree.names("")
        assert [os.fsencode(name) for name in names] == sorted(os.fsencode(name) for name in names)
        assert odd in names


def test_many_directories_need_few_descriptors(tmp_path: Path) -> None:
    trees = [{f"d{n}/e/f": b""} for n in range(300)]
    gc.collect()  # what other tests left unclosed
    before = len(os.listdir("/proc/self/fd"))
    with stack(tmp_path, {k: v for tree in trees for k, v in tree.items()}, {}) as tree:
        assert len(walked(tree)) == 900
        assert len(os.listdir("/proc/self/fd")) - before < 100
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_empty_stack_has_nothing(tmp_path: Path) -> None:
    with UnionTree([]) as tree:
        assert (tree.lstat(""), tree.names(""), walked(tree), tree.read("x")) == (None, [], [], None)
        assert tree.resolve("a/../b") == "b"


def test_a_layer_that_is_not_there_leaks_nothing(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        UnionTree([str(tmp_path), str(tmp_path / "none")])
    assert len(os.listdir("/proc/self/fd")) == before


@root_only
@pytest.mark.root
def test_scanning_a_layer_reports_whiteouts_opaque_directories_and_xattrs(tmp_path: Path) -> None:
    root = make_tree(
        tmp_path / "l",
        {"d": Dir(is_opaque=True, xattrs={"user.k": b"v"}), "d/gone": Whiteout(), "f": b"12", "g": Hardlink("f")},
    )
    entries = {entry.path: entry for entry in scan(root)}
    assert list(entries) == ["d", "d/gone", "f", "g"]
    assert (entries["d"].is_opaque, dict(entries["d"].xattrs)) == (True, {"user.k": b"v"})
    assert entries["d/gone"].is_whiteout
    assert not entries["f"].is_whiteout
    assert entries["f"].identity == entries["g"].identity
    assert (entries["f"].nlink, entries["f"].size) == (2, 2)


def test_scanning_by_descriptor_leaves_it_open(tmp_path: Path) -> None:
    make_tree(tmp_path, {"a": b""})
    fd = os.open(tmp_path, os.O_RDONLY)
    assert [entry.path for entry in scan(fd)] == ["a"]
    os.close(fd)


def test_lookups_are_right_however_many_were_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slimstage.tree.union._MOST_REMEMBERED", 3)
    below: Tree = {f"a/b/c{number}/f": str(number) for number in range(20)} | {"link": Symlink("a/b")}
    with stack(tmp_path, below, {f"a/b/c{number}/g": b"" for number in range(0, 20, 2)}) as tree:
        paths = walked(tree)
        assert len(paths) == 1 + 1 + 1 + 20 + 20 + 10
        for number in range(20):
            assert tree.read(f"link/c{number}/f") == str(number).encode()
            assert (tree.lstat(f"a/b/c{number}/g") is not None) == (number % 2 == 0)
            assert tree.lstat(f"a/b/c{number}/none") is None
