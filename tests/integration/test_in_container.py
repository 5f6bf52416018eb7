"""slimstage where it may not mount: an ordinary user's, a container's without privileges, its own `slimstage run`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

import slimstage as package
from support.command import slimstage
from support.rootfs import BUSYBOX, has_busybox

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("in-container")]

DOCKERFILE = """\
FROM scratch AS made
COPY --chown=7:8 busybox /bin/busybox
COPY tree /tree
RUN ["/bin/busybox", "rm", "/tree/gone"]
RUN ["/bin/busybox", "sh", "-c", "b=/bin/busybox; $b rm -r /tree/dir; $b mkdir /tree/dir; $b touch /tree/dir/new"]
RUN ["/bin/busybox", "chown", "11:12", "/tree/dir/new"]
RUN ["/bin/busybox", "sh", "-c", "b=/bin/busybox; ! $b cat /proc/[0-9]*/environ 2>/dev/null | $b grep -q M''ARKED"]
USER 21:22
RUN ["/bin/busybox", "sh", "-c", "/bin/busybox id -u"]
FROM scratch
COPY --from=made /tree /tree
"""
COPIES_ONLY = "FROM scratch AS a\nCOPY tree /tree\nFROM scratch\nCOPY --from=a /tree/dir /d\n"
REPRODUCIBLE = ("--progress=plain", "--no-cache", "--reproducible", "--build-arg", "SOURCE_DATE_EPOCH=0")
SOURCES = Path(package.__file__).resolve().parent.parent
LIBRARIES = Path(click.__file__).resolve().parent.parent
PYTHONPATH = f"{SOURCES}:{LIBRARIES}"
PYTHON = "/usr/bin/python3"
"""The system's own, which any user can run, with what the tests' environment has installed."""


@dataclass(frozen=True)
class Place:
    """A directory that any user may use, outside of pytest's own."""

    path: Path

    @property
    def context(self) -> Path:
        return self.path / "context"


@pytest.fixture(scope="module", autouse=True)
def _system_python() -> None:
    words = [PYTHON, "-c", "import sys; print(*sys.version_info[:2])"]
    if shutil.which("setpriv") is None or not has_busybox() or not os.access(PYTHON, os.X_OK):
        pytest.skip("needs setpriv, busybox-static and the system's Python")
    if subprocess.run(words, check=True, capture_output=True, text=True).stdout.split() != [
        *map(str, sys.version_info[:2])
    ]:
        pytest.skip("the system's Python is another version than the tests'")


@pytest.fixture
def place() -> Iterator[Place]:
    place = Place(Path(tempfile.mkdtemp(prefix="slimstage-in-", dir="/var/tmp")))
    place.path.chmod(0o755)
    (place.context / "tree/dir").mkdir(parents=True)
    for name in ("gone", "kept", "dir/old"):
        (place.context / "tree" / name).write_text(name)
    shutil.copy(BUSYBOX, place.context / "busybox")
    (place.context / "Dockerfile").write_text(DOCKERFILE)
    yield place
    shutil.rmtree(place.path, ignore_errors=True)


