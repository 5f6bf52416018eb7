"""What a step reads from one tree: selected, its digest known, completed when it is copied or explained.

Of a larger selection of a context the digest is remembered by what `stat` says of it: while nothing changes, neither
contents nor xattrs are asked for. When such a selection is needed after all, it is digested then, and must have that digest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

from slimstage.build.memory import StoreMemory
from slimstage.cache.explain import facts, file_name
from slimstage.context.fingerprint import selection_digest
from slimstage.context.glance import Glance, completed, glance
from slimstage.context.listing import Item, Listing
from slimstage.context.local import LocalContext
from slimstage.context.select import Selection
from slimstage.context.tree import SourceTree
from slimstage.digest import Digest, digest_json
from slimstage.tree.entry import Entry

_FEW = 64
"""A selection of so many entries is digested in the time that it takes to remember it."""
_MOST_EXPLAINED = 2000
"""Files of a selection that are remembered one by one for `--explain`; of a larger one only its digest is."""


class Chosen:
    """A selection of one tree. For one thread at a time.

    name: what it is called when it is too large to be explained file by file. keeps_owners: see `selection_digest`.
    digest: of the selection, known from the beginning.
    """

    def __init__(
        self,
        selection: Selection,
        tree: SourceTree,
        name: str,
        memory: StoreMemory,
        keep: Callable[[Iterable[Item]], Listing],
        *,
        keeps_owners: bool = False,
    ) -> None:
        """selection: of a context with or without xattrs (`LocalContext.bare`). Raises ContextError."""
        self.tree = tree
        self._selection, self._name, self._keeps_owners = selection, name, keeps_owners
        self._memory, self._keep = memory, keep
        self._count = sum(len(picked.below) or 1 for picked in selection)
        self._is_complete = False
        self._entries: list[tuple[Entry, str]] | None = None
        seen = glance(selection) if isinstance(tree, LocalContext) and self._count > _FEW else None
        known = memory.recall_selection(seen) if seen is not None else None
        self.digest: Digest = known if known is not None else self._digested(seen)

    def selection(self) -> Selection:
        """With all that is copied. Raises ContextError when a context is not any more what it was at first."""
        if not self._is_complete and self._digested(None) != self.digest:
            assert isinstance(self.tree, LocalContext)
            raise self.tree.changed(self._selection[0].entry.path or ".")
        return self._selection

    def pairs(self) -> Iterator[tuple[str, str]]:
        """(name, value) of each file, for `--explain`; of the whole when they are many."""
        if self._count > _MOST_EXPLAINED:
            yield self._name, self.digest
            return
        self.selection()
        root = "" if isinstance(self.tree, LocalContext) else "/"
        for entry, content in self._entries or ():
            owner = f"{entry.uid}:{entry.gid}" if self._keeps_owners else ""
            device = f"{entry.rdev[0]}:{entry.rdev[1]}" if entry.rdev != (0, 0) else ""
            xattrs = digest_json(sorted((name, value.hex()) for name, value in entry.xattrs.items()))[7:]
            mode = 0 if entry.kind == "symlink" else entry.mode
            what = digest_json(os.fsencode(entry.target).hex()) if entry.target else content or device
            yield (
                file_name(entry.kind, f"{root}{entry.path or '.'}"),
                facts(mode, owner, what, xattrs if entry.xattrs else ""),
            )

    def _digested(self, seen: Glance | None) -> Digest:
        """Completes the selection and digests it; remembers the digest by what was seen of it."""
        tree = self.tree
        if isinstance(tree, LocalContext):
            self._selection = completed(self._selection, tree, self._keep)
        self._is_complete = True
        self._entries = [] if self._count <= _MOST_EXPLAINED else None
        digest = selection_digest(
            self._selection, tree, self._memory, keeps_owners=self._keeps_owners, seen=self._entries
        )
        if seen is not None and isinstance(tree, LocalContext):
            self._memory.remember_selection(seen, digest, tree.opened_ns)
        return digest
