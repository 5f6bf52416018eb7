"""Bad input ends with status 2, says where and what to do, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from slimstage.store.doctor import examine
from slimstage.store.store import Store
from support.base_image import LayoutWriter, busybox_members, tar_of
from support.building import Project, mounts_below
from support.command import Done, slimstage
from support.rootfs import needs_sandbox

pytestmark = needs_sandbox


@dataclass(frozen=True)
class Case:
    """What is wrong, and what has to be said about it: each text somewhere on stderr."""

    name: str
    says: tuple[str, ...]
    files: dict[str, str | bytes | None] = field(default_factory=dict)
    """Over those of the project; None: not there."""
    args: tuple[str, ...] = ()
    context: str = "."
    prepare: Callable[[Project], object] = lambda project: None
    env: dict[str, str] = field(default_factory=dict)


def docker(text: str, *says: str, name: str = "", files: dict[str, str | bytes | None] | None = None) -> Case:
    """A case of a Dockerfile."""
    return Case(name or text.splitlines()[-1][:60], says, {"Dockerfile": text, **(files or {})})


GOOD = "FROM base AS first\nCOPY app.py /app.py\nFROM first AS final\nLABEL a=b\n"

DOCKERFILES = [
    Case("no Dockerfile", ("no-dockerfile", "Dockerfile", "hint:"), {"Dockerfile": None}),
    Case("a Dockerfile of another name", ("Dockerfile", "hint:"), {"Dockerfile": None, "Dockerfile.prod": GOOD}),
    Case("-f names nothing", ("nowhere",), args=("-f", "nowhere")),
    Case("-f names a directory", ("folder",), {"folder/x": ""}, args=("-f", "folder")),
    Case("the Dockerfile is a directory", ("Dockerfile",), {"Dockerfile": None, "Dockerfile/x": ""}),
    docker("", "Dockerfile", "hint:", name="an empty Dockerfile"),
    docker("# only\n\n# comments\n", "Dockerfile", name="only comments"),
    docker("ARG X=1\n", "Dockerfile", "FROM", name="no FROM"),
    docker("RUN true\n", "Dockerfile:1:1", "FROM", name="an instruction before FROM"),
    docker("FROM base\nRUNN true\n", "Dockerfile:2:1", "RUNN true", "^", 'did you mean "RUN"?'),
    docker("FROM base\nCOPY --form=x a b\n", "Dockerfile:2:6", "--form", "--from"),
    docker("FROM base\nRUN --mount=type=cahce,target=/x true\n", "Dockerfile:2:", "cahce", "cache"),
    docker("FROM base\nRUN --mount=target=/x,sorce=y true\n", "Dockerfile:2:", "sorce", "source"),
    docker("FROM base\nRUN --network=hots true\n", "Dockerfile:2:", "hots", "host"),
    docker("FROM base\nCOPY a\n", "Dockerfile:2:", "COPY"),
    docker("FROM base\nENV novalue\n", "Dockerfile:2:", "novalue", name="ENV without a value"),
    docker("FROM base\nRUN cat <<EOF\nnever ends\n", "Dockerfile:2", "EOF", name="a heredoc without end"),
    docker("FROM base\nLABEL a=${b\n", "Dockerfile:2:", "${b", name="a variable without end"),
    docker("FROM base\nLABEL a=${b:?is needed}\n", "Dockerfile:2:", "is needed", name="a variable that is needed"),
    docker("FROM base\nRUNN a\nCOPPY b c\nENV x\n", "Dockerfile:2:1", "Dockerfile:3:1", "Dockerfile:4:",
           name="all faults at once"),
    docker("FROM $NAME\n", "Dockerfile:1:", name="FROM of nothing"),
    docker("# escape=x\nFROM base\n", "Dockerfile:1:", "escape", name="a bad directive"),
    docker("FROM base\nRUN a\0b\n", "Dockerfile:2:", name="a NUL"),
    docker("FROM base AS a:b\n", "Dockerfile:1:", "a:b", name="a bad stage name"),
    docker("FROM base\nSTOPSIGNAL SIGNO\n", "Dockerfile:2:", "SIGNO"),
    docker("FROM base\nEXPOSE 99999\n", "Dockerfile:2:", "99999"),
    docker("FROM base\nHEALTHCHECK --interval=1x CMD true\n", "Dockerfile:2:", "1x"),
]  # fmt: skip

PLANS = [
    docker("FROM base AS a\nCOPY --from=a /x /\n", "Dockerfile:2", '"a"', name="a stage copies from itself"),
    docker("FROM base AS a\nCOPY --from=b /x /\nFROM base AS b\nCOPY --from=a /x /\n", "Dockerfile:2", '"b"', "3",
           name="stages copy from each other"),
    docker("FROM base AS a\nCOPY --from=7 /x /\n", "Dockerfile:2", "7", name="an index that is no stage"),
    docker("FROM base\nCOPY --from=$X /x /\n", "Dockerfile:2", "$X", "hint:", name="a variable in --from"),
    Case("a target that is no stage", ("finel", 'did you mean "final"?'), args=("--target", "finel")),
    Case("a base layout that is not there", ("Dockerfile:1:", "/nonexistent"),
         {"Dockerfile": "FROM away\n"}, ("--build-context", "away=oci-layout:///nonexistent")),
    Case("a base layout without that tag", ("Dockerfile:1:", "none", "latest"), {"Dockerfile": "FROM away\n"},
         prepare=lambda p: p.write("slimstage.toml", f'[contexts]\naway = "oci-layout://{p.base}:none"\n')),
]  # fmt: skip

BIG_TAR = tar_of(
    [("Dockerfile", tarfile.REGTYPE, 0o644, GOOD.encode()), ("big", tarfile.REGTYPE, 0o644, os.urandom(9000))]
)

COPIES = [
    docker("FROM base\nCOPY missing /\n", "Dockerfile:2:", "missing", "^"),
    docker("FROM base\nCOPY ap.py /\n", "Dockerfile:2:", "ap.py", "app.py", name="COPY of a near name"),
    docker("FROM base\nCOPY secret.txt /\n", "Dockerfile:2:", "secret.txt", "note: .dockerignore:2", "hint:",
           files={".dockerignore": "*.log\n*.txt\n", "secret.txt": "x"}, name="COPY of an ignored file"),
    docker("FROM base\nCOPY missing-[ab /\n", "Dockerfile:2:", "missing-[ab", name="a bad pattern"),
    docker("FROM base\nCOPY app.py /etc/passwd/x\n", "Dockerfile:2", "/etc/passwd", name="COPY below a file"),
    docker("FROM base\nCOPY dir /etc/passwd\n", "Dockerfile:2", "/etc/passwd", files={"dir/x": ""},
           name="a directory over a file"),
    docker("FROM base\nCOPY --chown=nobody-here app.py /\n", "Dockerfile:2", "nobody-here"),
    docker("FROM base\nCOPY --chmod=99 app.py /\n", "Dockerfile:2", "99"),
    docker("FROM base AS a\nFROM base\nCOPY --from=a /missing /\n", "Dockerfile:3", "/missing",
           name="a file that a stage has not"),
    docker("FROM base\nCOPY https://localhost/x /\n", "Dockerfile:2", "ADD", name="COPY of a URL"),
    docker("FROM base\nADD --checksum=sha256:00 app.py /\n", "Dockerfile:2", "checksum", name="a checksum of a file"),
    docker("FROM base\nADD file:///etc/passwd /\n", "Dockerfile:2", name="ADD of a file URL"),
    Case("COPY through a link that leads outside", ("Dockerfile:2", "out/passwd"),
         {"Dockerfile": "FROM base\nCOPY out/passwd /\n"}, prepare=lambda p: (p.path / "out").symlink_to("/etc")),
    Case("a link that leads outside", ("Dockerfile:2", "out"),
         {"Dockerfile": "FROM base\nCOPY out /x\n"}, prepare=lambda p: (p.path / "out").symlink_to("/etc/passwd")),
    Case("a truncated archive of ADD", ("Dockerfile:2",), {
        "Dockerfile": "FROM base\nADD a.tar /\n", "a.tar": tar_of([("f", tarfile.REGTYPE, 0o644, b"x" * 5000)])[:3000]}),
    Case("an archive of ADD that leads out", ("Dockerfile:2",), {
        "Dockerfile": "FROM base\nADD a.tar /\n", "a.tar": tar_of([("../../f", tarfile.REGTYPE, 0o644, b"x")])}),
]  # fmt: skip

FLAGS = [
    Case("no such flag", ("--tga", "--tag"), args=("--tga", "x")),
    Case("a build argument without name", ("--build-arg", "hint:"), args=("--build-arg", "=x")),
    Case("a secret without id", ("--secret", "id"), args=("--secret", "src=app.py")),
    Case("a secret that is not there", ("--secret", "nowhere"), args=("--secret", "id=x,src=nowhere")),
    Case("a secret's variable that is not set", ("--secret", "NOT_SET_X"), args=("--secret", "id=x,env=NOT_SET_X")),
    Case("a secret with an unknown key", ("--secret", "sorce", "source"), args=("--secret", "id=x,sorce=app.py")),
    Case("an output without type", ("--output", "type="), args=("-o", "dest=x.tar")),
    Case("an output of an unknown type", ("--output", "ocy", "oci"), args=("-o", "type=ocy,dest=x")),
    Case("an output with an unknown key", ("--output", "dst", "dest"), args=("-o", "type=oci,dst=x")),
    Case("an output of unknown compression", ("--output", "gzp", "gzip"), args=("-o", "type=oci,dest=x,compression=gzp")),
    Case("two outputs to one place", ("--output", "x"), args=("-o", "type=oci,dest=x", "-o", "type=tar,dest=x")),
    Case("an output onto a directory", ("folder",), {"folder/x": ""}, args=("-o", "type=oci,dest=folder")),
    Case("an output below a file", ("app.py",), args=("-o", "type=oci,dest=app.py/x")),
    Case("a local output onto a file", ("app.py",), args=("-o", "app.py")),
    Case("an unknown platform", ("--platform", "linux/nonsense/v1/x"), args=("--platform", "linux/nonsense/v1/x")),
    Case("a bad tag", ("--tag", "UPPER"), args=("-t", "UPPER:x")),
    Case("jobs of no number", ("--jobs", "many"), args=("--jobs", "many")),
    Case("a build context without value", ("--build-context", "x"), args=("--build-context", "x")),
    Case("a build context that is not there", ("nowhere",), {"Dockerfile": "FROM base\nCOPY --from=data x /\n"},
         args=("--build-context", "data=nowhere")),
    Case("a bad SOURCE_DATE_EPOCH", ("SOURCE_DATE_EPOCH", "soon"), env={"SOURCE_DATE_EPOCH": "soon"}),
    Case("a bad limit", ("--memory", "lots"), args=("--memory", "lots")),
]  # fmt: skip

SETTINGS = [
    Case("settings with an unknown key", ("slimstage.toml:2:1", "jbos", 'did you mean "jobs"?'),
         {"slimstage.toml": "[build]\njbos = 1\n"}),
    Case("settings of a wrong type", ("slimstage.toml:2:", "jobs"), {"slimstage.toml": '[build]\njobs = "many"\n'}),
    Case("settings that are no TOML", ("slimstage.toml:1:",), {"slimstage.toml": "[build\n"}),
    Case("settings with an unknown table", ("slimstage.toml:1:", "biuld", "build"), {"slimstage.toml": "[biuld]\njobs = 1\n"}),
    Case("settings with a bad context", ("slimstage.toml:2:", "x"), {"slimstage.toml": '[contexts]\nx = ""\n'}),
]  # fmt: skip

CONTEXTS = [
    Case("a context that is a file", ("app.py", "hint:"), context="app.py"),
    Case("a context that is not there", ("nowhere",), context="nowhere"),
    Case("a context that is a truncated tar", ("context.tar",), {"context.tar": BIG_TAR[:4000]}, context="context.tar"),
    Case("a context that is a truncated gzip", ("context.tgz",), {"context.tgz": gzip.compress(BIG_TAR)[:-2000]},
         context="context.tgz"),
    Case("a bad pattern in the ignore file", (".dockerignore:2",), {".dockerignore": "fine\n!\n"}),
    Case("a Dockerfile that leads out of the context", ("Dockerfile",), {"Dockerfile": None},
         prepare=lambda p: (p.path / "Dockerfile").symlink_to("/etc/passwd")),
    Case("an ignore file that leads out of the context", (".dockerignore",),
         prepare=lambda p: (p.path / ".dockerignore").symlink_to("/etc/passwd")),
]  # fmt: skip

CASES = [*DOCKERFILES, *PLANS, *COPIES, *FLAGS, *SETTINGS, *CONTEXTS]


@pytest.fixture(scope="module")
def shared_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bad") / "root"


def lay_out(project: Project) -> None:
    project.dockerfile(GOOD)
    project.write("app.py", "print()\n")


def listing(project: Project) -> list[str]:
    return sorted(str(path.relative_to(project.path)) for path in project.path.rglob("*"))


def assert_nothing_stayed(root: Path) -> None:
    assert mounts_below(root) == []
    if root.exists():
        assert os.listdir(root / "tmp") == []
        with Store.open(root) as store:
            assert [str(finding) for finding in examine(store)] == []
            assert store.images.list() == []


def check_message(done: Done) -> None:
    """The form of every error: one sentence with a code, no trace, no fault of ours."""
    assert done.out == ""
    assert "internal" not in done.err
    assert not any(line.startswith("Traceback") for line in done.err.splitlines())
    last = [line for line in done.err.splitlines() if line.strip()][-1]
    assert last.strip()


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_it_is_refused_with_a_place_and_nothing_stays(case: Case, project: Project, shared_root: Path) -> None:
    project.root = shared_root
    lay_out(project)
    for name, text in case.files.items():
        if text is None:
            (project.path / name).unlink()
        else:
            project.write(name, text)
    case.prepare(project)
    before = listing(project)
    done = project.build("-t", "app", *case.args, context=case.context, status=None, env=case.env)
    print(done.err)
    if done.status == 0:
        project.run("rm", "app", status=None)  # so that the next case is judged by itself
    assert done.status == 2, done.err
    check_message(done)
    for text in case.says:
        assert text in done.err, f"{text!r} is not said:\n{done.err}"
    assert "root:x:0:0" not in done.err, "a foreign file is shown"
    assert listing(project) == before
    assert_nothing_stayed(shared_root)


# Bases and registries -----------------------------------------------------------------------------------------------


class _Empty(http.server.BaseHTTPRequestHandler):
    """A registry in which nothing is."""

    def do_GET(self) -> None:
        body = (
            b"{}" if self.path == "/v2/" else b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'
        )
        self.send_response(200 if self.path == "/v2/" else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.command == "GET" else b"")

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def empty_registry() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Empty) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"localhost:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_base_that_does_not_exist_is_named_with_near_ones(project: Project, empty_registry: str) -> None:
    lay_out(project)
    project.build("-t", f"{empty_registry}/models/iris:1")
    project.dockerfile(f"FROM scratch AS a\nFROM {empty_registry}/models/irsi:1\n")
    done = project.build(status=2)
    assert "Dockerfile:2:" in done.err
    assert f"{empty_registry}/models/irsi:1" in done.err
    assert f'did you mean "{empty_registry}/models/iris:1"' in done.err
    check_message(done)


def test_a_stage_that_was_meant_is_named(project: Project, empty_registry: str) -> None:
    """A name that is no stage's is an image's: when that cannot be had, a slip is the likely cause."""
    project.dockerfile("FROM scratch AS builder\nFROM scratch\nCOPY --from=buidler /x /\n")
    project.write("slimstage.toml", f'[registry."docker.io"]\nmirrors = ["{empty_registry}"]\n')
    done = project.build(status=None)
    assert done.status in (2, 3)
    assert "Dockerfile:3:" in done.err
    assert 'did you mean the stage "builder"?' in done.err
    project.dockerfile("FROM later\nFROM scratch AS later\nFROM scratch AS last\nCOPY --from=0 /x /\n")
    done = project.build(status=None)
    assert 'line 2 names a stage "later", but FROM only sees earlier stages' in done.err


def test_a_registry_that_does_not_answer_is_the_hosts_failure(project: Project) -> None:
    project.dockerfile("FROM localhost:1/x\n")
    done = project.build(status=3)
    assert "Dockerfile:1:" in done.err
    assert "localhost:1" in done.err


# Layouts that lie ---------------------------------------------------------------------------------------------------


def lying(name: str, path: Path) -> None:
    """An OCI layout with one thing wrong."""
    writer, tar = LayoutWriter(path), tar_of(busybox_members()[:20])
    more: dict[str, Any] = {}
    packed = gzip.compress(tar, 6, mtime=0)
    if name == "truncated layer":
        writer.layer(tar, packed=packed[: len(packed) // 2])
    elif name == "another diff ID":
        writer.layer(tar, diff_id="sha256:" + "0" * 64)
    elif name == "a layer that is no tar":
        writer.layer(b"not a tar at all" * 100)
    elif name == "a layer that leads out":
        writer.layer(tar_of([("../../escaped", tarfile.REGTYPE, 0o644, b"x")]))
    elif name == "a whiteout that leads out":
        writer.layer(tar_of([("a/.wh...", tarfile.REGTYPE, 0o644, b"")]))
    else:
        writer.layer(tar)
    if name == "fewer diff IDs than layers":
        writer.diff_ids.clear()
    if name == "a manifest of an unknown schema":
        more = {"schemaVersion": 1}
    writer.finish(None, **more)
    layer = path / "blobs/sha256" / writer.layers[0]["digest"][7:]
    config = next(each for each in (path / "blobs/sha256").iterdir() if b'"rootfs"' in each.read_bytes()[:400])
    if name == "other bytes than the digest says":
        layer.write_bytes(gzip.compress(tar + bytes(512), 6, mtime=0))
    elif name == "a size that lies":
        layer.write_bytes(layer.read_bytes() + b"more")
    elif name == "a missing layer":
        layer.unlink()
    elif name == "a layer that is a symlink":
        layer.unlink()
        layer.symlink_to("/etc/passwd")
    elif name == "a truncated config":
        config.write_bytes(config.read_bytes()[:-20])
    elif name == "a truncated index":
        (path / "index.json").write_text('{"schemaVersion": 2, "manif')
    elif name == "no index":
        (path / "index.json").unlink()
    elif name == "another layout version":
        (path / "oci-layout").write_text('{"imageLayoutVersion":"9.0.0"}')
    elif name == "a FIFO for an index":
        (path / "index.json").unlink()
        os.mkfifo(path / "index.json")


LIES = [
    "truncated layer", "another diff ID", "a layer that is no tar", "a layer that leads out", "a whiteout that leads out",
    "fewer diff IDs than layers", "a manifest of an unknown schema", "other bytes than the digest says", "a size that lies",
    "a missing layer", "a layer that is a symlink", "a truncated config", "a truncated index", "no index",
    "another layout version", "a FIFO for an index",
]  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_a_base_that_lies_is_refused_and_nothing_of_it_is_kept(name: str, project: Project, tmp_path: Path) -> None:
    lying(name, tmp_path / "lying")
    project.base = tmp_path / "lying"
    project.dockerfile("FROM base\nCOPY f /f\n")
    project.write("f", "f")
    done = project.build("-t", "app", status=None)
    print(done.err)
    assert done.status in (2, 3), done.err
    check_message(done)
    assert "Dockerfile:1:1: " in done.err
    assert not (project.root.parent / "escaped").exists()
    assert_nothing_stayed(project.root)
    assert os.listdir(project.root / "layers") == []


# The store and the host ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["version", "store.db"])
def test_a_store_of_a_newer_version_is_refused_and_untouched(where: str, project: Project) -> None:
    project.dockerfile("FROM scratch\nLABEL a=b\n")
    project.build()
    if where == "version":
        (project.root / "version").write_text("9999\n")
    else:
        with contextlib.closing(sqlite3.connect(project.root / "store.db")) as connection:
            connection.execute("PRAGMA user_version = 9999")
    before = sorted(str(path) for path in project.root.rglob("*") if "locks" not in path.parts)
    done = project.build(status=3)
    assert "store-newer" in done.err
    assert "hint: use a newer slimstage" in done.err
    assert sorted(str(path) for path in project.root.rglob("*") if "locks" not in path.parts) == before


def test_a_full_disk_is_status_3_and_leaves_no_half_results(project: Project, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "slimstage-test", str(small)], check=True)
    try:
        project.root = small / "root"
        project.dockerfile("FROM base\nCOPY big /big\n")
        project.write("big", os.urandom(1 << 20) * 40)
        done = project.build("-t", "app", status=3)
        assert "No space left on device" in done.err
        assert "hint:" in done.err
        assert_nothing_stayed(project.root)
        project.dockerfile("FROM base\nRUN dd if=/dev/zero of=/big bs=1048576 count=40\n")
        done = project.build("-t", "app", status=1)
        assert "No space left on device" in done.err
        assert "hint:" in done.err
        assert_nothing_stayed(project.root)
        project.write("big", b"small")
        project.dockerfile("FROM base\nCOPY big /big\n")
        project.build("-t", "app")
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_full_disk_at_the_output_keeps_the_old_file(project: Project, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "slimstage-test", str(small)], check=True)
    try:
        (small / "out.tar").write_text("old")
        project.dockerfile("FROM scratch\nCOPY big /big\n")
        project.write("big", os.urandom(1 << 20) * 4)
        for kind in ("oci", "docker", "tar"):
            done = project.build("-o", f"type={kind},dest={small}/out.tar", status=3)
            assert "disk" in done.err or "space" in done.err
        assert (small / "out.tar").read_text() == "old"
        project.build("-o", f"type=oci,tar=false,dest={small}/layout", status=3)
        assert os.listdir(small) == ["out.tar"]
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_context_that_changes_while_it_is_read_is_refused_or_copied_whole(project: Project) -> None:
    """A writer is at work all the time: what is in the image is one of the states that the file was in."""
    states = [bytes([65 + number]) * 300_000 for number in range(4)]
    project.dockerfile("FROM scratch\nCOPY f /f\n")
    script = (
        "import itertools, os, sys\n"
        "for n in itertools.count():\n"
        "    with open('f', 'r+b' if os.path.exists('f') else 'wb') as file:\n"
        "        file.write(bytes([65 + n % 4]) * 300_000)\n"
    )
    project.write("f", states[0])
    with subprocess.Popen([sys.executable, "-c", script], cwd=project.path) as writer:
        try:
            for _ in range(3):
                done = project.build("-o", "type=oci,tar=false,dest=../out", status=None)
                assert done.status in (0, 2), done.err
                if done.status == 2:
                    assert "changes while it is read" in done.err
                    assert "hint:" in done.err
        finally:
            writer.kill()
    (project.path / "f").write_bytes(states[1])
    assert project.layout("again").read("f") == states[1]


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv of util-linux")
def test_an_unreadable_file_of_the_context_is_named(project: Project) -> None:
    """As somebody who is not allowed to read everything."""
    lay_out(project)
    project.dockerfile("FROM scratch\nCOPY . /\n")
    (project.path / "app.py").chmod(0o000)
    drop = "-dac_override,-dac_read_search"
    done = subprocess.run(
        ["setpriv", f"--bounding-set={drop}", f"--inh-caps={drop}", sys.executable, "-m", "slimstage", "build", "."],
        check=False, capture_output=True, text=True, cwd=project.path,
        env={**os.environ, "SLIMSTAGE_ROOT": str(project.root)},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert '"app.py"' in done.stderr
    assert "Dockerfile:2:" in done.stderr
    assert "ermission denied" in done.stderr


def test_stdin_holds_a_dockerfile_or_a_tar(project: Project) -> None:
    done = project.build(context="-", status=2, stdin=b"FROM base\nCOPY x /\n")
    assert "Dockerfile:2" in done.err
    tar = tar_of(
        [("Dockerfile", tarfile.REGTYPE, 0o644, b"FROM base\nCOPY x /\n"), ("x", tarfile.REGTYPE, 0o644, b"x")]
    )
    project.build(context="-", stdin=tar)
    done = project.build(context="-", status=2, stdin=tar[:600])
    assert "stdin" in done.err
    assert_nothing_stayed_but_steps(project)


def assert_nothing_stayed_but_steps(project: Project) -> None:
    assert os.listdir(project.root / "tmp") == []
    assert json.loads(slimstage("doctor", "--json", root=project.root, status=None).out)["store"]["findings"] == []
