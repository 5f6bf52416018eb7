"""analyze/elf.py: real files beside readelf, files that lie, and what may be cut."""

from __future__ import annotations

import mmap
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from slimstage.analyze.elf import MOST_HEADERS, Elf, is_elf, read_elf
from slimstage.errors import FormatError

LS = Path("/bin/ls")
SITE = Path(pytest.__file__).parents[1]

needs_readelf = pytest.mark.skipif(not shutil.which("readelf"), reason="readelf (binutils) is not installed")
needs_compiler = pytest.mark.skipif(
    not (shutil.which("gcc") and shutil.which("strip")), reason="gcc and strip (binutils) are not installed"
)


def real_files() -> list[Path]:
    modules = sorted(SITE.rglob("*.so"), key=lambda path: path.stat().st_size)
    return [LS, Path(os.path.realpath(sys.executable)), *modules[:3], *modules[-2:]]


def readelf(path: Path, *options: str) -> str:
    done = subprocess.run(
        ["readelf", "-W", *options, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    return done.stdout


@needs_readelf
@pytest.mark.parametrize("path", real_files(), ids=lambda path: path.name)
def test_headers_and_needs_are_what_readelf_says(path: Path) -> None:
    elf = read_elf(path.read_bytes())
    header, dynamic = readelf(path, "-h"), readelf(path, "-d")
    assert f"ELF{elf.bits}" in header
    assert ("little endian" in header) == (elf.byte_order == "little")
    assert {"shared": "DYN", "executable": "EXEC"}[elf.kind] in header
    assert elf.is_pie == ("Position-Independent Executable" in header)
    assert list(elf.needed) == re.findall(r"\(NEEDED\)\s+Shared library: \[(.*)\]", dynamic)
    assert ([elf.soname] if elf.soname else []) == re.findall(r"\(SONAME\)\s+Library soname: \[(.*)\]", dynamic)
    runpath = re.findall(r"\(RUNPATH\)\s+Library runpath: \[(.*)\]", dynamic)
    assert ":".join(elf.runpath) == (runpath[0] if runpath else "")
    rpath = re.findall(r"\(RPATH\)\s+Library rpath: \[(.*)\]", dynamic)
    assert ":".join(elf.rpath) == (rpath[0] if rpath else "")
    assert elf.faults == ()


@needs_readelf
@pytest.mark.parametrize("path", real_files(), ids=lambda path: path.name)
def test_sections_segments_build_id_and_versions_are_what_readelf_says(path: Path) -> None:
    elf = read_elf(path.read_bytes())
    rows = re.findall(r"\[ *\d+\] (\S*) +(\S+) +([0-9a-f]+) ([0-9a-f]+) ([0-9a-f]+) ", readelf(path, "-S"))
    listed = [
        (name, int(offset, 16), 0 if kind in ("NOBITS", "NULL") else int(size, 16))
        for name, kind, _, offset, size in rows
    ]
    assert [(s.name, s.offset, s.size_bytes) for s in elf.sections if s.name] == [row for row in listed if row[0]]
    segments = re.findall(
        r"^ +[A-Z_]+ +0x([0-9a-f]+) 0x([0-9a-f]+) 0x[0-9a-f]+ 0x([0-9a-f]+) 0x([0-9a-f]+)", readelf(path, "-l"), re.M
    )
    assert [(s.offset, s.address, s.file_bytes, s.memory_bytes) for s in elf.segments] == [
        tuple(int(field, 16) for field in row) for row in segments
    ]
    interpreter = re.findall(r"Requesting program interpreter: (.*)\]", readelf(path, "-l"))
    assert ([elf.interpreter] if elf.interpreter else []) == interpreter
    assert ([elf.build_id] if elf.build_id else []) == re.findall(r"Build ID: ([0-9a-f]+)", readelf(path, "-n"))
    needs = readelf(path, "-V").partition("Version needs")[2]
    wanted: dict[str, list[str]] = {}
    file = ""
    for line in needs.splitlines():
        if found := re.search(r"Version: 1  File: (\S+)", line):
            file = found[1]
        elif found := re.search(r"Name: (\S+)", line):
            wanted.setdefault(file, []).append(found[1])
    assert {library: list(names) for library, names in elf.versions} == wanted


def test_bytes_a_map_and_a_descriptor_read_the_same() -> None:
    with LS.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        found = {read_elf(source) for source in (LS.read_bytes(), memoryview(LS.read_bytes()), mapped, file.fileno())}
        assert file.tell() == 0
    assert len(found) == 1
    assert is_elf(LS.read_bytes()[:4])


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small shared library with symbols and debug information."""
    place = tmp_path_factory.mktemp("elf")
    (place / "a.c").write_text('#include <stdio.h>\nint answer(void) { return puts("42"); }\n')
    flags = ["-shared", "-fPIC", "-g", "-Wl,-soname,liba.so.1", "-Wl,-rpath,$ORIGIN/x:/opt/y", "-Wl,--build-id=sha1"]
    subprocess.run(["gcc", *flags, "-o", "liba.so", "a.c"], cwd=place, check=True)
    return place / "liba.so"


@needs_compiler
def test_a_library_with_debug_information_is_not_stripped(library: Path) -> None:
    elf = read_elf(library.read_bytes())
    assert (elf.soname, elf.runpath or elf.rpath) == ("liba.so.1", ("$ORIGIN/x", "/opt/y"))
    assert elf.has_symtab
    assert not elf.is_stripped
    assert elf.debug_bytes == sum(s.size_bytes for s in elf.sections if s.name.startswith(".debug"))
    assert elf.debug_bytes > 0
    assert elf.unloaded_bytes > elf.debug_bytes
    assert elf.tail_bytes == 0


@needs_compiler
@pytest.mark.parametrize("option", ["--strip-all", "--strip-debug"])
def test_strip_leaves_what_it_says(library: Path, tmp_path: Path, option: str) -> None:
    stripped = tmp_path / "stripped.so"
    subprocess.run(["strip", option, "-o", str(stripped), str(library)], check=True)
    elf = read_elf(stripped.read_bytes())
    assert elf.debug_bytes == 0
    assert (elf.has_symtab, elf.is_stripped) == ((False, True) if option == "--strip-all" else (True, False))
    assert elf.needed == read_elf(library.read_bytes()).needed


@needs_compiler
def test_bytes_behind_the_last_segment_can_be_cut_and_the_rest_means_the_same(library: Path) -> None:
    whole = library.read_bytes()
    elf = read_elf(whole)
    cut = bytearray(whole[: elf.loaded_end])
    struct.pack_into("<Q", cut, 40, 0)  # e_shoff
    struct.pack_into("<HH", cut, 60, 0, 0)  # e_shnum, e_shstrndx
    after = read_elf(bytes(cut))
    assert (after.faults, after.sections, after.unloaded_bytes, after.is_stripped) == ((), (), 0, True)
    assert (after.needed, after.soname, after.versions, after.build_id, after.segments) == (
        (elf.needed, elf.soname, elf.versions, elf.build_id, elf.segments)
    )
    path = library.with_name("cut.so")
    path.write_bytes(cut)
    code = f"import ctypes; ctypes.CDLL({str(path)!r}).answer()"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "42\n"


@needs_compiler
def test_what_a_program_appended_is_a_tail(library: Path) -> None:
    elf = read_elf(library.read_bytes() + b"x" * 1000)
    assert elf.tail_bytes == 1000
    assert elf.unloaded_bytes > 1000


@needs_compiler
@pytest.mark.skipif(not shutil.which("patchelf"), reason="patchelf is not installed")
def test_a_library_that_patchelf_rewrote_is_read_and_a_naive_strip_of_it_is_seen(library: Path, tmp_path: Path) -> None:
    """As auditwheel repairs wheels: what is rewritten stands in a new segment at the end."""
    patched = tmp_path / "patched.so"
    shutil.copyfile(library, patched)
    subprocess.run(["patchelf", "--set-rpath", "$ORIGIN/../" + "l" * 400, str(patched)], check=True)
    subprocess.run(
        ["patchelf", "--replace-needed", "libc.so.6", "libc-" + "0" * 300 + ".so.6", str(patched)], check=True
    )
    elf = read_elf(patched.read_bytes())
    assert elf.faults == ()
    assert elf.needed == ("libc-" + "0" * 300 + ".so.6",)
    assert (elf.runpath or elf.rpath) == ("$ORIGIN/../" + "l" * 400,)
    assert elf.misaligned == ()
    assert elf.soname == "liba.so.1"


def test_a_segment_that_no_loader_takes_is_named() -> None:
    data = bytearray(LS.read_bytes())
    elf = read_elf(bytes(data))
    number = next(n for n, segment in enumerate(elf.segments) if segment.is_loaded)
    at = struct.unpack_from("<Q", data, 32)[0] + 56 * number + 16
    struct.pack_into("<Q", data, at, elf.segments[number].address + 8)
    assert [segment.kind for segment in read_elf(bytes(data)).misaligned] == [1]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x7fEL",
        b"\x7fELF",
        b"MZ" + bytes(100),
        b"\x7fELF\x03\x01" + bytes(60),
        b"\x7fELF\x02\x01\x01" + bytes(20),
    ],
)
def test_what_is_no_elf_file_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        read_elf(data)
    assert caught.value.code == "not-elf"


@pytest.mark.parametrize("size", [64, 100, 1000, 5000, 60_000])
def test_a_file_that_is_cut_off_gives_what_is_there_and_says_so(size: int) -> None:
    elf = read_elf(LS.read_bytes()[:size])
    assert elf.faults
    assert elf.machine == read_elf(LS.read_bytes()).machine


def header(sections_at: int = 0, count: int = 0, names: int = 0, segments_at: int = 0, segments: int = 0) -> bytes:
    fields = (3, 62, 1, 0, segments_at, sections_at, 0, 64, 56, segments, 64, count, names)
    return b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", *fields)


def section(kind: int, offset: int, size: int, link: int = 0, name: int = 0) -> bytes:
    return struct.pack("<IIQQQQIIQQ", name, kind, 0, 0, offset, size, link, 0, 0, 0)


def test_a_count_of_sections_beyond_sixteen_bits_is_in_the_first_one() -> None:
    many = 66_000
    data = header(64, 0, 0xFFFF) + section(0, 0, many, link=1) + section(3, 0, 64) * (many - 1)
    elf = read_elf(data)
    assert len(elf.sections) == MOST_HEADERS
    assert any("66000" in fault for fault in elf.faults)


def test_sizes_that_are_claimed_allocate_nothing() -> None:
    big = 1 << 62
    data = header(64, 3, 1) + section(0, 0, 0) + section(3, 64, big, name=9) + section(7, 64, big)
    elf = read_elf(data)
    assert elf.faults
    assert elf.end == 64 * 4


def test_overlapping_debug_sections_count_once() -> None:
    names = b"\0.debug_info\0"
    table = section(0, 0, 0) + section(3, 64, len(names)) + section(1, 70, 8, name=1) * 50 + section(1, 74, 8, name=1)
    elf = read_elf(header(64 + len(names), 53, 1) + names + table)
    assert elf.debug_bytes == 12


def test_names_that_overlap_are_not_copied_without_end() -> None:
    """40,000 sections, each with a name of up to 500 characters in a table of 40,000: 20 MB of names."""
    names = (b"n" * 500 + b"\0") * 80
    table = section(0, 0, 0) + section(3, 64, len(names)) + b"".join(section(1, 64, 1, name=at) for at in range(40_000))
    elf = read_elf(header(64 + len(names), 40_002, 1) + names + table)
    assert sum(len(each.name) for each in elf.sections) < (1 << 20) + 4096
    assert elf.faults


def test_a_chain_of_versions_that_leads_back_ends() -> None:
    elf: Elf = read_elf(LS.read_bytes())
    needs = next(each for each in elf.sections if each.name == ".gnu.version_r")
    data = bytearray(LS.read_bytes())
    struct.pack_into("<H", data, needs.offset + 2, 0xFFFF)
    for at in range(needs.offset + 16, needs.offset + 16 + 16, 16):
        struct.pack_into("<I", data, at + 12, 0xFFFFFFF0)
    assert "the needed versions pass the end of the file" in read_elf(bytes(data)).faults


def test_a_file_of_which_only_the_beginning_is_there_is_read_as_far_as_it_goes() -> None:
    data = LS.read_bytes()

    class Beginning:
        size = len(data)

        def at(self, offset: int, count: int, /) -> bytes:
            return data[: len(data) // 2][offset : offset + count]

    elf = read_elf(Beginning())
    assert elf.sections == ()
    assert "the table of section headers cannot be read" in elf.faults
    assert elf.segments == read_elf(data).segments
