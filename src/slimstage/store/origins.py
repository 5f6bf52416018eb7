"""Which repositories blobs were pulled from and pushed to: a registry mounts from there what it would else be sent.

Only a guess that saves bytes: a registry may have lost a blob since, and says so.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from slimstage.digest import Digest
from slimstage.errors import FormatError
from slimstage.oci.reference import Reference, parse_reference
from slimstage.store.database import Database

_KEPT_S = 180 * 86400.0
_MOST = 8
"""Repositories of one blob that are told: the latest."""


class Origins:
    """All of one store. Safe for threads and for several processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, repository: Reference, blobs: Iterable[Digest]) -> None:
        """The blobs are in the repository now; what was not seen for half a year is forgotten."""
        now = time.time()
        rows = [(digest, repository.repository_name, now) for digest in dict.fromkeys(blobs)]
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM origins WHERE seen_s < ?", (now - _KEPT_S,))
            connection.executemany("INSERT OR REPLACE INTO origins (digest, repository, seen_s) VALUES (?, ?, ?)", rows)

    def of(self, blob: Digest) -> list[Reference]:
        """Repositories that had the blob, the latest first. A row that cannot be read is passed over."""
        rows = self._database.query(
            "SELECT repository FROM origins WHERE digest = ? ORDER BY seen_s DESC, repository LIMIT ?", (blob, _MOST)
        )
        found = []
        for (name,) in rows:
            try:
                found.append(parse_reference(name))
            except FormatError:
                continue
        return found
