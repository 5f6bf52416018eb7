"""What rpm installed, from any of its three databases: SQLite (Fedora, RHEL 9), ndb (SUSE), Berkeley DB (RHEL 8 and before).

Pure: the database comes in as bytes that are not trusted. SQLite's own reader opens a copy in memory, with everything refused
but reading the one table; the other two formats are walked here. What cannot be read is a fault.

Source: rpm, lib/backend/sqlite.cc, lib/backend/ndb/rpmpkg.cc; Berkeley DB, dbinc/db_page.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Literal, TypeAlias

from slimstage.analyze.rpm_header import RpmPackage, read_header
from slimstage.values import dataclass

RpmKind: TypeAlias = Literal["sqlite", "ndb", "bdb"]

DATABASES: dict[str, RpmKind] = {
    "rpmdb.sqlite": "sqlite",
    "Packages.db": "ndb",
    "Packages": "bdb",
}
"""Kind by the file's name, in any of `DIRECTORIES`."""
DIRECTORIES = ("var/lib/rpm", "usr/lib/sysimage/rpm", "usr/share/rpm")
LIMIT_BYTES = 1 << 30
_MOST_PACKAGES = 100_000
_MOST_FAULTS = 20
_SQLITE_STEPS = 20_000_000
"""Of SQLite's virtual machine: reading 10,000 packages takes some 50,000."""
_SLOT, _SLOTS_AT, _SLOT_PAGE, _BLOCK = 16, 32, 4096, 16
_HASH_PAGES = frozenset({2, 13})
_OVERFLOW_PAGE, _PAGE_HEADER = 7, 26
_INLINE, _OFF_PAGE = 1, 3


@dataclass(frozen=True, slots=True)
class RpmPackages:
    """packages: in the database's order. faults: what could not be read, one sentence each."""

    packages: tuple[RpmPackage, ...] = ()
    faults: tuple[str, ...] = ()


def read_database(data: bytes, kind: RpmKind) -> RpmPackages:
    """All packages of a database. Raises: nothing."""
    if len(data) > LIMIT_BYTES:
        return RpmPackages((), (f"the database is larger than {LIMIT_BYTES} bytes",))
    faults: list[str] = []
    packages: list[RpmPackage] = []
    blobs = {"sqlite": _sqlite, "ndb": _ndb, "bdb": _bdb}[kind](data, faults)
    for blob in blobs:
        if len(packages) >= _MOST_PACKAGES:
            faults.append(f"there are more than {_MOST_PACKAGES} packages")
            break
        found = read_header(blob)
        if isinstance(found, RpmPackage):
            packages.append(found)
        else:
            _note(faults, found)
    return RpmPackages(tuple(packages), tuple(faults))


def read_packages(data: bytes, kind: RpmKind) -> list[RpmPackage]:
    """The packages alone, as far as they can be read. Raises: nothing."""
    return list(read_database(data, kind).packages)


def _note(faults: list[str], sentence: str) -> None:
    if len(faults) < _MOST_FAULTS and sentence not in faults:
        faults.append(sentence)


def _sqlite(data: bytes, faults: list[str]) -> Iterator[bytes]:
    import sqlite3

    if len(data) < 100 or not data.startswith(b"SQLite format 3\0"):
        _note(faults, "the database is not of SQLite")
        return
    # A database whose journal is a log cannot be opened in memory; what of it is in the log is not here anyway.
    data = data[:18] + b"\1\1" + data[20:]
    connection = sqlite3.connect(":memory:")
    try:
        connection.deserialize(data)
        del data
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.set_authorizer(_allows)
        steps = 0

        def tick() -> int:
            nonlocal steps
            steps += 1000
            return int(steps > _SQLITE_STEPS)

        connection.set_progress_handler(tick, 1000)
        for row in connection.execute("SELECT blob FROM Packages"):
            if isinstance(row[0], bytes):
                yield row[0]
            else:
                _note(faults, "a package of the database is no header")
    except (sqlite3.Error, OverflowError, MemoryError, UnicodeDecodeError) as error:
        _note(faults, f"the database cannot be read: {str(error)[:200]}")
    finally:
        connection.close()


