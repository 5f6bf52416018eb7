"""Good Dockerfiles of five kinds of project give no alarm; with one fault they are still Dockerfiles."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from slimstage.context.patterns import read_ignore_file
from slimstage.dockerfile.parse import parse
from slimstage.lint import catalogue
from slimstage.lint.context_view import DirectoryContext, GivenContext
from slimstage.lint.engine import Surroundings, check
from slimstage.oci.descriptor import Platform
from slimstage.plan.request import PlanRequest

BENCH = Path(__file__).resolve().parents[3] / "bench"
REQUEST = PlanRequest(Platform("linux", "amd64"))


@pytest.fixture(scope="module")
def corpus() -> Any:
    sys.path.insert(0, str(BENCH))
    try:
        import lint_corpus  # type: ignore[import-not-found] # a script beside the package

        return lint_corpus
    finally:
        sys.path.remove(str(BENCH))


def test_good_files_give_no_alarm(corpus: Any) -> None:
    alarms = []
    good = [case for case in corpus.cases() if case.fault is None]
    for case in good:
        ignore = read_ignore_file(case.files[".dockerignore"])
        around = Surroundings(ignore, context=GivenContext(case.files, ignore))
        checked = check(case.dockerfile, catalogue.rules(), REQUEST, around=around, asks_plan=True)
        alarms += [(case.name, each.code) for each in (*checked.faults, *checked.refusals)]
        alarms += [(case.name, each.rule) for each in checked.findings if each.severity != "info"]
    assert not alarms
    assert len(good) > 100


def test_each_fault_is_one_that_a_file_can_have(corpus: Any) -> None:
    faulty = [case for case in corpus.cases() if case.fault is not None]
    assert {case.fault.name for case in faulty} == {fault.name for fault in corpus.FAULTS}
    for case in faulty:
        assert parse(case.dockerfile).stages
        assert (case.dockerfile, case.files) != (case.project.dockerfile, case.project.files)


GOOD_EXAMPLES = [*sorted(BENCH.parent.glob("examples/**/Dockerfile")), BENCH.parent / "Containerfile"]


@pytest.mark.parametrize("path", GOOD_EXAMPLES, ids=lambda path: str(path.relative_to(BENCH.parent)))
def test_the_examples_of_this_project_give_no_alarm(path: Path) -> None:
    beside, general = path.with_name(f"{path.name}.dockerignore"), path.with_name(".dockerignore")
    ignore = next((read_ignore_file(each.read_text()) for each in (beside, general) if each.exists()), None)
    around = Surroundings(ignore, context=DirectoryContext(path.parent, ignore))
    checked = check(path.read_text(), catalogue.rules(), REQUEST, around=around, asks_plan=True)
    assert not [each for each in checked.findings if each.severity != "info"]
