"""Every rule does what its page says: `bad` gives the finding, `good` none, and a fix leaves none of it."""

from __future__ import annotations

from pathlib import Path

import pytest

import slimstage
from slimstage.dockerfile.parse import parse
from slimstage.lint import catalogue
from slimstage.lint.examples import check_example
from slimstage.lint.fix import Fixed, fix_all
from slimstage.lint.rule import Rule, kebab

OURS = [group for group in catalogue.NAMES if group != "buildkit"]
ALL = [*catalogue.rules()]
each_rule = pytest.mark.parametrize("rule", ALL, ids=lambda rule: rule.name)
each_fix = pytest.mark.parametrize("rule", [rule for rule in ALL if rule.has_fix], ids=lambda rule: rule.name)


def fixed_bad(rule: Rule, text: str | None = None) -> Fixed:
    given = rule.bad.dockerfile if text is None else text
    return fix_all(given, lambda after: check_example(rule.bad, [rule], after))


@each_rule
def test_bad_gives_the_finding(rule: Rule) -> None:
    checked = check_example(rule.bad, [rule])
    assert not checked.faults
    assert checked.findings
    assert {each.rule for each in checked.findings} == {rule.name}


@each_rule
def test_good_gives_nothing_of_the_rule(rule: Rule) -> None:
    checked = check_example(rule.good, [rule])
    assert not checked.faults
    assert not checked.findings


@each_rule
def test_good_is_no_warning_of_our_own_rules(rule: Rule) -> None:
    ours = [each for each in ALL if each.group in OURS]
    found = check_example(rule.good, ours).findings
    assert not [each for each in found if each.severity != "info"]


@each_rule
def test_findings_stand_where_the_file_has_something(rule: Rule) -> None:
    checked = check_example(rule.bad, [rule])
    lines = checked.dockerfile.source.text.count("\n") + 1
    for each in checked.findings:
        assert each.span.source.text == checked.dockerfile.source.text
        assert 1 <= each.span.line <= each.span.end_line <= lines
        assert (each.span.line, each.span.column) < (each.span.end_line, each.span.end_column)


@each_rule
def test_messages_are_one_line(rule: Rule) -> None:
    for each in check_example(rule.bad, [rule]).findings:
        assert each.message
        assert "\n" not in each.message
        assert not each.message.endswith(".")
    assert rule.summary == rule.summary.strip().rstrip(".")
    assert rule.why.endswith("\n")


@each_rule
def test_a_fix_is_said_by_the_rule(rule: Rule) -> None:
    assert rule.has_fix == any(each.fix for each in check_example(rule.bad, [rule]).findings)


@each_fix
def test_fixing_bad_leaves_none_of_the_rule(rule: Rule) -> None:
    fixed = fixed_bad(rule)
    assert fixed.applied
    if fixed.text != rule.bad.dockerfile:
        assert not check_example(rule.bad, [rule], fixed.text).findings
    else:
        assert fixed.files


@each_fix
def test_what_is_fixed_parses_and_has_the_target(rule: Rule) -> None:
    before, after = parse(rule.bad.dockerfile), parse(fixed_bad(rule).text)
    assert after.stages
    assert after.stages[-1].name == before.stages[-1].name or len(after.stages) > len(before.stages)


@each_fix
def test_fixing_again_changes_nothing(rule: Rule) -> None:
    once = fixed_bad(rule)
    if once.text != rule.bad.dockerfile:
        assert fixed_bad(rule, once.text).text == once.text


@each_fix
def test_a_fix_keeps_line_ends_and_the_mark(rule: Rule) -> None:
    plain = fixed_bad(rule)
    changed = fixed_bad(rule, "\ufeff" + rule.bad.dockerfile.replace("\n", "\r\n"))
    assert changed.text == "\ufeff" + plain.text.replace("\n", "\r\n")


def test_the_catalogue_names_each_file_of_rules() -> None:
    files = {path.stem for path in (Path(slimstage.__file__).parent / "lint" / "rules").glob("*.py")}
    assert files == {"__init__", *(kebab(name).replace("-", "_") for name in catalogue.names())}


def test_a_rule_has_the_name_and_group_that_the_catalogue_says() -> None:
    for group, names in catalogue.NAMES.items():
        for name in names:
            assert (catalogue.rule(name).name, catalogue.rule(name).group) == (name, group)
