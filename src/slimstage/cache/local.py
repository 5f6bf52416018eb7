"""Records beside the store: the cache of one machine."""

from __future__ import annotations

from typing import Protocol

from slimstage.store.records import Record
from slimstage.store.store import Store


class Cache(Protocol):
    """Where results of earlier builds are found. Safe to call from several threads."""

    def find(self, key: str) -> Record | None:
        """The record under a definition or content key, its layer being there; a broken record is a miss."""
        ...

    def keep(self, record: Record, *also_under: str) -> None:
        """Stores the record under its key and the others given."""
        ...

    def peek(self, key: str) -> Record | None:
        """The record under a key, whether or not its layer is there, for `--explain`."""
        ...


class LocalCache:
    """The cache beside a store."""

    def __init__(self, store: Store) -> None:
        self._records, self._snapshots = store.records, store.snapshots

    def find(self, key: str) -> Record | None:
        record = self._records.get(key)
        if record is None or (record.layer is not None and not self._snapshots.has((record.layer,))):
            return None
        return record

    def keep(self, record: Record, *also_under: str) -> None:
        self._records.put(record, *also_under)

    def peek(self, key: str) -> Record | None:
        return self._records.peek(key)
