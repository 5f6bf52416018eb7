"""What a RUN sees of a context: its files put into a layer directory, so that a mount shows exactly what was digested.

The user's own directory is never mounted: ignored files would show, owners would be the host's, and an edit would be
seen in the middle of a step. The layer is kept in the store under the digest of what it holds.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from slimstage.build.add import Source
from slimstage.build.chosen import Chosen
from slimstage.build.copy import copy_step
from slimstage.context.listing import Whole
from slimstage.context.select import Selection, select
from slimstage.context.tree import SourceTree
from slimstage.plan.graph import CopyStep, FromContext
from slimstage.store.files import wait_lock
from slimstage.store.records import Record
from slimstage.store.snapshots import Draft, LayerId
from slimstage.store.store import Store
from slimstage.tree.writer import TreeWriter
from slimstage.values import replace

_NAME = "shown"
"""What the file or directory is called in its layer."""


def shown(selection: Selection) -> Selection:
    """The selection of a mount's source, so that a directory is shown with its own mode, and has it in its digest."""
    if not selection or not selection[0].is_dir or not selection[0].entry.path:
        return selection
    (picked,) = selection
    return (replace(picked, below=Whole(_NAME, picked.entry, picked.below)),)


class BindStore:
    """Layers that hold what bind mounts show. Safe for several threads and processes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def layer_of(self, chosen: Chosen) -> tuple[tuple[str, ...], str]:
        """(layer directories, path in them) that show the selection; written once for each digest. Raises ContextError."""
        name = chosen.digest[7:]
        key = f"bind-{name}"
        with wait_lock(str(self._store.root / "locks" / f"bind-{name[:3]}")):
            known = self._store.records.get(key)
            if known is None or known.layer is None or not self._store.snapshots.has((known.layer,)):
                known = Record(key, key, self._write(chosen.selection(), chosen.tree))
                self._store.records.put(known)
        assert known.layer is not None
        return self._store.snapshots.paths((known.layer,)), f"/{_NAME}"

    def _write(self, selection: Selection, tree: SourceTree) -> LayerId:
        draft: Draft = self._store.snapshots.draft()
        try:
            result = copy_step(_copy_to(_destination(selection)), (), [Source(tree, selection)], draft)
            return self._store.snapshots.freeze(draft, size_bytes=result.size_bytes)
        except BaseException:
            self._store.snapshots.discard(draft)
            raise


def seed_directory(tree: SourceTree, where: str) -> Callable[[str], None]:
    """What fills a new cache directory with the whole tree: owners and modes as they are there."""

    def seed(path: str) -> None:
        with TreeWriter(path) as writer:
            for picked in select(tree, ["."], where=where):
                for at, entry in picked.below:
                    placed = replace(entry, path=at)
                    if entry.kind == "file":
                        fd = tree.open(entry.path)
                        try:
                            writer.add(placed, fd)
                        finally:
                            os.close(fd)
                    elif entry.kind != "socket":
                        writer.add(placed)
            writer.finish()

    return seed


def _destination(selection: Selection) -> str:
    if not selection or not selection[0].is_dir:
        return f"/{_NAME}"
    return "/" if selection[0].entry.path else f"/{_NAME}/"


def _copy_to(destination: str) -> CopyStep:
    """A COPY from a context, for its rules of owners and modes."""
    return CopyStep(
        id="bind",
        stage=0,
        parent=None,
        line=0,
        end_line=0,
        title="bind",
        source=FromContext(""),
        paths=(".",),
        destination=destination,
    )
