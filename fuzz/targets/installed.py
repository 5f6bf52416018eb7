"""Databases of package managers: rpm's three, apk's, conda's and npm's documents, dpkg's lists; never a path above the root."""

from __future__ import annotations

import sqlite3
import struct

from fuzz.harness import Choices, decoded, interleaved
from slimstage.analyze.alpine import read_installed, read_world
from slimstage.analyze.conda import read_meta
from slimstage.analyze.debian_files import owned_files, read_conffiles, read_diversions
from slimstage.analyze.npm import read_package
from slimstage.analyze.rpm import read_database
from slimstage.analyze.rpm_header import RpmPackage, read_header

MAX_BYTES = 4096
TOKENS = (
    b"P:", b"\nV:", b"\nF:", b"\nR:", b"D:so:", b"\n\n", b"../", b'"files": [', b'"depends": [', b'"name": "', b"RpmP", b"Slot",
    b"BlbS", b"SQLite format 3\0", b"\x61\x15\x06\0", b"\xff\xff\xff\xff", b"\0\0\0\0", b"/etc/", b"obsolete",
)  # fmt: skip
_TAGS = (1000, 1001, 1002, 1003, 1009, 1022, 1027, 1047, 1049, 1116, 1117, 1118, 61)
_TEXTS = (b"a\0", b"/usr/\0", b"../x\0", b"b\0c\0", b"\xff\0", b"")


def check(data: bytes) -> None:
    choices = Choices(data)
    kind = choices.below(8)
    if kind < 3:
        blobs = [_header(choices) for _ in range(choices.below(4))]
        raw = (_sqlite, _ndb, _bdb)[kind](choices, blobs)
        changed = bytearray(raw)
        for _ in range(choices.below(6)):
            changed[(choices.byte() << 8 | choices.byte()) % len(changed)] = choices.byte()
        found = read_database(bytes(changed), ("sqlite", "ndb", "bdb")[kind])
        assert len(found.faults) <= 21
        for package in found.packages:
            _check_rpm(package)
    elif kind == 3:
        read = read_header(choices.rest())
        if isinstance(read, RpmPackage):
            _check_rpm(read)
    elif kind == 4:
        text = decoded(choices.rest())
        for each in read_installed(text):
            assert each.name
            _check_paths(each.files)
        assert "" not in read_world(text)
    elif kind == 5:
        rest = choices.rest()
        meta = read_meta(rest)
        assert meta.name or meta.faults
        _check_paths(meta.files)
        assert read_package(rest, "d").directory == "d"
    else:
        text = decoded(choices.rest())
        diversions = read_diversions(text)
        _check_paths(owned_files(text, "a", diversions))
        _check_paths(read_conffiles(text))


def _check_rpm(package: RpmPackage) -> None:
    assert package.name
    assert package.installed_bytes >= 0
    _check_paths(package.files)


def _check_paths(paths: tuple[str, ...]) -> None:
    for path in paths:
        assert path
        assert not path.startswith("/")
        assert ".." not in path.split("/")


def _header(choices: Choices) -> bytes:
    index, store = struct.pack(">IIII", 1000, 6, 0, 1), b"a\0"
    for _ in range(choices.below(6)):
        tag, kind = choices.pick(_TAGS), choices.pick((4, 6, 8, 9, 3))
        content = choices.pick(_TEXTS) if kind != 4 else bytes(4 * choices.below(4))
        index += struct.pack(">IIII", tag, kind, len(store) + choices.below(2), choices.below(6))
        store += content
    return struct.pack(">II", len(index) // 16, len(store)) + index + store


def _sqlite(choices: Choices, blobs: list[bytes]) -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute(
        choices.pick(("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB)", "CREATE TABLE Packages (blob)"))
    )
    connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [(blob,) for blob in blobs])
    connection.commit()
    made = connection.serialize()
    connection.close()
    return made


def _ndb(choices: Choices, blobs: list[bytes]) -> bytes:
    slots, body = b"", b""
    for number, blob in enumerate(blobs, 1):
        whole = struct.pack("<4sIII", b"BlbS", number, 1, len(blob)) + blob
        whole += bytes(-len(whole) % 16)
        slots += struct.pack("<4sIII", b"Slot", number, 256 + len(body) // 16, len(whole) // 16)
        body += whole
    head = struct.pack("<4sIIII12x", b"RpmP", 0, 1, 1, 9) + slots
    return head + struct.pack("<4sIII", b"Slot", 0, 0, 0) * ((4096 - len(head)) // 16) + body


def _bdb(choices: Choices, blobs: list[bytes]) -> bytes:
    page, pages, entries, items, end = 512, [b"", b""], list[int](), b"", 512
    for number, blob in enumerate(blobs, 1):
        first = len(pages)
        for at in range(0, len(blob), page - 26):
            part = blob[at : at + page - 26]
            following = 0 if at + page - 26 >= len(blob) else len(pages) + 1
            head = struct.pack("<QIIIHHBB", 0, len(pages), 0, following, 1, len(part), 0, 7)
            pages.append((head + part).ljust(page, b"\0"))
        for item in (b"\1" + struct.pack("<I", number), b"\3\0\0\0" + struct.pack("<II", first, len(blob))):
            end -= len(item)
            entries.append(end)
            items = item + items
    table = struct.pack("<QIIIHHBB", 0, 1, 0, 0, len(entries), end, 0, 13) + struct.pack(f"<{len(entries)}H", *entries)
    pages[1] = table.ljust(end, b"\0") + items
    pages[0] = (bytes(12) + struct.pack("<III", 0x061561, 9, page)).ljust(page, b"\0")
    return b"".join(pages)


def seeds() -> list[bytes]:
    whole = [
        b"\4P:a\nV:1\nF:usr/bin\nR:x\nD:so:b !c d>=1\n\nP:b\nV:2\n",
        b'\5{"name": "a", "version": "1", "files": ["b", "../c"], "depends": ["d >=1"]}',
        b"\6/.\n/usr\n/usr/bin/a\n/x\n/y\na\n/etc/c 12 obsolete\n",
        b"\3" + _header(Choices(bytes([5, *range(40)]))),
    ]
    made = [bytes([step % 3, *[(step * 13 + at * 17 + at // 4) % 256 for at in range(60)]]) for step in range(30)]
    return interleaved(whole, made)
