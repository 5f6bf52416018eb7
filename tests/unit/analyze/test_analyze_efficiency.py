"""Efficiency as dive counts it: by hand here, against dive itself in tests/integration."""

from __future__ import annotations

from collections.abc import Sequence

from slimstage.analyze.efficiency import EfficiencyCount

Layer = Sequence[tuple[str, int, bool]]


def _counted(*layers: Layer) -> tuple[float, int]:
    count = EfficiencyCount()
    for layer in layers:
        count.add(layer)
    result = count.result()
    return round(result.score, 9), result.wasted_bytes


def test_nothing_and_one_layer_are_no_waste() -> None:
    assert _counted() == (1.0, 0)
    assert _counted([("a", 10, False), ("d", 0, False), ("d/b", 5, False)]) == (1.0, 0)


def test_of_what_is_overwritten_the_smallest_would_have_done() -> None:
    assert _counted([("a", 10, False), ("b", 10, False)], [("a", 30, False)]) == (20 / 50, 40)


def test_a_deleted_file_counts_once_and_a_deleted_directory_twice() -> None:
    assert _counted([("a", 10, False)], [("a", 0, True)]) == (0.0, 10)
    layers: list[Layer] = [[("d", 0, False), ("d/x", 10, False), ("d/y", 5, False)], [("d", 0, True)]]
    assert _counted(*layers) == (1.0, 0), "it never was a leaf, so it appears once"
    assert _counted(*layers, [("d", 0, False)], [("d", 0, True)]) == (15 / 30, 15)


def test_a_deletion_of_nothing_ends_the_layer() -> None:
    assert _counted([("b", 4, False)], [("a", 0, True), ("b", 4, False)]) == (1.0, 0)
