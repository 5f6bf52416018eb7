"""The disk fills up at any moment: one clear error that names the place, nothing half done, and later the same image."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from support.building import Image, Project
from support.command import Done
from support.faults import unsound
from support.filesystems import MIB, fill, image, memory, used_bytes, used_inodes
from support.registry import copy_image, needs_registry, running_registry
from support.rootfs import needs_sandbox

pytestmark = needs_sandbox

DOCKERFILE = """\
FROM base AS make
COPY files/ /src/
RUN --mount=type=cache,target=/cache cat /bin/busybox > /cache/it && cat /cache/it > /big && rm -r /home
FROM base
COPY weights /w
RUN cp /w /w2 && echo x >> /w2
COPY --from=make /big /src /made/
"""
EMPTY_BYTES = 600_000
"""So little that not even the base can be brought in."""

NOT_ENOUGH = re.compile(r"the disk is full|no space left on device|I/O error", re.IGNORECASE)


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory: pytest.TempPathFactory, busybox: Path) -> Project:
    top = tmp_path_factory.mktemp("roomy")
    project = Project.new(top, busybox, "--reproducible")
    project.dockerfile(DOCKERFILE)
    for number in range(40):
        project.write(f"files/{number}", f"file {number}\n" * number)
    project.write("weights", os.urandom(1_200_000))
    return project


@pytest.fixture(scope="module")
def wanted(ordinary: Project) -> Image:
    return ordinary.layout("wanted", "-t", "it")


def build(project: Project, place: Path, *, status: int | None) -> Done:
    return project.build("-t", "it", "-o", "type=image", "-o", f"type=oci,tar=false,dest={place}", status=status)


def check_failed_well(done: Done, project: Project, place: Path) -> str:
    """The promises of a failure for want of room; returns the line that says what failed."""
    said = [line for line in done.err.splitlines() if not line.startswith("#")]
    assert done.status in (1, 3), done.err
    (said_full,) = [line for line in said if re.match(r"(error|Dockerfile:\d+:\d+): (disk-full|run-failed|bad-)", line)]
    assert ("run-failed" in said_full) == (done.status == 1)
    assert NOT_ENOUGH.search(done.err), done.err
    if done.status == 3:
        (note,) = [line for line in said if " free on the disk of " in line]
        assert f'free on the disk of "{project.root}"' in note
        assert "slimstage prune" in done.err
    assert not place.exists()
    assert list(place.parent.glob(f".{place.name}*")) == []
    assert not list(project.root.glob("tmp/*"))
    return said_full


KINDS_OF_WORK = ("write a blob", "of the layer cannot be written", "COPY", "run-failed")
"""In what the failures say: bringing the base and packing, unpacking it, copying, a step's own writing."""


