"""What a Dockerfile means, point by point: RUN mounts (points 56 to 63), in builds that several points share."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from slimstage.plan.graph import CacheMount
from support.building import Project, files_below, ran
from support.planning import planned, runs
from support.rootfs import needs_sandbox

pytestmark = needs_sandbox

SECRET = "a-value-that-must-not-stay"

DOCKERFILE = """\
FROM base AS lib
RUN mkdir -p /out/in && echo lib > /out/in/f

FROM base AS first
RUN --mount=type=cache,target=/c/one/../one echo 1 > /c/one/f
RUN --mount=type=cache,target=/c/two [ ! -e /c/two/f ]
RUN --mount=type=cache,id=named,target=/x,uid=7,gid=8,mode=0710 stat -c '%a %u:%g' /x > /owned; echo n > /x/n
RUN --mount=type=cache,id=named,target=/x,uid=9,mode=0777 stat -c '%a %u:%g' /x > /still-owned

FROM base
COPY --from=first /owned /still-owned /
RUN --mount=type=cache,target=/c/one cat /c/one/f > /shared
RUN --mount=type=cache,id=named,target=/y cat /y/n >> /shared
RUN --mount=from=lib,source=/out,target=/m,rw echo changed > /m/in/f; cat /m/in/f > /written
RUN --mount=from=lib,source=/out,target=/m cat /m/in/f > /same; (echo x > /m/in/f) 2> /dev/null || echo readonly >> /same
RUN --mount=type=secret,id=key,target=/secret/deep/key --mount=type=tmpfs,target=/t/u \\
    --mount=type=cache,target=/p/q cat /secret/deep/key > /dev/null && touch /t/u/x /p/q/x
RUN --mount=type=secret,id=absent ls /run/secrets > /absent 2>&1 || true
RUN --mount=type=secret,id=key,env=KEY [ -n "$KEY" ] && ls /run/secrets > /only-env 2>&1 || true
RUN --mount=type=tmpfs,target=/foo/bar --mount=from=lib,source=/out/in/f,target=/foo/bar/file \\
    --mount=type=cache,target=/foo/bar/baz touch /foo/bar/baz/x && cat /foo/bar/file > /nested && ls /foo/bar >> /nested
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, busybox: Path) -> tuple[Project, dict[str, tarfile.TarInfo], Path]:
    """The project, the members of its flat tree, and the tree in a directory."""
    top = tmp_path_factory.mktemp("mounts")
    project = Project.new(top, busybox, "--secret", "id=key,env=POINT_SECRET", "--network=none")
    project.dockerfile(DOCKERFILE)
    env = {"POINT_SECRET": SECRET}
    project.build("-o", f"type=tar,dest={top / 'flat.tar'}", "-o", f"type=local,dest={top / 'tree'}", env=env)
    with tarfile.open(top / "flat.tar") as tar:
        members = {member.name.removeprefix("./"): member for member in tar}
    return project, members, top / "tree"


Built = tuple[Project, dict[str, tarfile.TarInfo], Path]


def test_point_56_the_id_of_a_cache_is_its_cleaned_target_and_holds_in_all_stages(built: Built) -> None:
    _, _, tree = built
    # That /c/two is empty, the build itself has checked.
    assert (tree / "shared").read_text() == "1\nn\n"
    for line, wanted in (("target=/a//b/", "/a/b"), ("id=a//b,target=/c", "a//b")):
        (step,) = runs(planned(f"FROM busybox\nRUN --mount=type=cache,{line} x\n"))
        (mount,) = step.mounts
        assert isinstance(mount, CacheMount)
        assert mount.id == wanted


def test_point_57_owner_and_mode_of_a_cache_are_those_of_the_new_directory_only(built: Built) -> None:
    _, _, tree = built
    assert (tree / "owned").read_text() == (tree / "still-owned").read_text() == "710 7:8\n"


