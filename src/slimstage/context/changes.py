"""Which files of a context are not as they were when the build began.

A COPY takes files as they are when it is due, each of them whole. A build may take an hour: whoever edits meanwhile gets
an image in which old and new files meet, and should know.
"""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.context.entry import ContextEntry
from slimstage.context.local import LocalContext
from slimstage.context.select import Selection
from slimstage.context.tree import SourceTree
from slimstage.tree.entry import Entry


def changed_since_opened(selection: Selection, tree: SourceTree) -> list[str]:
    """Paths of what was selected and has changed since the context was opened, in the selection's order.

    Directories, in which names came or went, only where no file can be named. Always empty for what is no context.
    """
    if not isinstance(tree, LocalContext):
        return []
    changed = [
        entry for entry in _entries(selection) if isinstance(entry, ContextEntry) and entry.ctime_ns > tree.opened_ns
    ]
    files = [entry.path for entry in changed if entry.kind != "dir"]
    return files or [f"{entry.path or '.'}/" for entry in changed]


def _entries(selection: Selection) -> Iterator[Entry]:
    for picked in selection:
        yield picked.entry
        for _, entry in picked.below:
            yield entry
