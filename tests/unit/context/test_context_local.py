"""Local contexts: what is there, what the ignore file keeps out, and that nothing leads outside."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from slimstage.context.entry import ContextEntry
from slimstage.context.local import LocalContext
from slimstage.context.patterns import PatternMatcher
from slimstage.errors import ContextError
from support.trees import Dir, File, Symlink, Tree, make_tree


def context(top: Path, tree: Tree, *ignore: str) -> LocalContext:
    made = LocalContext(make_tree(top / "ctx", tree))
    return made.ignore(PatternMatcher(ignore)) if ignore else made


def walked(made: LocalContext, path: str = "") -> list[str]:
    return [entry.path for entry in made.walk(path)]


def test_walk_gives_directories_before_what_they_hold_sorted_by_bytes(tmp_path: Path) -> None:
    with context(tmp_path, {"b/x": "", "a": "", "b.txt": "", "ü": "", "Z": ""}) as made:
        assert walked(made) == ["Z", "a", "b", "b/x", "b.txt", "ü"]


def test_walk_keeps_names_that_are_no_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    with context(tmp_path, {name: "x"}) as made:
        assert walked(made) == [name]
        entry = made.lstat(name)
        assert entry is not None
        assert os.fsencode(entry.path) == b"caf\xe9"


def test_ignored_files_are_not_there(tmp_path: Path) -> None:
    with context(tmp_path, {"a.log": "", "keep": "", "d/b.log": ""}, "**/*.log") as made:
        assert walked(made) == ["d", "keep"]
        assert made.lstat("a.log") is None
        assert made.lstat("d/b.log") is None
        assert made.names("") == ["d", "keep"]


def test_a_file_below_an_excluded_directory_can_come_back(tmp_path: Path) -> None:
    tree: Tree = {"dir/in": "", "dir/out": "", "dir/deep/in": "", "other/x": ""}
    with context(tmp_path, tree, "dir", "other", "!dir/in", "!dir/deep/in") as made:
        assert walked(made) == ["dir", "dir/deep", "dir/deep/in", "dir/in"]
        assert made.lstat("dir") is not None
        assert made.lstat("other") is None


def test_an_excluded_directory_with_nothing_let_in_is_gone(tmp_path: Path) -> None:
    with context(tmp_path, {"dir/a": "", "keep": ""}, "dir", "!dir/missing") as made:
        assert walked(made) == ["keep"]
        assert made.lstat("dir") is None


def test_an_ignored_symlink_leads_nowhere(tmp_path: Path) -> None:
    with context(
        tmp_path, {"a": "", "s": Symlink("a"), "d/f": "", "sd": Symlink("d"), "ok": Symlink("a")}, "s", "sd"
    ) as made:
        assert [made.lstat(made.resolve(path)) for path in ("s", "sd/f")] == [None, None]
        assert [str(made.kept_out(path)) for path in ("s", "sd/f", "sd/missing")] == ["s", "sd", "sd"]
        assert made.kept_out("d/missing") is None
        assert made.resolve("ok") == "a"
        assert made.read("s") == b""


def test_a_directory_that_is_excluded_is_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    scandir = os.scandir

    def noting(fd: int) -> object:
        seen.append(os.readlink(f"/proc/self/fd/{fd}"))
        return scandir(fd)

    monkeypatch.setattr(os, "scandir", noting)
    with context(tmp_path, {"node_modules/a/b": "", "src/x": ""}, "node_modules") as made:
        assert walked(made) == ["src", "src/x"]
    assert not [path for path in seen if "node_modules" in path]


def test_walk_below_a_directory_knows_the_patterns_above_it(tmp_path: Path) -> None:
    with context(tmp_path, {"a/b/x.o": "", "a/b/y": ""}, "a/**/*.o") as made:
        assert walked(made, "a/b") == ["a/b/y"]


def test_symlinks_end_at_the_root_of_the_context(tmp_path: Path) -> None:
    tree: Tree = {"link": Symlink("../../../etc/passwd"), "abs": Symlink("/etc"), "etc/passwd": "inside"}
    with context(tmp_path, tree) as made:
        assert made.resolve("link") == "etc/passwd"
        assert made.resolve("abs/passwd") == "etc/passwd"
        assert made.read("link") == b"inside"


def test_a_symlink_loop_is_an_error(tmp_path: Path) -> None:
    with (
        context(tmp_path, {"a": Symlink("b"), "b": Symlink("a")}) as made,
        pytest.raises(ContextError, match="too many symlinks"),
    ):
        made.resolve("a/x")


def test_a_directory_swapped_for_a_symlink_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("host")
    with context(tmp_path, {"d/secret": "mine"}) as made:
        entry = made.lstat("d/secret")
        assert entry is not None
        os.rename(tmp_path / "ctx/d", tmp_path / "ctx/old")
        os.symlink(tmp_path / "outside", tmp_path / "ctx/d")
        with pytest.raises(ContextError, match="changes while it is read"):
            made.open("d/secret")


def test_a_file_swapped_for_a_symlink_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("host")
    with context(tmp_path, {"f": "mine"}) as made:
        os.unlink(tmp_path / "ctx/f")
        os.symlink(tmp_path / "secret", tmp_path / "ctx/f")
        with pytest.raises(ContextError) as caught:
            made.open("f")
    assert caught.value.code == "context-changes"


def test_entries_tell_kind_mode_and_times(tmp_path: Path) -> None:
    with context(tmp_path, {"f": File(b"12345", mode=0o640), "d": Dir(0o700), "l": Symlink("f")}) as made:
        entry = made.lstat("f")
        assert isinstance(entry, ContextEntry)
        assert (entry.kind, entry.mode, entry.size) == ("file", 0o640, 5)
        assert entry.ctime_ns > entry.mtime_ns
        link, directory = made.lstat("l"), made.lstat("d")
        assert link is not None
        assert link.target == "f"
        assert directory is not None
        assert directory.mode == 0o700


def test_a_socket_is_seen_and_not_opened(tmp_path: Path) -> None:
    with context(tmp_path, {"x": ""}) as made, socket.socket(socket.AF_UNIX) as bound:
        here = os.getcwd()
        os.chdir(tmp_path / "ctx")
        try:
            bound.bind("s")
        finally:
            os.chdir(here)
        assert [entry.kind for entry in made.walk("")] == ["socket", "file"]


def test_a_context_that_is_a_file_or_missing_says_so(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(ContextError) as caught:
        LocalContext(tmp_path / "f")
    assert caught.value.code == "context-is-file"
    with pytest.raises(ContextError) as caught:
        LocalContext(tmp_path / "nothing")
    assert caught.value.code == "context-missing"


def test_closing_leaves_no_descriptor(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    made = context(tmp_path, {"a/b/c": "1", "a/d": "2"})
    for path in ("a/b/c", "a/d"):
        os.close(made.open(path))
    made.close()
    made.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_pattern_that_keeps_a_path_out_is_named(tmp_path: Path) -> None:
    with context(tmp_path, {"weights/a": "", "ok": ""}, "*.log", "weights") as made:
        pattern = made.kept_out("weights/a")
        assert pattern is not None
        assert pattern.text == "weights"
        assert made.kept_out("ok") is None
        assert made.kept_out("absent") is None


def test_a_walk_that_is_given_up_leaves_no_descriptor(tmp_path: Path) -> None:
    make_tree(tmp_path, {f"a/b/c/{number}": "" for number in range(5)})
    with LocalContext(tmp_path) as context:
        before = sorted(os.listdir("/proc/self/fd"))
        for steps in range(8):
            walk = context.walk("")
            for _ in range(steps):
                next(walk)
            del walk
        assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_walk_goes_deeper_than_descriptors_are_kept(tmp_path: Path) -> None:
    deep = "/".join(["d"] * 150)
    make_tree(tmp_path, {f"{deep}/z": "", "d/x": "", "d/d/y": "", "e": ""})
    with LocalContext(tmp_path) as context:
        paths = [entry.path for entry in context.walk("")]
    assert paths == ["/".join(["d"] * depth) for depth in range(1, 151)] + [f"{deep}/z", "d/d/y", "d/x", "e"]


def test_a_path_is_kept_out_as_a_walk_keeps_it_out(tmp_path: Path) -> None:
    top = make_tree(tmp_path / "ctx", {"d/f": "x"})
    with LocalContext(top) as context:
        context.ignored = PatternMatcher(["d/**", "!d"])
        assert [entry.path for entry in context.walk("")] == ["d"]
        assert context.lstat("d/f") is None
        assert str(context.kept_out("d/f")) == "d/**"
    with LocalContext(top) as context:
        context.ignored = PatternMatcher(["d", "!d"])
        assert [entry.path for entry in context.walk("")] == ["d", "d/f"]
        assert context.lstat("d/f") is not None
        assert context.kept_out("d/f") is None
