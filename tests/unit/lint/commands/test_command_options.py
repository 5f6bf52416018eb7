"""Options by a table: values, clusters, abbreviations, `--`."""

from __future__ import annotations

import pytest

from slimstage.diagnostics import Source, Span
from slimstage.lint.commands.options import Parsed, Table, part
from slimstage.lint.shell.script import Word

SOURCE = Source("Dockerfile", "")
TABLE = Table("-o,--output= -q,--quiet=? -y,--yes -n,--no-cache-dir --no-deps -v", abbreviates=True)


def words(text: str) -> list[Word]:
    made: list[Word] = []
    column = 1
    for each in text.split(" "):
        made.append(Word(each, each, Span(SOURCE, 1, column, 1, column + len(each))))
        column += len(each) + 1
    return made


def said(parsed: Parsed) -> tuple[list[tuple[str, str | None]], list[str]]:
    options = [(each.name, each.value.shape if each.value else None) for each in parsed.options]
    return options, [word.shape for word in parsed.rest]


@pytest.mark.parametrize(
    ("text", "options", "rest"),
    [
        ("install -y a", [("--yes", None)], ["install", "a"]),
        ("-o f a", [("--output", "f")], ["a"]),
        ("-of a", [("--output", "f")], ["a"]),
        ("-yof a", [("--yes", None), ("--output", "f")], ["a"]),
        ("-yo f a", [("--yes", None), ("--output", "f")], ["a"]),
        ("--output=f a", [("--output", "f")], ["a"]),
        ("--output f a", [("--output", "f")], ["a"]),
        ("-q=2 a", [("--quiet", "2")], ["a"]),
        ("-q a", [("--quiet", None)], ["a"]),
        ("-yqv a", [("--yes", None), ("--quiet", None), ("-v", None)], ["a"]),
        ("-yq2 a", [("--yes", None), ("--quiet", "2")], ["a"]),
        ("-vyq a", [("-v", None), ("--yes", None), ("--quiet", None)], ["a"]),
        ("--no-cache a", [("--no-cache-dir", None)], ["a"]),
        ("--no a", [("--no", None)], ["a"]),
        ("--unknown a", [("--unknown", None)], ["a"]),
        ("--unknown=b a", [("--unknown", "b")], ["a"]),
        ("-y -- -o f", [("--yes", None)], ["-o", "f"]),
        ("- -y", [("--yes", None)], ["-"]),
        ("-o", [("--output", None)], []),
    ],
)
def test_words_are_options_and_the_rest(text: str, options: list[tuple[str, str | None]], rest: list[str]) -> None:
    assert said(TABLE.parse(words(text))) == (options, rest)


def test_a_table_that_stops_leaves_what_is_behind_the_first_word() -> None:
    assert said(Table("-C=", stops=True).parse(words("-C d clone -b x"))) == ([("-C", "d")], ["clone", "-b", "x"])


def test_flags_of_go_have_one_dash_or_two() -> None:
    table = Table("-ldflags= -o=", is_go=True)
    assert said(table.parse(words("-ldflags -s --o=x -v ./a"))) == (
        [("-ldflags", "-s"), ("-o", "x"), ("-v", None)],
        ["./a"],
    )


def test_a_part_of_a_word_has_its_own_place() -> None:
    word = words("install --output=f")[1]
    value = part(word, 9)
    assert (value.shape, value.span.column, value.span.end_column) == ("f", 18, 19)
