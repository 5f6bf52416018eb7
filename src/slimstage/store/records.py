"""What a cache hit returns, on disk: key → record, in SQLite (WAL), shared by several processes.

The meaning of keys is `cache/`'s; here they are text. A record names layer directories that may be pruned meanwhile:
whoever reads it asks `Snapshots.has`.
"""

from __future__ import annotations

from dataclasses import dataclass

from slimstage.store.snapshots import LayerId


@dataclass(frozen=True, slots=True)
class Record:
    """The result of one step.

    layer: the new layer directory; None where the step added no layer.
    content_key: what steps on top of it use as their parent's key.
    explain: (name, value) pairs of what went into the key, for `--explain`.
    """

    key: str
    content_key: str
    layer: LayerId | None
    step: str = ""
    """A stable name of the step's place in its Dockerfile (stage, ordinal, title): finds the last time's record."""
    explain: tuple[tuple[str, str], ...] = ()
    created_s: float = 0.0


class Records:
    def get(self, key: str) -> Record | None:
        """The record, and notes that it was used now. A row that cannot be read is a miss."""
        raise NotImplementedError

    def put(self, record: Record, *also_under: str) -> None:
        """Stores it under its key and the others given, in one transaction; an existing one is replaced."""
        raise NotImplementedError

    def last(self, step: str) -> Record | None:
        """The newest record made for this place in a Dockerfile, for `--explain`."""
        raise NotImplementedError
