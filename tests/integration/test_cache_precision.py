"""What has to run again after a change, and what must not: each change that people make, on one small project."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.base_image import write_busybox
from support.building import Project, statuses
from support.command import slimstage
from support.rootfs import needs_sandbox

pytestmark = needs_sandbox

DOCKERFILE = """\
FROM base AS lib
ARG FLAVOUR=plain
COPY lib/ /src/
RUN sort /src/*.txt > /lib.out

FROM base AS app
WORKDIR /app
COPY --from=lib /lib.out /app/lib.out
COPY app.sh ./
ENV MODE=fast
RUN cat app.sh lib.out > built
RUN --mount=type=secret,id=key --mount=type=cache,target=/cache --mount=type=bind,source=bound.txt,target=/bound cat /bound > x
LABEL version=1
ARG LATE
RUN echo "$LATE" > late
"""

STEPS = {
    "lib-copy": "COPY lib/",
    "lib-run": "RUN sort",
    "workdir": "WORKDIR",
    "from-lib": "COPY --from=lib",
    "app-copy": "COPY app.sh",
    "built": "RUN cat",
    "mounts": "RUN --mount",
    "late": "RUN echo",
}
"""A short name of each step, and how its text begins."""

RUNS = {"lib-run", "built", "mounts", "late"}
APP = {"app-copy", "built", "mounts", "late"}
ALL = set(STEPS) - {"workdir"}  # a directory that is there already costs nothing, whatever is asked


def lay_out(project: Project) -> None:
    project.dockerfile(DOCKERFILE)
    project.write("lib/a.txt", "one\ntwo\n")
    project.write("lib/b.txt", "three\n")
    project.write("lib/notes.md", "ignored\n")
    project.write("app.sh", "echo app\n", 0o644)
    project.write("bound.txt", "bound\n")
    project.write("unselected.txt", "nobody copies this\n")
    project.write(".dockerignore", "**/*.md\n")
    project.write("../key", "first secret\n")


def named(found: dict[str, str]) -> set[str]:
    """The short names of the steps that ran."""
    texts = [
        text.replace("--from=library", "--from=lib").replace("run ", "RUN ") for text, s in found.items() if s == "run"
    ]
    names = {name for name, begin in STEPS.items() for text in texts if text.startswith(begin)}
    assert len(names) == len(texts), texts
    return names


@pytest.fixture(scope="module")
def primed(tmp_path_factory: pytest.TempPathFactory, busybox: Path) -> Path:
    """A store in which the project was built once, elsewhere."""
    top = tmp_path_factory.mktemp("primed")
    project = Project.new(top, busybox, "--secret", "id=key,src=../key")
    lay_out(project)
    assert named(project.steps()) == set(STEPS)
    return project.root


@dataclass(frozen=True)
class Change:
    """Something that happens between two builds, and the steps that have to run because of it."""

    name: str
    runs: set[str]
    edit: Callable[[Project], object] = lambda project: None
    args: tuple[str, ...] = ()


def replaced(old: str, new: str) -> Callable[[Project], object]:
    """An edit of the Dockerfile."""

    def edit(project: Project) -> None:
        assert old in DOCKERFILE
        project.dockerfile(DOCKERFILE.replace(old, new))

    return edit


def touched(name: str) -> Callable[[Project], object]:
    return lambda project: os.utime(project.path / name, (1, 1))


def written(name: str, text: str) -> Callable[[Project], object]:
    return lambda project: project.write(name, text)


def symlinked(project: Project) -> None:
    (project.path / "app.sh").unlink()
    project.write("elsewhere", "echo linked\n")
    (project.path / "app.sh").symlink_to("elsewhere")


