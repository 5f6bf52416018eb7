"""Digests of files that were read before, remembered in the store."""

from __future__ import annotations

import threading
import time

from slimstage.context.tree import FileIdentity
from slimstage.digest import Digest
from slimstage.store.digests import FileDigests

_BATCH = 4096
"""Facts kept back before they are written: one transaction each would cost more than reading small files again."""


class StoreMemory:
    """A `DigestMemory` over the store's file digests. Safe for threads; `flush` writes what is kept back."""

    def __init__(self, digests: FileDigests) -> None:
        self._digests = digests
        self._lock = threading.Lock()
        self._fresh: dict[FileIdentity, Digest] = {}
        self._waiting: list[tuple[int, int, int, int, int, Digest]] = []
        self._started_ns = time.time_ns()

    def recall(self, file: FileIdentity) -> Digest | None:
        known = self._fresh.get(file)
        if known is not None:
            return known
        return self._digests.get(file.device, file.inode, file.size, file.mtime_ns, file.change_ns)

    def remember(self, file: FileIdentity, digest: Digest) -> None:
        with self._lock:
            self._fresh[file] = digest
            self._waiting.append((file.device, file.inode, file.size, file.mtime_ns, file.change_ns, digest))
            due = self._waiting if len(self._waiting) >= _BATCH else []
            if due:
                self._waiting = []
        if due:
            self._digests.put_many(due, self._started_ns)

    def flush(self) -> None:
        """Idempotent."""
        with self._lock:
            due, self._waiting = self._waiting, []
        if due:
            self._digests.put_many(due, self._started_ns)
