"""analyze/rpm.py and rpm_header.py: headers in the three databases, made here; rpm's own where it is installed; lies."""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimstage.analyze.rpm import RpmKind, read_database, read_packages
from slimstage.analyze.rpm_header import RpmPackage, read_header
from support.rpm_databases import header, sqlite

KINDS: tuple[RpmKind, ...] = ("sqlite", "ndb", "bdb")


BASH = header(
    {
        1000: "bash", 1001: "5.1.8", 1002: "6.el9", 1003: [1], 1009: [7_000_000], 1014: "GPLv3+", 1022: "x86_64",
        1044: "bash-5.1.8-6.el9.src.rpm", 1047: ["bash", "/bin/sh", "bash"],
        1049: ["libc.so.6()(64bit)", "rpmlib(CompressedFileNames)", "filesystem", "config(bash)"],
        1116: [0, 1, 1], 1117: ["bashrc", "bash", "sh"], 1118: ["/etc/", "/usr/bin/"],
    }
)  # fmt: skip
GLIBC = header({1000: "glibc", 1001: "2.34", 1022: "x86_64", 1027: ["/lib64/libc.so.6"], 1047: ["libc.so.6()(64bit)"]})
WANTED = RpmPackage(
    "bash", "1:5.1.8-6.el9", "x86_64", ("etc/bashrc", "usr/bin/bash", "usr/bin/sh"), ("libc.so.6()(64bit)", "filesystem"),
    ("bash", "/bin/sh"), "bash-5.1.8-6.el9.src.rpm", "GPLv3+", 7_000_000,
)  # fmt: skip


