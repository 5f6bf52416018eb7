"""File digests that need not be computed again, remembered by what `stat` says, as git's index does.

A file counts as unchanged when device, inode, size, mtime and ctime are those it had when it was read. A file that was
changed within a clock tick of being read could change again without its times changing ("racily clean" in git), so it
is not remembered: it is read again next time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from slimstage.digest import Digest
from slimstage.store.database import Database

FileFact: TypeAlias = tuple[int, int, int, int, int, Digest]
"""(dev, ino, size, mtime_ns, ctime_ns, digest), the times as `stat` gave them before the file was read."""

_TICK_NS = 20_000_000
"""The kernel stamps files with a clock of up to 10 ms a tick; twice that to be safe."""
_COARSE_NS = 2_100_000_000
"""For file systems that know only seconds (or, FAT, two): seen by times that are whole seconds."""
_AT_ONCE = 512
"""Files of one SELECT: SQLite's limit of values is 999 where it is old."""
_MOST_SELECTIONS = 4096
_SIGN = 1 << 63


class FileDigests:
    """The remembered digests of one store. Safe for threads and for several processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, dev: int, ino: int, size: int, mtime_ns: int, ctime_ns: int) -> Digest | None:
        """The digest of the file, or None when it is not known or may have changed."""
        return self.get_many([(dev, ino, size, mtime_ns, ctime_ns)])[0]

    def get_many(self, files: Sequence[tuple[int, int, int, int, int]]) -> list[Digest | None]:
        """The digest of each file, (dev, ino, size, mtime_ns, ctime_ns), or None; a few hundred are asked for at once.

        Nothing is kept: the database finds a row in less time than a system call takes, and a context of a million files
        is not to be held in memory.
        """
        found: dict[tuple[int, int], tuple[int, int, int, bytes]] = {}
        inodes: dict[int, list[int]] = {}
        for dev, ino, *_ in files:
            inodes.setdefault(dev, []).append(ino)
        for dev, wanted in inodes.items():
            wanted.sort()  # neighbours in one tree are neighbours in the database
            for start in range(0, len(wanted), _AT_ONCE):
                some = wanted[start : start + _AT_ONCE]
                rows = self._database.query(
                    "SELECT ino, size, mtime_ns, ctime_ns, digest FROM files"
                    f" WHERE dev = ? AND ino IN ({','.join('?' * len(some))})",
                    (_signed(dev), *map(_signed, some)),
                )
                for ino, *fact in rows:
                    found[dev, ino % (1 << 64)] = tuple(fact)
        digests: list[Digest | None] = []
        for dev, ino, size, mtime_ns, ctime_ns in files:
            known = found.get((dev, ino))
            is_same = known is not None and known[:3] == (size, mtime_ns, ctime_ns)
            digests.append(Digest("sha256:" + known[3].hex()) if known is not None and is_same else None)
        return digests

    def put_many(self, facts: Iterable[FileFact], started_ns: int) -> None:
        """Remembers digests, in one transaction.

        started_ns: the wall clock (`time.time_ns()`) before the first of these files was opened. Files whose times are
        not clearly older than it are left out, as are digests other than sha256.
        """
        rows = []
        for dev, ino, size, mtime_ns, ctime_ns, digest in facts:
            algorithm, _, text = digest.partition(":")
            if algorithm != "sha256" or _is_racy(mtime_ns, ctime_ns, started_ns):
                continue
            rows.append((_signed(dev), _signed(ino), size, mtime_ns, ctime_ns, bytes.fromhex(text)))
        if not rows:
            return
        self._database.change_many("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", rows)

    def selection(self, state: bytes) -> Digest | None:
        """The digest of a selection of a context, by a hash over what `stat` says of all its entries."""
        rows = self._database.query("SELECT digest FROM selections WHERE state = ?", (state,))
        return Digest("sha256:" + rows[0][0].hex()) if rows else None

    def put_selection(self, state: bytes, newest_ns: int, digest: Digest, started_ns: int) -> None:
        """Remembers one, unless it could change again without its times changing; some thousand of the last are kept.

        newest_ns: the last of all mtimes and ctimes. started_ns: the wall clock before the first entry was looked at.
        """
        algorithm, _, text = digest.partition(":")
        if algorithm != "sha256" or _is_racy(newest_ns, newest_ns, started_ns):
            return
        with self._database.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO selections VALUES (?, ?)", (state, bytes.fromhex(text)))
            connection.execute(
                "DELETE FROM selections WHERE rowid <= (SELECT max(rowid) FROM selections) - ?", (_MOST_SELECTIONS,)
            )

    def forget(self) -> int:
        """Forgets all; returns how many files there were."""
        self._database.change("DELETE FROM selections")
        return self._database.change("DELETE FROM files")


def _is_racy(mtime_ns: int, ctime_ns: int, started_ns: int) -> bool:
    newest = max(mtime_ns, ctime_ns)
    is_coarse = mtime_ns % 1_000_000_000 == 0 and ctime_ns % 1_000_000_000 == 0
    return newest + (_COARSE_NS if is_coarse else _TICK_NS) > started_ns


def _signed(number: int) -> int:
    """SQLite's integers have a sign: file systems with 64-bit inode numbers would overflow."""
    return number - (1 << 64) if number >= _SIGN else number
