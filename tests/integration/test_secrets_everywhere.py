"""Marked secrets of every kind, and a search for the marks: in the store, in what was written, in all that was said, in
the list of processes, and in core files. Forms that a program would write them in count too: base64, hex, percent.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from support.building import Project, files_below
from support.command import Done
from support.registry import needs_registry, running_registry
from support.rootfs import needs_sandbox

pytestmark = needs_sandbox

MARK = "qZ7x" + "Kw93" + "Lm5p" + "T2vB"  # in pieces, so that no copy of this file holds it


def forms(mark: str) -> list[bytes]:
    """How the mark looks in bytes, wherever it begins in something that is base64."""
    raw = mark.encode()
    found = [raw, raw.hex().encode(), raw.hex().upper().encode(), urllib.parse.quote(mark).encode(), raw[::-1]]
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + raw + b"\0\0")
        found.append(encoded[(4, 4, 4)[offset] if offset else 0 : 4 * ((offset + len(raw)) // 3)][:16])
    return found


NEEDLES = forms(MARK)


def assert_absent(data: bytes, where: object) -> None:
    assert not any(needle in data for needle in NEEDLES), where


def search(*places: Path, but: tuple[Path, ...] = ()) -> int:
    """Looks into every file, names and attributes too, and into what is compressed; how many files that were."""
    count = 0
    for place in places:
        for path in files_below(place):
            if path in but:
                continue
            count += 1
            assert_absent(os.fsencode(path), path)
            data = path.read_bytes()
            assert_absent(data, path)
            if data[:2] == b"\x1f\x8b":
                assert_absent(gzip.decompress(data), path)
            elif data[:4] == b"\x28\xb5\x2f\xfd":
                assert_absent(
                    subprocess.run(["zstd", "-dcq"], input=data, capture_output=True, check=True).stdout, path
                )
            for name in os.listxattr(path):
                assert_absent(os.getxattr(path, name), f"{path}: {name}")
    return count


def assert_silent(*said: Done) -> None:
    for done in said:
        assert_absent(done.out.encode(), done.out)
        assert_absent(done.err.encode(), done.err)


def test_the_search_finds_a_mark_in_each_form(tmp_path: Path) -> None:
    for offset in range(3):
        (tmp_path / "f").write_bytes(base64.b64encode(b"x" * offset + MARK.encode() + b"yz"))
        with pytest.raises(AssertionError):
            search(tmp_path)
    for data in (MARK.encode(), gzip.compress(MARK.encode()), MARK.encode().hex().encode()):
        (tmp_path / "f").write_bytes(data)
        with pytest.raises(AssertionError):
            search(tmp_path)
    (tmp_path / "f").write_bytes(b"harmless")
    assert search(tmp_path) == 1


# -- secrets of --secret ----------------------------------------------------------------------------------------------

_STEPS = """\
# syntax=docker/dockerfile:1
FROM base AS use
RUN --mount=type=secret,id=file cat /run/secrets/file && echo "a line with $(cat /run/secrets/file) in it" >&2
RUN --mount=type=secret,id=variable,env=TOKEN echo "$TOKEN" && env | grep TOKEN && echo ${#TOKEN} > /length
RUN --mount=type=secret,id=key,target=/root/.ssh/id cat /root/.ssh/id && wc -l < /root/.ssh/id > /lines
RUN --mount=type=secret,id=file i=0; while [ $i -lt 3 ]; do head -c 65530 /dev/zero | tr '\\\\0' x; \\
    tr -d '\\\\n' < /run/secrets/file; i=$((i+1)); done
RUN --mount=type=secret,id=file <<SCRIPT
set -x
printf 'pieces: '; head -c 9 /run/secrets/file; sleep 0.05; tail -c +10 /run/secrets/file
SCRIPT
RUN --mount=type=secret,id=file,required=true --mount=type=cache,target=/cache wc -c < /run/secrets/file > /cache/size
FROM base
COPY --from=use /length /lines /
ONBUILD RUN --mount=type=secret,id=file true
"""

_KEY = f"-----BEGIN KEY-----\n{MARK}AAAA\n{MARK}BBBB\n-----END KEY-----\n"


@pytest.fixture
def secret_flags(project: Project) -> tuple[str, ...]:
    project.write("../secrets/file", f"{MARK}-file\n")
    project.write("../secrets/key", _KEY)
    return (
        "--secret", "id=file,src=../secrets/file", "--secret", "id=variable,env=THE_TOKEN", "--secret",
        "id=key,src=../secrets/key",
    )  # fmt: skip


_ENV = {"THE_TOKEN": f"{MARK}-variable"}


@pytest.mark.parametrize("backend", ["native", "runc"])
def test_secrets_of_steps_are_nowhere(backend: str, project: Project, secret_flags: tuple[str, ...]) -> None:
    if backend == "runc" and shutil.which("runc") is None:
        pytest.skip("runc is not installed")
    project.dockerfile(_STEPS)
    (project.path / "../out").mkdir()
    flags = (*secret_flags, "--sandbox", backend)
    outputs = ["-o", "type=oci,dest=../out/oci.tar", "-o", "type=local,dest=../out/local", "--load"]
    if backend == "native":
        outputs += ["-o", "type=docker,dest=../out/d.tar", "-o", "type=tar,dest=../out/t.tar", "--explain"]
        outputs += ["--metadata-file", "../out/meta.json", "--iidfile", "../out/iid"]
    said = [project.build(*flags, "-t", "app", "--progress=plain", *outputs, env=_ENV)]
    if backend == "native":
        said += [
            project.build(*flags, "--progress=json", "--json", "--no-cache", env=_ENV),
            project.build(*flags, "--plan", "--json", env=_ENV),
        ]
    local = project.path / "../out/local"
    assert (local / "length").read_text() == f"{len(MARK) + 9}\n"
    assert (local / "lines").read_text() == "4\n"
    assert "***" in said[0].err
    failing = "nothing-here $(cat /run/secrets/file); sh -c 'cat /run/secrets/file; kill -9 $$'; exit 9"
    project.dockerfile(f"FROM base\nRUN --mount=type=secret,id=file {failing}\n")
    said.append(project.build(*flags, "--progress=plain", env=_ENV, status=1))
    project.dockerfile("FROM base\nRUN --mount=type=secret,id=file,target=/dev/null/x true\n")
    said.append(project.build(*flags, env=_ENV, status=None))
    commands = ["inspect app", "history app"]
    if backend == "native":
        commands += [
            "history --json app",
            "images --json",
            "doctor --json",
            "save app -o ../out/saved.tar",
            "prune --json",
        ]
    said += [project.run(*command.split(), status=None) for command in commands]
    assert_silent(*said)
    assert search(project.root, project.path.parent / "out", project.path) > 20


def test_another_secret_does_not_make_another_key(project: Project, secret_flags: tuple[str, ...]) -> None:
    """A key that held the secret could be guessed against."""
    project.dockerfile("FROM base\nRUN --mount=type=secret,id=file wc -c < /run/secrets/file > /size\n")
    project.build(*secret_flags, env=_ENV)
    project.write("../secrets/file", "another, of another length")
    assert list(project.steps(*secret_flags, env=_ENV).values()) == ["cached"]


# -- who looks at processes -------------------------------------------------------------------------------------------


@pytest.mark.skipif(not os.access("/usr/bin/python3", os.X_OK), reason="needs a Python that other users can run")
def test_other_users_see_no_secret_of_a_running_step(project: Project, secret_flags: tuple[str, ...]) -> None:
    """While the step holds them: no command line has one, and no other user reads environments or files of the step."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        port = server.getsockname()[1]
        project.dockerfile(
            "FROM base\nRUN --mount=type=secret,id=file --mount=type=secret,id=variable,env=TOKEN "
            f"[ ${{#TOKEN}} -gt 9 ] && nc 127.0.0.1 {port} < /dev/null > /said && grep -q go /said\n"
        )
        ended: list[Done] = []
        build = threading.Thread(target=lambda: ended.append(project.build(*secret_flags, env=_ENV, status=None)))
        build.start()
        try:
            connection, _ = server.accept()
            with connection:
                looked = subprocess.run(
                    ["/usr/bin/python3", "-I", "-S", "-c", _LOOK, MARK], capture_output=True, text=True, check=False,
                    user=65534, group=65534, extra_groups=[],
                )  # fmt: skip
                connection.sendall(b"go\n")
        finally:
            build.join()
    assert ended[0].status == 0, ended[0].err
    seen, found = json.loads(looked.stdout), looked.stderr
    assert seen["command lines"] > 3, found
    assert seen["marks"] == []


_LOOK = """
import json, os, sys
mark, lines, marks = sys.argv.pop().encode(), 0, []
me = str(os.getpid())
for pid in filter(str.isdigit, os.listdir("/proc")):
    for name in ("cmdline", "environ", "comm", "status", "maps", "root/run/secrets/file", "cwd/run/secrets/file"):
        if pid == me:
            continue
        try:
            data = open(f"/proc/{pid}/{name}", "rb").read()
        except OSError:
            continue
        lines += name == "cmdline"
        if mark in data:
            marks.append(f"{pid}/{name}: {data[:200]!r}")
print(json.dumps({"command lines": lines, "marks": marks}))
"""


def test_a_crash_of_a_step_leaves_no_core_in_the_layer(project: Project, secret_flags: tuple[str, ...]) -> None:
    """Where the host writes cores as files, a step's would be in the layer, with the environment that it had."""
    project.dockerfile(
        "FROM base\nWORKDIR /w\nRUN --mount=type=secret,id=variable,env=TOKEN ulimit -c > /limit; "
        "sh -c 'kill -SEGV $$'; kill -0 1; sh -c 'kill -ABRT $$'; true\nRUN ls -A /w > /cores\n"
    )
    image = project.layout("layout", *secret_flags, env=_ENV)
    assert image.read("cores") == b""
    assert image.read("limit") == b"0\n"
    search(project.root, project.path.parent / "layout")
    project.dockerfile("FROM base\nRUN --mount=type=secret,id=variable,env=TOKEN ulimit -c > /limit\n")
    image = project.layout("asked", *secret_flags, "--ulimit", "core=4096:4096", "--no-cache", env=_ENV)
    assert int(image.read("limit")) > 0, "who asks for cores gets them"


@pytest.mark.parametrize("which", ["builder", "zygote"])
def test_a_crash_of_the_builder_leaves_no_core(which: str, project: Project, secret_flags: tuple[str, ...]) -> None:
    """Both hold secrets while a step runs. Core files are allowed and would lie in the working directory."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        port = server.getsockname()[1]
        project.dockerfile(f"FROM base\nRUN --mount=type=secret,id=file nc 127.0.0.1 {port} < /dev/null\n")
        base = f"base=oci-layout://{project.base}"
        with subprocess.Popen(
            ["prlimit", "--core=unlimited:unlimited", sys.executable, "-m", "slimstage", "build", *secret_flags,
             "--build-context", base, "."],
            cwd=project.path, env={**os.environ, **_ENV, "SLIMSTAGE_ROOT": str(project.root)},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as builder:  # fmt: skip
            connection, _ = server.accept()
            with connection:
                held = [builder.pid, *_children(builder.pid)]
                assert len(held) > 1, "the zygote is a child of the builder"
                for pid in held:
                    soft = Path(f"/proc/{pid}/limits").read_text().split("Max core file size")[1].split()[0]
                    dumpable = os.stat(f"/proc/{pid}/environ").st_uid == 0
                    assert dumpable
                    assert soft == "1", pid
                os.kill(builder.pid if which == "builder" else held[1], 11)
            builder.wait()
    assert [path for place in (project.path, Path("/")) for path in place.glob("core*")] == []
    search(project.root, project.path)


def _children(pid: int) -> list[int]:
    """Of all threads: the zygote is started by the one whose step needs it."""
    lists = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(each) for found in lists for each in found]


# -- credentials ------------------------------------------------------------------------------------------------------


@pytest.fixture
def guarded_file() -> Iterator[str]:
    """`127.0.0.1:PORT` of a server that gives a file to whoever has the password, and repeats it to others."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            expected = "Basic " + base64.b64encode(f"user:{MARK}".encode()).decode()
            given = self.headers.get("Authorization", "")
            is_known = given == expected and self.path == "/file"
            body = b"content\n" if is_known else f"not with {MARK}, {given} at {self.path}\n".encode()
            self.send_response(200 if is_known else 401, "OK" if is_known else f"No {MARK}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_password_in_the_url_of_an_add_is_in_no_record(project: Project, guarded_file: str) -> None:
    """Given as a build argument that only the fetch sees, in whatever the build keeps: CVE-2023-26054."""
    project.dockerfile(
        f"FROM base AS use\nADD http://user:{MARK}@{guarded_file}/file /file\nFROM base\nCOPY --from=use /file /\n"
    )
    done = project.build("-t", "app", "--progress=plain", "-o", "type=oci,dest=../out/oci.tar", "--load")
    shown = [done.err.replace(f"ADD http://user:{MARK}@{guarded_file}/file /file", "")]
    shown += [project.run(*command).out for command in (("history", "app"), ("inspect", "app"))]
    project.dockerfile(f"FROM base\nADD http://user:{MARK}@{guarded_file}/other /file\n")
    failing = project.build("--progress=plain", status=None)
    assert failing.status in (2, 3)
    shown.append(failing.err.replace(f"ADD http://user:{MARK}@{guarded_file}/other /file", ""))
    for text in shown:
        assert_absent(text.encode(), text)
    search(project.root, project.path.parent / "out")


_HTPASSWD = "me:$2b$04$abcdefghijklmnopqrstuujV0zJ3tj1V5vPQQ5i8Bd/sbbeTbZTaC\n"
"""bcrypt of "secret-word"."""


@needs_registry
def test_the_login_of_a_registry_is_nowhere(project: Project, tmp_path: Path) -> None:
    """The real registry wants "secret-word"; the search is for that, and for what basic authentication makes of it."""
    needles = [b"secret-word", base64.b64encode(b"me:secret-word")]
    with running_registry(tmp_path / "guarded", htpasswd=_HTPASSWD) as host:
        auth = project.write(
            "../home/.docker/config.json", json.dumps({"auths": {host: {"auth": needles[1].decode()}}})
        )
        command = [
            "skopeo",
            "copy",
            "-q",
            "--insecure-policy",
            "--dest-tls-verify=false",
            "--dest-creds",
            "me:secret-word",
        ]
        subprocess.run([*command, f"oci:{project.base}", f"docker://{host}/app:1"], check=True, capture_output=True)
        env = {"HOME": str(auth.parent.parent), "DOCKER_CONFIG": str(auth.parent)}
        project.dockerfile(f"FROM {host}/app:1\nRUN cat /root/.docker/config.json /proc/1/environ; env; true\n")
        said = [project.build("-t", "app", "--progress=plain", env=env)]
        said.append(project.build("--pull", "--progress=json", "--json", env=env))
        project.dockerfile(f"FROM {host}/missing:1\n")
        said.append(project.build(status=None, env=env))
        auth.write_text(
            json.dumps({"auths": {host: {"auth": base64.b64encode(b"me:wrong-" + MARK.encode()).decode()}}})
        )
        project.dockerfile(f"FROM {host}/other:1\n")
        said.append(project.build("--pull", status=None, env=env))
    assert [each.status for each in said[2:]] == [2, 3] or all(each.status in (2, 3) for each in said[2:])
    assert_silent(*said)
    for done in said:
        for needle in needles:
            assert needle not in done.out.encode() + done.err.encode()
    for path in files_below(project.root):
        data = path.read_bytes()
        assert not any(needle in data for needle in needles), path


def test_a_proxy_with_a_password_is_in_no_record(project: Project) -> None:
    project.dockerfile('FROM base\nRUN [ -n "$HTTPS_PROXY" ] && [ -n "$https_proxy" ] && echo x > /x\n')
    proxy = f"http://user:{MARK}@127.0.0.1:9"
    arguments = [f"--build-arg={name}={proxy}" for name in ("HTTP_PROXY", "HTTPS_PROXY", "https_proxy", "no_proxy")]
    said = [
        project.build("-t", "app", *arguments, "-o", "type=oci,dest=../out/oci.tar", "--load", "--explain"),
        project.build(*arguments, "--json", "--explain"),
        project.run("history", "app"),
        project.run("inspect", "app"),
    ]
    assert_silent(*said)
    search(project.root, project.path.parent / "out")


def test_an_agent_is_forwarded_and_its_socket_is_not_named(project: Project, tmp_path: Path) -> None:
    """--ssh: the step talks to the agent; the place of the host's socket is in no record, and the socket not in the layer."""
    place = tmp_path / f"agent-{MARK}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        server.listen(4)
        project.dockerfile("FROM base\nRUN --mount=type=ssh test -S $SSH_AUTH_SOCK && echo $SSH_AUTH_SOCK > /where\n")
        said = [project.build("--ssh", f"default={place}", "-t", "app", "--progress=plain")]
        image = project.layout("layout", "--ssh", f"default={place}")
    assert image.read("where").startswith(b"/run/buildkit/ssh_agent.0")
    assert not any("ssh_agent" in name for layer in image.layers() for name in layer)
    assert_silent(*said)
    search(project.root, project.path.parent / "layout")


def test_a_base_made_by_debians_scripts_sees_nothing_of_the_environment() -> None:
    """mmdebstrap runs scripts of packages: what it is started with is a list of its own."""
    from slimstage.bases.bootstrap import _PASSED_ON

    kept = ["PATH", "HOME", "http_proxy", "HTTPS_PROXY", "no_proxy", "APT_CONFIG", "TMPDIR"]
    assert [
        name
        for name in (*kept, "THE_TOKEN", "AWS_SECRET_ACCESS_KEY", "SSH_AUTH_SOCK", "HOMEX")
        if _PASSED_ON.match(name)
    ] == kept


def test_the_mark_is_not_in_this_file() -> None:
    """It is written in pieces, so that a search of a checkout finds nothing either."""
    assert_absent(Path(__file__).read_bytes(), __file__)
