"""What a container printed, kept and read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimstage.container.logs import LogEntry, LogWriter, follow_log, read_log


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def written(path: Path, *pieces: tuple[int, bytes]) -> list[LogEntry]:
    writer = LogWriter(str(path), Clock())
    for stream, data in pieces:
        writer(stream, data)
    writer.close()
    writer.close()
    return read_log(str(path))


def test_lines_are_whole_however_they_come(tmp_path: Path) -> None:
    entries = written(tmp_path / "log", (1, b"one\ntw"), (2, b"err\n"), (1, b"o\nrest"))
    assert [(entry.stream, entry.data) for entry in entries] == [
        (1, b"one\n"), (2, b"err\n"), (1, b"two\n"), (1, b"rest"),
    ]  # fmt: skip
    assert [entry.at_s for entry in entries] == sorted(entry.at_s for entry in entries)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=50)), max_size=10))
def test_every_byte_comes_back(tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[int, bytes]]) -> None:
    entries = written(tmp_path_factory.mktemp("logs") / "log", *pieces)
    for stream in (1, 2):
        want = b"".join(data for number, data in pieces if number == stream)
        assert b"".join(entry.data for entry in entries if entry.stream == stream) == want


def test_a_line_without_end_does_not_grow_in_memory(tmp_path: Path) -> None:
    writer = LogWriter(str(tmp_path / "log"), Clock())
    for _ in range(20):
        writer(1, b"x" * 5000)
    assert sum(len(entry.data) for entry in read_log(str(tmp_path / "log"))) > 50_000
    writer.close()
    assert b"".join(entry.data for entry in read_log(str(tmp_path / "log"))) == b"x" * 100_000


def test_tail_and_since(tmp_path: Path) -> None:
    path = tmp_path / "log"
    written(path, *[(1, f"{number}\n".encode()) for number in range(10)])
    assert [entry.data for entry in read_log(str(path), tail=2)] == [b"8\n", b"9\n"]
    assert read_log(str(path), tail=0) == []
    assert [entry.data for entry in read_log(str(path), since_s=109)] == [b"8\n", b"9\n"]
    assert read_log(str(tmp_path / "none")) == []


def test_a_line_that_a_crash_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "log"
    written(path, (1, b"one\n"))
    with open(path, "ab") as file:
        file.write(b'{"t": 1, "s": 1, "d": "tw')
    assert [entry.data for entry in read_log(str(path))] == [b"one\n"]


def test_following_sees_what_comes_and_ends_with_the_container(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer = LogWriter(str(path), Clock())
    writer(1, b"before\n")
    asked = 0

    def is_over() -> bool:
        nonlocal asked
        asked += 1
        writer(1, f"during {asked}\n".encode())
        return asked == 3

    entries = [entry.data for entry in follow_log(str(path), is_over, pause_s=0)]
    writer.close()
    assert entries == [b"before\n", b"during 1\n", b"during 2\n", b"during 3\n"]


def test_following_with_tail_cuts_only_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "log"
    written(path, (1, b"one\ntwo\n"))
    assert [entry.data for entry in follow_log(str(path), lambda: True, tail=1, pause_s=0)] == [b"two\n"]
    assert list(follow_log(str(path), lambda: True, tail=0, pause_s=0)) == []
