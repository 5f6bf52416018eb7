"""Applying edits: several at once, touching ones in rounds, nothing that would break the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from slimstage.diagnostics import Source, Span
from slimstage.lint.engine import Checked, check
from slimstage.lint.finding import Edit, Finding, Fix, NewFile
from slimstage.lint.fix import apply, fix_all
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject
from slimstage.oci.descriptor import Platform
from slimstage.plan.request import PlanRequest

REQUEST = PlanRequest(Platform("linux", "amd64"))
NOTHING = Example("FROM a\n")


def rule(find: Callable[[Subject], Iterator[Finding]]) -> Rule:
    return Rule(name="Test", group="bytes", summary="x", why="x\n", bad=NOTHING, good=NOTHING, check=find)


def finding(message: str, *edits: Edit, files: tuple[NewFile, ...] = ()) -> Finding:
    return Finding("Test", message, edits[0].span, fix=Fix("mend", edits, files))


def checker(*rules: Rule) -> Callable[[str], Checked]:
    return lambda text: check(text, rules, REQUEST)


def span(source: Source, line: int, column: int, end_line: int, end_column: int) -> Span:
    return Span(source, line, column, end_line, end_column)


@pytest.mark.parametrize(
    ("place", "new", "after"),
    [
        ((1, 1, 1, 2), "X", "Xbc\ndef\n"),
        ((1, 2, 2, 3), "-", "a-f\n"),
        ((2, 1, 3, 1), "", "abc\n"),
        ((2, 1, 2, 1), "new\n", "abc\nnew\ndef\n"),
        ((3, 1, 3, 1), "end\n", "abc\ndef\nend\n"),
        ((2, 4, 2, 4), "!", "abc\ndef!\n"),
        ((9, 9, 9, 9), "?", "abc\ndef\n?"),
    ],
)
def test_an_edit_replaces_what_is_between_its_places(place: tuple[int, int, int, int], new: str, after: str) -> None:
    source = Source("Dockerfile", "abc\ndef\n")
    assert apply(source.text, source, [Edit(span(source, *place), new)]) == after


def test_line_ends_of_the_file_are_taken_over() -> None:
    source = Source("Dockerfile", "abc\r\ndef\r\n")
    edit = Edit(span(source, 2, 1, 2, 1), "one\ntwo\n")
    assert apply(source.text, source, [edit]) == "abc\r\none\r\ntwo\r\ndef\r\n"
    assert apply(source.text, source, [Edit(span(source, 1, 4, 1, 4), "!")]) == "abc!\r\ndef\r\n"


def test_edits_that_touch_each_other_wait_for_the_next_round() -> None:
    def find(subject: Subject) -> Iterator[Finding]:
        source = subject.dockerfile.source
        line = source.line(2) or ""
        if "a" in line:
            at = line.index("a") + 1
            yield finding("first", Edit(span(source, 2, at, 2, at + 1), "b"))
        if "b" in line:
            at = line.index("b") + 1
            yield finding("second", Edit(span(source, 2, at, 2, at + 1), "c"))

    fixed = fix_all("FROM x\nRUN ab\n", checker(rule(find)))
    assert fixed.text == "FROM x\nRUN cc\n"
    assert [each.message for each in fixed.applied] == ["first", "second", "second"]


def test_a_fix_that_would_break_the_file_is_left_out_and_the_others_are_applied() -> None:
    def find(subject: Subject) -> Iterator[Finding]:
        source = subject.dockerfile.source
        if source.line(1) == "FROM x":
            yield finding("bad", Edit(span(source, 1, 1, 1, 5), "FORM"))
        if source.line(2) == "RUN a":
            yield finding("good", Edit(span(source, 2, 5, 2, 6), "b"))

    fixed = fix_all("FROM x\nRUN a\n", checker(rule(find)))
    assert fixed.text == "FROM x\nRUN b\n"
    assert [each.message for each in fixed.applied] == ["good"]


@pytest.mark.parametrize("message", ["longer", "longer than {}"])
def test_fixes_that_never_end_are_stopped(message: str) -> None:
    def find(subject: Subject) -> Iterator[Finding]:
        source = subject.dockerfile.source
        yield finding(message.format(len(source.text)), Edit(span(source, 2, 5, 2, 5), "x"))

    assert len(fix_all("FROM x\nRUN a\n", checker(rule(find))).text) < 100


def test_a_fix_that_mends_nothing_is_left_out_and_the_others_are_applied() -> None:
    def find(subject: Subject) -> Iterator[Finding]:
        source = subject.dockerfile.source
        line = source.line(2) or ""
        yield finding("stays", Edit(span(source, 2, 5, 2, 5), ""), Edit(span(source, 2, 6, 2, 6), "x"))
        if line.endswith("c"):
            yield finding("good", Edit(span(source, 2, len(line), 2, len(line) + 1), "b"))

    fixed = fix_all("FROM x\nRUN a  c\n", checker(rule(find)))
    assert fixed.text == "FROM x\nRUN a  b\n"
    assert [each.message for each in fixed.applied] == ["good"]


def test_a_text_with_faults_is_not_touched() -> None:
    def find(subject: Subject) -> Iterator[Finding]:
        source = subject.dockerfile.source
        yield finding("first", Edit(span(source, 1, 6, 1, 7), "y"))

    assert fix_all("FROM x\nRUNN a\n", checker(rule(find))).text == "FROM x\nRUNN a\n"


def test_a_file_that_two_fixes_bring_is_written_once() -> None:
    def find(subject: Subject) -> Iterator[Finding]:
        where = subject.dockerfile.stages[0].from_.span
        for name in ("one", "two"):
            yield Finding("Test", name, where, fix=Fix("write it", files=(NewFile(".dockerignore", name),)))

    fixed = fix_all("FROM x\n", checker(rule(find)))
    assert fixed.files == (NewFile(".dockerignore", "one"),)