def build(root: Path, place: Place, *prefix: str, status: int = 0) -> tuple[str, str]:
    """(image ID, what was said) of a build by a process that `prefix` starts."""
    done = subprocess.run(
        [*prefix, PYTHON, "-P", "-m", "slimstage", "build", "--json", *REPRODUCIBLE, str(place.context)],
        check=False, capture_output=True, text=True, cwd="/",
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SLIMSTAGE_ROOT": str(root), "PYTHONPATH": PYTHONPATH},
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return (str(json.loads(done.stdout)["image_id"]) if not status else "", done.stderr)


def test_root_without_the_right_to_mount_builds_the_same_image_over_overlays(place: Place) -> None:
    want, _ = build(place.path / "root", place)
    got, said = build(place.path / "own", place, "setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin")
    assert got == want
    assert "plain-copies" not in said
    assert (place.path / "own/marks").read_text() == "a user namespace\n"


def test_a_store_whose_marks_cannot_be_seen_is_refused(place: Place) -> None:
    """To read on would bring back what was deleted."""
    build(place.path / "root", place)
    _, said = build(place.path / "root", place, "setpriv", "--bounding-set=-sys_admin", status=3)
    assert "store-of-others" in said
    assert "--root" in said


def test_an_ordinary_user_builds_over_overlays(place: Place) -> None:
    """Of ids only the user's own is mapped here, so the Dockerfile has no other."""
    if subprocess.run(["setpriv", "--reuid", "65534", "test", "-r", f"{SOURCES}/slimstage"], check=False).returncode:
        pytest.skip("other users cannot read this checkout")
    text = "".join(line + "\n" for line in DOCKERFILE.splitlines() if "USER" not in line and 'chown"' not in line)
    text = text.replace("--chown=7:8 ", "")
    (place.context / "Dockerfile").write_text(text)
    (place.path / "own").mkdir(mode=0o700)
    os.chown(place.path / "own", 65534, 65534)
    want, _ = build(place.path / "root", place)
    user = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    got, said = build(place.path / "own", place, *user)
    assert "plain-copies" not in said
    assert got == want


# In containers ----------------------------------------------------------------------------------------------------


def _mounts(place: Place) -> list[str]:
    """The host's programs and this checkout, as `-v` flags: an image that has Python and slimstage."""
    return [word for path in ("/usr", SOURCES, LIBRARIES) for word in ("-v", f"{path}:{path}:ro")] + [
        "-v",
        f"{place.context}:/workspace",
    ]


def _rootfs(at: Path) -> Path:
    for name in ("usr", "proc", "sys", "dev", "etc", "run", "tmp", "workspace", "var/lib/slimstage", "var/tmp"):
        (at / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        if Path("/", name).is_symlink():
            (at / name).symlink_to(os.readlink(Path("/", name)))
    (at / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    return at


def test_a_podman_container_without_privileges_builds_the_same_image(place: Place) -> None:
    want, _ = build(place.path / "root", place)
    top = place.path / "p"  # podman allows 50 characters for one of its paths
    runtime = ("--runtime", "runc") if shutil.which("runc") else ()
    volume = place.path / "volume"
    volume.mkdir()
    done = subprocess.run(
        ["podman", "--root", f"{top}/root", "--runroot", f"{top}/run", "--tmpdir", f"{top}/tmp",
         "--cgroup-manager", "cgroupfs", "--storage-driver", "vfs", *runtime, "run", "--rm", "--network", "none",
         "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1000:1000", *_mounts(place),
         "-v", f"{volume}:/var/lib/slimstage", "-e", f"PYTHONPATH={PYTHONPATH}", "-e", "MARKED=1",
         "--rootfs", _rootfs(place.path / "fs"),
         PYTHON, "-P", "-m", "slimstage", "build", "--json", *REPRODUCIBLE, "/workspace"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode == 126 and ("cgroup" in done.stderr or "OCI" in done.stderr):
        pytest.skip(f"this host does not let podman run a container: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["image_id"] == want
    assert "plain-copies" not in done.stderr  # the volume takes overlays


def test_where_no_namespaces_are_allowed_copies_are_built_and_run_says_why_not(place: Place, tmp_path: Path) -> None:
    """`slimstage run` allows none by default, as Docker does not."""
    base = tmp_path / "base"
    _rootfs(base)
    (base / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (base / ".dockerignore").write_text("Dockerfile\n.dockerignore\n")
    slimstage("build", "-t", "host", base, root=tmp_path / "outer")
    words = [
        "run",
        "--rm",
        "--network=none",
        *_mounts(place),
        "-e",
        f"PYTHONPATH={PYTHONPATH}",
        "host",
        PYTHON,
        "-P",
        "-m",
    ]
    words += ["slimstage", "build", "--progress=plain", "/workspace"]
    refused = slimstage(*words, root=tmp_path / "outer", status=3)
    assert "has to allow user namespaces" in refused.err
    assert "Traceback" not in refused.err
    (place.context / "Dockerfile").write_text(COPIES_ONLY)
    slimstage(*words, root=tmp_path / "outer")
