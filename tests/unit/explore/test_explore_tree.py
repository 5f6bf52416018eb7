"""The tree of an image's files under a filter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimstage.explore.tree import Directory, Filter, order_of_files, tree_of
from slimstage.explore.words import bar, file_details, file_line
from support.analyses import SITE, small_analysis


def all_of(root: Directory) -> list[Directory]:
    found = [root]
    for directory in found:
        found += directory.directories.values()
    return found


def test_directories_hold_the_bytes_of_all_below_them() -> None:
    analysis = small_analysis()
    root = tree_of(analysis)
    assert root.size_bytes == analysis.seen_bytes
    assert root.count == 5
    numpy = root.find(f"{SITE}/numpy")
    assert numpy is not None
    assert numpy.size_bytes == 20_300_005
    assert [each.name for each in root.sorted_directories()] == ["usr", "srv"]
    assert [each.name for each in root.sorted_directories(by_name=True)] == ["srv", "usr"]


@pytest.mark.parametrize(
    ("chosen", "size"),
    [
        (Filter(layer=0), 6_000_000),
        (Filter(layer=0, shows_hidden=True), 6_000_900),
        (Filter(purpose="tests"), 300_000),
        (Filter(purpose="weights"), 0),
        (Filter(owner=3), 20_300_005),
        (Filter(text="TEST_"), 300_000),
        (Filter(owner=3, purpose="library", text="core"), 20_000_000),
    ],
)
def test_a_filter_lets_through_what_fits_all_of_it(chosen: Filter, size: int) -> None:
    assert tree_of(small_analysis(), chosen).size_bytes == size


def test_files_come_largest_first_or_by_name() -> None:
    analysis = small_analysis()
    numpy = tree_of(analysis).find(f"{SITE}/numpy")
    assert numpy is not None
    names = [analysis.files.paths[each].rpartition("/")[2] for each in order_of_files(analysis, numpy)]
    assert names == ["core.so", "[b]odd\x1b.py"]
    by_name = order_of_files(analysis, numpy, by_name=True)
    assert [analysis.files.sizes[each] for each in by_name] == [5, 20_000_000]


def test_others_names_are_escaped() -> None:
    analysis = small_analysis()
    odd = next(n for n, path in enumerate(analysis.files.paths) if "odd" in path)
    assert "\x1b" not in file_line(analysis, odd, 100) + str(list(file_details(analysis, odd)))


def test_an_overwritten_file_says_by_what() -> None:
    details = dict(file_details(small_analysis(), 1))
    assert details["state"] == "overwritten by layer 2: it is stored and nobody sees it"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_bar_has_its_width_whatever_the_share(share: float) -> None:
    assert len(bar(share)) == 10
