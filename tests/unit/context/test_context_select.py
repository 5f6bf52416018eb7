"""What the sources of a COPY pick."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slimstage.context.local import LocalContext
from slimstage.context.patterns import PatternMatcher, read_ignore_file
from slimstage.context.select import Picked, select
from slimstage.errors import ContextError
from slimstage.tree.union import UnionTree
from support.trees import Hardlink, Symlink, Tree, make_tree

FILES: Tree = {"a.txt": "1", "b.txt": "2", "dir/c.txt": "3", "dir/sub/d.txt": "4", "dir2/e.md": "5"}


def shown(picked: tuple[Picked, ...]) -> list[str]:
    """name of a file, or `/path` for each in a directory; a passing directory in parentheses."""
    found = []
    for each in picked:
        if not each.is_dir:
            found.append(each.name)
        found += [f"(/{path})" if path in each.passing else f"/{path}" for path, _ in each.below]
    return found


def pick(top: Path, tree: Tree, *paths: str, excludes: tuple[str, ...] = (), parents: bool = False) -> list[str]:
    with LocalContext(make_tree(top / "ctx", tree)) as context:
        return shown(select(context, paths, excludes=excludes, keeps_parents=parents))


def test_a_file_is_picked_by_its_name(tmp_path: Path) -> None:
    assert pick(tmp_path, FILES, "dir/c.txt", "./a.txt") == ["c.txt", "a.txt"]


def test_a_directory_is_its_contents(tmp_path: Path) -> None:
    assert pick(tmp_path, FILES, "dir") == ["/c.txt", "/sub", "/sub/d.txt"]


@pytest.mark.parametrize("root", [".", "/", "", "..", "../../"])
def test_the_root_is_all_and_dots_end_there(tmp_path: Path, root: str) -> None:
    assert pick(tmp_path, {"x": "", "y/z": ""}, root) == ["/x", "/y", "/y/z"]


def test_wildcards_are_matched_by_component_and_sorted(tmp_path: Path) -> None:
    assert pick(tmp_path, FILES, "*.txt") == ["a.txt", "b.txt"]
    assert pick(tmp_path / "2", FILES, "dir*") == ["/c.txt", "/sub", "/sub/d.txt", "/e.md"]
    assert pick(tmp_path / "3", FILES, "d*/*.txt") == ["c.txt"]
    assert pick(tmp_path / "4", FILES, "di[r]/?.txt") == ["c.txt"]


def test_two_stars_are_one_without_parents(tmp_path: Path) -> None:
    assert pick(tmp_path, FILES, "**.txt") == ["a.txt", "b.txt"]
    assert pick(tmp_path / "2", FILES, "**/c.txt") == ["c.txt"]


def test_a_wildcard_without_match_picks_nothing(tmp_path: Path) -> None:
    assert pick(tmp_path, FILES, "*.none", "*/absent/*.x") == []


def test_what_stands_before_a_wildcard_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ContextError, match="absent"):
        pick(tmp_path, FILES, "absent/*.x")


def test_escaped_brackets_are_names(tmp_path: Path) -> None:
    assert pick(tmp_path, {"arr[0].txt": "", "arr0.txt": ""}, "arr[[]0].txt") == ["arr[0].txt"]


def test_percent_signs_are_not_decoded(tmp_path: Path) -> None:
    assert pick(tmp_path, {"%C3%A4": ""}, "%C3%A4") == ["%C3%A4"]


def test_an_explicit_symlink_is_followed_and_keeps_its_name(tmp_path: Path) -> None:
    tree: Tree = {"real": "x", "link": Symlink("real"), "dlink": Symlink("/d"), "d/in": "y"}
    with LocalContext(make_tree(tmp_path / "ctx", tree)) as context:
        one, two = select(context, ["link", "dlink"])
    assert (one.name, one.entry.kind, one.entry.path) == ("link", "file", "real")
    assert (two.entry.kind, [path for path, _ in two.below]) == ("dir", ["in"])


def test_a_matched_symlink_is_followed_and_one_inside_a_directory_is_not(tmp_path: Path) -> None:
    tree: Tree = {"real": "x", "link1": Symlink("real"), "d/inner": Symlink("../real")}
    with LocalContext(make_tree(tmp_path / "ctx", tree)) as context:
        (matched,) = select(context, ["lin*"])
        (directory,) = select(context, ["d"])
    assert matched.entry.kind == "file"
    assert next(iter(directory.below))[1].kind == "symlink"


def test_a_symlinked_parent_is_followed_inside(tmp_path: Path) -> None:
    assert pick(tmp_path, {"sub/foo": "", "link": Symlink("sub")}, "link/foo") == ["foo"]
    assert pick(tmp_path / "2", {"sub/foo": "", "link": Symlink("sub")}, "link/f*") == ["foo"]


def test_a_link_out_of_the_context_finds_what_is_inside_or_nothing(tmp_path: Path) -> None:
    with pytest.raises(ContextError, match="not in the build context"):
        pick(tmp_path, {"dir": Symlink("/")}, "dir/etc/passwd")


def test_excludes_are_relative_to_each_source(tmp_path: Path) -> None:
    tree: Tree = {"d1/a.png": "", "d1/b.txt": "", "d2/a.png": "", "top.png": ""}
    assert pick(tmp_path, tree, ".", excludes=("*/*.png",)) == ["/d1", "/d1/b.txt", "/d2", "/top.png"]
    assert pick(tmp_path / "2", tree, "d1", excludes=("*.png",)) == ["/b.txt"]


def test_an_exclusion_brings_back_with_its_directory(tmp_path: Path) -> None:
    tree: Tree = {"v/keep": "", "v/drop": "", "w/drop": ""}
    assert pick(tmp_path, tree, ".", excludes=("v", "w", "!v/keep")) == ["/v", "/v/keep"]


def test_excludes_hold_for_matched_files_but_not_for_named_ones(tmp_path: Path) -> None:
    assert pick(tmp_path, FILES, "*.txt", excludes=("a.*",)) == ["b.txt"]
    assert pick(tmp_path / "2", FILES, "a.txt", excludes=("a.*",)) == ["a.txt"]


def test_parents_keep_the_directories_of_the_source(tmp_path: Path) -> None:
    assert pick(tmp_path, FILES, "dir/sub/d.txt", parents=True) == ["(/dir)", "(/dir/sub)", "/dir/sub/d.txt"]


def test_parents_of_a_directory_keep_it_and_all_below(tmp_path: Path) -> None:
    assert pick(tmp_path, FILES, "./dir/", parents=True) == ["/dir", "/dir/c.txt", "/dir/sub", "/dir/sub/d.txt"]


def test_parents_with_a_pivot_keep_what_is_behind_it(tmp_path: Path) -> None:
    assert pick(tmp_path, FILES, "dir/./sub/d.txt", parents=True) == ["(/sub)", "/sub/d.txt"]
    assert pick(tmp_path / "2", FILES, "./dir/./sub/*.txt", parents=True) == ["(/sub)", "/sub/d.txt"]
    assert pick(tmp_path / "3", FILES, "./dir/./", parents=True) == ["/c.txt", "/sub", "/sub/d.txt"]


def test_parents_let_two_stars_span_directories(tmp_path: Path) -> None:
    assert pick(tmp_path, FILES, "**/*.txt", parents=True) == [
        "/a.txt",
        "/b.txt",
        "(/dir)",
        "/dir/c.txt",
        "(/dir/sub)",
        "/dir/sub/d.txt",
    ]


def test_parents_make_a_directory_only_once_something_matches(tmp_path: Path) -> None:
    assert pick(tmp_path, {"a/b/x": "", "a/c/y": ""}, "a/*/x", parents=True) == ["(/a)", "(/a/b)", "/a/b/x"]


def test_parents_miss_only_without_a_wildcard(tmp_path: Path) -> None:
    assert pick(tmp_path, FILES, "none/*", parents=True) == []
    with pytest.raises(ContextError, match='"none/x" is not in'):
        pick(tmp_path / "2", FILES, "none/x", parents=True)


def test_a_missing_source_names_one_that_is_near(tmp_path: Path) -> None:
    with pytest.raises(ContextError) as caught:
        pick(tmp_path, {"weights.bin": ""}, "wieghts.bin")
    assert caught.value.code == "copy-source-missing"
    assert caught.value.hint == 'did you mean "weights.bin"?'


def test_all_missing_sources_are_reported_together(tmp_path: Path) -> None:
    with pytest.raises(ContextError) as caught:
        pick(tmp_path, FILES, "no1", "a.txt", "no2")
    assert [d.message.split('"')[1] for d in caught.value.diagnostics] == ["no1", "no2"]


def test_an_ignored_source_names_the_line_of_the_ignore_file(tmp_path: Path) -> None:
    context = LocalContext(make_tree(tmp_path / "ctx", {"weights/w.bin": "", "x": ""}))
    context.ignore(PatternMatcher(read_ignore_file("*.log\n\nweights\n")))
    with context, pytest.raises(ContextError) as caught:
        select(context, ["weights/"])
    diagnostic = caught.value.diagnostics[0]
    assert diagnostic.notes == ('.dockerignore:3 excludes it (pattern "weights")',)
    assert diagnostic.hint == 'add "!weights" after that line'


def test_a_dangling_symlink_says_where_it_leads(tmp_path: Path) -> None:
    with pytest.raises(ContextError) as caught:
        pick(tmp_path, {"l": Symlink("gone")}, "l")
    assert caught.value.diagnostics[0].notes == ('it is a symlink to "gone", which is not there',)


def test_a_bad_pattern_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ContextError) as caught:
        pick(tmp_path, FILES, "a[")
    assert caught.value.code == "bad-pattern"


def test_a_stage_is_picked_from_as_a_context_is(tmp_path: Path) -> None:
    lower = make_tree(tmp_path / "1", {"usr/bin/x": "1", "bin": Symlink("/usr/bin"), "etc/a": "2"})
    upper = make_tree(tmp_path / "2", {"usr/bin/y": "3", "usr/bin/z": Hardlink("usr/bin/y")})
    with UnionTree([lower, upper]) as tree:
        assert shown(select(tree, ["bin/*"], where="stage")) == ["x", "y", "z"]
        assert shown(select(tree, ["/usr"])) == ["/bin", "/bin/x", "/bin/y", "/bin/z"]
        with pytest.raises(ContextError, match='"etc/b" is not in the stage'):
            select(tree, ["/etc/b"], where="the stage")


def test_names_that_are_no_utf8_are_matched(tmp_path: Path) -> None:
    assert pick(tmp_path, {os.fsdecode(b"x\xff.txt"): ""}, "x*.txt") == [os.fsdecode(b"x\xff.txt")]
