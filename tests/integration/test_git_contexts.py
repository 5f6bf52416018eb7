"""Contexts, named contexts and ADD from repositories that a real git server gives."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.building import Project
from support.trees import make_tree

pytestmark = pytest.mark.root


def git(where: Path, *arguments: str) -> str:
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_COMMITTER_DATE": "@1600000000 +0000"}
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=where, env=env, capture_output=True, check=True, text=True
    )
    return done.stdout.strip()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """URL and directory of a repository: main and tag v1 have `f` "main", branch dev "dev"; sub/ has its own Dockerfile."""
    top = tmp_path_factory.mktemp("served")
    dockerfile = "FROM scratch\nCOPY . /\n"
    origin = Path(
        make_tree(top / "r", {"Dockerfile": dockerfile, "f": "main", "sub/Dockerfile": dockerfile, "sub/g": "g"})
    )
    git(origin, "init", "-q")
    git(origin, "add", ".")
    git(origin, "commit", "-qm", "one")
    git(origin, "tag", "v1")
    git(origin, "checkout", "-qb", "dev")
    (origin / "f").write_text("dev")
    git(origin, "commit", "-qam", "two")
    git(origin, "checkout", "-q", "main")
    port = _free_port()
    command = [
        "git",
        "daemon",
        "--listen=127.0.0.1",
        f"--port={port}",
        "--export-all",
        f"--base-path={top}",
        "--reuseaddr",
    ]
    daemon = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                assert daemon.poll() is None, "git daemon ended"
                assert time.monotonic() < deadline, "git daemon does not listen"
                time.sleep(0.02)
        yield f"git://127.0.0.1:{port}/r", origin
    finally:
        os.killpg(daemon.pid, 15)
        daemon.wait()


def built(project: Project, context: str, *args: object) -> Path:
    out = project.path.parent / "out"
    project.build("-o", out, *args, context=context)
    return out


@pytest.mark.parametrize(
    ("suffix", "content"),
    [("", "main"), ("#dev", "dev"), ("?branch=dev", "dev"), ("?tag=v1", "main"), ("?ref=refs/heads/dev", "dev")],
)
def test_query_and_fragment_choose_the_commit(
    project: Project, server: tuple[str, Path], suffix: str, content: str
) -> None:
    out = built(project, server[0] + suffix)
    assert (out / "f").read_text() == content
    assert not (out / ".git").exists()


@pytest.mark.parametrize("suffix", ["?branch=dev&subdir=sub", "#dev:sub"])
def test_a_subdirectory_is_the_context(project: Project, server: tuple[str, Path], suffix: str) -> None:
    assert sorted(os.listdir(built(project, server[0] + suffix))) == ["Dockerfile", "g"]


def test_a_checksum_holds_the_commit(project: Project, server: tuple[str, Path]) -> None:
    url, origin = server
    commit = git(origin, "rev-parse", "v1^{commit}")
    assert (built(project, f"{url}?tag=v1&checksum={commit}") / "f").read_text() == "main"
    done = project.build(context=f"{url}?branch=dev&checksum={commit}", status=2)
    assert "checksum-mismatch" in done.err


def test_the_git_directory_stays_when_asked(project: Project, server: tuple[str, Path]) -> None:
    assert (built(project, f"{server[0]}?keep-git-dir=true") / ".git/HEAD").is_file()


def test_the_git_directory_stays_when_a_build_argument_asks(project: Project, server: tuple[str, Path]) -> None:
    out = built(project, server[0], "--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1")
    assert (out / ".git/HEAD").is_file()


def test_add_and_named_contexts_take_the_same_references(project: Project, server: tuple[str, Path]) -> None:
    url, _ = server
    project.dockerfile(f"FROM scratch\nADD {url}?branch=dev&mtime=commit /add/\nCOPY --from=repo f /named\n")
    out = built(project, ".", "--build-context", f"repo={url}?tag=v1")
    assert ((out / "add/f").read_text(), (out / "named").read_text()) == ("dev", "main")
    assert (out / "add/f").stat().st_mtime == 1_600_000_000


def test_a_query_that_makes_no_sense_is_the_inputs_fault(project: Project, server: tuple[str, Path]) -> None:
    assert 'did you mean "branch"?' in project.build(context=f"{server[0]}?brnch=dev", status=2).err
