"""Our seccomp list against Docker's, call by call: the same answer, or a difference that is named and explained."""

from __future__ import annotations

import random

import pytest

from slimstage.sandbox import capabilities
from slimstage.sandbox.runc import oci_config
from slimstage.sandbox.seccomp_profile import default_profile
from slimstage.sandbox.spec import PlainRoot, SandboxSpec
from support.escape_seccomp import DEFAULT, DIFFERENCES, DOCKER, PAGE, all_names, docker_allows, ours_allows, page

PROFILE = default_profile(DEFAULT)


@pytest.mark.parametrize("name", all_names())
def test_a_call_is_answered_as_by_docker_or_the_difference_is_explained(name: str) -> None:
    docker, ours = docker_allows(name), ours_allows(name, PROFILE)
    differs = docker != ours
    if name in DIFFERENCES and DIFFERENCES[name].docker.startswith("with "):
        differs = docker_allows(name, "CAP_SYS_ADMIN") != ours_allows(name, default_profile(capabilities.ALL))
    assert differs == (name in DIFFERENCES), (docker, ours)


@pytest.mark.parametrize("capability", capabilities.NAMES)
def test_a_capability_brings_the_calls_that_it_brings_with_docker(capability: str) -> None:
    nothing, mask = default_profile(0), capabilities.mask([capability])
    brought = default_profile(mask).allowed - nothing.allowed - set(DIFFERENCES)
    assert brought == set(DOCKER["with_capability"].get(capability, ())) - set(DIFFERENCES)
    assert default_profile(mask).conditional.keys() | {"clone"} == nothing.conditional.keys()


def test_no_difference_allows_what_docker_refuses() -> None:
    for name in all_names():
        if docker_allows(name) == "refused":
            assert ours_allows(name, PROFILE) == "refused", name


def test_the_page_is_what_the_lists_say() -> None:
    assert PAGE.read_text() == page(), "write it again: cd tests && python -m support.escape_seccomp"


@pytest.mark.parametrize("name", sorted(PROFILE.conditional))
def test_runc_is_told_the_same_condition_and_high_bits_do_not_matter(name: str) -> None:
    """runc compares all 64 bits unless a mask is given; the kernel reads 32 (CVE-2019-10063)."""
    config = oci_config(SandboxSpec(root=PlainRoot("/"), argv=("x",)))
    linux = config["linux"]
    assert isinstance(linux, dict)
    rules = [rule["args"] for rule in linux["seccomp"]["syscalls"] if rule["names"] == [name]]
    condition = PROFILE.conditional[name]
    numbers = {*condition.values, *range(64), *range(0x5400, 0x5430), 0x7E020000, 0xFFFFFFFF, 0x3D0F00}
    numbers |= {random.Random(7).getrandbits(32) for _ in range(200)}
    for number in numbers:
        for high in (0, 1 << 32, 0xFFFFFFFF << 32):
            told = any(_holds(argument, number | high) for (argument,) in rules)
            assert told == ((number & condition.mask in condition.values) != condition.is_negated), hex(number | high)


def _holds(argument: dict[str, int | str], value: int) -> bool:
    assert argument["op"] == "SCMP_CMP_MASKED_EQ"
    assert isinstance(argument["value"], int)
    return value & argument["value"] == argument["valueTwo"]