CHANGES = [
    Change("nothing, in another directory", set()),
    Change("a selected file is touched", set(), touched("app.sh")),
    Change("a bound file is touched", set(), touched("bound.txt")),
    Change("the Dockerfile is touched", set(), touched("Dockerfile")),
    Change("the owner of a selected file", set(), lambda p: os.chown(p.path / "app.sh", 1000, 1000)),
    Change("the mode of a selected file", APP, lambda p: (p.path / "app.sh").chmod(0o755)),
    Change("an extended attribute", APP, lambda p: os.setxattr(p.path / "app.sh", "user.note", b"x")),
    Change("the content of a selected file", APP, written("app.sh", "echo other\n")),
    Change("an equal rewrite of a selected file", set(), written("app.sh", "echo app\n")),
    Change("a file becomes a symlink", APP, symlinked),
    Change("the content of a file that nothing selects", set(), written("unselected.txt", "other\n")),
    Change("a new file that nothing selects", set(), written("new/file.txt", "new\n")),
    Change("the content of an ignored file", set(), written("lib/notes.md", "other\n")),
    Change("the mode of a file that nothing selects", set(), lambda p: (p.path / "unselected.txt").chmod(0o600)),
    Change("a file is renamed, what is made of it is equal", {"lib-copy", "lib-run"},
           lambda p: (p.path / "lib/b.txt").rename(p.path / "lib/c.txt")),
    Change("an early stage gives equal bytes", {"lib-copy", "lib-run"}, written("lib/a.txt", "two\none\n")),
    Change("an early stage gives other bytes", ALL, written("lib/a.txt", "zero\n")),
    Change("a new empty directory is selected", {"lib-copy", "lib-run"}, lambda p: (p.path / "lib/empty").mkdir()),
    Change("the ignore file excludes what nothing selects", set(), written(".dockerignore", "**/*.md\nunselected.txt\n")),
    Change("the ignore file has a comment more", set(), written(".dockerignore", "# why\n**/*.md\n")),
    Change("the ignore file excludes a selected file", ALL, written(".dockerignore", "**/*.md\nlib/b.txt\n")),
    Change("the ignore file excludes nothing", {"lib-copy", "lib-run"}, written(".dockerignore", "")),
    Change("the content of a bound file", {"mounts", "late"}, written("bound.txt", "other\n")),
    Change("a build argument that nothing declares", set(), args=("--build-arg", "UNKNOWN=1")),
    Change("a build argument of an early stage", {"lib-run"}, args=("--build-arg", "FLAVOUR=spicy")),
    Change("a build argument with its default's value", set(), args=("--build-arg", "FLAVOUR=plain")),
    Change("a build argument that is declared late", {"late"}, args=("--build-arg", "LATE=1")),
    Change("a proxy", set(), args=("--build-arg", "HTTP_PROXY=http://127.0.0.1:9")),
    Change("a variable", {"built", "mounts", "late"}, replaced("MODE=fast", "MODE=slow")),
    Change("a label", set(), replaced("version=1", "version=2")),
    Change("a label of the command line", set(), args=("--label", "a=b")),
    Change("another secret", set(), written("../key", "second secret\n")),
    Change("the sharing of a cache mount", set(), replaced("type=cache,", "type=cache,sharing=locked,")),
    Change("the target of a cache mount", {"mounts", "late"}, replaced("target=/cache", "target=/other")),
    Change("a secret becomes required", set(), replaced("id=key", "id=key,required")),
    Change("comments, blank lines and letter case", set(), replaced("RUN cat app.sh", "\n# why\nrun cat app.sh")),
    Change("an instruction over two lines", set(), replaced("COPY app.sh ./", "COPY app.sh \\\n  ./")),
    Change("a stage has another name", set(), lambda p: p.dockerfile(
        DOCKERFILE.replace("AS lib", "AS library").replace("from=lib", "from=library"))),
    Change("the text of a command", {"built", "mounts", "late"}, replaced("RUN cat app.sh", "RUN cat ./app.sh")),
    Change("the user", {"built", "mounts", "late"}, replaced("ENV MODE", "USER 0:0\nENV MODE")),
    Change("the shell", {"built", "mounts", "late"}, replaced("ENV MODE", 'SHELL ["/bin/sh", "-ec"]\nENV MODE')),
    Change("the network", RUNS, args=("--network", "none")),
    Change("a host name", RUNS, args=("--add-host", "db:127.0.0.2")),
    Change("the destination of a copy", APP, replaced("COPY app.sh ./", "COPY app.sh app.sh.new\nCOPY app.sh ./")),
    Change("--no-cache", ALL, args=("--no-cache",)),
    Change("--no-cache-filter of an early stage", {"lib-copy", "lib-run"}, args=("--no-cache-filter", "lib")),
    Change("--no-cache-filter of the last stage", ALL - {"lib-copy", "lib-run"}, args=("--no-cache-filter", "app")),
    Change("another number of jobs", set(), args=("--jobs", "1")),
    Change("another output", set(), args=("-o", "type=oci,dest=out.tar")),
]  # fmt: skip


@pytest.mark.parametrize("change", [pytest.param(each, id=each.name) for each in CHANGES])
def test_what_runs_again(change: Change, tmp_path: Path, primed: Path, busybox: Path) -> None:
    (tmp_path / "project").mkdir()
    project = Project(tmp_path / "project", primed, busybox, ("--secret", "id=key,src=../key"))
    lay_out(project)
    change.edit(project)
    document = project.document(*change.args)
    found = statuses(document)
    if change.name == "the destination of a copy":
        assert found.pop("COPY app.sh app.sh.new") == "run"
    assert named(found) == change.runs


