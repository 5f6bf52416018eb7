"""Which ids a user namespace maps, and when one is needed."""

from __future__ import annotations

from slimstage.sandbox.rootless import IdRange, may_mount, own_mapping


def test_the_root_of_a_container_keeps_each_id_that_the_container_has() -> None:
    text = "         0     100000      65536\n     70000     200000          1\n"
    assert own_mapping(text) == (IdRange(0, 0, 65536), IdRange(70000, 70000, 1))


def test_root_needs_no_namespace_where_it_may_mount() -> None:
    assert may_mount("Name:\tpython3\nCapEff:\t000001ffffffffff\n")
    assert not may_mount("Name:\tpython3\nCapEff:\t00000000a80425fb\n")


def test_a_kernel_that_does_not_say_is_taken_to_allow_it() -> None:
    assert may_mount("Name:\tpython3\n")
