"""Requirement files: names in their normal form, includes followed within the context, the rest told apart."""

from __future__ import annotations

from slimstage.lint.context_view import GivenContext
from slimstage.lint.requirement_files import Requirements, read_requirements


def read(files: dict[str, str | int], path: str = "requirements.txt") -> Requirements:
    return read_requirements(GivenContext(files), path)


def test_names_are_in_their_normal_form_with_what_follows() -> None:
    found = read(
        {"requirements.txt": "# x\nScikit_Learn==1.5.2  # pinned\n\nuvicorn[std]>=0.3 ; python_version > '3'\n"}
    )
    assert [(each.name, each.rest, each.span.line) for each in found.lines] == [
        ("scikit-learn", "==1.5.2", 2),
        ("uvicorn", ">=0.3", 4),
    ]
    assert found.is_whole


def test_hashes_on_continued_lines_are_part_of_one_line() -> None:
    found = read({"requirements.txt": "a==1 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\nb\n"})
    assert [(each.name, each.rest, each.span.line) for each in found.lines] == [("a", "==1", 1), ("b", "", 4)]


def test_included_files_are_read_from_beside_the_file() -> None:
    files: dict[str, str | int] = {"r/all.txt": "-r base.txt\n-c ../pins.txt\nx\n", "r/base.txt": "y\n-r all.txt\n"}
    found = read(files, "r/all.txt")
    assert [each.name for each in found.lines] == ["y", "x"]
    assert found.files == ("r/all.txt", "r/base.txt")
    assert found.constraints == ("pins.txt",)
    assert found.is_whole


def test_a_missing_file_makes_it_not_whole() -> None:
    assert not read({"requirements.txt": "-r more.txt\na\n"}).is_whole
    assert not read({}).is_whole


def test_places_and_options_are_no_names() -> None:
    text = (
        "--extra-index-url https://example.org/cpu\n-e .\n./pkg\ngit+https://example.org/x.git@1\nhttps://example.org/a.whl\n"
        "libs/a.whl\nb @ https://example.org/b.whl\n"
    )
    found = read({"requirements.txt": text})
    assert [each.name for each in found.lines] == ["", "", "", "", "", "b"]
    assert found.options == ("--extra-index-url https://example.org/cpu",)