def test_a_base_elsewhere_with_the_same_bytes_changes_nothing(tmp_path: Path, primed: Path, busybox: Path) -> None:
    (tmp_path / "project").mkdir()
    moved = shutil.copytree(busybox, tmp_path / "moved")
    project = Project(tmp_path / "project", primed, moved, ("--secret", "id=key,src=../key"))
    lay_out(project)
    assert named(project.steps()) == set()


def test_a_base_with_other_bytes_changes_all_that_stands_on_it(project: Project, tmp_path: Path) -> None:
    project.dockerfile("FROM base AS a\nRUN echo fixed > /x\nFROM scratch\nCOPY --from=a /x /x\n")
    assert set(project.steps().values()) == {"run"}
    write_busybox(tmp_path / "newer", None, [("etc/newer", b"0", 0o644, b"newer\n")])
    project.base = tmp_path / "newer"
    assert project.steps() == {"RUN echo fixed > /x": "run", "COPY --from=a /x /x": "cached"}


def test_only_the_config_of_a_base_changes_what_reads_it(project: Project, tmp_path: Path) -> None:
    project.dockerfile("FROM base\nCOPY f /f\nRUN echo $FROM_BASE > /x\n")
    project.write("f", "f\n")
    project.steps()
    write_busybox(tmp_path / "newer", {"Env": ["PATH=/usr/bin:/bin", "FROM_BASE=1"]})
    project.base = tmp_path / "newer"
    assert project.steps()["RUN echo $FROM_BASE > /x"] == "run"


def test_explain_names_what_changed(project: Project) -> None:
    project.more = ("--secret", "id=key,src=../key")
    lay_out(project)

    def whys(*args: str) -> dict[str, str]:
        document = project.document(*args)
        return {
            name: step["why"]
            for step in document["steps"]
            for name, begin in STEPS.items()
            if step["instruction"].startswith(begin) and step["status"] == "run"
        }

    first = whys()
    assert set(first.values()) == {"it has not been built here before"}
    project.write("app.sh", "echo other\n")
    second = whys()
    assert "file app.sh changed" in second["app-copy"]
    assert "the step above it ran again" in second["built"]
    assert "COPY app.sh" in second["built"]
    third = whys("--build-arg", "LATE=x")
    assert set(third) == {"late"}
    assert "variable LATE" in third["late"]
    project.dockerfile(DOCKERFILE.replace("MODE=fast", "MODE=slow"))
    assert "variable MODE changed" in whys()["built"]
    project.write("lib/new.txt", "new\n")
    assert "file lib/new.txt is new" in whys()["lib-copy"]
    assert set(whys("--no-cache").values()) == {"--no-cache asks for it"}
    shown = project.build("--explain", "--no-cache-filter", "app", "--progress=plain").err
    assert "because --no-cache-filter asks for it" in shown


def test_explain_names_a_changed_base(project: Project, tmp_path: Path) -> None:
    project.dockerfile("FROM base\nRUN echo x > /x\n")
    project.document()
    write_busybox(tmp_path / "newer", None, [("etc/newer", b"0", 0o644, b"newer\n")])
    project.base = tmp_path / "newer"
    (step,) = [s for s in project.document()["steps"] if s["instruction"].startswith("RUN")]
    assert step["why"] == "base image changed"


def test_a_step_whose_layer_was_pruned_runs_again_with_the_same_result(project: Project) -> None:
    project.dockerfile("FROM base\nRUN echo x > /x\n")
    project.document()
    project.run("prune", "--all")
    document = project.document()
    assert statuses(document) == {"RUN echo x > /x": "run"}


MEETING = """\
FROM base AS left
RUN --mount=type=cache,target=/c touch /c/left; for i in $(seq 400); do [ -e /c/right ] && exit 0; sleep 0.05; done; exit 1
FROM base AS right
RUN --mount=type=cache,target=/c touch /c/right; for i in $(seq 400); do [ -e /c/left ] && exit 0; sleep 0.05; done; exit 1
FROM scratch
COPY --from=left /etc/passwd /left
COPY --from=right /etc/passwd /right
"""


def test_stages_run_at_the_same_time(project: Project) -> None:
    """Each waits for what only the other writes: one after the other they would wait in vain."""
    project.dockerfile(MEETING)
    project.document("--jobs", "2")


COUNTED = (
    "RUN --mount=type=cache,target=/c echo x >> /c/count; until [ -e /c/go ]; do sleep 0.02; done; cp /c/count /count\n"
)


