"""The table of docs/caching.md is what the matrix says, and differences from BuildKit are explained in it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from support.cache_matrix import BASE
from support.cache_matrix_rows import ANSWERS, ROWS, Row
from support.command import PROJECT

KNOWN = json.loads(ANSWERS.read_text(encoding="utf-8"))["rows"]


def test_the_page_is_fresh() -> None:
    done = subprocess.run(
        [sys.executable, "scripts/make_cache_docs.py", "--check"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "docs/caching.md is fresh\n")


def test_rows_have_names_of_their_own() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name.replace("/", "-")) for row in ROWS])
def test_where_buildkit_does_otherwise_the_reason_stands_beside(row: Row) -> None:
    assert row.asks == (row.name in KNOWN)
    if row.asks:
        assert (set(KNOWN[row.name]) != row.runs - {BASE}) == bool(row.note), (KNOWN[row.name], sorted(row.runs))