def _allows(action: int, first: str | None, *_: str | None) -> int:
    """Reading the table, and what SQLite reads of itself to do so; no views, functions, pragmas or attached files."""
    import sqlite3

    if action == sqlite3.SQLITE_SELECT or (action == sqlite3.SQLITE_READ and first in ("Packages", "sqlite_master")):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _ndb(data: bytes, faults: list[str]) -> Iterator[bytes]:
    """Slots of the first pages name blobs by their block of 16 bytes; each blob says whose it is and how long."""
    if len(data) < _SLOTS_AT or data[:4] != b"RpmP":
        _note(faults, "the database is not of rpm's ndb")
        return
    pages = struct.unpack_from("<I", data, 12)[0]
    end = min(pages * _SLOT_PAGE, len(data))
    left = len(data)
    for at in range(_SLOTS_AT, end - _SLOT + 1, _SLOT):
        magic, package, block, blocks = struct.unpack_from("<4sIII", data, at)
        if magic != b"Slot":
            _note(faults, "a slot of the database is none")
            return
        if not package or not block:
            continue
        start = block * _BLOCK
        if start + _BLOCK > len(data):
            _note(faults, "a package lies behind the end of the database")
            continue
        magic, owner, _, size = struct.unpack_from("<4sIII", data, start)
        left -= size  # packages that share their bytes could be read over and over
        if (
            magic != b"BlbS"
            or owner != package
            or size > blocks * _BLOCK
            or start + _BLOCK + size > len(data)
            or left < 0
        ):
            _note(faults, "a package of the database is not where its slot says")
            continue
        yield data[start + _BLOCK : start + _BLOCK + size]


def _bdb(data: bytes, faults: list[str]) -> Iterator[bytes]:
    """Hash pages hold pairs of key and value; a package is large, so its value is a chain of overflow pages."""
    orders = [order for order in "<>" if len(data) >= 512 and struct.unpack_from(f"{order}I", data, 12)[0] == 0x061561]
    if not orders:
        _note(faults, "the database is no hash of Berkeley DB")
        return
    order = orders[0]
    page_size = struct.unpack_from(f"{order}I", data, 20)[0]
    if page_size not in (512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536):
        _note(faults, f"the database has pages of {page_size} bytes")
        return
    left = len(data) // page_size
    for start in range(page_size, len(data) - page_size + 1, page_size):
        entries, _, _, kind = struct.unpack_from(f"{order}HHBB", data, start + 20)
        if kind not in _HASH_PAGES:
            continue
        places = min(entries, (page_size - _PAGE_HEADER) // 2)
        offsets = struct.unpack_from(f"{order}{places}H", data, start + _PAGE_HEADER)
        for key, value in zip(offsets[::2], offsets[1::2], strict=False):
            if value >= page_size or key >= page_size:
                _note(faults, "an entry of the database passes its page")
                continue
            kind = data[start + value]
            if kind == _OFF_PAGE and value + 12 <= page_size:
                first, size = struct.unpack_from(f"{order}II", data, start + value + 4)
                blob, read = _chain(data, order, page_size, first, min(size, left * page_size))
                left -= read
                if len(blob) == size:
                    yield blob
                else:
                    _note(faults, "a package of the database is cut off")
            elif kind == _INLINE and data[start + key + 1 : start + key + 5] != b"\0\0\0\0" and key > value:
                yield data[start + value + 1 : start + key]


def _chain(data: bytes, order: str, page_size: int, page: int, size: int) -> tuple[bytes, int]:
    """(bytes of a chain of overflow pages, how many pages it has)."""
    parts, found, read = [], 0, 0
    while page and found < size:
        start = page * page_size
        if start + page_size > len(data):
            break
        following, _, used, _, kind = struct.unpack_from(f"{order}IHHBB", data, start + 16)
        if kind != _OVERFLOW_PAGE or not used or used > page_size - _PAGE_HEADER:
            break
        read += 1
        parts.append(data[start + _PAGE_HEADER : start + _PAGE_HEADER + used])
        found += used
        page = following
    return b"".join(parts)[:size], read
