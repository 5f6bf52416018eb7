"""Contexts with everything that a file system allows, and contexts that change while they are read."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from slimstage.store.files import remove_tree
from slimstage.store.store import Store
from support.building import Image, Project
from support.changing import be_rewritten_with_its_old_time, become_a_link, become_a_pipe, grow
from support.odd_tree import CAPABILITY, SPARSE_BYTES, Seen, link_groups, look, make_odd_tree
from support.registry import copy_image
from support.rootfs import has_busybox

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root for owners and capabilities")
pytestmark = [pytest.mark.root, root_only]
needs_readers = pytest.mark.skipif(shutil.which("umoci") is None, reason="needs umoci and skopeo")


def as_copied(seen: Seen, **changes: object) -> Seen:
    """What COPY makes of a file of the context: root's; all else is kept."""
    return replace(seen, uid=0, gid=0, **changes)  # type: ignore[arg-type] # fields by name


def unpack(tar: Path, place: Path) -> None:
    """By GNU tar, with all that it can keep."""
    place.mkdir()
    more = ["--xattrs", "--xattrs-include=*", "--same-owner", "--numeric-owner", "-p"]
    subprocess.run(["tar", "-xf", str(tar), "-C", str(place), *more], check=True)


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory with a short name: joined to a path of 4,000 bytes it must not be too long for umoci and tar."""
    place = tempfile.mkdtemp(prefix="o", dir="/tmp")
    yield Path(place)
    remove_tree(place)


@pytest.fixture
def odd(short: Path, project: Project) -> dict[bytes, Seen]:
    """The project's context is the odd tree; what COPY shall make of it."""
    project.path = short / "c"
    project.path.mkdir()
    make_odd_tree(project.path / "odd")
    project.dockerfile("FROM scratch\nCOPY odd/ /o/\n")
    return {path: as_copied(seen) for path, seen in look(project.path / "odd").items()}


def assert_same(got: Mapping[bytes, Seen], want: Mapping[bytes, Seen]) -> None:
    assert set(got) == set(want)
    assert {path: (got[path], want[path]) for path in want if got[path] != want[path]} == {}


@needs_readers
def test_an_oci_layout_of_an_odd_context_is_unpacked_by_umoci_as_the_context_is(
    short: Path, project: Project, odd: dict[bytes, Seen]
) -> None:
    project.build("-o", f"type=oci,tar=false,dest={short}/l", "-t", "odd:latest")
    Image.of(short / "l")
    subprocess.run(
        ["umoci", "unpack", "--image", f"{short}/l:latest", str(short / "u")], check=True, capture_output=True
    )
    files = short / "u/rootfs/o"
    assert_same(look(files), odd)
    assert odd[b"xattrs/capable"].capability == CAPABILITY
    assert link_groups(files) == link_groups(project.path / "odd")


def test_a_tar_of_an_odd_context_is_unpacked_by_gnu_tar_as_the_context_is(
    short: Path, project: Project, odd: dict[bytes, Seen]
) -> None:
    project.build("-o", f"type=tar,dest={short}/flat.tar")
    unpack(short / "flat.tar", short / "t")
    assert_same(look(short / "t/o"), odd)
    assert link_groups(short / "t/o") == link_groups(project.path / "odd")


def test_a_directory_of_an_odd_context_is_as_the_context_is(
    short: Path, project: Project, odd: dict[bytes, Seen]
) -> None:
    project.build("-o", f"type=local,dest={short}/f")
    # As with buildx, what is written for the user has no capabilities.
    assert_same(look(short / "f/o"), {path: replace(seen, capability=b"") for path, seen in odd.items()})
    assert link_groups(short / "f/o") == link_groups(project.path / "odd")
    for place in (short / "f/o/sparse", next((project.root / "layers").glob("*/fs/o/sparse"))):
        assert place.stat().st_size == SPARSE_BYTES
        assert place.stat().st_blocks * 512 < 1 << 20, "the hole was filled"


@needs_readers
def test_skopeo_carries_an_odd_context_to_an_archive_that_is_loaded_as_it_was(
    short: Path, project: Project, odd: dict[bytes, Seen]
) -> None:
    project.build("-o", f"type=oci,dest={short}/image.tar,compression=uncompressed", "-t", "odd:1")
    copy_image(f"oci-archive:{short}/image.tar", f"docker-archive:{short}/docker.tar:odd:2")
    project.run("load", "-i", short / "docker.tar", root=short / "s")
    project.dockerfile("FROM odd:2\n")
    project.build("-o", f"type=tar,dest={short}/flat.tar", root=short / "s")
    unpack(short / "flat.tar", short / "t")
    assert_same(look(short / "t/o"), odd)


