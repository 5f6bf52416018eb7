"""A hostile step that runs beside others and swaps directories for symlinks, in whatever the two share."""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slimstage.errors import SandboxError
from slimstage.sandbox.spec import FileMount, HostPath, StackPath
from support.building import Project
from support.escape import BACKENDS
from support.rootfs import Bench, make_rootfs, needs_sandbox, tree_of

pytestmark = needs_sandbox

_ROUNDS = {"native": 16, "runc": 4}
_MOST_ROUNDS = 400
_SECRET = "what the step was given\n"


@pytest.fixture(params=BACKENDS)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    return Bench(BACKENDS[request.param](), tmp_path, make_rootfs(tmp_path / "lower"))


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host, at a depth that `..` of a step's mounts cannot know; nothing in it may change."""
    path = tmp_path / "outside"
    (path / "x").mkdir(parents=True)
    (path / "x/precious").write_text("of the host\n")
    before = tree_of(path)
    yield path
    assert tree_of(path) == before


def beside(bench: Bench, cache: Path, script: str, victim: Callable[[], None], has_seen: Callable[[], bool]) -> None:
    """Runs the victim again and again while a hostile step repeats the script in the shared cache.

    has_seen: whether the victim has met what it could have been deceived about; it goes on until then.
    """
    going = threading.Event()
    hostile = bench.sandbox.start(
        bench.spec("sh", "-c", f"cd /c; echo up; while :; do {script}; done", mounts=(HostPath("/c", str(cache)),)),
        lambda _stream, _data: going.set(),
    )
    try:
        assert going.wait(20)
        for number in range(_MOST_ROUNDS):
            victim()
            if number >= _ROUNDS[bench.sandbox.name] and has_seen():
                break
    finally:
        hostile.kill()
        hostile.wait()


def swapping(name: str, *targets: str) -> str:
    """Shell: the name is a directory, then a symlink to each target, and so on."""
    links = "; ".join(f"ln -s {target} l && mv -T l {name}; rm -f l; rm {name}" for target in targets)
    return f"rm -rf {name}; mkdir {name}; touch {name}/inside; mv {name} aside; {links}; rm -rf {name}; mv aside {name}"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    path = tmp_path / "cache"
    path.mkdir()
    (path / "inside").touch()
    return path


def test_a_source_in_a_cache_is_never_a_path_of_the_host(bench: Bench, cache: Path, outside: Path) -> None:
    """CVE-2024-23651: between the check and the mount, `source=sub` becomes a link to the host."""
    seen = set()

    def victim() -> None:
        try:
            bench.run("ls", "/v", mounts=(HostPath("/v", "sub", beneath=str(cache)),))
        except SandboxError as error:
            seen.add(error.code)
            return
        seen.add("shown")
        assert b"precious" not in bench.out
        assert set(bench.out.split()) <= {b"inside", b"sub", b"aside", b"l"}

    beside(bench, cache, swapping("sub", str(outside / "x"), "../../outside/x", "/"), victim, lambda: "shown" in seen)
    assert "shown" in seen


def test_a_mount_point_in_a_cache_never_lies_on_the_host(bench: Bench, cache: Path, outside: Path) -> None:
    """CVE-2021-30465: the target of a mount lies below a shared mount, and its parent becomes a link."""
    mounts = (
        HostPath("/c", str(cache)),
        FileMount("/c/x/made/secret", _SECRET.encode(), mode=0o400),
        HostPath("/c/x/bound", str(bench.lower / "etc"), is_readonly=True),
    )
    ended: set[int | str] = set()

    def victim() -> None:
        try:
            ended.add(bench.run("sh", "-c", "cat /c/x/made/secret; true", mounts=mounts).status)
            assert b"of the host" not in bench.out
        except SandboxError as error:
            ended.add(error.code)
        assert not (outside / "x/made").exists()

    beside(
        bench, cache, swapping("x", str(outside / "x"), "../../../../../..", "/proc/1/root"), victim, lambda: 0 in ended
    )
    assert 0 in ended
    for path in (*cache.rglob("*"), *outside.rglob("*")):
        if stat.S_ISREG(path.lstat().st_mode):
            assert _SECRET not in path.read_text(errors="replace"), path


def test_what_two_steps_bind_of_a_stage_is_each_ones_own(bench: Bench, cache: Path, tmp_path: Path) -> None:
    """A writable bind of a stage is thrown away: one step's links are not there for the other, nor in the stage."""
    stage = tmp_path / "stage"
    (stage / "d").mkdir(parents=True)
    (stage / "d/file").write_text("of the stage\n")
    bind = StackPath("/s", (str(stage),), "/", is_writable=True)
    going = threading.Event()
    hostile = bench.sandbox.start(
        bench.spec("sh", "-c", "rm -r /s/d; ln -s / /s/d; echo up; sleep 1000", mounts=(bind,)),
        lambda _stream, _data: going.set(),
    )
    try:
        assert going.wait(20)
        assert bench.sh("cat /s/d/file", mounts=(bind,)) == "of the stage\n"
    finally:
        hostile.kill()
        hostile.wait()
    assert tree_of(stage) == {"d": "dir", "d/file": "of the stage\n"}


def test_a_step_beside_a_copy_cannot_move_its_destination(project: Project, tmp_path: Path) -> None:
    """Stages that share a base and a cache: links that one makes are in its own layer only, while the other copies."""
    outside = tmp_path / "outside"
    outside.mkdir()
    project.write("f", "copied\n")
    copies = "".join(f"COPY f /data/deep/f{number}\nWORKDIR /data/deep/w{number}\n" for number in range(12))
    project.dockerfile(f"""\
FROM base AS common
RUN mkdir -p /data/deep
FROM common AS hostile
RUN --mount=type=cache,target=/shared --mount=type=bind,from=common,target=/bound,rw \\
    touch /shared/up; until [ -e /shared/stop ]; do \\
      for d in /data /bound/data; do \\
        rm -rf $d; ln -s {outside} $d; rm -f $d; ln -s /../../.. $d; rm $d; mkdir -p $d/deep; \\
      done; \\
    done; rm /shared/stop /shared/up; ls /bound/data > /seen
FROM common AS victim
RUN --mount=type=cache,target=/shared until [ -e /shared/up ]; do :; done
{copies}RUN --mount=type=cache,target=/shared touch /shared/stop; ls /data/deep > /seen
FROM scratch
COPY --from=hostile /seen /hostile
COPY --from=victim /seen /victim
COPY --from=victim /data /data
""")
    image = project.layout("layout", "--jobs", "4")
    assert image.read("victim").split() == sorted(f"{kind}{n}".encode() for kind in "fw" for n in range(12))
    assert image.read("data/deep/f11") == b"copied\n"
    assert image.read("hostile") == b"deep\n"
    assert list(outside.iterdir()) == []