@pytest.mark.parametrize("options", ["", ",uid=5", ",sharing=private", ",from=base,source=/tmp"])
def test_point_57_a_build_without_cache_gets_a_fresh_directory_which_its_steps_share(
    project: Project, options: str
) -> None:
    step = f"RUN --mount=type=cache,target=/c{options} ls /c >> /seen; touch /c/f\n"
    project.dockerfile(f"FROM base\n{step}RUN true\n{step}")
    trees = []
    for number in (1, 2):
        project.build("--no-cache", "-o", f"type=local,dest=../out-{number}")
        trees.append((project.path.parent / f"out-{number}/seen").read_text())
    assert trees == ["f\n", "f\n"]


def test_point_58_the_source_in_a_cache_cannot_leave_it_through_a_symlink(project: Project) -> None:
    outside = project.path.parent / "outside"
    outside.mkdir()
    (outside / "f").write_text("of the host")
    head = "FROM base\nRUN --mount=type=cache,id=c,target=/c ln -sfn"
    for target in (outside, "../" * 20 + str(outside).lstrip("/")):
        project.dockerfile(f"{head} {target} /c/link\nRUN --mount=type=cache,id=c,source=/link,target=/m cat /m/f\n")
        done = project.build(status=1)
        assert "of the host" not in done.out + done.err


def test_point_59_writes_to_a_writable_bind_mount_are_discarded(built: Built) -> None:
    _, members, tree = built
    assert (tree / "written").read_text() == "changed\n"
    assert (tree / "same").read_text() == "lib\nreadonly\n"
    assert "m" not in members


def test_point_59_a_step_is_keyed_by_the_content_that_a_bind_mount_shows(project: Project) -> None:
    project.dockerfile(
        "FROM base AS lib\nARG how\nRUN echo $how > /dev/null; mkdir /out; echo same > /out/f; echo $how > /beside\n"
        "FROM base\nRUN --mount=from=lib,source=/out,target=/m,rw cat /m/f > /f; echo x > /m/f\n"
    )
    assert ran(project.document("--build-arg", "how=1")) == ["RUN", "RUN"]
    assert ran(project.document("--build-arg", "how=2")) == ["RUN"]


def test_point_60_mount_points_and_stubs_of_secrets_leave_no_trace(built: Built) -> None:
    project, members, _ = built
    for name in ("c", "x", "y", "m", "t", "p", "foo", "secret", "run/secrets"):
        assert name not in members, name
    for path in files_below(project.root):
        assert SECRET.encode() not in path.read_bytes(), path


def test_point_61_an_optional_secret_that_is_missing_is_no_file_and_no_failure(built: Built) -> None:
    _, _, tree = built
    assert "No such file" in (tree / "absent").read_text()


def test_point_61_a_secret_for_the_environment_mounts_no_file(built: Built) -> None:
    _, _, tree = built
    assert "No such file" in (tree / "only-env").read_text()


def test_point_61_a_required_secret_that_is_missing_fails_by_its_name(project: Project) -> None:
    project.dockerfile("FROM base\nRUN --mount=type=secret,id=tok,required true\n")
    assert 'secret "tok": not found' in project.build(status=2).err


def test_point_62_neither_secret_values_nor_what_is_in_caches_enter_a_key(project: Project) -> None:
    project.dockerfile(
        "FROM base\nRUN --mount=type=cache,id=c,target=/c date +%N >> /c/log\n"
        "RUN --mount=type=secret,id=k --mount=type=cache,id=c,target=/c cat /run/secrets/k > /dev/null; ls /c > /n\n"
    )
    first = project.document("--secret", "id=k,env=K", env={"K": "one"})
    again = project.document("--secret", "id=k,env=K", env={"K": "two"})
    assert (ran(first), ran(again)) == (["RUN", "RUN"], [])
    assert first["manifest_digest"] == again["manifest_digest"]


def test_point_63_mounts_nest_and_a_file_can_be_mounted_in_a_mounted_directory(built: Built) -> None:
    _, _, tree = built
    assert (tree / "nested").read_text() == "lib\nbaz\nfile\n"
