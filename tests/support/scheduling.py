"""Which worker does which tests, and in which order: so that nothing is made twice and all end at about the same time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadGroupScheduling

_SMALL = ("unit", "property")
"""Folders whose files take a few seconds at most."""


class ByFile(LoadGroupScheduling):  # type: ignore[misc]  # it is untyped
    """Gives out whole files, in the order in which they were collected; tests of one `xdist_group` as if of one file."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        group = super()._split_scope(nodeid)
        return nodeid.partition("::")[0] if group == nodeid else str(group)


def long_first(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Files and groups with slow tests, then those that build images, then the small ones that fill the end."""
    rank: dict[str, int] = {}
    for item in items:
        rank[_scope(item)] = min(_rank(item), rank.get(_scope(item), 9))
    return sorted(items, key=lambda item: rank[_scope(item)])


def _scope(item: pytest.Item) -> str:
    group = item.get_closest_marker("xdist_group")
    return str(group.args[0]) if group else str(item.path)


def _rank(item: pytest.Item) -> int:
    if item.get_closest_marker("slow"):
        return 0
    return 2 if Path(item.path).relative_to(item.config.rootpath).parts[1] in _SMALL else 1