def test_two_stages_that_do_the_same_do_it_once(project: Project) -> None:
    step = "RUN --mount=type=cache,target=/c echo x >> /c/count; cp /c/count /count\n"
    project.dockerfile(
        f"FROM base AS a\n{step}FROM base AS b\n{step}FROM scratch\nCOPY --from=a /count /a\nCOPY --from=b /count /b\n"
    )
    image = project.layout()
    assert (image.read("a"), image.read("b")) == (b"x\n", b"x\n")


def test_two_builds_of_the_same_at_once_both_succeed_and_do_it_once(project: Project) -> None:
    project.dockerfile(f"FROM base\n{COUNTED}")
    environment = {**os.environ, "SLIMSTAGE_ROOT": str(project.root)}
    command = [sys.executable, "-m", "slimstage", "build", "--json", "--progress=plain",
               "--build-context", f"base=oci-layout://{project.base}", "."]  # fmt: skip

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, cwd=project.path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    with start() as first:
        assert first.stderr is not None
        for line in first.stderr:
            if "RUN" in line:
                break
        count = _soon(lambda: next(iter(project.root.rglob("count")), None))
        with start() as second:
            assert second.stderr is not None
            assert second.stderr.readline()
            (count.parent / "go").touch()
            documents = [json.loads(each.communicate(timeout=60)[0]) for each in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0]
    assert documents[0]["image_id"] == documents[1]["image_id"]
    assert sorted(status for d in documents for status in statuses(d).values()) == ["cached", "run"]
    assert count.read_text() == "x\n"


def _soon(find: Callable[[], Path | None]) -> Path:
    for _ in range(1000):
        found = find()
        if found is not None:
            return found
        time.sleep(0.02)
    raise AssertionError("it did not appear")


def test_what_stands_only_in_the_config_makes_another_image_and_runs_nothing(project: Project) -> None:
    """Dockerfiles that differ only in what stands in the config give images that differ in just that."""
    variants = {
        "HEALTHCHECK CMD true": "Healthcheck",
        "ONBUILD RUN true": "OnBuild",
        'SHELL ["/bin/sh", "-ec"]': "Shell",
        "USER 1000": "User",
        "STOPSIGNAL SIGINT": "StopSignal",
        "EXPOSE 80": "ExposedPorts",
        "VOLUME /data": "Volumes",
        'CMD ["x"]': "Cmd",
    }
    text = "FROM scratch\nCOPY app.sh /app.sh\n"
    project.write("app.sh", "x")
    project.dockerfile(text)
    plain = project.document()
    seen = {plain["image_id"]}
    for instruction, key in variants.items():
        project.dockerfile(f"{text}{instruction}\n")
        document = project.document()
        assert set(statuses(document).values()) == {"cached"}
        assert document["image_id"] not in seen, instruction
        seen.add(document["image_id"])
        config = json.loads((project.root / "blobs" / document["image_id"].replace(":", "/")).read_text())
        assert config["config"].get(key), instruction


def test_run_steps_of_scratch_never_come_from_another_users_or_networks_step(project: Project) -> None:
    """CVE-2024-24557: equal command text is no reason to take a step's result."""
    shutil.copy("/bin/busybox", project.path / "sh")
    start = "FROM scratch\nCOPY --chmod=777 sh /bin/sh\n"
    found = set()
    for extra in ("", "USER 7\n", "WORKDIR /w\n", "ENV A=b\n", 'SHELL ["/bin/sh", "-uc"]\n'):
        project.dockerfile(f"{start}{extra}RUN true\n")
        document = project.document()
        assert statuses(document)["RUN true"] == "run", extra
        found.add(document["image_id"])
    assert len(found) == 5
    for flag in ("--network=none", "--mount=type=tmpfs,target=/t", "--mount=type=cache,target=/t"):
        project.dockerfile(f"{start}RUN {flag} true\n")
        assert statuses(project.document())[f"RUN {flag} true"] == "run"


def test_a_broken_record_is_a_miss_with_no_failure(project: Project) -> None:
    project.dockerfile("FROM base\nRUN echo x > /x\n")
    project.document()
    layers = [path for path in (project.root / "layers").iterdir() if (path / "fs/x").exists()]
    assert len(layers) == 1
    shutil.rmtree(layers[0])
    assert project.steps() == {"RUN echo x > /x": "run"}
    slimstage("doctor", "--repair", root=project.root, status=None)
    assert slimstage("doctor", "--json", root=project.root, status=None).json()["store"]["findings"] == []
