"""The table of attacks in SECURITY.md: it is whole, each test that it names is there and is collected."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from slimstage.cli.catalogue import BY_NAME
from support.escape_cases import AWAITED, CASES, PAGE, all_tests, with_table

_ROOT = Path(__file__).resolve().parents[2]
_SUITE = _ROOT.parent / "shared/conformance/security.json"


@pytest.mark.skipif(not _SUITE.is_file(), reason="the shared conformance suite is not beside this checkout")
def test_every_case_of_the_suite_is_in_the_table() -> None:
    cases = json.loads(_SUITE.read_text())
    assert {area: sorted(found) for area, found in CASES.items()} == {
        area: sorted(case["id"] for case in cases if case["area"] == area) for area in {case["area"] for case in cases}
    }


def test_every_case_has_a_test_or_waits_for_a_command() -> None:
    for cases in CASES.values():
        for case, tests in cases.items():
            assert tests or case in AWAITED, case


def test_what_cases_wait_for_is_not_there() -> None:
    """When it comes, its cases get tests, and leave this list."""
    assert set(AWAITED.values()) & set(BY_NAME) == set()


def test_every_test_that_is_named_is_collected() -> None:
    files = sorted({test.partition("::")[0] for test in all_tests()})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    collected = {line.partition("[")[0] for line in done.stdout.splitlines() if "::" in line}
    assert [test for test in all_tests() if test not in collected] == []


def test_the_page_has_the_table_as_it_is() -> None:
    assert with_table(PAGE.read_text()) == PAGE.read_text(), (
        "write it again: cd tests && python -m support.escape_cases"
    )
