"""Large cases hold: deep stages, many stages, many files, sparse files. How cost grows with them is bench/scale.py's."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from support.building import Image, Project
from support.command import Done

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="mounts overlays")]


def built(project: Project, *args: object) -> tuple[Done, Path]:
    """The build's tree as a tar beside it."""
    tree = project.path.parent / "tree.tar"
    return project.build("-o", f"type=tar,dest={tree}", *args), tree


def test_a_stage_of_500_steps(project: Project) -> None:
    """More layers than the kernel takes in one overlay; each step sees what all before it did."""
    lines = ["FROM base"]
    for number in range(248):
        lines += [f"COPY <<EOF /d/copied-{number}", str(number), "EOF", "COPY <<EOF /d/last", str(number), "EOF"]
    lines += [
        "RUN ls /d | wc -l >/count && rm /d/copied-7 && mkdir /d/copied-8x && chmod 700 /d",
        "COPY <<EOF /d/copied-8",
        "again",
        "EOF",
        'RUN test ! -e /d/copied-7 && test "$(cat /d/copied-8 /d/copied-0 /d/copied-247)" = "$(printf "again\\n0\\n247")"',
        "RUN rm -r /d && mkdir /d && touch /d/new",
    ]
    project.dockerfile("\n".join(lines) + "\n")
    _, tree = built(project)
    with tarfile.open(tree) as tar:
        assert [name for name in tar.getnames() if name.startswith("d/")] == ["d/new"]
        count = tar.extractfile("count")
        assert count is not None
        assert count.read().split() == [b"249"]
    layers = project.layout("layers").manifest["layers"]
    assert len(layers) == 1 + 500


def test_a_thousand_stages(project: Project) -> None:
    """Half of them stand on each other, half hand a file on."""
    lines = ["FROM scratch AS s0", "COPY <<EOF /f0", "0", "EOF"]
    for number in range(1, 500):
        lines += [f"FROM s{number - 1} AS s{number}", f"COPY <<EOF /f{number}", str(number), "EOF"]
    for number in range(500, 1000):
        lines += [f"FROM scratch AS s{number}", f"COPY --from=s{number - 1} /f{number - 1} /f{number}"]
    lines += [
        "FROM base",
        "COPY --from=s999 /f999 /handed",
        "RUN --mount=from=s499,target=/all ls /all | wc -l >/count",
    ]
    project.dockerfile("\n".join(lines) + "\n")
    assert len(project.build("--plan", "--json").json()["stages"]) == 1001
    _, tree = built(project)
    with tarfile.open(tree) as tar:
        handed, count = tar.extractfile("handed"), tar.extractfile("count")
        assert handed is not None
        assert count is not None
        assert (handed.read(), count.read().split()) == (b"499\n", [b"500"])


_WATCHED = """
import os, resource, sys
pid = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, *sys.argv[1:]])
_, status, used = os.wait4(pid, 0)
print(used.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def peak_mib(project: Project, *args: object) -> float:
    """The largest resident size of the builder's process."""
    command = [sys.executable, "-c", _WATCHED, "-m", "slimstage", "build", "--progress=quiet", *map(str, args)]
    environment = {**os.environ, "SLIMSTAGE_ROOT": str(project.root)}
    done = subprocess.run(command, cwd=project.path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1]) / 1024


def test_50_000_files_take_no_more_memory_than_few(project: Project, tmp_path: Path) -> None:
    data, layout = project.path / "data", tmp_path / "layout"
    for number in range(50_000):
        if number % 500 == 0:
            directory = data / f"{number // 500:03}"
            directory.mkdir(parents=True)
        fd = os.open(directory / f"{number:05}", os.O_WRONLY | os.O_CREAT, 0o644)
        if number % 2:  # an empty one takes no room on the disk
            os.write(fd, b"%d" % (number % 777))
        os.close(fd)
    project.dockerfile("FROM scratch AS a\nCOPY data /data\nFROM scratch\nCOPY --from=a /data /srv\n")
    try:
        assert peak_mib(project, "-o", f"type=oci,tar=false,dest={layout}", ".") < 110
        assert peak_mib(project, ".") < 60  # nothing has changed: nothing is read
        (layer,) = Image.of(layout).layer_bytes()
        with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
            assert sum(member.isreg() for member in tar) == 50_000
            some = tar.extractfile("srv/099/49999")
            assert some is not None
            assert some.read() == b"%d" % (49_999 % 777)
    finally:
        for place in (data, project.root):  # else three runs of the suite keep all of it
            shutil.rmtree(place)


def test_a_sparse_file_of_gigabytes_takes_no_room(project: Project, tmp_path: Path) -> None:
    size = 1 << 30
    with (project.path / "big").open("wb") as file:
        file.seek(size - 4)
        file.write(b"end\n")
    project.dockerfile("FROM scratch AS a\nCOPY big /big\nFROM scratch\nCOPY --from=a /big /srv/\n")
    layout = tmp_path / "layout"
    assert peak_mib(project, "-o", f"type=oci,tar=false,dest={layout}", ".") < 120
    blobs = sum(path.stat().st_size for path in layout.rglob("*") if path.is_file())
    assert blobs < 16 << 20
    (copied,) = project.root.glob("layers/*/fs/big")
    assert (copied.stat().st_size, copied.stat().st_blocks < 1000) == (size, True)
