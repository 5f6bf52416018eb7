"""An analysis in the terminal, and budgets as people write and read them."""

from __future__ import annotations

import pytest

from slimstage.analyze.analysis import Analysis
from slimstage.analyze.budget import Budget, Excess
from slimstage.cli.analysis_text import AnalysisText
from slimstage.cli.budgets import budget_of, excess_text, parse_bytes
from slimstage.cli.terminal import Paint
from slimstage.errors import UsageError
from support.analysing import analysed
from support.system_tree import PACKAGES, SYSTEM
from support.trees import Tree, Whiteout

_CACHE: Tree = {"root/.cache/pip/x": bytes(range(256)) * 400, "app/evil\x1b[31m\nname": b"x" * 20_000}


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    made = ["debian", "RUN pip install", "COPY . /", "RUN rm"]
    last: Tree = {"root/.cache/pip/x": Whiteout(), "usr/lib/libc.so.6": b"c" * 90_000}
    return analysed(None, SYSTEM, PACKAGES, _CACHE, last, created_by=made).analysis


def _lines(analysis: Analysis, **options: object) -> list[str]:
    return list(AnalysisText(analysis, Paint(False), **options).lines())  # type: ignore[arg-type]


def test_every_section_is_a_title_and_rows_with_bars(analysis: Analysis) -> None:
    lines = _lines(analysis)
    text = "\n".join(lines)
    assert lines[0].startswith("test: 21")
    assert "4 layers; " not in lines[0], "the system has no name for people"
    assert "102 kB deleted by later layers" in lines[1]
    assert [line for line in lines if line and not line.startswith(" ")][2:] == [
        "Layers", "Purposes", "Owners", "Directories", "Types", "Findings",
    ]  # fmt: skip
    assert "█" in text
    assert all(len(line) <= 100 for line in lines if "%" in line)


def test_rows_of_a_tree_have_branches_and_packages_who_needs_them(analysis: Analysis) -> None:
    lines = _lines(analysis, width=140)
    (libc,) = (line for line in lines if "libc6 2.36" in line)
    assert libc.lstrip().startswith("├─ libc6 2.36")
    assert libc.endswith("needed by python3")
    (last,) = (line for line in lines if "thing 1" in line)
    assert last.lstrip().startswith("└─ ")
    (hidden,) = (line for line in lines if line.startswith("  2 "))
    assert hidden.endswith("COPY . / (102 kB hidden)")


def test_top_shortens_lists_and_what_is_left_is_a_line(analysis: Analysis) -> None:
    assert any("└─ 2 more" in line for line in _lines(analysis, top=1))
    assert len(_lines(analysis, top=1)) < len(_lines(analysis))


def test_nothing_of_an_image_reaches_the_terminal_raw(analysis: Analysis) -> None:
    assert all(character.isprintable() for line in _lines(analysis) for character in line)


def test_a_terminal_without_utf_8_gets_plain_bars(analysis: Analysis) -> None:
    bars = "\n".join(line for line in _lines(analysis, is_plain=True) if line.startswith("  3"))
    assert "########" in bars
    assert "█" not in bars


def test_an_empty_image_says_so() -> None:
    lines = _lines(analysed(None).analysis)
    assert lines[0] == "test: 0 B, 0 B compressed in 0 files and 0 layers"
    assert lines[-1] == "No findings."


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("250MB", 250_000_000),
        ("1.5 GiB", 3 << 29),
        ("10k", 10_000),
        ("7", 7),
        (7, 7),
        ("1KiB", 1024),
        ("2tb", 2 * 10**12),
    ],
)
def test_sizes_are_decimal_unless_they_have_an_i(text: object, want: int) -> None:
    assert parse_bytes(text, "x") == want


@pytest.mark.parametrize("text", ["", "MB", "-1", -1, True, 1.5, "1 elephant", None])
def test_what_is_no_size_is_refused(text: object) -> None:
    with pytest.raises(UsageError, match="not a size"):
        parse_bytes(text, "x")


def test_a_purpose_that_is_none_is_no_limit_that_always_holds() -> None:
    with pytest.raises(UsageError, match='unknown purpose "build-tool"') as caught:
        budget_of({"purposes": {"tests": 0, "build-tool": 0}})
    assert caught.value.hint == 'did you mean "build-tools"?'
    with pytest.raises(UsageError) as caught:
        budget_of({"purposes": {"zebra": 0}})
    assert "build-tools" in str(caught.value.hint)


def test_flags_go_before_the_table() -> None:
    table = {"total": "1GB", "growth": 5, "against": "old", "packages": {"a": "1kB"}}
    assert budget_of(table, "2kB", "new") == (Budget(total=2000, growth=5, packages={"a": 1000}), "new")
    assert budget_of({})[0].is_empty


def test_what_broke_a_budget_is_said_with_what_has_most() -> None:
    assert excess_text(Excess("total", "", 1000, 3500, (("python numpy", 3000),))) == [
        "over budget: the image has 3.5 kB, 2.5 kB over 1 kB", "  python numpy: 3 kB",
    ]  # fmt: skip
    assert excess_text(Excess("layer", "2", 0, 5, note="RUN  a\n\x1b", line=7)) == [
        "over budget: layer 2 has 5 B (line 7 of the Dockerfile), 5 B over 0 B", "  RUN a \\x1b",
    ]  # fmt: skip
    assert "  own files: +5 B" in excess_text(Excess("growth", "old", 0, 5, (("own files", 5),)))
