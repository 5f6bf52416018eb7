"""The same inputs give the same digest with other jobs, another store, other owners, times and umask."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.building import Image, Project
from support.rootfs import needs_sandbox

pytestmark = needs_sandbox

DOCKERFILE = """\
FROM base AS one
COPY . /src/
RUN for i in c a b; do (echo $i > /out.$i) & done; wait; date > /dev/null
FROM base AS two
COPY --chmod=700 src/run.sh /run.sh
RUN mkdir -p /deep/er && cp /run.sh /deep/er/ && ln /deep/er/run.sh /deep/link && ln -s er /deep/soft && rm -r /home
FROM base
ARG SOURCE_DATE_EPOCH
COPY --from=one /out.a /out.b /out.c /out/
COPY --from=two /deep/ /deep/
COPY src/ /app/
RUN echo $SOURCE_DATE_EPOCH > /epoch; chown -R 1000:1000 /out; chmod 2755 /out; rm /etc/group
WORKDIR /made/here
LABEL b=2 a=1
"""


def checkout(path: Path, *, umask: int = 0o022, owner: int = 0, mtime_s: int | None = None, order: int = 1) -> Path:
    """The project as another person's git would lay it out."""
    before = os.umask(umask)
    try:
        (path / "src/lib").mkdir(parents=True)
        for number in list(range(12))[::order]:
            (path / f"src/lib/{number}.txt").write_text(f"{number}\n" * 50)
        (path / "src/run.sh").write_text("#!/bin/sh\necho run\n")
        (path / "src/run.sh").chmod(0o777 & ~umask)
        (path / "Dockerfile").write_text(DOCKERFILE)
    finally:
        os.umask(before)
    for each in (path, *path.rglob("*")):
        os.chown(each, owner, owner)
        if mtime_s is not None:
            os.utime(each, (mtime_s, mtime_s))
    return path


def build(
    path: Path, root: Path, base: Path, out: Path, *args: str, epoch: str | None = None, umask: int = 0o022
) -> Image:
    environment = {key: value for key, value in os.environ.items() if key != "SOURCE_DATE_EPOCH"}
    environment |= {"SLIMSTAGE_ROOT": str(root)} | ({"SOURCE_DATE_EPOCH": epoch} if epoch else {})
    command = [sys.executable, "-m", "slimstage", "build", "-q", "--build-context", f"base=oci-layout://{base}",
               "-o", f"type=oci,tar=false,dest={out}", *args, "."]  # fmt: skip
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=path, env=environment, umask=umask)
    assert done.returncode == 0, done.stderr
    return Image.of(out)


def differences(one: Image, other: Image) -> list[str]:
    """What differs, for the message of a failure."""
    found = []
    for number, pair in enumerate(zip(one.layers(), other.layers(), strict=True)):
        left, right = ({name: member.get_info() for name, member in layer.items()} for layer in pair)
        found += [
            f"layer {number}: {name}: {left.get(name)} != {right.get(name)}"
            for name in sorted({*left, *right})
            if left.get(name) != right.get(name)
        ]
    return found or ["config, history or the order of members"]


def test_the_same_digest_whoever_builds_it_and_however(tmp_path: Path, busybox: Path) -> None:
    first = build(
        checkout(tmp_path / "a"), tmp_path / "root-a", busybox, tmp_path / "out-a", "--reproducible", "--jobs", "1"
    )
    path = checkout(tmp_path / "elsewhere" / "b", umask=0o077, owner=1234, mtime_s=1_000_000_000, order=-1)
    moved = Path(shutil.copytree(busybox, tmp_path / "moved-base"))
    other = build(path, tmp_path / "root-b", moved, tmp_path / "out-b", "--reproducible", "--jobs", "8", umask=0o007)
    assert first.digest == other.digest, differences(first, other)
    # The third is made by a store that has all steps, and forgets half of them.
    again = build(path, tmp_path / "root-b", moved, tmp_path / "out-c", "--reproducible", "--no-cache-filter", "two")
    assert again.digest == first.digest
    times = {member.mtime for layer in first.layers()[1:] for name, member in layer.items() if ".wh." not in name}
    assert times == {315_532_800}
    assert first.config["created"] == "1980-01-01T00:00:00Z"
    assert first.read("epoch") == b"315532800\n"


