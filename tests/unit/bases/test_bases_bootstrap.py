"""How mmdebstrap is called and understood; a script stands in its place, so nothing is downloaded."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from slimstage.bases.aptsources import AptSources
from slimstage.bases.bootstrap import NO_ROOM, doing_of, explained, make_system, mmdebstrap_arguments
from slimstage.bases.debian import parse_debian
from slimstage.errors import Interrupted, PlanError, SandboxError
from slimstage.oci.descriptor import Platform

AMD64 = Platform("linux", "amd64")
SPEC = parse_debian("debian://bookworm?include=python3,ca-certificates&link=python3:py")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a shell script where mmdebstrap is looked for."""

    def put(script: str) -> None:
        path = tmp_path / "bin" / "mmdebstrap"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")

    return put


def make(work: Path, cancel: threading.Event | None = None) -> tuple[bytes, list[str]]:
    """What the tar was, and what was said."""
    taken: list[bytes] = []
    said: list[str] = []

    def take(stream: IO[bytes]) -> None:
        taken.append(stream.read())

    make_system(SPEC, AMD64, take, said.append, str(work), cancel)
    return b"".join(taken), said


def test_the_tar_is_handed_over_and_phases_are_told_in_few_words(
    program: Callable[[str], None], tmp_path: Path
) -> None:
    program(
        "echo 'I: using /tmp/mmdebstrap.x as tempdir' >&2; echo 'W: something unsandboxed' >&2\n"
        "echo 'I: downloading packages with apt...' >&2; echo 'I: creating tarball...' >&2; printf TAR"
    )
    assert make(tmp_path) == (b"TAR", ["downloading packages", "taking the files over"])


def test_times_are_clamped_and_the_work_directory_is_ours(program: Callable[[str], None], tmp_path: Path) -> None:
    program('printf "%s %s" "$SOURCE_DATE_EPOCH" "$LC_ALL"')
    assert make(tmp_path)[0] == b"1577836800 C.UTF-8"


def test_a_package_that_does_not_exist_is_named(program: Callable[[str], None], tmp_path: Path) -> None:
    program("echo 'E: Unable to locate package pyton3' >&2; exit 25")
    with pytest.raises(PlanError, match='no package "pyton3" in Debian bookworm'):
        make(tmp_path)


def test_what_takes_the_tar_may_fail_and_its_error_is_the_one(program: Callable[[str], None], tmp_path: Path) -> None:
    program("printf TAR")

    def refuse(stream: IO[bytes]) -> None:
        raise ValueError("not a tar")

    with pytest.raises(ValueError, match="not a tar"):
        make_system(SPEC, AMD64, refuse, lambda doing: None, str(tmp_path))


def test_a_failure_of_the_program_explains_a_tar_that_is_cut_off(
    program: Callable[[str], None], tmp_path: Path
) -> None:
    program("printf T; echo 'E: apt-get failed' >&2; exit 25")

    def cut(stream: IO[bytes]) -> None:
        stream.read()
        raise ValueError("cut off")

    with pytest.raises(SandboxError, match="status 25") as caught:
        make_system(SPEC, AMD64, cut, lambda doing: None, str(tmp_path))
    assert caught.value.diagnostics[0].notes == ("E: apt-get failed",)


def test_calling_off_ends_the_program_and_all_that_it_started(program: Callable[[str], None], tmp_path: Path) -> None:
    program(f"sleep 600 & echo $! > {tmp_path}/child; echo 'I: extracting archives...' >&2; wait")
    cancel = threading.Event()

    def take(stream: IO[bytes]) -> None:
        stream.read()

    with pytest.raises(Interrupted):
        make_system(SPEC, AMD64, take, lambda doing: cancel.set(), str(tmp_path), cancel)
    with pytest.raises(ProcessLookupError):
        _wait_gone(int((tmp_path / "child").read_text()))


def _wait_gone(pid: int) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with open(f"/proc/{pid}/stat") if os.path.exists(f"/proc/{pid}/stat") else open(os.devnull) as file:
            if file.read().rpartition(")")[2].split()[:1] in ([], ["Z"]):
                raise ProcessLookupError(pid)
        time.sleep(0.02)


def test_without_the_program_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError) as caught:
        make(tmp_path)
    assert (caught.value.code, caught.value.hint) == ("no-mmdebstrap", "apt-get install mmdebstrap")


def test_the_command_line_holds_what_was_asked_for_and_the_mirror_of_the_host() -> None:
    sources = AptSources(("deb http://mirror/debian bookworm main",), "/keys/a.gpg")
    arguments = mmdebstrap_arguments(SPEC, "amd64", sources)
    assert "--include=ca-certificates,python3" in arguments
    assert "--keyring=/keys/a.gpg" in arguments
    assert "--dpkgopt=force-unsafe-io" in arguments
    assert arguments[-3:] == ["bookworm", "-", "deb http://mirror/debian bookworm main"]
    assert any("link 'python3' 'py'" in each for each in arguments)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("tar: cannot write: No space left on device", NO_ROOM),
        ("E: You don't have enough free space in /var/cache/apt/archives/.", NO_ROOM),
        ("E: setup failed", "mmdebstrap-failed"),
        ("E: Package 'nodejs' has no installation candidate", "no-such-package"),
        ("E: The repository 'http://m/debian bokworm Release' does not have a Release file.", "no-such-suite"),
        ("E: slimstage: there is no program go to link", "bad-base"),
    ],
)
def test_causes_that_are_known(line: str, code: str) -> None:
    assert explained(SPEC, 25, ["I: success", line]).code == code


def test_only_phases_are_told() -> None:
    assert doing_of("I: installing remaining packages inside the chroot...") == "installing packages"
    assert doing_of("I: automatically chosen mode: root") is None
    assert doing_of("W: downloading packages") is None
