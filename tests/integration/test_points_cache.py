"""What a Dockerfile means, point by point: what runs again (points 23, 35 and 64 to 67), and what is not there (45)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.building import Project, ran
from support.rootfs import needs_sandbox

pytestmark = needs_sandbox

COPIES = "FROM base\nCOPY *.txt dir /d/\nRUN ls /d > /seen\n"


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory, busybox: Path) -> Project:
    """A project of one COPY that was built; tests change it and change it back."""
    top = tmp_path_factory.mktemp("copied")
    project = Project.new(top, busybox, "--network=none")
    project.dockerfile(COPIES)
    for name in ("a.txt", "b.txt", "other.md", "dir/c"):
        project.write(name, name, 0o644)
    assert ran(project.document()) == ["COPY", "RUN"]
    return project


def steps_that_run(project: Project, *args: object) -> list[str]:
    return ran(project.document(*args))


@contextmanager
def renamed(project: Project, old: str, new: str) -> Iterator[None]:
    (project.path / old).rename(project.path / new)
    try:
        yield
    finally:
        (project.path / new).rename(project.path / old)


def test_point_64_times_and_files_that_are_not_selected_are_no_part_of_the_key(copied: Project) -> None:
    os.utime(copied.path / "a.txt", (1, 1))
    os.utime(copied.path / "dir", (1, 1))
    copied.write("other.md", "edited")
    copied.write("new.md", "new")
    assert steps_that_run(copied) == []


def test_point_64_renaming_a_matched_file_is_a_miss(copied: Project) -> None:
    with renamed(copied, "b.txt", "c.txt"):
        assert steps_that_run(copied) == ["COPY", "RUN"]
    assert steps_that_run(copied) == []


@pytest.mark.parametrize("what", ["content", "mode", "name in a directory", "xattr"])
def test_point_64_content_mode_names_and_xattrs_of_selected_files_are_the_key(copied: Project, what: str) -> None:
    if what == "content":
        copied.write("a.txt", "other")
    elif what == "mode":
        (copied.path / "a.txt").chmod(0o600)
    elif what == "xattr":
        os.setxattr(copied.path / "a.txt", "user.k", b"v")
    else:
        with renamed(copied, "dir/c", "dir/d"):
            assert steps_that_run(copied) == ["COPY", "RUN"]
        return
    assert steps_that_run(copied) == ["COPY", "RUN"]
    if what == "xattr":
        os.removexattr(copied.path / "a.txt", "user.k")
    copied.write("a.txt", "a.txt", 0o644)
    assert steps_that_run(copied) == []


def test_point_64_the_owner_is_the_key_of_files_from_a_stage(project: Project) -> None:
    text = "FROM base AS a\nRUN echo 1 > /f; chown {0} /f\nFROM base\nCOPY --from=a /f /f\n"
    project.dockerfile(text.format("0:0"))
    assert steps_that_run(project) == ["RUN", "COPY"]
    project.dockerfile(text.format("5:6"))
    assert steps_that_run(project) == ["RUN", "COPY"]


def test_point_65_a_changed_argument_runs_again_from_the_first_run_behind_its_declaration(project: Project) -> None:
    project.dockerfile("FROM base\nRUN true before\nARG x\nENV y=1\nWORKDIR /w\nRUN true behind\nRUN true last\n")
    assert steps_that_run(project, "--build-arg", "x=1") == ["RUN", "WORKDIR", "RUN", "RUN"]
    again = project.document("--build-arg", "x=2")
    assert [text for text, status in _texts(again) if status == "run"] == ["RUN true behind", "RUN true last"]
    assert steps_that_run(project, "--build-arg", "x=2", "--build-arg", "undeclared=1") == []


def _texts(document: dict[str, list[dict[str, str]]]) -> list[tuple[str, str]]:
    return [(step["instruction"], step["status"]) for step in document["steps"]]


def test_point_23_proxies_do_not_invalidate_and_reach_the_step(project: Project) -> None:
    project.dockerfile("FROM base\nRUN env | grep -i _proxy > /env\n")
    assert steps_that_run(project, "--build-arg", "http_proxy=http://one") == ["RUN"]
    image = project.layout("p", "--build-arg", "HTTP_PROXY=http://two")
    assert image.read("env").splitlines().count(b"http_proxy=http://one") == 1
    assert "proxy" not in str(image.config).lower().replace("grep -i _proxy", "")
    assert steps_that_run(project, "--build-arg", "http_proxy=http://two") == []


def test_point_66_a_producer_with_equal_output_keeps_its_consumers_cached(project: Project) -> None:
    project.dockerfile(
        "FROM base AS a\nCOPY in /in\nRUN wc -l < /in > /count; date +%N > /elsewhere\n"
        "FROM base\nCOPY --from=a /count /count\nRUN cat /count > /copy\n"
    )
    project.write("in", "one\n")
    assert steps_that_run(project) == ["COPY", "RUN", "COPY", "RUN"]
    project.write("in", "two\n")
    assert steps_that_run(project) == ["COPY", "RUN"]


STAGES = """\
FROM base AS lib
COPY in /in
RUN cat /in > /lib
FROM base AS unused
RUN true unused
FROM base
COPY --from=lib /lib /lib
RUN true last
"""


def test_point_35_no_cache_filter_names_stages_and_the_others_stay_cached(project: Project) -> None:
    project.dockerfile(STAGES)
    project.write("in", "1")
    assert steps_that_run(project) == ["COPY", "RUN", "COPY", "RUN"]
    again = project.document("--no-cache-filter", "LIB")
    assert [text for text, status in _texts(again) if status == "run"] == ["COPY in /in", "RUN cat /in > /lib"]
    assert steps_that_run(project) == []


def test_point_67_the_stores_cache_holds_intermediate_stages_and_outlives_prune_with_equal_results(
    project: Project,
) -> None:
    project.dockerfile(STAGES)
    project.write("in", "1")
    first = project.document("-t", "kept")
    project.run("prune")
    again = project.document("-t", "kept")
    assert ran(again) == []
    assert again["manifest_digest"] == first["manifest_digest"]
    project.write("in", "2")
    assert steps_that_run(project) == ["COPY", "RUN", "COPY", "RUN"]
    project.write("in", "1")
    back = project.document("-t", "kept")
    assert (ran(back), back["manifest_digest"]) == ([], first["manifest_digest"])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("COPY --from=lib /aps /x", '"aps" is not in the stage "lib"'),
        ("COPY --from=base /bim /x", '"bim" is not in the image "base"'),
        ("RUN --mount=from=lib,source=/aps,target=/m true", '"aps" is not in the stage "lib"'),
    ],
)
def test_point_45_a_missing_path_names_its_stage_and_a_near_name(project: Project, line: str, says: str) -> None:
    project.dockerfile(f"FROM base AS lib\nRUN touch /app\nFROM base\n{line}\n")
    done = project.build("--network=none", status=2)
    assert says in done.err
    assert 'did you mean "' in done.err
