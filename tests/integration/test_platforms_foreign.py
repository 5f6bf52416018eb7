"""Steps, containers and Debian systems of an architecture that is not this host's, with an emulator and without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from functools import cache
from pathlib import Path

import pytest

from slimstage.oci.descriptor import host_platform
from slimstage.sandbox.emulation import MACHINES, runs
from support.building import Project
from support.command import slimstage
from support.emulation import entry, run_with, why_not

FOREIGN = "arm64" if host_platform().architecture != "arm64" else "riscv64"
PLATFORM = f"linux/{FOREIGN}"
DEBIAN = "debian://bookworm?variant=custom&include=busybox-static,ca-certificates"
DOCKERFILE = """\
FROM box AS made
WORKDIR /made
RUN ["/usr/bin/busybox", "sh", "-c", "busybox uname -m > arch; busybox uname -m; exit $(busybox id -u)"]
FROM scratch
COPY --from=made /made/arch /arch
"""
pytestmark = pytest.mark.root


@cache
def is_foreign_runnable() -> bool:
    return runs([FOREIGN])[FOREIGN].is_runnable


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Debian system for the foreign platform with busybox: a layout, made where no emulator is."""
    place = tmp_path_factory.mktemp("foreign")
    (place / "Dockerfile").write_text("FROM box\n")
    layout = place / "layout"
    words = ["--build-context", f"box={DEBIAN}", "--platform", PLATFORM, "-o", f"type=oci,tar=false,dest={layout}"]
    done = slimstage("build", *words, ".", cwd=place)
    if not is_foreign_runnable():
        assert f'debian://bookworm for "{PLATFORM}" is unpacked and not configured' in done.err
        assert "good to copy from and to copy into" in done.err
    return layout


@pytest.fixture
def foreign(project: Project, box: Path) -> Project:
    project.dockerfile(DOCKERFILE)
    project.more = ("--build-context", f"box=oci-layout://{box}", "--platform", PLATFORM)
    return project


def emulated(project: Project, *words: object) -> subprocess.CompletedProcess[bytes]:
    """The command on the project's store, where programs of the foreign platform run."""
    if reason := why_not():
        pytest.skip(reason)
    command = [sys.executable, "-m", "slimstage", "--root", project.root, *words]
    return run_with([entry(FOREIGN)], command, env={**os.environ, "NO_COLOR": "1"}, cwd=project.path)


def needs_none() -> None:
    if is_foreign_runnable():
        pytest.skip(f"programs for {PLATFORM} run on this host: nothing is refused")


def test_a_foreign_run_is_refused_before_anything_runs(foreign: Project) -> None:
    needs_none()
    foreign.write("Dockerfile", DOCKERFILE.replace("FROM scratch\n", 'RUN ["/more"]\nFROM scratch\n'))
    done = foreign.build(status=3)
    assert f'Dockerfile:3:1: no-emulation: RUN steps for "{PLATFORM}" cannot run on this host' in done.err
    assert "1 more RUN step for it would follow" in done.err
    assert "apt-get install qemu-user-static binfmt-support" in done.err
    assert f"tonistiigi/binfmt --install {FOREIGN}" in done.err
    assert "--platform=$BUILDPLATFORM" in done.err
    assert "WORKDIR" not in done.err


def test_stages_without_run_need_no_emulator(foreign: Project) -> None:
    needs_none()
    foreign.dockerfile("FROM box\nWORKDIR /w\nCOPY Dockerfile .\nADD Dockerfile /added\n")
    assert foreign.document()["platform"] == PLATFORM


def test_an_emulated_run_gives_an_image_that_its_cache_gives_without_an_emulator(
    foreign: Project, tmp_path: Path
) -> None:
    context = ["build", *foreign.more, "--progress", "plain"]
    done = emulated(foreign, *context, "-o", f"type=local,dest={tmp_path}/out", ".")
    assert done.returncode == 0, done.stderr.decode()
    machine = {"arm64": "aarch64"}.get(FOREIGN, FOREIGN)
    assert (tmp_path / "out/arch").read_text() == f"{machine}\n"
    # What is cached needs no emulator: another machine may have done it.
    document = foreign.document("-o", f"type=local,dest={tmp_path}/cached")
    assert [step["status"] for step in document["steps"] if step["instruction"].startswith("RUN")] == ["cached"]
    assert (tmp_path / "cached/arch").read_text() == f"{machine}\n"


def test_a_container_of_a_foreign_image_runs_where_its_programs_do(foreign: Project, tmp_path: Path) -> None:
    foreign.dockerfile('FROM box\nCMD ["/usr/bin/busybox", "uname", "-m"]\n')
    if not is_foreign_runnable():
        foreign.build("-t", "box:1", root=tmp_path / "host")
        refused = foreign.run("run", "--rm", "box:1", status=3, root=tmp_path / "host")
        assert f'image "box:1" is for "{PLATFORM}", which does not run on this host' in refused.err
        assert "binfmt" in refused.err
    # The layers of a store are made by one user namespace's rules: this one has a store of its own.
    built = emulated(foreign, "build", *foreign.more, "-t", "box:1", ".")
    assert built.returncode == 0, built.stderr.decode()
    done = emulated(foreign, "run", "--rm", "box:1")
    assert done.stdout.decode().split() == [{"arm64": "aarch64"}.get(FOREIGN, FOREIGN)], done.stderr.decode()


def test_an_unpacked_system_has_users_certificates_and_a_list_of_its_packages(box: Path) -> None:
    needs_none()
    (entry_,) = json.loads((box / "index.json").read_text())["manifests"]
    manifest = json.loads((box / "blobs" / entry_["digest"].replace(":", "/")).read_text())
    (layer,) = manifest["layers"]
    with tarfile.open(box / "blobs" / layer["digest"].replace(":", "/")) as tar:

        def read(name: str) -> str:
            stream = tar.extractfile(name)
            assert stream
            return stream.read().decode()

        status = read("var/lib/dpkg/status")
        assert "Package: busybox-static\nStatus: install ok unpacked\n" in status
        assert f"Architecture: {FOREIGN}\n" in status
        assert "/usr/share/doc/busybox-static/copyright\n" in read("var/lib/dpkg/info/busybox-static.list")
        assert read("etc/ssl/certs/ca-certificates.crt").count("BEGIN CERTIFICATE") > 50
        assert tar.getmember("bin").linkname == "usr/bin"
        assert not [name for name in tar.getnames() if name.endswith(".deb")]


def test_doctor_says_of_each_platform_whether_it_runs(project: Project) -> None:
    found = {each["name"]: each for each in project.run("doctor", "--quick", "--json").json()["host"]}
    assert found[f"run linux/{host_platform().architecture}"]["is_available"]
    for name in MACHINES:
        each = found[f"run linux/{name}"]
        assert not each["is_required"]
        assert each["is_available"] or "--install" in each["hint"]
    done = emulated(project, "doctor", "--quick", "--json")
    told = {each["name"]: each for each in json.loads(done.stdout)["host"]}
    assert told[f"run {PLATFORM}"]["is_available"]
    assert "qemu" in told[f"run {PLATFORM}"]["detail"]
