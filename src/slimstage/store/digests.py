"""File digests that need not be computed again, remembered by what `stat` says, as git's index does.

A file counts as unchanged when device, inode, size, mtime and ctime are those it had when it was read. A file that was
changed within a clock tick of being read could change again without its times changing ("racily clean" in git), so it
is not remembered: it is read again next time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TypeAlias

from slimstage.digest import Digest
from slimstage.store.database import Database

FileFact: TypeAlias = tuple[int, int, int, int, int, Digest]
"""(dev, ino, size, mtime_ns, ctime_ns, digest), the times as `stat` gave them before the file was read."""

_TICK_NS = 20_000_000
"""The kernel stamps files with a clock of up to 10 ms a tick; twice that to be safe."""
_COARSE_NS = 2_100_000_000
"""For file systems that know only seconds (or, FAT, two): seen by times that are whole seconds."""
_BLOCK_BITS = 12
_SIGN = 1 << 63


class FileDigests:
    """The remembered digests of one store. Safe for threads and for several processes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._blocks: dict[tuple[int, int], dict[int, tuple[int, int, int, bytes]]] = {}

    def get(self, dev: int, ino: int, size: int, mtime_ns: int, ctime_ns: int) -> Digest | None:
        """The digest of the file, or None when it is not known or may have changed.

        Inode numbers of one tree lie close together, so 4096 neighbours are read at once: a context of 100,000 files
        takes some dozens of SELECTs, and a small one does not pay for the others that the store remembers.
        """
        block = (dev, ino >> _BLOCK_BITS)
        with self._lock:
            known = self._blocks.get(block)
            if known is None:
                known = self._blocks[block] = self._load(*block)
        found = known.get(ino)
        if found is None or found[:3] != (size, mtime_ns, ctime_ns):
            return None
        return Digest("sha256:" + found[3].hex())

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
        with self._lock:
            for dev, ino, size, mtime_ns, ctime_ns, digest_bytes in rows:
                block = self._blocks.get((dev % (1 << 64), (ino % (1 << 64)) >> _BLOCK_BITS))
                if block is not None:
                    block[ino % (1 << 64)] = (size, mtime_ns, ctime_ns, digest_bytes)

    def forget(self) -> int:
        """Forgets all; returns how many there were."""
        with self._lock:
            self._blocks.clear()
        return self._database.change("DELETE FROM files")

    def _load(self, dev: int, block: int) -> dict[int, tuple[int, int, int, bytes]]:
        first = block << _BLOCK_BITS
        rows = self._database.query(
            "SELECT ino, size, mtime_ns, ctime_ns, digest FROM files WHERE dev = ? AND ino BETWEEN ? AND ?",
            (_signed(dev), _signed(first), _signed(first + (1 << _BLOCK_BITS) - 1)),
        )
        return {row[0] % (1 << 64): row[1:] for row in rows}


def _is_racy(mtime_ns: int, ctime_ns: int, started_ns: int) -> bool:
    newest = max(mtime_ns, ctime_ns)
    is_coarse = mtime_ns % 1_000_000_000 == 0 and ctime_ns % 1_000_000_000 == 0
    return newest + (_COARSE_NS if is_coarse else _TICK_NS) > started_ns


def _signed(number: int) -> int:
    """SQLite's integers have a sign: file systems with 64-bit inode numbers would overflow."""
    return number - (1 << 64) if number >= _SIGN else number
