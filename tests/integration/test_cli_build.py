"""`slimstage build` and the commands around images, as a user runs them. Bases are scratch and a static busybox."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support import forking
from support.rootfs import BUSYBOX, needs_sandbox

pytestmark = needs_sandbox

Slimstage = Callable[..., subprocess.CompletedProcess[str]]

FILES = """\
FROM scratch AS files
COPY a.txt /a.txt
FROM scratch AS unused
COPY nowhere /x
FROM scratch AS final
COPY --from=files /a.txt /b.txt
LABEL maker=test
"""
SHELL = """\
FROM scratch AS build
COPY sh /bin/sh
ARG WORD=none
RUN echo made $WORD; echo $WORD > /made
FROM scratch
COPY --from=build /made /made
"""


@pytest.fixture
def slimstage(tmp_path: Path) -> Slimstage:
    def run(*arguments: str, **more: Any) -> Any:
        environment = {**os.environ, "SLIMSTAGE_ROOT": str(tmp_path / "root"), **more.pop("env", {})}
        more.setdefault("cwd", tmp_path / "project")
        is_text = more.pop("text", True)
        done = forking.run(arguments, timeout=120, env=environment, **more)
        return forking.as_text(done) if is_text else done

    return run


@pytest.fixture
def project(tmp_path: Path) -> Path:
    path = tmp_path / "project"
    path.mkdir()
    (path / "a.txt").write_text("hello\n")
    shutil.copy(BUSYBOX, path / "sh")
    (path / "Dockerfile").write_text(FILES)
    (path / "shell").write_text(SHELL)
    return path


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def built(slimstage: Slimstage, *arguments: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(ok(slimstage("build", "--json", *arguments, ".")))
    return document


def test_the_document_of_a_build_has_every_field_of_its_contract(slimstage: Slimstage, project: Path) -> None:
    document = built(slimstage, "-t", "app", "-t", "localhost:5000/app:1")
    assert set(document) == {
        "image_id", "manifest_digest", "tags", "platform", "size_bytes", "compressed_bytes", "duration_s", "layers",
        "stages", "steps", "warnings", "outputs", "stayed_behind", "caches", "platforms",
    }  # fmt: skip
    (part,) = document["platforms"]
    assert {key: part[key] for key in part} == {key: document[key] for key in part}
    assert [(stage["name"], stage["status"]) for stage in document["stages"]] == [
        ("files", "built"), ("unused", "skipped"), ("final", "built"),
    ]  # fmt: skip
    assert {key for layer in document["layers"] for key in layer} == {"digest", "diff_id", "size_bytes", "created_by"}
    fields = {"stage", "line", "instruction", "status", "duration_s", "layer_bytes", "why", "cached_from"}
    assert fields == set(document["steps"][0])
    again = built(slimstage, "-t", "app")
    assert again["image_id"] == document["image_id"]
    assert {step["status"] for step in again["steps"]} == {"cached"}


def test_quiet_prints_the_image_id_and_nothing_else(slimstage: Slimstage, project: Path) -> None:
    done = slimstage("build", "-q", "--iidfile", "iid", "--metadata-file", "meta.json", "-t", "app", ".")
    assert done.stderr == ""
    identity = ok(done).strip()
    assert (project / "iid").read_text() == identity
    metadata = json.loads((project / "meta.json").read_text())
    assert metadata["containerimage.config.digest"] == identity
    assert metadata["image.name"] == "docker.io/library/app:latest"
    (image,) = json.loads(ok(slimstage("images", "--json")))
    assert (image["id"], image["manifest_digest"]) == (identity, metadata["containerimage.digest"])


def test_progress_goes_to_stderr_with_a_summary(slimstage: Slimstage, project: Path) -> None:
    done = slimstage("build", "-t", "app", "--progress=plain", ".")
    assert ok(done) == ""
    assert "[files 1/1] COPY a.txt /a.txt" in done.stderr
    assert "STAGE" in done.stderr
    assert "app (" in done.stderr.splitlines()[-1]
    events = [json.loads(line) for line in slimstage("build", "--progress=json", ".").stderr.splitlines()]
    assert (events[0]["event"], events[-1]["event"]) == ("build-started", "build-finished")


def test_outputs_of_every_kind(slimstage: Slimstage, project: Path) -> None:
    done = slimstage(
        "build", "-t", "app:1", "-o", "dist", "-o", "type=tar,dest=flat.tar", "-o", "type=oci,dest=oci.tar",
        "-o", "type=oci,tar=false,dest=layout", "-o", "type=docker,dest=docker.tar", ".",
    )  # fmt: skip
    ok(done)
    assert (project / "dist/b.txt").read_text() == "hello\n"
    with tarfile.open(project / "flat.tar") as tar:
        assert tar.getnames() == ["b.txt"]
    for archive, member in (("oci.tar", "oci-layout"), ("docker.tar", "manifest.json")):
        with tarfile.open(project / archive) as tar:
            assert member in tar.getnames()
    assert json.loads((project / "layout/oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    assert json.loads(ok(slimstage("images", "--json"))) == []


def test_a_tar_on_stdout_is_only_that(slimstage: Slimstage, project: Path) -> None:
    done: Any = slimstage("build", "-o", "-", ".", text=False)
    assert done.returncode == 0, done.stderr
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        assert tar.getnames() == ["b.txt"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [([], "final"), (["--json"], '"final"'), (["--format=dot"], "digraph"), (["--format=mermaid"], "flowchart")],
)
def test_a_plan_builds_nothing(arguments: list[str], says: str, slimstage: Slimstage, project: Path) -> None:
    out = ok(slimstage("build", "--plan", *arguments, "."))
    assert says in out
    assert "unused" in out or arguments == ["--format=dot"] or arguments == ["--format=mermaid"]
    assert json.loads(ok(slimstage("images", "--json"))) == []


def test_explain_names_the_file_that_changed(slimstage: Slimstage, project: Path) -> None:
    ok(slimstage("build", "."))
    (project / "a.txt").write_text("other\n")
    done = slimstage("build", "--explain", ".")
    ok(done)
    assert "a.txt" in done.stderr.partition("because")[2]


def test_a_failing_step_ends_with_1_its_last_lines_and_its_place(slimstage: Slimstage, project: Path) -> None:
    (project / "bad").write_text("FROM scratch\nCOPY sh /bin/sh\nRUN echo oh no; exit 9\n")
    done = slimstage("build", "-f", "bad", ".")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "oh no" in done.stderr
    assert "bad:3:" in done.stderr
    assert "    3 | RUN echo oh no; exit 9" in done.stderr
    assert "exit status 9" in done.stderr
    quiet = slimstage("build", "-q", "-f", "bad", ".")
    assert quiet.returncode == 1
    assert "oh no" in quiet.stderr


def test_arguments_come_from_flags_settings_and_the_environment(slimstage: Slimstage, project: Path) -> None:
    def made(*arguments: str, **more: Any) -> str:
        ok(slimstage("build", "-f", "shell", "-o", "out", *arguments, ".", **more))
        return (project / "out/made").read_text().strip()

    assert made() == "none"
    assert made("--build-arg", "WORD=flag") == "flag"
    assert made("--build-arg", "WORD", env={"WORD": "env"}) == "env"
    (project / "slimstage.toml").write_text('[build]\nargs = { WORD = "file" }\n')
    assert made() == "file"
    assert made("--build-arg", "WORD=flag") == "flag"


def test_a_named_context_of_the_settings_replaces_a_base(slimstage: Slimstage, project: Path) -> None:
    (project / "Dockerfile").write_text("FROM python:3.11-slim AS base\nCOPY --from=data f /f\n")
    (project / "data").mkdir()
    (project / "data/f").write_text("named\n")
    ok(slimstage("build", "-f", "shell", "-o", "type=oci,tar=false,dest=layout,name=base:1", "."))
    (project / "slimstage.toml").write_text('[contexts]\n"python:3.11-slim" = "oci-layout://layout:1"\ndata = "data"\n')
    ok(slimstage("build", "-o", "out", ".", cwd=project.parent / "project"))
    assert (project / "out/f").read_text() == "named\n"
    assert (project / "out/made").exists()


@pytest.mark.parametrize(
    ("files", "arguments", "says"),
    [
        ({"Dockerfile": None}, ["."], "Dockerfile"),
        ({"Dockerfile": ""}, ["."], "Dockerfile"),
        ({"Dockerfile": "FROM scratch\nRUNN x\n"}, ["."], "Dockerfile:2:1"),
        ({"Dockerfile": "FROM scratch\nCOPY --form=x a b\n"}, ["."], "--from"),
        ({"Dockerfile": "FROM scratch\nCOPY missing /\n"}, ["."], "missing"),
        ({"Dockerfile": "FROM scratch AS a\nCOPY --from=a x /\n"}, ["."], "Dockerfile:2"),
        ({"slimstage.toml": "[build]\njbos = 1\n"}, ["."], 'slimstage.toml:2:1: settings: unknown key "jbos"'),
        ({"slimstage.toml": "[build\n"}, ["."], "slimstage.toml:1"),
        ({}, ["--target", "finel", "."], 'did you mean "final"?'),
        ({}, ["a.txt"], "a.txt"),
        ({}, ["nowhere"], "nowhere"),
        ({}, ["--secret", "id=x,src=nowhere", "."], "nowhere"),
        ({}, ["-f", "nowhere", "."], "nowhere"),
    ],
)
def test_bad_input_ends_with_2_says_where_and_leaves_nothing(
    files: dict[str, str | None], arguments: list[str], says: str, slimstage: Slimstage, project: Path
) -> None:
    for name, text in files.items():
        if text is None:
            (project / name).unlink()
        else:
            (project / name).write_text(text)
    before = sorted(os.listdir(project))
    done = slimstage("build", "-t", "app", *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert "internal" not in done.stderr
    assert sorted(os.listdir(project)) == before
    assert json.loads(ok(slimstage("images", "--json"))) == []


def test_save_load_and_verify_keep_every_digest(slimstage: Slimstage, project: Path, tmp_path: Path) -> None:
    identity = ok(slimstage("build", "-q", "-t", "app:1", ".")).strip()
    done = slimstage("inspect", "--verify", "app:1")
    ok(done)
    assert done.stderr == "app:1: valid\n"
    for form, place in (("docker", "d.tar"), ("oci", "o.tar"), ("oci-dir", "layout")):
        ok(slimstage("save", "--format", form, "-o", place, "app:1"))
        other = {"SLIMSTAGE_ROOT": str(tmp_path / f"other-{form}")}
        assert ok(slimstage("load", "-i", place, env=other)) == "app:1\n"
        (image,) = json.loads(ok(slimstage("images", "--json", env=other)))
        assert (image["id"], image["names"]) == (identity, ["app:1"])
        ok(slimstage("inspect", "--verify", "app:1", env=other))
    piped: Any = slimstage("save", "app:1", text=False)
    other = {"SLIMSTAGE_ROOT": str(tmp_path / "other-pipe")}
    loaded: Any = slimstage("load", "--json", input=piped.stdout, text=False, env=other)
    assert json.loads(loaded.stdout)[0]["id"] == identity


def test_what_was_built_runs(slimstage: Slimstage, project: Path) -> None:
    text = 'FROM scratch\nCOPY sh /bin/sh\nENV A=b\nENTRYPOINT ["/bin/sh", "-c"]\nCMD ["echo $A"]\n'
    (project / "Dockerfile").write_text(text)
    ok(slimstage("build", "-q", "-t", "app", "."))
    assert ok(slimstage("run", "--rm", "app")) == "b\n"
    assert ok(slimstage("run", "--rm", "-e", "A=c", "app")) == "c\n"


def test_ctrl_c_ends_a_build_with_130_and_leaves_nothing_running(slimstage: Slimstage, project: Path) -> None:
    (project / "Dockerfile").write_text("FROM scratch\nCOPY sh /bin/sh\nRUN echo begun; while :; do :; done\n")
    environment = {**os.environ, "SLIMSTAGE_ROOT": str(project.parent / "root")}
    command = [sys.executable, "-m", "slimstage", "build", "--progress=plain", "."]
    with subprocess.Popen(command, cwd=project, env=environment, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        for line in child.stderr:
            if line.rstrip().endswith(" begun"):
                break
        child.send_signal(signal.SIGINT)
        rest = child.stderr.read()
        assert child.wait(20) == 130
    assert "Traceback" not in rest
    assert json.loads(ok(slimstage("doctor", "--json")))["store"]["findings"] == []
