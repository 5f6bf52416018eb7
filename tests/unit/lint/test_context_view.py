"""The build context as rules see it: bounded, and nothing outside of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slimstage.context.patterns import Pattern, read_ignore_file
from slimstage.lint import context_view
from slimstage.lint.context_view import DirectoryContext, GivenContext
from slimstage.lint.subject import ContextFile
from support.trees import make_tree


def patterns(text: str) -> list[Pattern]:
    return read_ignore_file(text)


def test_files_with_sizes_and_what_is_ignored(tmp_path: Path) -> None:
    make_tree(tmp_path, {"a.txt": "abc", "data/x.bin": "12345", "data/keep.txt": "1", "src/b.py": ""})
    view = DirectoryContext(tmp_path, patterns("data/*.bin\n"))
    assert view.files() == (
        ContextFile("a.txt", 3, False),
        ContextFile("data/keep.txt", 1, False),
        ContextFile("data/x.bin", 5, True),
        ContextFile("src/b.py", 0, False),
    )


def test_an_ignored_directory_is_one_entry_of_its_size(tmp_path: Path) -> None:
    make_tree(tmp_path, {"node_modules/a/b.js": "12", "node_modules/c.js": "345", "x": "1"})
    assert DirectoryContext(tmp_path, patterns("node_modules\n")).files() == (
        ContextFile("node_modules/", 5, True),
        ContextFile("x", 1, False),
    )


def test_an_ignored_directory_out_of_which_something_comes_back_is_looked_into(tmp_path: Path) -> None:
    make_tree(tmp_path, {"data/a": "1", "data/keep": "22"})
    view = DirectoryContext(tmp_path, patterns("data\n!data/keep\n"))
    assert view.files() == (ContextFile("data/a", 1, True), ContextFile("data/keep", 2, False))


def test_no_symlink_is_followed_and_pipes_are_no_files(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(outside)
    (inside / "file").symlink_to(outside / "secret")
    os.mkfifo(inside / "pipe")
    view = DirectoryContext(inside)
    assert view.files() == ()
    for path in ("link/secret", "file", "pipe", "../outside/secret", "/etc/passwd", "", "."):
        assert view.read(path) is None


def test_reading_is_of_small_files_that_are_not_ignored(tmp_path: Path) -> None:
    make_tree(tmp_path, {"a/b.txt": "text", "big": "x" * 100, "out": "1"})
    (tmp_path / "raw").write_bytes(b"\xff!")
    view = DirectoryContext(tmp_path, patterns("out\n"))
    assert view.read("a/b.txt") == "text"
    assert view.read("raw") == "\ufffd!"
    assert view.read("big", limit_bytes=99) is None
    assert view.read("out") is None
    assert view.read("nothing") is None
    assert view.read("a") is None


def test_a_huge_context_ends_at_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context_view, "MOST_FILES", 10)
    monkeypatch.setattr(context_view, "MOST_IN_IGNORED", 5)
    make_tree(tmp_path, {f"d{n}/{m}": "1" for n in range(5) for m in range(9)})
    assert len(DirectoryContext(tmp_path).files()) == 10
    ignored = DirectoryContext(tmp_path, patterns("*\n")).files()
    assert {each.size_bytes for each in ignored} == {9}  # a directory is counted to its end


def test_a_directory_that_is_not_there_is_empty(tmp_path: Path) -> None:
    view = DirectoryContext(tmp_path / "nothing")
    assert view.files() == ()
    assert view.read("a") is None


def test_given_files() -> None:
    view = GivenContext({"b": 5, "a": "äb"}, patterns("b\n"))
    assert view.files() == (ContextFile("a", 3, False), ContextFile("b", 5, True))
    assert view.read("a") == "äb"
    assert view.read("b") is None