def test_odd_files_keep_what_they_are_from_archive_to_stage_to_stage_and_the_store_forgets_them(
    short: Path, project: Project, odd: dict[bytes, Seen]
) -> None:
    """With owners beyond 2^31, which only an archive or a step can give."""
    for folder, directories, files, fd in os.fwalk(os.fsencode(project.path / "odd")):
        del folder
        for name in (*directories, *files):
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            os.chown(name, 2**32 - 2, 2**31 + 7, dir_fd=fd, follow_symlinks=False)
            if not stat.S_ISLNK(status.st_mode):
                os.chmod(name, status.st_mode & 0o7777, dir_fd=fd)
    source = str(project.path / "odd")
    subprocess.run(
        ["tar", "--format=posix", "--numeric-owner", "-C", source, "-cf", str(project.path / "odd.tar"), "."],
        check=True,
    )
    shutil.rmtree(project.path / "odd", ignore_errors=True)
    project.dockerfile("FROM scratch AS one\nADD odd.tar /o/\nFROM scratch\nCOPY --from=one /o/ /p/\n")
    project.build("-o", f"type=tar,dest={short}/flat.tar", "-t", "odd:1")
    unpack(short / "flat.tar", short / "t")
    want = {path: replace(seen, uid=2**32 - 2, gid=2**31 + 7, capability=b"") for path, seen in odd.items()}
    assert_same(look(short / "t/p"), want)
    again = project.document("-t", "odd:1")
    assert {step["status"] for step in again["steps"]} == {"cached"}
    project.run("rmi", "odd:1")
    project.run("prune", "--all")
    with Store.open(project.root) as store:
        assert list(store.snapshots.list()) == []
    assert project.run("doctor", "--json", status=None).json()["store"]["findings"] == []


# Many names of one file -------------------------------------------------------------------------------------------


@pytest.fixture
def memory_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs: it has no limit of names for a file, ext4 has one of 65,000."""
    place = tmp_path / "memory"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256m,nr_inodes=400k", "odd", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
def test_a_file_with_a_hundred_thousand_names(tmp_path: Path, memory_disk: Path, project: Project) -> None:
    count = 100_000
    project.path = memory_disk / "context"
    (project.path / "many").mkdir(parents=True)
    first = project.write("many/0", "one file of many names")
    first.chmod(0o4751)
    for number in range(1, count):
        os.link(first, project.path / f"many/{number}")
    project.dockerfile("FROM scratch AS one\nCOPY many/ /many/\nFROM scratch\nCOPY --from=one /many/ /more/\n")
    project.build("-o", f"type=local,dest={tmp_path}/out")
    names = os.listdir(tmp_path / "out/more")
    assert len(names) == count
    statuses = [os.stat(tmp_path / "out/more" / name) for name in names]
    assert {(status.st_size, status.st_mode & 0o7777) for status in statuses} == {(22, 0o4751)}
    assert (tmp_path / "out/more/99999").read_text() == "one file of many names"
    # Where the disk allows no more names of a file, a few copies take them.
    assert len({status.st_ino for status in statuses}) <= 4
    assert project.run("prune", "--all").status == 0


# Contexts that change ---------------------------------------------------------------------------------------------


def vanish(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("change", [grow, vanish, become_a_link, become_a_pipe, be_rewritten_with_its_old_time])
@pytest.mark.skipif(not has_busybox(), reason="needs Debian's busybox-static")
def test_a_file_that_changes_while_the_build_runs_is_named(
    project: Project, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    victim = project.write("files/deep/er/file", "abcdefgh" * 20_000)
    project.write("files/other", "x")
    wait = (
        "RUN --mount=type=cache,id=go,target=/go touch /go/here; while [ ! -e /go/on ]; do sleep 0.01; done; rm /go/on"
    )
    project.dockerfile(f"FROM base\nCOPY files/other /early\n{wait}\nCOPY files/ /files/\nCOPY files/other /late\n")
    build = subprocess.Popen(
        [sys.executable, "-m", "slimstage", "build", "--progress=plain", "--build-context",
         f"base=oci-layout://{project.base}", "-o", f"type=local,dest={tmp_path}/out", "."],
        cwd=project.path, env={**os.environ, "SLIMSTAGE_ROOT": str(project.root)}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (here := list(project.root.glob("caches/*/0/fs/here"))):
        assert build.poll() is None, build.communicate()
        time.sleep(0.01)  # until the step has begun
    change(victim)
    here[0].with_name("on").touch()
    _, errors = build.communicate(timeout=100)
    assert build.returncode == 0, errors
    (warning,) = [line for line in errors.splitlines() if "context-changed" in line]
    assert ('"files/deep/er/"' if change is vanish else '"files/deep/er/file"') in warning
    assert "line 4" in warning
    # What is copied is one state of the file, whole.
    copied = tmp_path / "out/files/deep/er/file"
    assert os.listdir(copied.parent) == os.listdir(victim.parent)
    if not victim.is_symlink() and victim.is_file():
        assert copied.read_bytes() == victim.read_bytes()


def test_a_file_that_did_not_change_is_not_named(project: Project) -> None:
    project.write("f", "just written")
    project.dockerfile("FROM scratch\nCOPY f /f\n")
    assert "context-changed" not in project.build("-t", "made:1").err


def test_what_a_changed_file_left_in_the_cache_is_not_taken_for_the_new_one(tmp_path: Path, project: Project) -> None:
    victim = project.write("f", "a" * 5000)
    project.dockerfile("FROM scratch\nCOPY f /f\n")
    for number, text in enumerate(("a" * 5000, "b" * 5000, "a" * 5000, "c" * 5000)):
        status = victim.stat()
        victim.write_text(text)
        os.utime(victim, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert project.layout(f"layout{number}").read("f").decode() == text
