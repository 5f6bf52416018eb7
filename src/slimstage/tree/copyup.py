"""Bringing a thing of the layers below into a new layer, unchanged, as overlayfs does before it is changed."""

from __future__ import annotations

import os

from slimstage.tree.entry import Entry
from slimstage.tree.union import UnionTree
from slimstage.tree.writer import TreeWriter


def copy_up(below: UnionTree, entry: Entry, writer: TreeWriter, *, shares: bool = True) -> int:
    """Gives the writer's layer what `below` has as `entry`, which is no directory; returns the bytes that were copied.

    None are where the two layers can share the file. shares: False for what will be changed. Raises OSError.
    """
    path = entry.path
    if shares and writer.adopt(path, *below.place(path)):
        return 0
    if entry.kind != "file":
        writer.add(entry)
        return 0
    fd = below.open(path)
    try:
        return writer.file(entry, fd)
    finally:
        os.close(fd)
