"""Durations, numbers, signals, ports, devices."""

from __future__ import annotations

import pytest

from slimstage.dockerfile.commands import Device, parse_device
from slimstage.dockerfile.ports import parse_port
from slimstage.dockerfile.values import (
    parse_bool,
    parse_duration,
    parse_fields,
    parse_signal,
    parse_size,
    parse_unsigned,
)

SECOND = 10**9


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("30s", 30 * SECOND),
        ("1m30s", 90 * SECOND),
        ("1.5h", 5400 * SECOND),
        (".5s", SECOND // 2),
        ("1.s", SECOND),
        ("-2ms", -2_000_000),
        ("+1us", 1000),
        ("1µs", 1000),
        ("3ns", 3),
        ("1h1m1s1ms", 3661 * SECOND + 1_000_000),
    ],
)
def test_durations_are_gos(text: str, expected: int) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "1", "s", "-", ".s", "1 s", "1d", "1s ", "9223372037s", "9" * 40 + "s", "1,5s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("SIGTERM", 15), ("term", 15), ("9", 9), ("SigRtMin+3", 37), ("RTMAX", 64), ("SIGIO", 29), ("-5", -5)],
)
def test_signals_go_by_name_and_number(text: str, expected: int) -> None:
    assert parse_signal(text) == expected


@pytest.mark.parametrize("text", ["", "0", "SIG", "SIGTREM", "RTMAX-15", "RTMIN+16", "1.5"])
def test_what_is_no_signal_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_signal(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", ["80/tcp"]),
        ("80/UDP", ["80/udp"]),
        ("80/", ["80/tcp"]),
        ("8000-8002/sctp", ["8000/sctp", "8001/sctp", "8002/sctp"]),
        ("8080:80", ["80/tcp"]),
        ("127.0.0.1:8080:80", ["80/tcp"]),
        ("127.0.0.1::80", ["80/tcp"]),
        ("[::1]:8080:80", ["80/tcp"]),
        ("1-3:4-6", ["4/tcp", "5/tcp", "6/tcp"]),
        ("8000-9000:80", ["80/tcp"]),
        ("0", ["0/tcp"]),
    ],
)
def test_ports_are_what_the_container_listens_on(text: str, expected: list[str]) -> None:
    assert parse_port(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/tcp",
        "x",
        "80/http",
        "65536",
        "9-8",
        "80:",
        "localhost:80:80",
        "1-2:3-5",
        "-80",
        "80-",
        "1e3",
        "999999999999",
    ],
)
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_port(text)


def test_sizes_are_powers_of_1024() -> None:
    assert [parse_size(text) for text in ("1", "1k", "1KB", "1 MiB", "1.5g", "2t")] == [
        1,
        1024,
        1024,
        1024**2,
        3 * 1024**3 // 2,
        2 * 1024**4,
    ]


def test_numbers_are_plain_digits() -> None:
    assert parse_unsigned("0755", 8) == 0o755
    assert parse_unsigned("4294967295") == 2**32 - 1
    for text, base in (
        ("", 10),
        ("0o7", 8),
        ("8", 8),
        ("1_0", 10),
        ("+1", 10),
        ("4294967296", 10),
        ("1" * 100, 10),
        ("²", 10),
    ):
        with pytest.raises(ValueError):
            parse_unsigned(text, base)


def test_booleans_are_gos() -> None:
    assert [parse_bool(text) for text in ("1", "t", "TRUE", "0", "F", "false")] == [
        True,
        True,
        True,
        False,
        False,
        False,
    ]
    for text in ("", "yes", "tRUE"):
        with pytest.raises(ValueError):
            parse_bool(text)


def test_fields_may_be_quoted() -> None:
    assert parse_fields('a,"b,""c""",,d=e') == ["a", 'b,"c"', "", "d=e"]
    assert parse_fields("a,") == ["a", ""]


def test_a_device_is_a_name_and_whether_it_must_exist() -> None:
    assert parse_device("vendor.com/gpu=all,required") == Device("vendor.com/gpu=all", True)
    assert parse_device("name=a.b/c,required=false") == Device("a.b/c")
    for text in ("a/b,name=c/d", "a/b,c/d", "required=x", ""):
        with pytest.raises(ValueError):
            parse_device(text)
