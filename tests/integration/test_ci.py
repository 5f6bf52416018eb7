"""What a CI job sees of a build: annotations, a summary, the image in the engine that runs it next."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.command import slimstage

pytestmark = pytest.mark.root

RUNS = """\
FROM busybox AS a
RUN echo ::add-mask::x; echo '##[error]no'
FROM scratch AS app
COPY --from=a /bin/busybox /bin/busybox
CMD ["/bin/busybox", "echo", "it runs"]
"""


@pytest.fixture
def context(tmp_path: Path, busybox: Path) -> Path:
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(RUNS)
    (context / "slimstage.toml").write_text(f'[contexts]\nbusybox = "oci-layout://{busybox}"\n')
    return context


def test_github_shows_the_error_at_the_line_and_takes_no_commands_from_steps(context: Path, tmp_path: Path) -> None:
    (context / "Dockerfile").write_text(RUNS.replace("'##[error]no'", "::set-env::; exit 3"))
    done = slimstage("build", context, root=tmp_path / "root", status=1, env={"GITHUB_ACTIONS": "true"})
    lines = done.err.splitlines()
    (shown,) = [line for line in lines if line.startswith("::error ")]
    assert "Dockerfile,line=2," in shown
    assert "exit status 3" in shown
    is_open = True
    for line in lines:
        if line.startswith("::stop-commands::"):
            is_open, word = False, line.removeprefix("::stop-commands::")
        elif not is_open and line == f"::{word}::":
            is_open = True
        elif "set-env" in line or "add-mask" in line:
            assert not is_open or line is shown, line
    assert is_open


def test_a_summary_is_added_to_the_file(context: Path, tmp_path: Path) -> None:
    (tmp_path / "summary.md").write_text("before\n")
    words = ["build", "-t", "app", "--summary", tmp_path / "summary.md", context]
    slimstage(*words, root=tmp_path / "root")
    text = (tmp_path / "summary.md").read_text()
    assert text.startswith("before\n## app")
    assert "| a | built |" in text
    refused = slimstage("build", "--summary", tmp_path, context, root=tmp_path / "root", status=2)
    assert "--summary" in refused.err


def test_load_gives_the_image_to_podman(context: Path, tmp_path: Path) -> None:
    if shutil.which("podman") is None:
        pytest.skip("needs podman")
    storage = tmp_path / "storage.conf"
    storage.write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{tmp_path}/p"\nrunroot = "{tmp_path}/r"\n')
    without_docker = tmp_path / "bin"
    without_docker.mkdir()
    for name in ("podman", "runc", "crun", "conmon"):
        if found := shutil.which(name):
            (without_docker / name).symlink_to(found)
    env = {"CONTAINERS_STORAGE_CONF": str(storage), "PATH": f"{without_docker}:/usr/sbin:/sbin"}
    done = slimstage("build", "--load", "-t", "app:1", context, root=tmp_path / "root", env=env)
    assert "loaded into podman" in done.err
    images = subprocess.run(
        ["podman", "images", "--format", "{{.Repository}}:{{.Tag}}"],
        check=True, capture_output=True, text=True, env={**os.environ, **env},
    ).stdout  # fmt: skip
    assert images.split() == ["docker.io/library/app:1"]


def test_load_without_an_engine_keeps_the_image_in_the_store(context: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    env = {"PATH": str(tmp_path / "empty")}
    done = slimstage("build", "--load", "-t", "app", context, root=tmp_path / "root", env=env)
    assert "neither Docker nor Podman" in done.err
    assert "app" in slimstage("images", root=tmp_path / "root").out


def test_an_engine_that_refuses_is_named(context: Path, tmp_path: Path) -> None:
    engine = tmp_path / "bin"
    engine.mkdir()
    (engine / "podman").write_text("#!/bin/sh\necho no room here >&2\nexit 125\n")
    (engine / "podman").chmod(0o755)
    done = slimstage("build", "--load", context, root=tmp_path / "root", status=3, env={"PATH": str(engine)})
    assert "podman load ended with exit status 125: no room here" in done.err
