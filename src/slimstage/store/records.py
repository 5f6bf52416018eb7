"""What a cache hit returns, on disk: key → record, in SQLite (WAL), shared by several processes.

The meaning of keys is `cache/`'s; here they are text. A record names layer directories that may be pruned meanwhile:
whoever reads it asks `Snapshots.has`.
"""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from slimstage.store.database import Database
from slimstage.store.snapshots import LayerId
from slimstage.values import dataclass

_COLUMNS = "key, content_key, layer, explain, created_s, used_s"
_USED_STEP_S = 600.0
"""How exactly the last use is known: noting each hit would make every cached build write."""


@dataclass(frozen=True, slots=True)
class Record:
    """The result of one step.

    layer: the new layer directory; None where the step added no layer.
    content_key: what steps on top of it use as their parent's key.
    explain: (name, value) pairs of what went into the key, for `--explain`.
    source: the cache of another machine that it comes from, "" for this store's own. has_result: False when only the
    content key is known, and nobody has the layer. Neither is kept.
    """

    key: str
    content_key: str
    layer: LayerId | None
    explain: tuple[tuple[str, str], ...] = ()
    created_s: float = 0.0
    source: str = ""
    has_result: bool = True


class Records:
    """The records of one store. Safe for threads and for several processes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._used: dict[str, float] = {}

    def get(self, key: str) -> Record | None:
        """The record, and notes that it was used now. A row that cannot be read is a miss."""
        rows = self._database.query(f"SELECT {_COLUMNS} FROM records WHERE key = ?", (key,))
        if not rows:
            return None
        now = time.time()
        if abs(now - rows[0][5]) > _USED_STEP_S:
            with self._lock:
                self._used[key] = now
        return _record(rows[0])

    def put(self, record: Record, *also_under: str) -> None:
        """Stores it under its key and the others given, in one transaction; an existing one is replaced."""
        now = time.time()
        row = (
            record.content_key,
            record.layer,
            json.dumps(record.explain, separators=(",", ":")),
            record.created_s or now,
            now,
        )
        self._database.change_many(
            f"INSERT OR REPLACE INTO records ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",
            [(key, *row) for key in dict.fromkeys((record.key, *also_under))],
        )

    def peek(self, key: str) -> Record | None:
        """The record as it is; it does not count as used."""
        rows = self._database.query(f"SELECT {_COLUMNS} FROM records WHERE key = ?", (key,))
        return _record(rows[0]) if rows else None

    def keys_of(self, layer: LayerId, most: int) -> list[str]:
        """The keys whose result is this layer, the latest used first."""
        rows = self._database.query(
            "SELECT key FROM records WHERE layer = ? ORDER BY used_s DESC, key LIMIT ?", (layer, most)
        )
        return [str(key) for (key,) in rows]

    def flush(self) -> None:
        """Writes down what was used since the last time; `Store.close` does it."""
        with self._lock:
            used, self._used = self._used, {}
        if used:
            self._database.change_many(
                "UPDATE records SET used_s = max(used_s, ?) WHERE key = ?", [(now, key) for key, now in used.items()]
            )


def _record(row: tuple[Any, ...]) -> Record | None:
    key, content_key, layer, explain, created_s, _ = row
    try:
        pairs = tuple((str(name), str(value)) for name, value in json.loads(explain))
    except (ValueError, TypeError):
        return None
    if not isinstance(content_key, str):
        return None
    return Record(key, content_key, None if layer is None else LayerId(layer), pairs, float(created_s))
