"""docs/rules/ is what the rules say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from slimstage.lint import catalogue
from slimstage.lint.pages import page

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "make_rule_docs.py"


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_rule_docs", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_of_rules_are_fresh() -> None:
    assert script().stale() == [], "write them again: make docs, or python scripts/make_rule_docs.py"


def test_a_page_shows_both_sides_and_what_is_said() -> None:
    text = page(catalogue.rule("LegacyKeyValueFormat"))
    assert text.startswith("# LegacyKeyValueFormat\n")
    for part in (
        "ENV GREETING hello world",
        'ENV GREETING="hello world"',
        "should be used instead",
        "skip=LegacyKeyValueFormat",
    ):
        assert part in text
