"""rpm's headers, and its database of SQLite with them, made by hand."""

from __future__ import annotations

import sqlite3
import struct


def header(tags: dict[int, str | list[str] | list[int]]) -> bytes:
    """A header as a database has it: counts, index, store."""
    index, store = b"", b""
    for tag, value in tags.items():
        if isinstance(value, str):
            kind, count, data = 6, 1, value.encode() + b"\0"
        elif value and isinstance(value[0], int):
            store += bytes(-len(store) % 4)
            kind, count, data = 4, len(value), struct.pack(f">{len(value)}I", *value)
        else:
            kind, count, data = 8, len(value), b"".join(str(each).encode() + b"\0" for each in value)
        index += struct.pack(">IIII", tag, kind, len(store), count)
        store += data
    return struct.pack(">II", len(index) // 16, len(store)) + index + store


def sqlite(blobs: list[bytes]) -> bytes:
    """The database as rpm writes it, in one file."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
    connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [(blob,) for blob in blobs])
    connection.commit()
    data = bytearray(connection.serialize())
    data[18:20] = b"\2\2"  # as rpm's: with a log beside it
    return bytes(data)
