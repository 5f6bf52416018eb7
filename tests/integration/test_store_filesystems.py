"""One project, stores on many file systems: the same image everywhere, or a clear refusal."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from support.building import Image, Project
from support.faults import unsound
from support.filesystems import MIB, fuse_overlay, image, memory, overlay
from support.rootfs import needs_sandbox

pytestmark = needs_sandbox

DOCKERFILE = """\
FROM base AS make
COPY files/ /src/
RUN mkdir -p /out/sub && echo one > /out/sub/one && ln /out/sub/one /out/two && ln -s two /out/three && chmod 4755 /out/two
RUN rm -r /home && mkdir /home && echo new > /home/new && rm /etc/group && chown 1000:1000 /src/8 && mkfifo /out/pipe
RUN rm /src/3 && echo more >> /src/4 && mv /src/5 /src/55 && chmod 600 /src/6 && chmod 644 /src/7 && chown -R 0:0 /usr
FROM base
COPY --from=make /out /out
COPY --from=make /src /src
RUN --mount=type=bind,from=make,target=/made,rw --mount=type=bind,source=files,target=/seen \\
    echo x > /made/x && cp -a /made/home /copied && cp /seen/9 /nine && rm -r /src && mkdir /src && echo z > /src/z
RUN --mount=type=cache,target=/cache touch /cache/x && rm /out/three
RUN mkdir /a /b && echo 1 > /a/same && echo 2 > /b/same && touch -d @1000000000 /a/same /b/same
RUN rm -r /a && mv /b /a && ln /src/z /linked && rm -r /var && echo now a file > /var
COPY --chown=7:8 weights /w/
"""


def fill_project(project: Project) -> Project:
    project.dockerfile(DOCKERFILE)
    for number in range(12):
        project.write(f"files/{number}", f"file {number}\n" * number)
    project.write("weights", bytes(range(256)) * 2000)
    os.setxattr(project.path / "weights", "user.origin", b"here")
    return project


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory: pytest.TempPathFactory, busybox: Path) -> Project:
    """The project, with its store where the tests' other files are."""
    top = tmp_path_factory.mktemp("ordinary")
    return fill_project(Project.new(top, busybox, "--reproducible"))


@pytest.fixture(scope="module")
def wanted(ordinary: Project) -> Image:
    return ordinary.layout("wanted", "-t", "it")


KINDS: dict[str, Callable[[Path], AbstractContextManager[Path]]] = {
    "ext4": lambda place: image("ext4", place, 200 * MIB),
    "xfs": lambda place: image("xfs", place, 400 * MIB),
    "btrfs": lambda place: image("btrfs", place, 400 * MIB),
    "tmpfs": lambda place: memory(place, 200 * MIB),
    "overlay": overlay,
}


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    with KINDS[request.param](tmp_path / "mounted") as mounted:
        yield mounted


def test_every_file_system_gives_the_same_image(place: Path, tmp_path: Path, ordinary: Project, wanted: Image) -> None:
    project = ordinary.on(place / "root")
    built = Image.of(_layout(project, tmp_path / "first"))
    assert built.digest == wanted.digest
    assert unsound(project.root) == []
    again = project.document()
    assert {step["status"] for step in again["steps"]} == {"cached"}
    assert project.run("run", "--rm", "it", "cat", "/src/z", "/a/same").out == "z\n2\n"
    project.run("rm", "it")
    project.run("prune", "--all", "--force")
    assert os.listdir(project.root / "layers") == []
    assert unsound(project.root) == []


def test_fuse_overlayfs_gives_the_same_tree(tmp_path: Path, ordinary: Project) -> None:
    # It tells no birth times and uses inode numbers again, so that deletions may be said in another way.
    with fuse_overlay(tmp_path / "mounted") as place:
        project = ordinary.on(place / "root")
        project.build("-o", f"type=tar,dest={tmp_path}/here.tar")
        assert unsound(project.root) == []
    ordinary.build("-o", f"type=tar,dest={tmp_path}/wanted.tar")
    assert (tmp_path / "here.tar").read_bytes() == (tmp_path / "wanted.tar").read_bytes()


def test_a_plain_store_stays_one_wherever_it_is_moved(tmp_path: Path, ordinary: Project, wanted: Image) -> None:
    moved = tmp_path / "moved"
    with overlay(tmp_path / "mounted") as place:
        project = ordinary.on(place / "root")
        done = project.build()
        assert done.err.count("plain-copies") == 1
        said = project.run("doctor", status=None).out
        assert "each RUN works on a copy of its tree" in said
        subprocess.run(["cp", "-a", project.root, moved], check=True)
    project = ordinary.on(moved)
    # Its marks are no marks to an overlay: the last steps, done again on its layers, have to see the same tree.
    project.dockerfile(DOCKERFILE + "RUN ls -R /a /var /src > /seen\n")
    try:
        cached = {step["instruction"].split()[0] for step in project.document()["steps"] if step["status"] == "cached"}
        assert "RUN" in cached
        fresh = ordinary.layout("fresh").read("seen")
        project.build("-o", f"type=oci,tar=false,dest={tmp_path}/again")
        assert Image.of(tmp_path / "again").read("seen") == fresh
        assert (moved / "plain").exists()
        # Emptied, it is an ordinary store.
        project.run("prune", "--all")
        project.build("-o", f"type=oci,tar=false,dest={tmp_path}/ordinary")
        assert not (moved / "plain").exists()
    finally:
        project.dockerfile(DOCKERFILE)
    assert unsound(moved) == []


def _layout(project: Project, place: Path) -> Path:
    project.build("-t", "it", "-o", "type=image", "-o", f"type=oci,tar=false,dest={place}")
    return place


_KERNEL = tuple(int(part) for part in os.uname().release.split(".")[:2])


@pytest.mark.skipif(_KERNEL < (6, 8), reason="older kernels take no layer of an overlay by descriptor")
def test_overlays_are_mounted_layer_by_layer_where_the_kernel_can(tmp_path: Path) -> None:
    # mount(2) takes all layers in one page of text, which ends deep stacks early.
    script = f"""
import os
from slimstage.sandbox import overlay, syscalls
def refuse(*_): raise AssertionError("mounted the old way")
overlay.mount = refuse
syscalls.unshare(syscalls.CLONE_NEWNS)
syscalls.mount(None, b"/", None, syscalls.MS_REC | syscalls.MS_PRIVATE, None, "")
lowers = []
for number in range(400):
    os.makedirs(path := f"{tmp_path}/{{number}}")
    open(path + f"/in-{{number}}", "w").close()
    lowers.append(overlay.open_host(path))
os.mkdir("{tmp_path}/root")
tree = overlay.make_overlay(
    lowers, None, overlay.open_host("{tmp_path}/root"), 0, "try", uses_userxattr=False, is_legacy=False
)
print(len(os.listdir(f"/proc/self/fd/{{tree}}")))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("400\n", "")