def ndb(blobs: list[bytes]) -> bytes:
    slots, body, block = b"", b"", 4096 // 16
    for number, blob in enumerate(blobs, 1):
        whole = struct.pack("<4sIII", b"BlbS", number, 1, len(blob)) + blob
        whole += bytes(-(len(whole) + 12) % 16) + struct.pack("<II4s", 0, len(blob), b"BlbE")
        slots += struct.pack("<4sIII", b"Slot", number, block, len(whole) // 16)
        body, block = body + whole, block + len(whole) // 16
    head = struct.pack("<4sIIII12x", b"RpmP", 0, 1, 1, len(blobs) + 1) + slots
    return head + struct.pack("<4sIII", b"Slot", 0, 0, 0) * ((4096 - len(head)) // 16) + body


def bdb(blobs: list[bytes], order: str = "<", page: int = 512) -> bytes:
    def head(number: int, following: int, entries: int, offset: int, kind: int) -> bytes:
        return struct.pack(f"{order}QIIIHHBB", 0, number, 0, following, entries, offset, 0, kind)

    pages = [b"", b""]
    items, entries, end = b"", [], page
    for number, blob in enumerate([b"", *blobs]):
        key = b"\1" + struct.pack(f"{order}I", number)
        if number:
            first = len(pages)
            parts = [blob[at : at + page - 26] for at in range(0, len(blob), page - 26)]
            for place, part in enumerate(parts):
                following = first + place + 1 if place + 1 < len(parts) else 0
                pages.append((head(first + place, following, 1, len(part), 7) + part).ljust(page, b"\0"))
            value = b"\3\0\0\0" + struct.pack(f"{order}II", first, len(blob))
        else:
            value = b"\1" + struct.pack(f"{order}I", 9)  # the counter
        for item in (key, value):
            end -= len(item)
            entries.append(end)
            items = item + items
    table = head(1, 0, len(entries), end, 13) + struct.pack(f"{order}{len(entries)}H", *entries)
    pages[1] = table.ljust(end, b"\0") + items
    pages[0] = (bytes(12) + struct.pack(f"{order}III", 0x061561, 9, page)).ljust(page, b"\0")
    return b"".join(pages)


MAKERS = {"sqlite": sqlite, "ndb": ndb, "bdb": bdb}


@pytest.mark.parametrize("kind", KINDS)
def test_each_database_gives_the_packages_in_it(kind: RpmKind) -> None:
    found = read_database(MAKERS[kind]([BASH, GLIBC]), kind)
    assert found.faults == ()
    assert found.packages[0] == WANTED
    assert (found.packages[1].name, found.packages[1].files) == ("glibc", ("lib64/libc.so.6",))
    assert read_packages(MAKERS[kind]([]), kind) == []


def test_a_berkeley_database_of_either_byte_order_is_read() -> None:
    assert read_packages(bdb([BASH], ">"), "bdb") == [WANTED]


@pytest.mark.parametrize("kind", KINDS)
def test_a_database_that_is_cut_or_another_is_a_fault(kind: RpmKind) -> None:
    whole = MAKERS[kind]([BASH, GLIBC])
    for data in (b"", b"x" * 5000, whole[: len(whole) // 2]):
        found = read_database(data, kind)
        assert len(found.packages) < 2
        assert found.faults


def test_headers_that_lie_about_their_sizes_are_faults() -> None:
    assert isinstance(read_header(struct.pack(">II", 0xFFFFFFFF, 0xFFFFFFFF)), str)
    assert isinstance(read_header(struct.pack(">II", 1, 100) + bytes(16)), str)
    assert read_header(header({1001: "1"})) == "a header names no package"
    strings = struct.pack(">II", 2, 2) + struct.pack(">IIII", 1000, 6, 0, 1)
    found = read_header(strings + struct.pack(">IIII", 1117, 8, 0, 0xFFFFFFFF) + b"a\0")
    assert isinstance(found, RpmPackage)
    assert found.files == ()


def test_paths_above_the_root_are_nobodys() -> None:
    found = read_header(header({1000: "a", 1116: [0, 7], 1117: ["x", "y"], 1118: ["/../../"]}))
    assert isinstance(found, RpmPackage)
    assert found.files == ()


def test_a_database_of_sqlite_runs_nothing_of_its_own() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE other (blob BLOB)")
    connection.execute("INSERT INTO other VALUES (?)", (BASH,))
    connection.execute("CREATE VIEW Packages AS SELECT blob FROM other")
    connection.commit()
    found = read_database(connection.serialize(), "sqlite")
    assert found.packages == ()
    assert len(found.faults) == 1
    endless = sqlite3.connect(":memory:")
    endless.execute(
        "CREATE VIEW Packages AS WITH RECURSIVE c(blob) AS (SELECT 1 UNION ALL SELECT blob + 1 FROM c) SELECT blob FROM c"
    )
    endless.commit()
    assert read_database(endless.serialize(), "sqlite").faults


@given(st.sampled_from(KINDS), st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=12))
def test_a_mutated_database_is_read_as_far_as_it_goes(kind: RpmKind, changes: list[tuple[int, int]]) -> None:
    data = bytearray(MAKERS[kind]([BASH]))
    for at, value in changes:
        data[at % len(data)] = value
    found = read_database(bytes(data), kind)
    assert len(found.faults) <= 21


@given(st.binary(max_size=400))
def test_any_bytes_are_read_as_a_header(data: bytes) -> None:
    assert isinstance(read_header(data), RpmPackage | str)


@pytest.mark.skipif(not shutil.which("rpmbuild"), reason="rpmbuild (rpm) is not installed")
def test_what_rpm_itself_installed_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.spec").write_text(
        "Name: a\nEpoch: 2\nVersion: 1.2\nRelease: 3\nSummary: a\nLicense: MIT\nBuildArch: noarch\nRequires: b >= 1\n"
        "%description\na\n%install\nmkdir -p %{buildroot}/usr/bin; echo x > %{buildroot}/usr/bin/a\n%files\n/usr/bin/a\n"
    )

    def run(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "HOME": str(tmp_path)})

    run("rpmbuild", "-bb", "--define", f"_topdir {tmp_path}/top", str(tmp_path / "a.spec"))
    package = next((tmp_path / "top/RPMS").rglob("*.rpm"))
    database = ("--define", "_db_backend sqlite", "--define", f"_dbpath {tmp_path}/db")
    run("rpm", *database, "--force-debian", "--justdb", "--nodeps", "--ignorearch", "-i", str(package))
    (found,) = read_packages((tmp_path / "db/rpmdb.sqlite").read_bytes(), "sqlite")
    assert (found.name, found.version, found.architecture, found.files) == ("a", "2:1.2-3", "noarch", ("usr/bin/a",))
    assert (found.depends, found.source, found.installed_bytes) == (("b",), "a-1.2-3.src.rpm", 2)
