"""Values of flags: sizes, durations, limits, hosts, CSV."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimstage.cli.values import (
    one_of,
    parse_add_host,
    parse_bool,
    parse_cpus,
    parse_duration,
    parse_positive,
    parse_size,
    parse_ulimit,
    split_csv,
    split_pair,
)
from slimstage.errors import UsageError


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("1000", 1000), ("1k", 1024), ("512m", 512 << 20), ("1.5g", 3 << 29), ("64MiB", 64 << 20), ("2GB", 2 << 30),
     ("10b", 10), (" 7K ", 7168)],
)  # fmt: skip
def test_sizes_are_powers_of_1024_as_in_docker(text: str, size: int) -> None:
    assert parse_size(text, "--memory") == size


@pytest.mark.parametrize("text", ["", "m", "-1", "1x", "1 2", "0x10", "1e3", "1.g", "٣m"])
def test_what_is_no_size_is_refused_with_the_flag_named(text: str) -> None:
    with pytest.raises(UsageError, match="--memory"):
        parse_size(text, "--memory")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("24h", 86400), ("1h30m", 5400), ("7d", 604800), ("500ms", 0.5), ("1w", 604800)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text, "--older-than") == seconds


@pytest.mark.parametrize("text", ["", "24", "h", "1h 30m", "-1h", "1y", "1h30"])
def test_a_bare_number_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match="not a duration"):
        parse_duration(text, "--older-than")


@pytest.mark.parametrize(
    ("text", "wants"),
    [
        ("nofile=1024", ("nofile", 1024, 1024)),
        ("nofile=1024:2048", ("nofile", 1024, 2048)),
        ("core=-1", ("core", -1, -1)),
        ("core=0:unlimited", ("core", 0, -1)),
    ],
)
def test_ulimits(text: str, wants: tuple[str, int, int]) -> None:
    assert parse_ulimit(text) == wants


@pytest.mark.parametrize("text", ["nofile", "nofile=", "nofile=a", "nofile=2:1", "nofile=-1:5", "nofile=-2", "=1"])
def test_ulimits_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_ulimit(text)


def test_an_unknown_ulimit_names_the_near_one() -> None:
    with pytest.raises(UsageError) as caught:
        parse_ulimit("nofiles=1")
    assert caught.value.hint == 'did you mean "nofile"?'


@pytest.mark.parametrize(
    ("text", "wants"),
    [
        ("mirror:10.0.0.1", ("mirror", "10.0.0.1")),
        ("mirror=10.0.0.1", ("mirror", "10.0.0.1")),
        ("a.b-c:[::1]", ("a.b-c", "::1")),
        ("v6:fe80::1", ("v6", "fe80::1")),
    ],
)
def test_hosts(text: str, wants: tuple[str, str]) -> None:
    assert parse_add_host(text) == wants


@pytest.mark.parametrize(
    "text",
    ["mirror", "mirror:", ":10.0.0.1", "mirror:10.0.0", "mirror:host-gateway", "a b:1.1.1.1", "x:1.1.1.1\n2.2.2.2 y"],
)
def test_hosts_that_would_spoil_the_hosts_file_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_add_host(text)


def test_csv_has_quotes_like_gos() -> None:
    assert split_csv('type=image,"name=a,b",push=false', "--output") == ["type=image", "name=a,b", "push=false"]


@pytest.mark.parametrize("text", ["", ",", "a=b,", "a=b,,c=d", '"a=b', "a=b\nc=d", '"a"b'])
def test_csv_that_is_broken_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        split_csv(text, "--output")


@given(st.text(max_size=40))
def test_no_text_makes_csv_fail_otherwise(text: str) -> None:
    try:
        assert split_csv(text, "--output")
    except UsageError:
        pass


def test_pairs_split_at_the_first_equals_sign() -> None:
    assert split_pair("a=b=c", "--label") == ("a", "b=c")
    assert split_pair("a=", "--label") == ("a", "")
    with pytest.raises(UsageError):
        split_pair("a", "--label")
    with pytest.raises(UsageError):
        split_pair("=a", "--label")


def test_booleans_are_gos() -> None:
    assert [parse_bool(text, "x") for text in ("true", "1", "T", "false", "0", "F")] == [True] * 3 + [False] * 3
    with pytest.raises(UsageError):
        parse_bool("yes", "x")


def test_one_of_names_what_there_is() -> None:
    with pytest.raises(UsageError) as caught:
        one_of("plian", ("plain", "tty"), "--progress")
    assert "plain, tty" in str(caught.value)
    assert caught.value.hint == 'did you mean "plain"?'


@pytest.mark.parametrize("text", ["0", "-3", "two", ""])
def test_jobs_are_at_least_one(text: str) -> None:
    with pytest.raises(UsageError, match="--jobs"):
        parse_positive(text, "--jobs")


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "many"])
def test_cpus_are_a_positive_number(text: str) -> None:
    with pytest.raises(UsageError, match="--cpus"):
        parse_cpus(text)
    assert parse_cpus("1.5") == 1.5
