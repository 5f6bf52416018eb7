"""System calls of slimstage's own processes fail: an error is told, the store stays sound, the next build is equal."""

from __future__ import annotations

import errno
import os
import random
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from slimstage.store.doctor import examine
from slimstage.store.store import Store
from support.building import Image, Project
from support.command import Done
from support.faults import CHANGING, Injector, fault_library, injector, unsound
from support.rootfs import needs_sandbox

__all__ = ["fault_library", "injector"]
pytestmark = needs_sandbox

ROUNDS = int(os.environ.get("SLIMSTAGE_TEST_FAULTS", "4"))
"""Of each kind below; some hundred find more, and take as many seconds."""

DOCKERFILE = """\
FROM base AS make
COPY files/ /src/
RUN --mount=type=cache,target=/cache cat /bin/busybox > /big && rm -r /home
WORKDIR /made
FROM base
COPY weights /w
RUN cp /w /w2 && echo x >> /w2
COPY --from=make /big /src /made/
"""


@dataclass(frozen=True)
class Whole:
    project: Project
    digest: str


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, busybox: Path) -> Whole:
    top = tmp_path_factory.mktemp("injected")
    project = Project.new(top, busybox, "--reproducible")
    project.dockerfile(DOCKERFILE)
    for number in range(20):
        project.write(f"files/{number}", f"file {number}\n" * number)
    project.write("weights", os.urandom(300_000))
    return Whole(project, project.layout("wanted").digest)


def build(project: Project, place: Path, status: int | None, **more: object) -> Done:
    outputs = ("-o", "type=image", "-o", f"type=oci,tar=false,dest={place}")
    return project.build("-t", "it", *outputs, status=status, **more)


KINDS = {
    "EIO while writing": (CHANGING, (errno.EIO,), 1),
    "no room for one call": (CHANGING, (errno.ENOSPC, errno.EDQUOT), 1),
    "no room from then on": (("write", "create", "mkdir", "link", "symlink", "mknod"), (errno.ENOSPC,), 10**9),
    "EIO while reading": (("open", "read"), (errno.EIO,), 1),
    "no descriptor from then on": (("open", "create"), (errno.EMFILE,), 10**9),
    "a disk that is gone": ((*CHANGING, "open", "read", "unlink"), (errno.EIO,), 10**9),
    "syncs and renames": (("fsync", "rename"), (errno.EIO,), 1),
}


@pytest.mark.parametrize("kind", KINDS)
def test_any_call_may_fail(kind: str, tmp_path: Path, whole: Whole, injector: Injector) -> None:
    calls, errors, count = KINDS[kind]
    chance = random.Random(kind)
    total = calls_of_a_build(tmp_path, whole, injector, *calls)
    assert total > ROUNDS
    for number in range(ROUNDS):
        project, place = whole.project.on(tmp_path / f"root{number}"), tmp_path / f"out{number}"
        # Spread over the build, so that none of its parts is left out.
        at, error = chance.randint(total * number // ROUNDS + 1, total * (number + 1) // ROUNDS), chance.choice(errors)
        env = injector.env(project.root, *calls, error=error, at=at, count=count)
        done = build(project, place, None, env=env)
        what = f"{errno.errorcode[error]} at {at}: {injector.failed}\n{done.err[-1500:]}"
        assert done.status in (0, 3), what
        assert "internal" not in done.err, what
        if done.status == 0:  # it was one that the result does not depend on
            assert Image.of(place).digest == whole.digest, what
        else:
            assert len(re.findall(r"(?m)^(?:error|Dockerfile:\d+:\d+): ", done.err)) == 1, what
            assert not place.exists(), what
        if (project.root / "version").exists():
            if count > 1:
                # Where nothing can be opened nothing can be removed either: that is left to a repair.
                with Store.open(project.root) as store:
                    findings = examine(store, repair=True)
                    assert {finding.code for finding in findings} <= {"dead-session", "stale-lock"}, what
            assert unsound(project.root) == [], what
        again = tmp_path / f"again{number}"
        build(project, again, 0)
        assert Image.of(again).digest == whole.digest, what
        assert unsound(project.root) == [], what
        for path in (project.root, place, again):
            shutil.rmtree(path, ignore_errors=True)


def calls_of_a_build(tmp_path: Path, whole: Whole, injector: Injector, *calls: str) -> int:
    project = whole.project.on(tmp_path / "counted")
    build(project, tmp_path / "counted-out", 0, env=injector.env(project.root, *calls))
    shutil.rmtree(project.root)
    return injector.count


def test_no_sync_of_a_blob_is_swallowed(tmp_path: Path, whole: Whole, injector: Injector) -> None:
    syncs = calls_of_a_build(tmp_path, whole, injector, "fsync")
    told = 0
    for at in range(1, syncs + 1, max(1, syncs // 6)):
        project = whole.project.on(tmp_path / f"root{at}")
        done = build(
            project, tmp_path / f"out{at}", None, env=injector.env(project.root, "fsync", error=errno.EIO, at=at)
        )
        if "/blob-" in injector.failed:
            told += 1
            assert done.status == 3, injector.failed
            assert "keep a blob: the disk failed" in done.err
    assert told


def test_an_archive_is_not_left_half_written(tmp_path: Path, whole: Whole, injector: Injector) -> None:
    place = tmp_path / "out"
    place.mkdir()
    env = injector.env(place, "write", error=errno.EIO, at=3)
    done = whole.project.build("-o", f"type=oci,dest={place}/it.tar", status=3, env=env)
    assert injector.failed.startswith("write ")
    assert f'io-error: write the archive "{place}/it.tar": the disk failed' in done.err
    assert os.listdir(place) == []


def test_a_file_system_without_symlinks_is_refused(tmp_path: Path, whole: Whole, injector: Injector) -> None:
    # As vfat does; few kernels of build machines have it.
    project = whole.project.on(tmp_path / "root")
    done = build(
        project, tmp_path / "out", 3, env=injector.env(project.root, "symlink", error=errno.EPERM, at=1, count=9)
    )
    assert f'bad-file-system: the store "{project.root}" is on a file system that cannot hold symlinks' in done.err
    assert "ext4, xfs, btrfs or tmpfs" in done.err
    assert unsound(project.root) == []
    build(project, tmp_path / "again", 0)


def test_a_host_that_refuses_overlays_gets_copies(tmp_path: Path, whole: Whole) -> None:
    # A kernel without overlayfs cannot be had here: the one refusal is put in its place, all else is real.
    project = whole.project.on(tmp_path / "root")
    script = tmp_path / "without.py"
    script.write_text(
        "import sys\n"
        "from slimstage.sandbox import native\n"
        "from slimstage.sandbox.refusal import sandbox_error\n"
        "run = native.NativeSandbox.start\n"
        "def start(self, spec, *rest, **more):\n"
        "    if type(spec.root).__name__ == 'OverlayRoot':\n"
        "        raise sandbox_error('mount the root as an overlay', 19)\n"
        "    return run(self, spec, *rest, **more)\n"
        "native.NativeSandbox.start = start\n"
        "from slimstage.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, script, "build", "--reproducible", "--build-context", f"base=oci-layout://{project.base}",
         "-o", f"type=oci,tar=false,dest={tmp_path}/out", "."],
        cwd=project.path, env={**os.environ, "SLIMSTAGE_ROOT": str(project.root)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("plain-copies") == 1
    assert Image.of(tmp_path / "out").digest == whole.digest
    assert not (project.root / "plain").exists()
