"""`.dockerignore` rules: order, parents, re-inclusion, wildcards, walking."""

from __future__ import annotations

import e2b_dockerfile_utils as port
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimstage.context.patterns import Matched, Pattern, PatternMatcher, has_wildcards, match_segment, read_ignore_file
from slimstage.errors import ContextError


@pytest.mark.parametrize(
    ("patterns", "path", "expected"),
    [
        (["docs"], "docs", True),
        (["docs"], "docs/a/b", True),
        (["docs"], "x/docs", False),
        (["docs/"], "docs/a", True),
        (["./docs//a/../b"], "docs/b", True),
        (["*.md"], "a.md", True),
        (["*.md"], "x/a.md", False),
        (["*/*.md"], "x/a.md", True),
        (["**/*.md"], "a.md", True),
        (["**/*.md"], "x/y/a.md", True),
        (["**/node_modules"], "a/node_modules/b/c", True),
        (["**/cache/**"], "a/cache/b", True),
        (["**/cache/**"], "a/cache", False),
        (["dir/**"], "dir", False),
        (["dir/**"], "dir/a/b", True),
        (["a**b"], "a/x/b", True),
        (["a**b"], "ab", True),
        (["a**b"], "axb", False),
        (["**b"], "axb", True),
        (["****/c"], "x/y/c", True),
        (["*", "!keep"], "keep", False),
        (["*", "!keep"], "keep/x", False),
        (["docs", "!docs/README.md"], "docs/README.md", False),
        (["docs", "!docs/README.md"], "docs/other", True),
        (["!docs/README.md", "docs"], "docs/README.md", True),
        (["**", "!a/*.whl"], "a/x.whl", False),
        (["a?c"], "abc", True),
        (["a?c"], "a/c", False),
        (["[a-c]x"], "bx", True),
        (["[^a-c]x"], "bx", False),
        (["[^a]"], "é", True),
        ([r"[\]a]"], "]", True),
        ([r"a\*"], "a*", True),
        ([r"a\*"], "ab", False),
        ([r"\!x"], "!x", True),
        (["a.b+c(d)|{e}$^"], "a.b+c(d)|{e}$^", True),
        (["a.b"], "axb", False),
        (["**"], ".", False),
        (["*"], "a\nb", True),
        ([], "a", False),
        (["", "  ", "a "], "a", True),
    ],
)
def test_the_last_match_of_a_path_or_a_parent_decides(patterns: list[str], path: str, expected: bool) -> None:
    assert PatternMatcher(patterns).matches(path) is expected


@pytest.mark.parametrize(
    "pattern", ["!", "! ", "[", "[]", "[]a]", "a[", "[a", "[^", "[-]", "[a-]", "[b-a]", "\\", "a\\", "[\\", "[a\\"]
)
def test_a_malformed_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ContextError, match="pattern"):
        PatternMatcher([pattern])


def test_an_ignore_file_is_cleaned_and_keeps_its_lines() -> None:
    text = "\ufeff# comment\r\n a \r\n\n/b/../c/\n! /d\n # no comment\n//e\n"
    assert [(str(p), p.span and p.span.line) for p in read_ignore_file(text)] == [
        ("a", 2),
        ("c", 4),
        ("!d", 5),
        ("# no comment", 6),
        ("e", 7),
    ]


def test_a_bad_line_of_an_ignore_file_is_named() -> None:
    for text, line in (("a\n[x\n", 2), ("a\n\n!\n", 3)):
        with pytest.raises(ContextError) as caught:
            PatternMatcher(read_ignore_file(text, "sub/.dockerignore"))
        assert str(caught.value).startswith(f"sub/.dockerignore:{line}:1: bad-pattern:")


def test_the_deciding_pattern_can_be_named() -> None:
    matcher = PatternMatcher(read_ignore_file("*.log\nweights\n!weights/small\n"))
    decided = matcher.deciding("weights/large.bin")
    assert decided is not None
    assert str(decided.span) == ".dockerignore:2:1"
    assert str(matcher.deciding("weights/small")) == "!weights/small"
    assert matcher.deciding("other") is None


def test_a_walker_enters_only_what_can_hold_something() -> None:
    matcher = PatternMatcher(["*", "!src/app", "!data/*"])
    assert matcher.has_exclusions
    assert [
        matcher.may_let_in_below(path) for path in ("src", "src/app", "src/app/x", "src/other", "data", "docs", "sr")
    ] == [*(True, True, True, False, True, False, False)]
    assert not PatternMatcher(["*"]).may_let_in_below("src")
    assert PatternMatcher(["*", "!**/*.py"]).may_let_in_below("anything")


