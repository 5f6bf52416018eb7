"""Every system call, made in a step: the kernel's answer beside the one in a container of Docker's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slimstage.sandbox.seccomp_numbers import numbers
from support.escape import BACKENDS, answers, compile_probe
from support.escape_seccomp import DIFFERENCES, DOCKER
from support.rootfs import Bench, make_rootfs, needs_sandbox

pytestmark = [
    *needs_sandbox,
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="Docker's answers were taken on x86_64"),
]

_CALLS = range(471)
_REFUSED = {"1": "EPERM", "38": "ENOSYS"}
_NEWER = range(467, 471)
"""Newer than Docker's list and than ours; which answer they get depends on the age of libseccomp."""
_UNKNOWN_TO_OLD_RUNC = range(447, 471)
"""runc answers ENOSYS for what its libseccomp has no name of."""
_BY_WIDTH = {"personality"}
"""Docker compares -1 in 64 bits, we in 32, as the kernel does."""
_WAITS = {("i386", 72)}
"""sigsuspend, which -1 tells to wait with every signal blocked. Docker and we refuse it."""


@pytest.fixture(scope="module", params=BACKENDS)
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    base = tmp_path_factory.mktemp("calls")
    return Bench(BACKENDS[request.param](), base, make_rootfs(base / "lower"))


@pytest.mark.parametrize(("architecture", "bits"), [("x86_64", 64), ("i386", 32)])
def test_each_call_is_answered_as_in_a_container_of_docker(bench: Bench, architecture: str, bits: int) -> None:
    probe = compile_probe(bench.lower / f"probe{bits}", bits=bits)
    calls = [f"/{probe.name}", *map(str, _CALLS)]
    assert bench.run(*calls).status == 0, bench.err
    ours = answers(bench.out.decode())
    waits = {number for machine, number in _WAITS if machine == architecture}
    bench.run(calls[0], *(str(number) for number in _CALLS if number not in waits), is_privileged=True)
    unfiltered = answers(bench.out.decode())
    absent = {number for number, answer in unfiltered.items() if answer == "38"}  # this kernel does not have them
    names = {number: name for name, number in numbers(architecture).items()}
    docker = {number: what for what, calls in DOCKER["answers"][architecture].items() for number in calls}
    differing = {
        (number, names.get(number, "?")): (docker.get(number, "made"), _REFUSED.get(ours[number], "made"))
        for number in _CALLS
        if number not in absent
        and number not in _NEWER
        and names.get(number) not in {*DIFFERENCES, *_BY_WIDTH}
        and docker.get(number, "made") != _REFUSED.get(ours[number], "made")
        and not (bench.sandbox.name == "runc" and ours[number] == "38" and number in _UNKNOWN_TO_OLD_RUNC)
    }
    assert differing == {}
    assert len(absent) < 130, "the probe has to have reached the kernel"


@pytest.mark.parametrize("family", [12, 38, 40])
@pytest.mark.parametrize("high", [0, 1 << 32])
def test_sockets_into_the_kernel_and_the_hypervisor_are_refused(bench: Bench, family: int, high: int) -> None:
    """CVE-2026-31431 wrote into the page cache by AF_ALG; AF_VSOCK is the way to the hypervisor."""
    probe = compile_probe(bench.lower / "probe64")
    number = numbers("x86_64")["socket"]
    assert bench.run(f"/{probe.name}", f"{number}:{family | high}:1:0", f"{number}:1:1:0").status == 0
    assert bench.out.decode().split("\n")[:2] == [f"{number} 1", f"{number} 0"]


@pytest.mark.parametrize("request_", [0x5412, 0x541C])
@pytest.mark.parametrize("high", [0, 1 << 32])
def test_typing_into_a_terminal_is_refused_whatever_the_high_bits(bench: Bench, request_: int, high: int) -> None:
    """CVE-2019-10063: the kernel reads 32 bits of the request, and a filter that compares 64 lets it through."""
    probe = compile_probe(bench.lower / "probe64")
    assert bench.run(f"/{probe.name}", f"16:0:{request_ | high}:0", "16:0:21523:0").status == 0
    assert bench.out.decode().split("\n")[0] == "16 1"
    assert bench.out.decode().split("\n")[1] in ("16 25", "16 14")  # TIOCGWINSZ: ENOTTY, it was asked


def test_the_probe_tells_refused_calls_from_made_ones(tmp_path: Path) -> None:
    bench = Bench(BACKENDS["native"](), tmp_path, make_rootfs(tmp_path / "lower"))
    probe = compile_probe(bench.lower / "probe")
    assert bench.run(f"/{probe.name}", "39", "165", "435", "0", "60", "34").status == 0
    assert answers(bench.out.decode()) == {39: "0", 165: "1", 435: "38", 0: "9", 60: "ended", 34: "ended"}