def test_the_epoch_of_the_environment_is_the_time_of_everything(tmp_path: Path, busybox: Path) -> None:
    path = checkout(tmp_path / "a")
    images = [
        build(path, tmp_path / root, busybox, tmp_path / f"out-{root}", "--reproducible", epoch=epoch)
        for root, epoch in (("x", "1700000000"), ("y", "1700000000"), ("z", "1600000000"))
    ]
    assert images[0].digest == images[1].digest
    assert images[0].digest != images[2].digest
    assert images[2].config["created"] == "2020-09-13T12:26:40Z"
    assert all(entry["created"] == "2020-09-13T12:26:40Z" for entry in images[2].config["history"][1:])
    assert images[2].read("epoch") == b"1600000000\n"


def test_without_being_asked_a_build_keeps_times_and_a_cached_one_its_digest(project: Project) -> None:
    project.dockerfile("FROM base\nCOPY f /f\nRUN echo x > /x\n")
    os.utime(project.write("f", "f"), (1_500_000_000, 1_500_000_000))
    first = project.layout("one")
    assert first.layers()[1]["f"].mtime == 1_500_000_000
    assert first.layers()[2]["x"].mtime > 1_600_000_000
    assert project.layout("two").digest == first.digest


def test_archives_and_directories_are_the_same_bytes_too(tmp_path: Path, busybox: Path) -> None:
    outputs = []
    for number in range(2):
        place = tmp_path / f"out{number}"
        place.mkdir()
        path = checkout(tmp_path / f"checkout{number}", umask=(0o022, 0o077)[number])
        flags = [word for kind in ("oci", "docker", "tar") for word in ("-o", f"type={kind},dest={place}/{kind}.tar")]
        build(path, tmp_path / f"root{number}", busybox, place / "layout", "--reproducible", *flags)
        outputs.append({name: (place / f"{name}.tar").read_bytes() for name in ("oci", "docker", "tar")})
    assert {name for name in outputs[0] if outputs[0][name] != outputs[1][name]} == set()


@pytest.mark.slow
@pytest.mark.timeout(800)
@pytest.mark.xdist_group("tutorial-python")  # one worker makes the base system that they share
def test_python_files_compiled_in_a_step_are_the_same_and_are_used(tmp_path: Path) -> None:
    """Clamped times would make .pyc files that are checked by time stale: they have to be checked by hash."""
    from support.command import slimstage

    text = """\
FROM python-base AS compile
COPY app/ /app/
RUN python3 -m compileall -q /app && python3 -c "import sys; sys.path.insert(0, '/app'); import tool"
FROM python-base
COPY --from=compile /app/ /app/
CMD ["python3", "-v", "-c", "import sys; sys.path.insert(0, '/app'); import tool"]
"""
    digests = []
    for number in range(2):
        path = tmp_path / f"checkout{number}"
        (path / "app").mkdir(parents=True)
        (path / "app/tool.py").write_text("VALUE = {'b', 'a', 'c'}\ndef f(x: int = 1) -> int:\n    return x\n")
        os.utime(path / "app/tool.py", (1_600_000_000 + number * 1000,) * 2)
        (path / "Dockerfile").write_text(text)
        done = slimstage(
            "build", "--json", "-t", "localhost/compiled:1", "--reproducible", "--no-cache-filter", "compile",
            "--build-context", "python-base=debian://bookworm?variant=minbase&include=python3,ca-certificates",
            path, timeout_s=700,
        )  # fmt: skip
        digests.append(done.json()["manifest_digest"])
    assert digests[0] == digests[1]
    said = slimstage("run", "--rm", "localhost/compiled:1").err
    assert "/app/__pycache__/tool.cpython" in said
    assert "matches /app/tool.py" in said
    assert "wrote '/app/__pycache__" not in said