def test_walking_asks_with_the_parents_answer() -> None:
    matcher = PatternMatcher(["docs", "!docs/api", "docs/api/*.tmp"])
    is_out, docs = matcher.match_below("docs")
    assert is_out
    is_out, api = matcher.match_below("docs/api", docs)
    assert not is_out
    assert [matcher.match_below(f"docs/api/{name}", api)[0] for name in ("a.md", "a.tmp")] == [False, True]
    assert matcher.match_below("docs/other", docs)[0]


def test_walking_does_not_count_a_pattern_that_was_not_asked() -> None:
    # As BuildKit's walker: the second "a" was not asked for the directory, so it says nothing about what is below.
    matcher = PatternMatcher(["a", "!a/b", "a"])
    assert not matcher.match_below("a/b")[0]
    assert matcher.matches("a/b")


names = st.text(alphabet="abc.", min_size=1, max_size=3).filter(lambda name: name.strip("."))
paths = st.lists(names, min_size=1, max_size=4).map("/".join)
pieces = st.sampled_from(["a", "b", "/", "*", "**", "?", "[a-b]", "[^a]", "**/", "c", r"\*", r"\a", ".", "("])
patterns = st.tuples(st.sampled_from(["", "", "!"]), st.lists(pieces, min_size=1, max_size=6).map("".join)).map("".join)


@settings(max_examples=500, deadline=None)
@given(st.lists(patterns, min_size=1, max_size=4), paths)
def test_walking_agrees_with_a_port_of_mobys_matcher(given_patterns: list[str], path: str) -> None:
    # The port cleans what stands behind a `!`; moby cleans the whole, where `!.` is a name: such patterns are left out.
    cleaned = [p for p in given_patterns if not p.startswith("!.") and not p.lstrip("!").startswith("/")]
    try:
        expected = port.PatternMatcher(cleaned).matches(path)
    except ValueError:
        with pytest.raises(ContextError):
            PatternMatcher(cleaned)
        return
    matcher = PatternMatcher(cleaned)
    above: Matched | None = None
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        is_out, above = matcher.match_below("/".join(parts[:depth]), above)
    assert is_out is expected
    assert matcher.match_below(path)[0] is expected


@settings(max_examples=300, deadline=None)
@given(st.lists(patterns, max_size=4).map(lambda ps: [p for p in ps if p.strip("!./")]), paths)
def test_a_pruned_directory_holds_nothing_that_is_let_in(given_patterns: list[str], path: str) -> None:
    matcher = PatternMatcher(given_patterns)
    parents = ["/".join(path.split("/")[:depth]) for depth in range(1, path.count("/") + 1)]
    if any(matcher.match_below(parent)[0] and not matcher.may_let_in_below(parent) for parent in parents):
        assert matcher.match_below(path)[0]


def test_many_wildcards_do_not_run_away() -> None:
    path = "/".join(["a" * 200] * 20)
    for pattern in (
        "**/**/**/**/a*a*a*a*b",
        "a*" * 100 + "b",
        "**/a" * 50 + "/b",
        "*?" * 100 + "/[^a]",
        "**a**a**a**a**b",
    ):
        assert not PatternMatcher([pattern]).matches(path)
    assert PatternMatcher(["a*" * 50 + "/**/" + "*a" * 50]).matches(path)


def test_fifty_thousand_patterns_are_matched() -> None:
    matcher = PatternMatcher([f"dir{number}/*.x{number}" for number in range(50_000)])
    assert matcher.matches("dir49999/a.x49999")
    assert not matcher.matches("dir49999/a.x1")


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("*", "abc", True),
        ("a*c", "abc", True),
        ("a*c*e*g", "abcdefg", True),
        ("a*c*e*h", "abcdefg", False),
        ("**", "abc", True),
        ("?", "é", True),
        ("[a-c]", "b", True),
        ("arr[[]0].txt", "arr[0].txt", True),
        (r"arr\[0].txt", "arr[0].txt", True),
        ("", "", True),
        ("", "a", False),
        ("*", "", True),
        ("*a*" * 30, "a" * 30, True),
        ("*a*" * 31, "a" * 30, False),
    ],
)
def test_one_component_is_matched_as_go_does(pattern: str, name: str, expected: bool) -> None:
    assert match_segment(pattern, name) is expected


def test_wildcards_are_seen_unless_escaped() -> None:
    assert [has_wildcards(t) for t in ("a", "a*", "?", "[", r"\*", r"\\*", r"\\\*", r"a\[b", "]")] == [
        *(False, True, True, True, False, True, False, False, False)
    ]


def test_patterns_are_values() -> None:
    assert Pattern("a") == Pattern("a")
    assert PatternMatcher([Pattern("a"), Pattern("a/b", is_exclusion=True)]).patterns[1].is_exclusion
