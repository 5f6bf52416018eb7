"""What a Dockerfile means, point by point: ignore files, and what a build warns of (points 30 and 78 to 80)."""

from __future__ import annotations

from pathlib import Path

import pytest

from slimstage.context.open import open_context
from slimstage.context.select import select
from slimstage.errors import ContextError
from support.contexts import Request
from support.planning import Images, planned
from support.trees import Tree, make_tree


def shown(top: Path, tree: Tree, dockerfile: str | None = None) -> list[str]:
    """The paths of a context that its ignore file lets in."""
    path = make_tree(top, tree)
    with open_context(Request(path, f"{path}/{dockerfile}" if dockerfile else None)) as found:
        return [entry.path for entry in found.context.walk("")]


def test_point_78_the_last_match_wins_and_a_match_of_a_parent_counts(tmp_path: Path) -> None:
    tree: Tree = {"Dockerfile": "FROM x", "d/a": "", "d/b": "", "e/f": "", ".dockerignore": "*\n!d\nd/b\n!e/f\n"}
    assert shown(tmp_path / "1", tree) == ["d", "d/a", "e", "e/f"]
    again = shown(tmp_path / "2", {**tree, ".dockerignore": "d\n!Dockerfile\ne/f\n!e/*\n"})
    assert again == [".dockerignore", "Dockerfile", "e", "e/f"]


def test_point_78_files_let_in_again_below_excluded_directories_are_reached(tmp_path: Path) -> None:
    tree: Tree = {"Dockerfile": "", "out/deep/er/keep": "", "out/deep/er/drop": "", ".dockerignore": "*\n!**/keep\n"}
    assert shown(tmp_path, tree) == ["out", "out/deep", "out/deep/er", "out/deep/er/keep"]


def test_point_78_the_ignore_file_of_the_dockerfile_beats_that_of_the_context(tmp_path: Path) -> None:
    tree: Tree = {"Dockerfile2": "", "a": "", "b": "", ".dockerignore": "a\n", "Dockerfile2.dockerignore": "b\n*e*\n"}
    assert shown(tmp_path, tree, "Dockerfile2") == ["a"]


def test_point_79_the_dockerfile_and_the_ignore_file_may_be_excluded(tmp_path: Path) -> None:
    path = make_tree(tmp_path, {"Dockerfile": "FROM x", "f": "", ".dockerignore": "Dockerfile\n.dockerignore\n"})
    with open_context(Request(path)) as found:
        assert found.dockerfile_text == "FROM x"
        assert [entry.path for entry in found.context.walk("")] == ["f"]
        with pytest.raises(ContextError, match=r"\.dockerignore:1 excludes it"):
            select(found.context, ["Dockerfile"])


def test_point_80_a_build_says_each_warning_once_and_is_not_hindered_by_what_it_does_not_reach() -> None:
    images = Images()
    text = "FROM busybox AS unreached\nRUN a \\\n\n b\nCOPY --from=nowhere / /\nFROM busybox\nRUN c \\\n\n\n d\n"
    graph = planned(text, images)
    assert len(graph.warnings) == 2
    assert len(set(graph.warnings)) == 2
    assert {name for name, _ in images.asked} == {"busybox"}
