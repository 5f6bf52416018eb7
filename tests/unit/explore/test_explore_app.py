"""The browser as its user has it: keys in, screen out, by textual's pilot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

pytest.importorskip("textual")

from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Static, Tree

from slimstage.explore.app import Explorer
from slimstage.explore.tree import ALL
from support.analyses import small_analysis


def drive(work: Callable[[Explorer, Pilot[Any]], Awaitable[None]]) -> None:
    """Runs the browser without a terminal and hands it over."""

    async def run() -> None:
        app = Explorer(small_analysis())
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.pause()
            await work(app, pilot)

    asyncio.run(run())


def lines(app: Explorer) -> list[str]:
    """The tree's visible labels, top down."""
    tree = app.query_one("#tree", Tree)
    found, todo = [], [tree.root]
    while todo:
        node = todo.pop()
        found.append(str(node.label))
        if node.is_expanded:
            todo += reversed(node.children)
    return found


def details(app: Explorer) -> str:
    return str(app.query_one("#details", Static).content)


def test_it_opens_with_layers_and_the_largest_directory_first() -> None:
    async def work(app: Explorer, pilot: Pilot[Any]) -> None:
        assert app.query_one("#layers", DataTable).row_count == 3
        assert [line.split()[-1] for line in lines(app)] == ["/", "usr/", "srv/"]
        assert "5 files, 26.3 MB" in str(app.query_one("#chosen", Static).content)

    drive(work)


def test_enter_opens_a_directory_and_the_panel_tells_of_a_file() -> None:
    async def work(app: Explorer, pilot: Pilot[Any]) -> None:
        await pilot.press("down", "down", "enter", "down")
        assert lines(app)[-1].endswith("app.py")
        assert "path       /srv/app.py" in details(app)
        assert "your own files" in details(app)

    drive(work)


def test_search_filters_and_x_shows_everything_again() -> None:
    async def work(app: Explorer, pilot: Pilot[Any]) -> None:
        await pilot.press("slash")
        assert isinstance(app.focused, Input)
        await pilot.press(*"test_", "enter")
        assert app.filter.text == "test_"
        assert app.root.size_bytes == 300_000
        assert 'path with "test_"' in str(app.query_one("#chosen", Static).content)
        await pilot.press("x")
        assert app.filter == ALL

    drive(work)


def test_a_purpose_and_a_package_are_chosen_from_lists() -> None:
    async def work(app: Explorer, pilot: Pilot[Any]) -> None:
        await pilot.press("p", "enter")
        assert app.filter.purpose == "library"
        await pilot.press("k", "down", "enter")
        assert app.filter.owner == 2  # the second largest: python3 of Debian
        assert app.root.size_bytes == 0  # which has no library
        await pilot.press("p", "escape")
        assert app.filter.purpose == "library"

    drive(work)


def test_hidden_files_and_one_layer_are_shown_by_keys() -> None:
    async def work(app: Explorer, pilot: Pilot[Any]) -> None:
        await pilot.press("h")
        assert app.root.count == 6
        app.query_one("#layers", DataTable).focus()
        await pilot.press("enter")
        assert app.filter.layer == 0
        assert app.root.size_bytes == 6_000_900

    drive(work)


def test_sorting_by_name_keeps_the_filter() -> None:
    async def work(app: Explorer, pilot: Pilot[Any]) -> None:
        await pilot.press("s")
        assert [line.split()[-1] for line in lines(app)] == ["/", "srv/", "usr/"]

    drive(work)


def test_findings_say_what_to_do_and_names_are_no_markup() -> None:
    async def work(app: Explorer, pilot: Pilot[Any]) -> None:
        table = app.query_one("#finding-table", DataTable)
        app.query_one("#tabs").active = "findings"  # type: ignore[attr-defined] # of TabbedContent
        await pilot.pause()
        table.focus()
        await pilot.press("down", "up")
        table.action_select_cursor()
        await pilot.pause()
        assert "remove them" in details(app)
        await pilot.press("slash", *"odd", "enter")
        for _ in range(6):
            await pilot.press("down", "enter")
        assert any("[b]odd\\x1b.py" in line for line in lines(app))

    drive(work)
