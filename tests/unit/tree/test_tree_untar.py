"""tree/untar.py and tree/header.py: what is read from a tar, with the standard library and GNU tar as oracles."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from slimstage.errors import FormatError
from slimstage.tree.header import nanoseconds, number, parse_records
from slimstage.tree.untar import TarReader, looks_like_tar
from support.trees import listing, make_tar, member


def read(tar: bytes, chunk: int = 1 << 20) -> list[tuple[str, str, bytes]]:
    reader = TarReader(Dribble(tar, chunk))
    return [(entry.path, entry.kind, reader.read()) for entry in reader]


class Dribble:
    """A stream that gives a few bytes at a time, as pipes do."""

    def __init__(self, data: bytes, chunk: int) -> None:
        self._stream, self._chunk = io.BytesIO(data), chunk

    def read(self, count: int = -1, /) -> bytes:
        return self._stream.read(self._chunk if count < 0 else min(count, self._chunk))


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("chunk", [1, 511, 1 << 20])
def test_every_form_reads_the_same_however_the_stream_comes(form: int, chunk: int) -> None:
    long = "p" * 90 + "/" + "n" * 90
    tar = make_tar(
        member("d/", type=tarfile.DIRTYPE),
        member(long, b"x" * 1000),
        member("l", type=tarfile.SYMTYPE, linkname="t" * 99),
        member("end", b"e"),
        form=form,
    )
    assert read(tar, chunk) == [
        ("d", "dir", b""),
        (long, "file", b"x" * 1000),
        ("l", "symlink", b""),
        ("end", "file", b"e"),
    ]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_big_numbers_and_odd_bytes_are_read(form: int) -> None:
    name = os.fsdecode(b"dir\xff/" + b"n" * 200)
    tar = make_tar(
        member(name, b"1", uid=2**31, gid=2**32 - 2, mtime=2**34),
        member("s", type=tarfile.SYMTYPE, linkname=name),
        member("h", type=tarfile.LNKTYPE, linkname=name),
        form=form,
    )
    first, link, hard = TarReader(io.BytesIO(tar))
    assert (first.path, first.uid, first.gid, first.mtime_ns) == (name, 2**31, 2**32 - 2, 2**34 * 10**9)
    assert (link.target, hard.target, hard.kind) == (name, name, "hardlink")


def test_gnu_tars_own_archives_read_as_gnu_tar_lists_them(tmp_path: Path) -> None:
    (tmp_path / "in/sub").mkdir(parents=True)
    (tmp_path / "in/f").write_bytes(b"1" * 700)
    (tmp_path / "in" / ("long" * 50)).write_bytes(b"2")
    os.link(tmp_path / "in/f", tmp_path / "in/sub/again")
    os.symlink("f", tmp_path / "in/link")
    os.mkfifo(tmp_path / "in/pipe")
    for form in ("v7", "oldgnu", "gnu", "ustar", "posix"):
        names = ["f", "sub", "link", "pipe"] + ([] if form in ("v7", "ustar") else ["long" * 50])
        names = [name for name in names if form != "v7" or name != "pipe"]
        command = ["tar", f"--format={form}", "-C", str(tmp_path / "in"), "-cf", "-", *names]
        tar = subprocess.run(command, check=True, capture_output=True).stdout
        mine = [(entry.path, entry.mode, entry.mtime_ns // 10**9, entry.size) for entry in TarReader(io.BytesIO(tar))]
        theirs = [(info.name, info.mode, int(info.mtime), info.size if info.isreg() else 0) for info in listing(tar)]
        assert mine == theirs


@pytest.mark.parametrize("version", ["0.0", "0.1", "1.0", "old"])
def test_sparse_files_of_gnu_tar_are_read_with_their_holes(tmp_path: Path, version: str) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        for at in range(0, 3 << 20, 100_000):  # more pieces than the header itself has room for
            file.seek(at)
            file.write(b"data")
        file.truncate(4 << 20)
    how = ["--format=oldgnu"] if version == "old" else ["--format=posix", f"--sparse-version={version}"]
    command = ["tar", "-S", *how, "-C", str(tmp_path), "-cf", "-", "sparse"]
    tar = subprocess.run(command, check=True, capture_output=True).stdout
    assert len(tar) < 1 << 20
    reader = TarReader(io.BytesIO(tar))
    entry = reader.next()
    assert entry is not None
    assert (entry.path, entry.size) == ("sparse", 4 << 20)
    assert b"".join(reader.chunks()) == path.read_bytes()
    reader = TarReader(io.BytesIO(tar))
    reader.next()
    with (tmp_path / "out").open("wb") as out:
        assert reader.copy_to(out.fileno()) == 4 << 20
    assert (tmp_path / "out").read_bytes() == path.read_bytes()
    assert (tmp_path / "out").stat().st_blocks * 512 < 1 << 20
    assert reader.next() is None


def test_skipped_data_is_skipped_and_partial_reads_go_on() -> None:
    reader = TarReader(io.BytesIO(make_tar(member("a", b"x" * 5000), member("b", b"hello"))))
    reader.next()
    assert reader.read(3) == b"xxx"
    entry = reader.next()
    assert entry is not None
    assert [reader.read(2), reader.read(2), reader.read(2), reader.read(2)] == [b"he", b"ll", b"o", b""]


def test_links_and_directories_have_no_data_whatever_they_say() -> None:
    info = tarfile.TarInfo("d")
    info.type, info.size = tarfile.DIRTYPE, 512
    tar = info.tobuf() + make_tar(member("next", b"1"))
    assert [entry[0] for entry in read(tar)] == ["d", "next"]


def test_global_records_hold_until_they_are_taken_back() -> None:
    tar = tarfile.TarInfo.create_pax_global_header({"mtime": "7.5"})
    tar += (
        make_tar(member("a"))[:512] + tarfile.TarInfo.create_pax_global_header({"mtime": "9"}) + make_tar(member("b"))
    )
    assert [entry.mtime_ns for entry in TarReader(io.BytesIO(tar))] == [7_500_000_000, 9_000_000_000]


def test_what_follows_the_end_is_not_read_as_members() -> None:
    assert [entry[0] for entry in read(make_tar(member("a")) + make_tar(member("b")))] == ["a"]


def test_an_archive_may_end_without_its_blocks_of_zeros() -> None:
    tar = make_tar(member("a", b"1"))
    assert [entry[0] for entry in read(tar[:1024])] == ["a"]
    assert [entry[0] for entry in read(tar[: 1024 + 512])] == ["a"]
    assert read(b"") == []


@pytest.mark.parametrize("cut", [1, 511, 513, 1000, 1023])
def test_a_tar_cut_inside_a_member_is_an_error(cut: int) -> None:
    with pytest.raises(FormatError, match="middle of a member"):
        read(make_tar(member("a", b"x" * 512))[:cut])


def test_a_wrong_checksum_is_an_error_and_a_signed_one_is_not() -> None:
    tar = bytearray(make_tar(member("a")))
    tar[0:1] = b"b"
    with pytest.raises(FormatError, match="checksum"):
        read(bytes(tar))
    info = tarfile.TarInfo("n\udcff")
    raw = bytearray(info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))
    raw[148:156] = b" " * 8
    signed = sum(byte - 256 if byte > 127 else byte for byte in raw)
    raw[148:156] = b"%06o\0 " % signed
    assert [entry[0] for entry in read(bytes(raw))] == ["n\udcff"]


@pytest.mark.parametrize("kind", [b"Z", b"M", b"A"])
def test_an_unknown_type_is_an_error_that_names_it(kind: bytes) -> None:
    with pytest.raises(FormatError, match="not supported"):
        read(make_tar(member("a", type=kind)))


def test_a_volume_label_is_no_member() -> None:
    assert [entry[0] for entry in read(make_tar(member("label", type=b"V"), member("a")))] == ["a"]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("./a", "a"),
        ("a/./b//c", "a/b/c"),
        ("a/x/../b", "a/b"),
        ("/", ""),
        (".", ""),
        ("./", ""),
        ("/a", "a"),
        ("..a", "..a"),
    ],
)
def test_names_become_paths_below_the_root(name: str, path: str) -> None:
    assert [entry.path for entry in TarReader(io.BytesIO(make_tar(member(name, type=tarfile.DIRTYPE))))] == [path]


@pytest.mark.parametrize("name", ["a" * 256, "d/" * 2100 + "f"])
def test_names_that_no_filesystem_holds_are_refused(name: str) -> None:
    with pytest.raises(FormatError, match="too long"):
        read(make_tar(member(name)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"0000644\0", 0o644),
        (b"   644 \0", 0o644),
        (b"\0\0\0\0\0\0\0\0", 0),
        (b"77777777", 0o77777777),
        (b"\x80\0\0\0\0\0\x01\0", 256),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff", -1),
        (b"\xff\xff\xff\xff\xff\xff\xff\x00", -256),
    ],
)
def test_numbers_are_octal_or_base_256(field: bytes, value: int) -> None:
    assert number(field, "mode") == value


@pytest.mark.parametrize(
    "field", [b"0000648\0", b"0x1f\0\0\0\0", b"-1\0\0\0\0\0\0", b"\x80" + b"\xff" * 11, b"1 1\0\0\0\0\0"]
)
def test_what_is_no_number_is_refused(field: bytes) -> None:
    with pytest.raises(FormatError, match=r"no number|out of range"):
        number(field, "size")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"0", 0),
        (b"1.5", 1_500_000_000),
        (b"-1.5", -1_500_000_000),
        (b"1.0000000019", 1_000_000_001),
        (b"-0.0000000001", -1),
        (b"12345678901.", 12345678901 * 10**9),
    ],
)
def test_pax_times_are_exact(text: bytes, value: int) -> None:
    assert nanoseconds(text) == value


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"5 a=b\n",
        b"7 a=b\n",
        b"6 ab\n\n",
        b"6 a=bx",
        b"6 =bc\n",
        b"-6 a=b\n",
        b"99999999999999 a=b\n",
        b"0 \n",
        b"06a=b\n",
    ],
)
def test_malformed_pax_records_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="PAX record"):
        parse_records(data)


def test_pax_values_may_hold_any_bytes() -> None:
    assert parse_records(b"6 a=b\n9 b=\n=\0\xff\n") == {b"a": b"b", b"b": b"\n=\0\xff"}


def test_extreme_owners_and_sizes_in_records_are_refused() -> None:
    for records in (
        {"uid": "4294967296"},
        {"gid": "-1"},
        {"size": "-5"},
        {"uid": "x"},
        {"mtime": "now"},
        {"size": "9" * 30},
    ):
        with pytest.raises(FormatError):
            read(make_tar(member("a", pax_headers=records)))


def test_an_archive_is_told_by_its_first_header() -> None:
    assert looks_like_tar(make_tar(member("a")))
    assert looks_like_tar(bytes(10240))
    assert not looks_like_tar(bytes(512))
    assert not looks_like_tar(b"#!/bin/sh\n" * 100)
    assert not looks_like_tar(b"")
