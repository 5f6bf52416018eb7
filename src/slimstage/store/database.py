"""The store's SQLite file: images, indexes, records, places, layers, packed layers, file digests.

WAL, so readers and one writer of several processes do not block each other; one connection a process, opened at the
first question and shared by its threads under a lock. The directories and blobs on disk are the truth about what is
there: a row without its directory is a miss, a directory without its row is merely of unknown size.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from slimstage.errors import DISK_FULL, DISK_FULL_HINT, StoreError
from slimstage.store.files import guarded, store_error, wait_lock
from slimstage.store.space import has_no_room, keep_reserve

if TYPE_CHECKING:
    import sqlite3

_ROOM_BYTES = 128 << 10
"""Less than this on the disk, and a file beside the database may not be able to grow."""

_BUSY_S = 60.0
"""How long a statement waits for another process' transaction."""

_MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE layers (id TEXT PRIMARY KEY, size_bytes INTEGER, created_s REAL NOT NULL) WITHOUT ROWID;
    CREATE TABLE records (
        key TEXT PRIMARY KEY, content_key TEXT NOT NULL, layer TEXT, step TEXT NOT NULL, explain TEXT NOT NULL,
        created_s REAL NOT NULL, used_s REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX records_step ON records (step, created_s) WHERE step != '';
    CREATE INDEX records_layer ON records (layer) WHERE layer IS NOT NULL;
    CREATE TABLE images (
        id TEXT PRIMARY KEY, manifest TEXT NOT NULL, platform TEXT NOT NULL, layers TEXT NOT NULL, created_s REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE names (
        name TEXT PRIMARY KEY, image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE
    ) WITHOUT ROWID;
    CREATE INDEX names_image ON names (image);
    CREATE TABLE packed (
        layer TEXT NOT NULL, packing TEXT NOT NULL, diff_id TEXT NOT NULL, size_bytes INTEGER NOT NULL,
        media_type TEXT NOT NULL, digest TEXT NOT NULL, blob_bytes INTEGER NOT NULL, created_s REAL NOT NULL,
        PRIMARY KEY (layer, packing)
    ) WITHOUT ROWID;
    CREATE TABLE files (
        dev INTEGER NOT NULL, ino INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
        ctime_ns INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (dev, ino)
    ) WITHOUT ROWID;
    """,
    """
    DROP INDEX records_step;
    ALTER TABLE records DROP COLUMN step;
    CREATE TABLE places (name TEXT PRIMARY KEY, steps TEXT NOT NULL, written_s REAL NOT NULL) WITHOUT ROWID;
    """,
    """
    CREATE TABLE selections (state BLOB PRIMARY KEY, digest BLOB NOT NULL);
    """,
    """
    CREATE TABLE referrers (
        digest TEXT PRIMARY KEY, subject TEXT NOT NULL, media_type TEXT NOT NULL, size_bytes INTEGER NOT NULL,
        artifact_type TEXT NOT NULL, annotations TEXT NOT NULL, created_s REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX referrers_subject ON referrers (subject);
    """,
    """
    CREATE TABLE indexes (digest TEXT PRIMARY KEY, members TEXT NOT NULL, created_s REAL NOT NULL) WITHOUT ROWID;
    CREATE TABLE index_names (
        name TEXT PRIMARY KEY, digest TEXT NOT NULL REFERENCES indexes (digest) ON DELETE CASCADE
    ) WITHOUT ROWID;
    CREATE INDEX index_names_digest ON index_names (digest);
    """,
    """
    ALTER TABLE packed ADD COLUMN annotations TEXT NOT NULL DEFAULT '{}';
    """,
    """
    CREATE TABLE origins (
        digest TEXT NOT NULL, repository TEXT NOT NULL, seen_s REAL NOT NULL, PRIMARY KEY (digest, repository)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE builds (
        image TEXT PRIMARY KEY REFERENCES images (id) ON DELETE CASCADE, document TEXT NOT NULL, written_s REAL NOT NULL
    );
    """,
)
"""Step N brings a database of `user_version` N to N + 1; a new one runs them all. Never change one that was released."""


class Database:
    """The file, opened at the first use. Every method is safe to call from any thread."""

    def __init__(self, path: str, lock_path: str) -> None:
        self._path, self._lock_path = path, lock_path
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._inherited: sqlite3.Connection | None = None
        self._depth = 0
        self._pid = 0

    def query(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        """All rows of a SELECT. Raises StoreError when the file is damaged or cannot be opened."""
        with self._lock, self._errors():
            return self._open().execute(sql, values).fetchall()

    def change(self, sql: str, values: Sequence[object] = ()) -> int:
        """Runs one statement as its own transaction (or within one); returns how many rows it changed."""
        with self.transaction() as connection:
            return connection.execute(sql, values).rowcount

    def change_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Runs one statement for many rows in one transaction."""
        with self.transaction() as connection:
            connection.executemany(sql, rows)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction that may read and write; leaving by an exception undoes it. May be nested: the outer counts."""
        with self._lock, self._errors():
            connection = self._open()
            if not self._depth:
                # IMMEDIATE: a transaction that reads first and writes later could otherwise fail as out of date.
                connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield connection
            except BaseException:
                self._depth -= 1
                if not self._depth and connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            self._depth -= 1
            if not self._depth:
                connection.execute("COMMIT")

    def close(self) -> None:
        with self._lock:
            if self._connection is not None and self._pid == os.getpid():
                self._connection.close()
                self._connection = None

    def check(self) -> list[str]:
        """What SQLite's own check finds wrong; empty when all is well."""
        return [str(row[0]) for row in self.query("PRAGMA quick_check(20)") if row[0] != "ok"]

    def _open(self) -> sqlite3.Connection:
        if self._connection is None or self._pid != os.getpid():
            # SQLite's connections do not survive a fork: the child leaves its parent's and makes one of its own.
            self._inherited, self._depth = self._connection, 0
            self._connection, self._pid = self._connect(), os.getpid()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        # Costs 3 ms to import: only those that ask the database pay.
        import sqlite3

        if not os.path.exists(self._path):
            with guarded("make the store's database"), wait_lock(self._lock_path):
                # SQLite makes its file by the umask; made here first, it is for the owner only.
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
                keep_reserve(os.path.dirname(self._path))
        connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA foreign_keys=ON")
            if self._version(connection) != len(_MIGRATIONS):
                self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    @staticmethod
    def _version(connection: sqlite3.Connection) -> int:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(_MIGRATIONS):
            raise StoreError(
                f"the store's database has version {version}, this program knows up to {len(_MIGRATIONS)}",
                code="store-newer",
                hint="use a newer slimstage, or another place with --root or SLIMSTAGE_ROOT",
            )
        return int(version)

    def _migrate(self, connection: sqlite3.Connection) -> None:
        # The lock is for journal_mode, which fails at once where another process is in the middle of the same.
        with wait_lock(self._lock_path):
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("BEGIN IMMEDIATE")
            try:
                for number in range(self._version(connection), len(_MIGRATIONS)):
                    # executescript would commit first: the version and the tables have to become true together.
                    for statement in _MIGRATIONS[number].split(";"):
                        if statement.strip():
                            connection.execute(statement)
                connection.execute(f"PRAGMA user_version={len(_MIGRATIONS)}")
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        import sqlite3

        try:
            yield
        except sqlite3.Error as cause:
            raise _store_error(cause, self._path) from cause


def _refusal(path: str) -> OSError | None:
    """Why one of the database's files cannot be opened, which SQLite does not tell."""
    for name in (path, path + "-wal", path + "-shm"):
        try:
            os.close(os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        except OSError as cause:
            return cause
    return None


def _store_error(cause: Exception, path: str) -> StoreError:
    name = getattr(cause, "sqlite_errorname", "")
    text = str(cause)
    if name.startswith("SQLITE_FULL"):
        return StoreError(f'write "{path}": the disk is full', code=DISK_FULL, hint=DISK_FULL_HINT)
    if name.startswith("SQLITE_CANTOPEN") and (reason := _refusal(path)) is not None:
        return store_error("open the store's database", reason)
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        hint = "choose another place with --root or SLIMSTAGE_ROOT"
        return StoreError(f'open "{path}": {text}', code="not-permitted", hint=hint)
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StoreError(f'"{path}" is damaged: {text}', code="store-damaged", hint='try "slimstage doctor --repair"')
    if name.startswith("SQLITE_IOERR"):
        # SQLite tells a full disk as one only when it writes to the file itself, not to those beside it.
        if has_no_room(os.path.dirname(path), _ROOM_BYTES):
            return StoreError(f'write "{path}": the disk is full', code=DISK_FULL, hint=DISK_FULL_HINT)
        return StoreError(f'use "{path}": the disk failed', code="io-error")
    if name.startswith("SQLITE_BUSY"):
        return StoreError(f'"{path}" was locked by another process for {_BUSY_S:.0f} s', code="store-busy")
    return StoreError(f'use "{path}": {text}', code="store-database")
