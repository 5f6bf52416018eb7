"""Efficiency as dive counts it: by hand here, against dive itself in tests/integration."""

from __future__ import annotations

from slimstage.analyze.efficiency import EfficiencyCount
from slimstage.analyze.layers import LayerEntry


def _counted(*layers: dict[str, int | None]) -> tuple[float, int]:
    """Path → size; None: a deletion, of `x` where it is called `-x`; a name that ends in a slash is a directory."""
    count = EfficiencyCount()
    for layer in layers:
        count.add(
            LayerEntry(
                path.strip("-/"), "whiteout" if size is None else "dir" if path.endswith("/") else "file", size or 0
            )
            for path, size in layer.items()
        )
    result = count.result()
    return round(result.score, 9), result.wasted_bytes


def test_nothing_and_one_layer_are_no_waste() -> None:
    assert _counted() == (1.0, 0)
    assert _counted({"a": 10, "d/": 0, "d/b": 5}) == (1.0, 0)


def test_of_what_is_overwritten_the_smallest_would_have_done() -> None:
    assert _counted({"a": 10, "b": 10}, {"a": 30}) == (20 / 50, 40)


def test_a_deleted_file_costs_itself_and_a_deleted_directory_is_counted_where_it_goes() -> None:
    assert _counted({"a": 10}, {"-a": None}) == (0.0, 10)
    made: dict[str, int | None] = {"d/": 0, "d/x": 10, "d/y": 5}
    assert _counted(made, {"-d": None}) == (1.0, 0), "the directory itself was no leaf before"
    assert _counted(made, {"-d": None}, {"d/": 0}) == (15 / 30, 15)
    assert _counted({"d/x": 10}, {"-d": None}, {"d/": 0}) == (1.0, 0), "no entry said that it is a directory"


def test_what_is_deleted_and_made_again_appears_twice_in_its_layer() -> None:
    assert _counted({"a": 10}, {"-a": None, "a": 10}) == (0.0, 20)


def test_a_deletion_of_nothing_ends_the_layer() -> None:
    assert _counted({"b": 4}, {"-a": None, "b": 4}) == (1.0, 0)


def test_further_names_of_a_file_cost_nothing() -> None:
    count = EfficiencyCount()
    count.add([LayerEntry("a", "file", 7, link=1), LayerEntry("b", "file", 7, link=1), LayerEntry("d", "opaque")])
    count.add([LayerEntry("b", "whiteout")])
    assert count.result().wasted_bytes == 0
    assert count.result().score == 1.0