def test_a_disk_too_small_by_any_amount(tmp_path: Path, ordinary: Project, wanted: Image) -> None:
    with memory(tmp_path / "measured", 200 * MIB) as place:
        build(ordinary.on(place / "root"), tmp_path / "all", status=0)
        needed = used_bytes(place)
    # Which work meets the full disk first depends on the machine's pace too: more amounts, until each kind did.
    failures: set[str] = set()
    gap = (needed - EMPTY_BYTES) // 11
    sizes = [size + gap * part // 4 for part in (0, 2, 1, 3) for size in range(EMPTY_BYTES, needed, gap)]
    with memory(tmp_path / "mounted", 1 * MIB) as place:
        for number, size in enumerate(sizes):
            if number >= 11 and all(any(kind in failure for failure in failures) for kind in KINDS_OF_WORK):
                break
            project = ordinary.on(place / f"root{number}")
            in_use = used_bytes(place)
            resize(place, in_use + size)
            done = build(project, tmp_path / f"out{number}", status=None)
            if done.status:
                failures.add(re.sub(r'"/[^"]*"', "PATH", check_failed_well(done, project, tmp_path / f"out{number}")))
            resize(place, in_use + 200 * MIB)
            assert unsound(project.root) == []
            build(project, tmp_path / f"again{number}", status=0)
            assert Image.of(tmp_path / f"again{number}").digest == wanted.digest
            assert unsound(project.root) == []
            subprocess.run(["rm", "-r", project.root], check=True)
    for part in KINDS_OF_WORK:
        assert any(part in failure for failure in failures), sorted(failures)


def resize(place: Path, size_bytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size_bytes}", str(place)], check=True)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_file_system_of_few_inodes(share: float, tmp_path: Path, ordinary: Project, wanted: Image) -> None:
    with memory(tmp_path / "measured", 200 * MIB) as place:
        build(ordinary.on(place / "root"), tmp_path / "all", status=0)
        needed = used_inodes(place)
    with memory(tmp_path / "mounted", 200 * MIB, inodes=int(needed * share)) as place:
        project = ordinary.on(place / "root")
        done = build(project, tmp_path / "out", status=3)
        check_failed_well(done, project, tmp_path / "out")
        subprocess.run(["mount", "-o", "remount,nr_inodes=100000", str(place)], check=True)
        assert unsound(project.root) == []
        build(project, tmp_path / "again", status=0)
        assert Image.of(tmp_path / "again").digest == wanted.digest


@pytest.mark.parametrize("left", [0, 300_000, 2_000_000])
def test_a_full_disk_of_blocks_and_a_prune_that_makes_room(
    left: int, tmp_path: Path, ordinary: Project, wanted: Image
) -> None:
    with image("ext4", tmp_path / "mounted", 48 * MIB) as place:
        project = ordinary.on(place / "root")
        build(project, tmp_path / "first", status=0)
        project.run("rm", "it")
        assert (project.root / "reserve").stat().st_blocks * 512 >= 2 * MIB
        ballast = fill(place, left)
        (project.path / "files/new").write_bytes(bytes(4_000_000))
        try:
            done = build(project, tmp_path / "out", status=None)
            check_failed_well(done, project, tmp_path / "out")
        finally:
            (project.path / "files/new").unlink()
        before = used_bytes(place)
        project.run("prune", "--all")
        assert before - used_bytes(place) > 4 * MIB
        assert unsound(project.root) == []
        # It has its reserve for the next time.
        assert (project.root / "reserve").stat().st_blocks * 512 >= 2 * MIB
        ballast.unlink()
        build(project, tmp_path / "again", status=0)
        assert Image.of(tmp_path / "again").digest == wanted.digest


@pytest.mark.parametrize("kind", ["oci", "docker", "tar", "local", "layout"])
@pytest.mark.parametrize("has_old", [False, True], ids=["new", "over an old one"])
def test_an_output_onto_a_full_disk(kind: str, has_old: bool, tmp_path: Path, ordinary: Project, wanted: Image) -> None:
    assert wanted.digest
    with memory(tmp_path / "small", 1 * MIB) as place:
        is_directory = kind in ("local", "layout")
        out = place / ("out" if is_directory else "out.tar")
        if has_old and not is_directory:
            out.write_text("old")
        spec = f"type=oci,tar=false,dest={out}" if kind == "layout" else f"type={kind},dest={out}"
        done = ordinary.build("-o", spec, status=3)
        assert "disk-full" in done.err
        assert f'free on the disk of "{out}"' in done.err
        if not is_directory:
            assert os.listdir(place) == (["out.tar"] if has_old else [])
            assert not has_old or out.read_text() == "old"
        elif kind == "layout":
            assert not out.exists() or not (out / "index.json").exists()
        subprocess.run(["mount", "-o", f"remount,size={50 * MIB}", str(place)], check=True)
        ordinary.build("-o", spec)
    assert unsound(ordinary.root) == []


def test_save_and_load_on_full_disks(tmp_path: Path, ordinary: Project, wanted: Image) -> None:
    assert wanted.digest
    whole = tmp_path / "whole.tar"
    ordinary.build("-t", "it")
    ordinary.run("save", "-o", whole, "it")
    with memory(tmp_path / "small", 1 * MIB) as place:
        done = ordinary.run("save", "-o", place / "it.tar", "it", status=3)
        assert "disk-full" in done.err
        assert f'free on the disk of "{place}/it.tar"' in done.err
        assert os.listdir(place) == []
        other = ordinary.on(place / "root")
        done = other.run("load", "-i", whole, status=3)
        assert f'free on the disk of "{other.root}"' in done.err
        assert other.run("images", "--json").json() in ([], {"images": []})
        subprocess.run(["mount", "-o", f"remount,size={50 * MIB}", str(place)], check=True)
        assert unsound(other.root) == []
        other.run("load", "-i", whole)
        assert other.run("run", "--rm", "it", "cat", "/made/3").out == "file 3\n" * 3


@needs_registry
def test_a_pull_onto_a_full_disk(tmp_path: Path, ordinary: Project) -> None:
    with running_registry(tmp_path / "registry") as host, memory(tmp_path / "small", EMPTY_BYTES) as place:
        copy_image(f"oci:{ordinary.base}:latest", f"docker://{host}/base:1")
        project = Project(tmp_path, place / "root", ordinary.base)
        project.dockerfile(f"FROM {host}/base:1\n")
        done = project.build(status=3)
        assert "disk-full" in done.err
        assert f'free on the disk of "{project.root}"' in done.err
        assert not list(project.root.glob("tmp/*"))
        subprocess.run(["mount", "-o", f"remount,size={50 * MIB}", str(place)], check=True)
        assert unsound(project.root) == []
        project.build()


def test_a_step_that_fills_its_own_tmpfs_is_told_of_it(ordinary: Project, tmp_path: Path) -> None:
    project = Project(tmp_path, ordinary.root, ordinary.base)
    project.dockerfile("FROM base\nRUN --mount=type=tmpfs,target=/t,size=65536 cat /bin/busybox > /t/x\n")
    done = project.build(status=1)
    assert "/dev/shm or a tmpfs mount of the step" in done.err
    assert f'free on the disk of "{project.root}"' in done.err
