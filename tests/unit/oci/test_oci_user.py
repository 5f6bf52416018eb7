"""USER: names, numbers and groups, resolved as runc does it."""

from __future__ import annotations

import pytest

from slimstage.errors import PlanError
from slimstage.oci.user import Identity, group_id, resolve_user

PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:App:/home/app:/bin/sh\n# comment\nbroken\nnohome:x:7:7\n"
GROUP = "root:x:0:\nwheel:x:10:root,app\napp:x:1001:\ndocker:x:998:app\n"


def resolve(spec: str) -> Identity:
    return resolve_user(spec, PASSWD, GROUP)


def test_nobody_named_is_root_with_its_groups() -> None:
    assert resolve("") == Identity(0, 0, (0, 10), "/root")


def test_a_name_has_its_own_group_and_the_groups_that_name_it() -> None:
    assert resolve("app") == Identity(1000, 1001, (1001, 10, 998), "/home/app")


def test_a_number_with_an_entry_is_that_user() -> None:
    assert resolve("1000") == resolve("app")


def test_a_number_without_an_entry_has_group_zero_and_no_others() -> None:
    assert resolve("4242") == Identity(4242, 0, (0,), "/")


@pytest.mark.parametrize("spec", ["app:wheel", "app:10", "1000:wheel"])
def test_an_explicit_group_drops_the_supplementary_ones(spec: str) -> None:
    assert resolve(spec) == Identity(1000, 10, (10,), "/home/app")


def test_an_unknown_number_may_be_a_group() -> None:
    assert resolve("1:4242") == Identity(1, 4242, (4242,), "/")


def test_an_unknown_name_is_refused_with_a_near_one() -> None:
    with pytest.raises(PlanError) as caught:
        resolve("ap")
    assert caught.value.code == "unknown-user"
    assert caught.value.hint == 'did you mean "app"?'


def test_an_unknown_group_is_refused() -> None:
    with pytest.raises(PlanError, match='no group "whee"'):
        resolve("app:whee")


@pytest.mark.parametrize("spec", ["4294967296", "2147483648", "1:2147483648", "99999999999999999999999"])
def test_numbers_that_would_wrap_are_refused(spec: str) -> None:
    with pytest.raises(PlanError, match="out of range"):
        resolve(spec)


@pytest.mark.parametrize("spec", ["-1", "0x0", "1.5", "٣"])
def test_what_is_no_decimal_number_is_a_name(spec: str) -> None:
    with pytest.raises(PlanError, match="no user"):
        resolve(spec)


def test_without_files_numbers_work_and_names_do_not() -> None:
    assert resolve_user("12:13", None, None) == Identity(12, 13, (13,), "/")
    assert resolve_user("", None, None) == Identity(0, 0, (0,), "/")
    assert resolve_user("root", None, None) == Identity(0, 0, (0,), "/")
    with pytest.raises(PlanError):
        resolve_user("app", None, None)


def test_group_names_win_over_numbers() -> None:
    assert group_id("5", "5:x:99:\n") == 99
    assert group_id("5", None) == 5
