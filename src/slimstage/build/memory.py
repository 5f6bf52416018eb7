"""Digests of files that were read before, remembered in the store."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from itertools import islice

from slimstage.context.glance import Glance
from slimstage.context.tree import FileIdentity
from slimstage.digest import Digest
from slimstage.store.digests import FileDigests

_BATCH = 4096
"""Facts kept back before they are written: one transaction each would cost more than reading small files again."""

_MOST_FRESH = 2 * _BATCH


class StoreMemory:
    """A `DigestMemory` over the store's file digests. Safe for threads; `flush` writes what is kept back."""

    def __init__(self, digests: FileDigests) -> None:
        self._digests = digests
        self._lock = threading.Lock()
        self._fresh: dict[FileIdentity, Digest] = {}
        """What was digested last: it may not be written yet, or be too young to be."""
        self._foreseen: dict[int, dict[FileIdentity, Digest | None]] = {}
        """By thread, what it asks next."""
        self._waiting: list[tuple[int, int, int, int, int, Digest]] = []
        self._started_ns = time.time_ns()

    def foresee(self, files: Sequence[FileIdentity]) -> None:
        self._foreseen[threading.get_ident()] = dict(zip(files, self._digests.get_many(files), strict=True))

    def recall(self, file: FileIdentity) -> Digest | None:
        known = self._fresh.get(file)
        if known is not None:
            return known
        foreseen = self._foreseen.get(threading.get_ident())
        if foreseen is not None and file in foreseen:
            return foreseen[file]
        return self._digests.get(*file)

    def remember(self, file: FileIdentity, digest: Digest) -> None:
        with self._lock:
            if len(self._fresh) >= _MOST_FRESH:
                for old in list(islice(self._fresh, _BATCH)):
                    del self._fresh[old]
            self._fresh[file] = digest
            self._waiting.append((*file, digest))
            due = self._waiting if len(self._waiting) >= _BATCH else []
            if due:
                self._waiting = []
        if due:
            self._digests.put_many(due, self._started_ns)

    def recall_selection(self, seen: Glance) -> Digest | None:
        """The digest of a selection of a context of which `stat` says what it said when it was digested."""
        return self._digests.selection(seen.state)

    def remember_selection(self, seen: Glance, digest: Digest, started_ns: int) -> None:
        """started_ns: the wall clock before the first entry was looked at; see `FileDigests.put_selection`."""
        self._digests.put_selection(seen.state, seen.newest_ns, digest, started_ns)

    def flush(self) -> None:
        """Idempotent."""
        with self._lock:
            due, self._waiting = self._waiting, []
        if due:
            self._digests.put_many(due, self._started_ns)
