"""What is remembered of each Dockerfile for `--explain`: one small text by the name that `build/` gives it."""

from __future__ import annotations

import time

from slimstage.store.database import Database

_MOST = 1000
"""Dockerfiles remembered; the one not built for longest is forgotten first."""


class Places:
    """The texts of one store. Safe for threads and for several processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> str:
        """ "" when there is none."""
        rows = self._database.query("SELECT steps FROM places WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else ""

    def put(self, name: str, steps: str) -> None:
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO places (name, steps, written_s) VALUES (?, ?, ?)", (name, steps, time.time())
            )
            connection.execute(
                "DELETE FROM places WHERE name IN (SELECT name FROM places ORDER BY written_s DESC LIMIT -1 OFFSET ?)",
                (_MOST,),
            )
