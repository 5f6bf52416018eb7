"""analyze/fatbin.py: device code by architecture, of libraries made here, and of ones that lie."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from slimstage.analyze.fatbin import Fatbins, gpu_bytes, read_fatbins
from support.fatbins import container, entry, library


def read(data: bytes) -> Fatbins:
    return read_fatbins(lambda offset, count: data[offset : offset + count], len(data))


def test_bytes_are_counted_by_architecture_over_all_sections() -> None:
    first = container(entry(2, 80, 1000), entry(2, 90, 2001, header=112), entry(1, 90, 24))
    second = container(entry(2, 80, 8), entry(2, 90, 16, 0x100011), entry(2, 100, 8, 0x200011), entry(8, 75, 0))
    found = read(library(nv_fatbin=first + second, __nv_relfatbin=container(entry(2, 80, 36))))
    assert found.by_target == {
        "sm_90": 2113,
        "sm_80": 1064 + 72 + 100,
        "ptx_compute_90": 88,
        "sm_90a": 80,
        "sm_100f": 72,
        "lto_75": 64,
    }
    assert next(iter(found.by_target)) == "sm_90"
    assert (found.containers, found.entries, found.faults) == (3, 8, ())
    padding = -(16 + 1064 + 2113 + 88) % 8 + -(16 + 100) % 8
    assert found.section_bytes == sum(found.by_target.values()) + 3 * 16 + padding


def test_a_file_without_device_code_has_none() -> None:
    for data in (b"", b"no library", Path(sys.executable).resolve().read_bytes(), library(text=b"x")):
        assert gpu_bytes(lambda offset, count, data=data: data[offset : offset + count], len(data)) == {}  # type: ignore[misc]  # mypy knows no defaults of lambdas
        assert read(data).faults == ()


def test_sizes_that_lie_are_faults_and_the_rest_counts() -> None:
    good, huge = entry(2, 80, 8), (1 << 64) - 1
    long_entry = entry(2, 90, 8)[:8] + struct.pack("<Q", huge) + entry(2, 90, 8)[16:]
    found = read(library(nv_fatbin=container(good, long_entry)))
    assert (found.by_target, len(found.faults)) == ({"sm_80": 72}, 1)
    long_container = struct.pack("<IHHQ", 0xBA55ED50, 1, 16, huge) + good
    found = read(library(nv_fatbin=long_container))
    assert (found.by_target, len(found.faults)) == ({"sm_80": 72}, 1)
    assert read(library(nv_fatbin=bytes(64))).faults == ("a section of device code holds something else",)
    short = entry(2, 80, 8)[:4] + struct.pack("<I", 3) + entry(2, 80, 8)[8:]
    assert read(library(nv_fatbin=container(short))).faults


def test_sections_that_overlap_are_counted_once() -> None:
    data = library(nv_fatbin=container(entry(2, 80, 8)), __nv_relfatbin=container(entry(2, 80, 8)))
    rows = len(data) - 64 * 4
    second = rows + 128 + 24
    twice = data[:second] + data[rows + 64 + 24 : rows + 64 + 40] + data[second + 16 :]
    found = read(twice)
    assert found.by_target == {"sm_80": 72}
    assert found.faults == ("sections of device code overlap",)


def test_endless_rows_end() -> None:
    empty = struct.pack("<IHHQ", 0xBA55ED50, 1, 16, 0)
    found = read(library(nv_fatbin=empty * 1_100_000))
    assert found.faults == ("there are more than 1000000 entries of device code",)


def test_a_library_of_which_only_the_beginning_is_there_is_a_fault() -> None:
    data = library(nv_fatbin=container(entry(2, 80, 8000)))
    found = read_fatbins(lambda offset, count: data[offset : min(offset + count, 1000)], len(data))
    assert found.by_target == {}
    assert read(data[:-70]).by_target == {}


@given(st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=8), st.integers(0, 1 << 16))
def test_a_mutated_library_is_read_as_far_as_it_goes(changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(library(nv_fatbin=container(entry(2, 80, 40), entry(1, 90, 8)) + container(entry(2, 90, 8))))
    for at, value in changes:
        data[at % len(data)] = value
    for each in (bytes(data), bytes(data[: cut % len(data)])):
        found = read(each)
        assert sum(found.by_target.values()) <= found.section_bytes <= len(each)
