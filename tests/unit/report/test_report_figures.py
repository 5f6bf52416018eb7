"""Figures with units, as everywhere else in slimstage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimstage.cli import units
from slimstage.report.figures import count_text, delta_text, duration_text, share_text, size_text
from slimstage.report.sections.timeline import tick_text, ticks


@given(st.integers(0, 10**17))
def test_sizes_read_as_in_the_terminal(size: int) -> None:
    assert size_text(size) == units.size_text(size, " ")


@pytest.mark.parametrize(
    ("size", "expected"), [(0, "±0 B"), (1500, "+1.5 kB"), (-3_100_000, "−3.1 MB"), (-999_600, "−1 MB")]
)
def test_a_difference_has_its_sign(size: int, expected: str) -> None:
    assert delta_text(size) == expected


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [(43, 100, "43 %"), (43, 1000, "4.3 %"), (1, 10_000, "< 0.1 %"), (0, 5, ""), (5, 0, ""), (9_96, 10_000, "10 %")],
)
def test_shares(part: int, whole: int, expected: str) -> None:
    assert share_text(part, whole) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.012, "12 ms"), (12.34, "12.3 s"), (125, "2 min 05 s"), (3725, "1 h 02 min")]
)
def test_durations(seconds: float, expected: str) -> None:
    assert duration_text(seconds) == expected


def test_counts() -> None:
    assert [count_text(n, "copy", "copies") for n in (1, 12_345)] == ["1 copy", "12,345 copies"]


@given(st.floats(0.01, 1e6))
def test_the_axis_has_a_few_round_times(end: float) -> None:
    found = ticks(end)
    assert 1 <= len(found) <= 7
    assert found[0] == 0
    assert found[-1] <= end


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "0"), (0.5, "0.5 s"), (30, "30 s"), (60, "1 min"), (90, "1 min 30 s"), (7200, "2 h")]
)
def test_times_on_the_axis_are_short(seconds: float, expected: str) -> None:
    assert tick_text(seconds) == expected
