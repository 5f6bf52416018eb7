"""A build is killed at any moment: the store stays sound, nothing is left over for ever, and the next one gives the same."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.building import Image, Project
from support.killing import HEALERS, Commands, Kills, Whom, assert_sound, hidden, rounds
from support.registry import copy_image, needs_registry, running_registry
from support.rootfs import needs_sandbox

pytestmark = [*needs_sandbox, pytest.mark.slow]

ROUNDS_PER_STORE = 6
"""A new store every few rounds, so that the first moments of one are hit as well as a store with half of the steps."""

DOCKERFILE = """\
FROM base AS make
COPY files/ /src/
RUN --mount=type=cache,target=/cache mkdir /out && for i in $(seq 60); do echo $i > /out/$i; done; cp /out/1 /cache/
RUN --mount=type=bind,source=files,target=/bound --mount=type=tmpfs,target=/tmp cat /bound/* > /tmp/x && cp /tmp/x /out/all
FROM base
RUN dd if=/dev/zero of=/zeros bs=65536 count=32 2>/dev/null && rm -r /home
COPY --from=make /out/ /out/
COPY files/ /files/
RUN sort /out/* | sha256sum > /sum
"""


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    with Commands(tmp_path_factory.mktemp("commands")) as found:
        yield found


@dataclass(frozen=True)
class Whole:
    """A build that nothing disturbs, and how long it takes here."""

    project: Project
    digest: str
    took_s: float

    def args(self, out: Path) -> list[str]:
        named = f"base=oci-layout://{self.project.base}" if self.project.base.is_dir() else f"base={self.project.base}"
        return ["build", "--build-context", named, "--reproducible", "--progress=plain", "--jobs=4", "-t", "made:1",
                "-o", f"type=oci,tar=false,dest={out}/layout", "-o", f"type=docker,dest={out}/image.tar",
                "-o", f"type=tar,dest={out}/flat.tar", "-o", f"type=local,dest={out}/files", "."]  # fmt: skip

    def assert_whole(self, out: Path) -> None:
        """What is at the places of the outputs is what a build that nothing disturbed puts there."""
        if (out / "layout").exists():
            assert Image.of(out / "layout").digest == self.digest
        if (out / "files").exists():
            assert (out / "files/sum").read_bytes() == (self.project.path.parent / "first/files/sum").read_bytes()
            assert len(os.listdir(out / "files/out")) == 61
        for name in ("image.tar", "flat.tar"):
            if (out / name).exists():
                assert (out / name).read_bytes() == (self.project.path.parent / "first" / name).read_bytes()


def measured(top: Path, project: Project, commands: Commands) -> Whole:
    whole = Whole(project, "", 0)
    commands.run(*whole.args(top / "first"), root=project.root, cwd=project.path, status=0)
    shutil.rmtree(project.root)
    shutil.rmtree(top / "first")
    took = commands.run(*whole.args(top / "first"), root=project.root, cwd=project.path, status=0).took_s
    return Whole(project, Image.of(top / "first/layout").digest, took)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, busybox: Path, commands: Commands) -> Whole:
    top = tmp_path_factory.mktemp("kill")
    project = Project.new(top, busybox)
    project.dockerfile(DOCKERFILE)
    for number in range(40):
        project.write(f"files/{number}", f"file {number}\n" * number)
    return measured(top, project, commands)


@pytest.mark.parametrize("whom", ["main", "all", "zygote"])
@pytest.mark.parametrize("part", [1, 2])
def test_killed_at_any_moment_the_next_build_gives_the_same(
    tmp_path: Path, whole: Whole, commands: Commands, whom: Whom, part: int
) -> None:
    run_and_kill(Kills.of(commands, f"build {whom} {part}"), tmp_path, whole, whom, count=20)


def run_and_kill(kills: Kills, top: Path, whole: Whole, whom: Whom, count: int) -> None:
    # How far into a build the kill may come; less after one that was quicker, so that most meet a build at work.
    reach_s = dict.fromkeys((True, False), whole.took_s * 1.1)
    for number in rounds(count):
        is_fresh = number % 2 == 1
        root, out = top / f"root{number // ROUNDS_PER_STORE}", top / f"out{number}"
        out.mkdir()
        args = [*whole.args(out), *(["--no-cache"] if is_fresh else [])]
        ended = kills.at_random(*args, root=root, cwd=whole.project.path, within_s=reach_s[is_fresh], whom=whom)
        if not ended.was_hit:
            reach_s[is_fresh] = ended.took_s * 0.9
        if whom != "zygote":
            assert ended.was_killed or ended.status == 0, ended.err
        if root.exists():
            heal = HEALERS[number % len(HEALERS)]
            assert_sound(root, heal=heal)
            assert heal is None or hidden(out) == [], "half an output is left"
        whole.assert_whole(out)
        if (number + 1) % ROUNDS_PER_STORE == 0 or number == count - 1:
            commands = kills.commands
            commands.run(*whole.args(out), root=root, cwd=whole.project.path, status=0)
            whole.assert_whole(out)
            assert sorted(os.listdir(out)) == ["files", "flat.tar", "image.tar", "layout"]
            commands.run("doctor", root=root, cwd=top, status=0)
            commands.run("prune", "--all", root=root, cwd=top, status=0)
            assert_sound(root)
    kills.were_worth_it()


@needs_registry
def test_killed_while_it_pulls_the_next_build_gives_the_same(tmp_path: Path, busybox: Path, commands: Commands) -> None:
    project = Project.new(tmp_path, busybox)
    (tmp_path / "more").write_bytes(os.urandom(8 << 20))
    project.write("big", os.urandom(3 << 20))
    with running_registry(tmp_path / "registry") as address:
        project.dockerfile("FROM base\nCOPY big /big1\nRUN echo 1 > /one\nRUN head -c 2000000 /dev/urandom > /two\n")
        project.layout("pushed")
        copy_image(f"oci:{tmp_path}/pushed", f"docker://{address}/base:1")
        project.dockerfile(f"FROM {address}/base:1\nRUN echo 3 > /three\n")
        shutil.rmtree(project.root)
        took_s, digest = pull(commands, project, tmp_path / "first")
        kills = Kills.of(commands, "pull")
        reach_s = took_s
        for number in rounds(40):
            root = tmp_path / f"root{number // 8}"
            if number % 8 < 5 and root.exists():
                commands.run("prune", "--all", root=root, cwd=tmp_path, status=0)
            ended = kills.at_random("build", "--reproducible", "-t", "made:1", ".", root=root, cwd=project.path,
                                    within_s=reach_s, whom=("main", "all")[number % 2])  # fmt: skip
            if not ended.was_hit:
                reach_s = ended.took_s * 0.9
            if root.exists():
                assert_sound(root, heal=HEALERS[number % len(HEALERS)])
            if number % 8 == 7:
                again = project.on(root)
                assert pull(commands, again, tmp_path / f"again{number}")[1] == digest
                assert_sound(root)
    kills.were_worth_it()


def pull(commands: Commands, project: Project, place: Path) -> tuple[float, str]:
    ended = commands.run("build", "--reproducible", "-o", f"type=oci,tar=false,dest={place}", ".",
                         root=project.root, cwd=project.path, status=0)  # fmt: skip
    return ended.took_s, Image.of(place).digest
