"""--chown as a value."""

from __future__ import annotations

import pytest

from slimstage.build.owners import parse_owner
from slimstage.errors import PlanError

PASSWD = b"root:x:0:0::/:/bin/sh\nuser:x:1000:2000::/:/bin/sh\n"
GROUP = b"root:x:0:\nstaff:x:50:\n"
FILES = {"/etc/passwd": PASSWD, "/etc/group": GROUP}


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("1000", (1000, 1000)),
        ("1000:1", (1000, 1)),
        ("1000:", (1000, 0)),
        ("user", (1000, 2000)),
        ("user:", (1000, 0)),
        ("user:staff", (1000, 50)),
        ("7:staff", (7, 50)),
        (":staff", (0, 50)),
        (":", (0, 0)),
        ("user:9", (1000, 9)),
    ],
)
def test_owners_come_from_the_destinations_files(text: str, want: tuple[int, int]) -> None:
    assert parse_owner(text, FILES.get) == want


@pytest.mark.parametrize("text", ["nobody", "user:nobody"])
def test_a_name_that_the_files_do_not_have_is_an_error(text: str) -> None:
    with pytest.raises(PlanError):
        parse_owner(text, FILES.get)


def test_without_passwd_every_name_is_root() -> None:
    assert parse_owner("user:staff", lambda _path: None) == (0, 0)


def test_a_group_is_as_if_not_given_where_there_is_no_group_file() -> None:
    assert parse_owner("5:staff", lambda _: None) == (5, 5)
    assert parse_owner("user:staff", lambda _: None) == (0, 0)


def test_where_nothing_is_below_there_are_numbers_only() -> None:
    assert parse_owner("5:6", None) == (5, 6)
    for text in ("user", "5:staff"):
        with pytest.raises(PlanError, match="cannot look up"):
            parse_owner(text, None)


@pytest.mark.parametrize("text", ["4294967296", "2147483648", "1:4294967296"])
def test_ids_that_would_wrap_are_refused(text: str) -> None:
    with pytest.raises(PlanError, match="out of range"):
        parse_owner(text, FILES.get)
