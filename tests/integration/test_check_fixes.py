"""What `check --fix` writes builds, answers as before, and leaves behind what only building needs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from support.command import PROJECT, Done, slimstage

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="base systems are made as root"),
    pytest.mark.slow,
    pytest.mark.timeout(800),
    # The same base systems as the example's.
    pytest.mark.xdist_group("tutorial-python"),
]

NAIVE = """\
# What people write first.
FROM python:3.11
WORKDIR /app
COPY . .
RUN pip install -r requirements.txt
CMD ["python3", "app.py"]
"""

FIXED = """\
# What people write first.
FROM python:3.11 AS builder
WORKDIR /app
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY requirements.txt .
RUN pip install -r requirements.txt

FROM python:3.11-slim
WORKDIR /app
COPY --from=builder /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY . .
CMD ["python3", "app.py"]
"""

APP = """\
import json, shutil, threadpoolctl
print(json.dumps({"version": threadpoolctl.__version__, "pools": threadpoolctl.threadpool_info(), "here": __file__}))
"""

TOOLS = "import shutil; print([name for name in ('gcc', 'make', 'git') if shutil.which(name)])"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A naive service, with a history of git beside it, on the base systems of examples/iris."""
    files = {
        "Dockerfile": NAIVE,
        "app.py": APP,
        "requirements.txt": "threadpoolctl==3.6.0\n",
        ".git/objects/pack/a.pack": "0" * 2_000_000,
        "slimstage.toml": (PROJECT / "examples" / "iris" / "slimstage.toml").read_text(),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def built(project: Path, tag: str) -> dict[str, Any]:
    return dict(slimstage("build", "--json", "-t", tag, project, timeout_s=700).json())


def run(*args: str) -> Done:
    return slimstage("run", "--rm", *args)


RULES = ("--rule", "stages", "--rule", "NoIgnoreFile", "--rule", "DependenciesAfterSource")


def test_a_naive_service_is_mended_builds_and_answers_the_same(project: Path) -> None:
    before = built(project, "check-naive")
    fixed = slimstage("check", *RULES, "--fix", project)
    assert "wrote .dockerignore" in fixed.err
    assert (project / "Dockerfile").read_text() == FIXED
    assert (project / ".dockerignore").read_text() == "# What no image needs.\n.git\n"
    assert slimstage("check", *RULES, "--fail-on", "info", project).out == ""

    after = built(project, "check-fixed")
    assert run("check-fixed").out == run("check-naive").out
    assert run("--entrypoint", "python3", "check-naive", "-c", TOOLS).out == "['gcc', 'make', 'git']\n"
    assert run("--entrypoint", "python3", "check-fixed", "-c", TOOLS).out == "[]\n"
    assert after["size_bytes"] < before["size_bytes"] - 200_000_000
