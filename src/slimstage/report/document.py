"""A report as the JSON document that `report --json` prints and the page carries. Pure.

Values become objects with their fields' names; the tree, which is nearly all of it, is written in columns. docs/report.md
describes it; fields are added, never renamed.
"""

from __future__ import annotations

from typing import Any

from slimstage.report.record import FoldedTree, Report
from slimstage.values import names_of

SCHEMA = 1
_KINDS = ("dir", "file", "rest")


def document(report: Report) -> dict[str, Any]:
    """The whole document, in terms of JSON."""
    return {"schema": SCHEMA, **_plain(report), "tree": tree_columns(report.tree)}


def tree_columns(tree: FoldedTree) -> dict[str, Any]:
    """The nodes in columns of one length. kinds: positions in ["dir", "file", "rest"]."""
    nodes = tree.nodes
    return {
        "names": [node.name for node in nodes],
        "parents": [node.parent for node in nodes],
        "sizes": [node.size_bytes for node in nodes],
        "files": [node.files for node in nodes],
        "kinds": [_KINDS.index(node.kind) for node in nodes],
        "purposes": [node.purpose for node in nodes],
        "owners": [node.owner for node in nodes],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, FoldedTree):
        return None  # written in columns
    if hasattr(value, "__match_args__") and not isinstance(value, str):
        return {name: _plain(getattr(value, name)) for name in names_of(value)}
    return value
