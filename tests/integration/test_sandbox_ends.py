"""Ends of every kind: killed builders, terminals, published ports, and users without root."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimstage.errors import SandboxError
from slimstage.sandbox import host, rootless
from slimstage.sandbox.native import NativeSandbox
from slimstage.sandbox.portproxy import start_proxy
from support.mount_table import mounts_but_of_others
from support.rootfs import Bench, make_rootfs, needs_sandbox

pytestmark = needs_sandbox

SOURCES = str(Path(__file__).resolve().parents[2] / "src")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    sandbox = NativeSandbox()
    yield Bench(sandbox, tmp_path, make_rootfs(tmp_path / "lower"))
    sandbox.close()


BUILDER = """
import sys, threading
sys.path.insert(0, {sources!r})
from slimstage.sandbox.native import NativeSandbox
from slimstage.sandbox.spec import OverlayRoot, SandboxSpec
spec = SandboxSpec(
    root=OverlayRoot(({lower!r},), {upper!r}, {work!r}), env=(("PATH", "/bin"), ("BENCH", {base!r})),
    argv=("sh", "-c", "trap '' TERM INT HUP; sleep 1000 & echo up; sleep 1000; sleep 1000"),
)
NativeSandbox().run(spec, lambda stream, data: print("up", flush=True), threading.Event())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_survives_the_builder(bench: Bench, number: int) -> None:
    """Whatever ends the builder, each process of its step is gone soon after, and nothing is mounted."""
    root = bench.fresh()
    before = mounts_but_of_others(bench.base)
    code = BUILDER.format(
        sources=SOURCES, base=str(bench.base), lower=str(bench.lower), upper=root.upper, work=root.work
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as builder:
        assert builder.stdout is not None
        assert builder.stdout.readline() == b"up\n"
        while len(bench.processes()) < 3:
            pass  # the second sleep has not been started yet
        pidfds = [os.pidfd_open(pid) for pid in bench.processes()]
        assert len(pidfds) == 3
        builder.send_signal(number)
        builder.wait()
        for pidfd in pidfds:
            assert select.select([pidfd], [], [], 20)[0], "a process of the step lives on"
            os.close(pidfd)
    assert mounts_but_of_others(bench.base) == before


def test_the_zygote_is_started_again_when_it_was_killed(bench: Bench) -> None:
    bench.run("true")
    assert isinstance(bench.sandbox, NativeSandbox)
    pid = bench.sandbox._zygote._pid
    pidfd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert select.select([pidfd], [], [], 20)[0]
    os.close(pidfd)
    assert bench.sh("echo again") == "again\n"


def test_a_terminal(bench: Bench) -> None:
    reader, writer = os.pipe()
    spec = bench.spec("sh", "-c", "tty; test -t 0 && test -t 2; echo $?; read x; echo got $x", has_terminal=True)
    running = bench.sandbox.start(spec, bench.collect, stdin=reader)
    os.write(writer, b"hello\n")
    assert running.wait().status == 0
    os.close(writer)
    os.close(reader)
    assert bench.out.replace(b"\r", b"").split(b"\n")[:1] == [b"/dev/pts/0"] or b"/dev/pts/0" in bench.out
    assert b"got hello" in bench.out


def test_a_terminal_knows_its_size(bench: Bench) -> None:
    reader, writer = os.pipe()
    running = bench.sandbox.start(
        bench.spec("sh", "-c", "read x; stty size", has_terminal=True), bench.collect, stdin=reader
    )
    assert isinstance(bench.sandbox, NativeSandbox)
    running.resize(33, 101)  # type: ignore[attr-defined]  # the native one's own
    os.write(writer, b"\n")
    assert running.wait().status == 0
    os.close(writer)
    os.close(reader)
    assert b"33 101" in bench.out


# -- ports ------------------------------------------------------------------------------------------------------------


def test_a_published_tcp_port(bench: Bench) -> None:
    ready: list[bytes] = []
    script = "while [ ! -e /stop ]; do echo 'from inside' | nc -l -p 8000; done"
    running = bench.sandbox.start(bench.spec("sh", "-c", script, network="none"), lambda _s, d: ready.append(d))
    proxy = start_proxy(running.pid, "127.0.0.1", 0, 8000)
    try:
        assert _asked(proxy.port) == b"from inside\n"
    finally:
        proxy.stop()
        proxy.stop()
        running.kill()
        running.wait()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def _asked(port: int) -> bytes:
    """What is answered, tried until the other side listens."""
    for _ in range(2000):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            connection.shutdown(socket.SHUT_WR)
            if data := connection.recv(100):
                return data
    raise AssertionError("nobody answered")


def test_a_published_port_ends_with_its_container(bench: Bench) -> None:
    running = bench.sandbox.start(bench.spec("sh", "-c", "read x", network="none"), bench.collect)
    running.wait()
    with pytest.raises(SandboxError, match="has ended"):
        start_proxy(running.pid, "127.0.0.1", 0, 80)
    other = bench.sandbox.start(bench.spec("sleep", "1000", network="none"), bench.collect)
    proxy = start_proxy(other.pid, "127.0.0.1", 0, 80)
    pidfd = os.pidfd_open(proxy.pid)
    other.kill()
    other.wait()
    assert select.select([pidfd], [], [], 20)[0]
    os.close(pidfd)
    proxy.stop()


def test_a_taken_port_is_named(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(SandboxError, match=str(port)):
            start_proxy(os.getpid(), "127.0.0.1", port, 80)


# -- without root -----------------------------------------------------------------------------------------------------

_SYSTEM_PYTHON = "/usr/bin/python3"

ROOTLESS = """
import os, sys, threading
sys.path.insert(0, {sources!r})
from slimstage.sandbox.rootless import ensure_namespace, outer_uid
ensure_namespace([{python!r}, *sys.argv])
from slimstage.sandbox.native import NativeSandbox
from slimstage.sandbox.spec import OverlayRoot, SandboxSpec
os.makedirs("upper/x"); os.rmdir("upper/x"); os.mkdir("work")
spec = SandboxSpec(
    root=OverlayRoot(("lower",), os.path.abspath("upper"), os.path.abspath("work")), env=(("PATH", "/bin"),),
    argv=("sh", "-c", {script!r}), uid={uid}, gid={uid},
)
spec = __import__("dataclasses").replace(spec, root=OverlayRoot((os.path.abspath("lower"),), spec.root.upper, spec.root.work))
print("outer", outer_uid(), flush=True)
out = NativeSandbox().run(spec, lambda s, d: (sys.stdout.write(d.decode()), sys.stdout.flush()), threading.Event())
print("status", out.status)
"""


def _as_nobody(tmp_path: Path, script: str, uid: int, *prefix: str) -> subprocess.CompletedProcess[str]:
    base = Path("/var/tmp") / f"slimstage-rootless-{os.getpid()}"
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir(mode=0o755)
    try:
        make_rootfs(base / "lower")
        (base / "run.py").write_text(ROOTLESS.format(sources=SOURCES, python=_SYSTEM_PYTHON, script=script, uid=uid))
        for path in (base, *base.rglob("*")):
            os.lchown(path, 65534, 65534)
        return subprocess.run(
            [*prefix, "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", _SYSTEM_PYTHON, "run.py"],
            cwd=base, capture_output=True, text=True, check=False, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )  # fmt: skip
    finally:
        shutil.rmtree(base, ignore_errors=True)


def _skip_unless_rootless() -> None:
    facts = {each.name: each.is_available for each in host.examine()}
    if not facts["user-namespaces"]:
        pytest.skip("this host allows no user namespaces")
    if shutil.which("setpriv") is None or not os.access(_SYSTEM_PYTHON, os.X_OK):
        pytest.skip("needs setpriv and a Python that other users can run")
    version = subprocess.run(
        [_SYSTEM_PYTHON, "-c", "import sys; print(sys.version_info >= (3, 11))"], capture_output=True
    )
    if version.stdout != b"True\n":
        pytest.skip("the system's Python is older than 3.11")
    if subprocess.run(["setpriv", "--reuid", "65534", "test", "-r", f"{SOURCES}/slimstage"]).returncode:
        pytest.skip("other users cannot read this checkout")


def test_an_ordinary_user_runs_a_step(tmp_path: Path) -> None:
    _skip_unless_rootless()
    done = _as_nobody(
        tmp_path, "id -u; touch /new; rm /etc/passwd; echo x > /dev/null; ls /etc; mount | grep -c proc", 0
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.split("\n")
    assert lines[:2] == ["outer 65534", "0"]
    assert "status 0" in lines
    assert "hosts" in lines
    assert "passwd" not in lines


def test_a_range_of_ids_lets_a_step_be_another_user(tmp_path: Path) -> None:
    _skip_unless_rootless()
    if shutil.which("newuidmap") is None:
        pytest.skip("needs newuidmap (Debian: uidmap)")
    for name in ("subuid", "subgid"):
        (tmp_path / name).write_text("nobody:500000:65536\n")
        Path(f"/etc/{name}").touch()
    bind = "; ".join(f"mount --bind {tmp_path}/{name} /etc/{name}" for name in ("subuid", "subgid"))
    prefix = ("unshare", "-m", "sh", "-c", f'{bind}; exec "$@"', "sh")
    done = _as_nobody(tmp_path, "id -u; touch /tmp/mine; stat -c %u /tmp/mine", 1000, *prefix)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:4] == ["outer 65534", "1000", "1000", "status 0"]


def test_another_user_without_a_range_is_refused_with_a_hint(tmp_path: Path) -> None:
    _skip_unless_rootless()
    if rootless.subordinate_ids(
        Path("/etc/subuid").read_text() if Path("/etc/subuid").exists() else "", "nobody", 65534
    ):
        pytest.skip("nobody has a range on this host")
    done = _as_nobody(tmp_path, "true", 1000)
    assert done.returncode != 0
    assert "/etc/subuid" in done.stderr


def test_root_stays_where_it_is() -> None:
    rootless.ensure_namespace(["/bin/false"])
    assert rootless.outer_uid() is None


# -- doctor -----------------------------------------------------------------------------------------------------------


def test_the_examination_names_everything_once() -> None:
    facts = host.examine()
    names = [each.name for each in facts]
    assert len(names) == len(set(names))
    assert {"kernel", "overlay", "seccomp", "namespaces", "mount-api", "openat2", "runc", "cgroup-memory"} <= set(names)
    for each in facts:
        assert each.detail
        assert each.is_available == (each.hint is None)
    assert all(each.is_available for each in facts if each.is_required)  # the other tests here ran


def test_the_examination_changes_nothing(tmp_path: Path) -> None:
    before = mounts_but_of_others(tmp_path)
    host.examine()
    assert mounts_but_of_others(tmp_path) == before
