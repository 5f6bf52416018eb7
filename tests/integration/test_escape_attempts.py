"""Every way out of a step that `escape_attempts.py` knows, on each backend: what it reached has to be nothing."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slimstage.sandbox import host
from slimstage.sandbox.spec import FileMount, HostPath
from support import escape_attempts_names
from support.escape import BACKENDS, hides_abstract_sockets
from support.rootfs import PYTHON, Bench, make_rootfs, needs_sandbox, python_mounts

pytestmark = needs_sandbox

_PROGRAM = Path(escape_attempts_names.__file__).with_name("escape_attempts.py")
_SOURCES = str(Path(__file__).resolve().parents[2] / "src")
_SYSTEM_PYTHON = "/usr/bin/python3"
_WAYS = ("native-host", "native-none", "native-user", "runc-host", "runc-none", "rootless-host")
_RUNC_ALLOWS = {"/dev/node-10-200", "/dev/node-1-5"}
"""runc of Debian 12 has these two in a list of its own: tun, which is nothing without CAP_NET_ADMIN, and zero."""


@pytest.fixture(scope="module")
def outside() -> Iterator[dict[str, str]]:
    """A listening abstract socket and a process, both of the host, as the program is told of them."""
    name = f"slimstage-escape-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name}")
        server.listen(64)
        yield {"ABSTRACT": name, "HOST_PID": str(os.getpid()), "PATH": "/bin"}


@pytest.fixture(scope="module")
def reached(outside: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Asks one way, once: attempt → what it reached."""
    found: dict[str, dict[str, list[str]]] = {}

    def ask(way: str) -> dict[str, list[str]]:
        if way not in found:
            backend, kind = way.split("-")
            if backend == "rootless":
                found[way] = _rootless(outside)
            else:
                base = tmp_path_factory.mktemp(way)
                found[way] = _in_sandbox(backend, kind, outside, base)
        return found[way]

    return ask


def _in_sandbox(backend: str, kind: str, outside: dict[str, str], base: Path, **values: Any) -> dict[str, list[str]]:
    bench = Bench(BACKENDS[backend](), base, make_rootfs(base / "lower"))
    (base / "cache").mkdir()
    (base / "bound").mkdir()
    network = "none" if kind == "none" else "host"
    uid = 1000 if kind == "user" else 0
    ended = bench.run(
        PYTHON, "-I", "-S", "/attempts.py", network=network, uid=uid, gid=uid,
        env=tuple({**outside, "NETWORK": network, **values.pop("more", {})}.items()),
        mounts=(
            *python_mounts(), FileMount("/attempts.py", _PROGRAM.read_bytes(), mode=0o444),
            HostPath("/cache", str(base / "cache")), HostPath("/bound", str(base / "bound"), is_discarded=True),
        ),
        **values,
    )  # fmt: skip
    assert ended.status == 0, bench.err
    found: dict[str, list[str]] = json.loads(bench.out)
    return found


_ROOTLESS = """
import json, os, sys, threading
sys.path.insert(0, {sources!r})
from slimstage.sandbox.rootless import ensure_namespace
ensure_namespace([{python!r}, *sys.argv])
from slimstage.sandbox.native import NativeSandbox
from slimstage.sandbox.spec import FileMount, HostPath, OverlayRoot, SandboxSpec
here = os.getcwd()
for name in ("upper", "work", "cache"):
    os.mkdir(name)
mounts = [HostPath(each, each, is_readonly=True) for each in ("/usr", "/lib", "/lib64") if os.path.isdir(each)]
mounts += [FileMount("/attempts.py", open("attempts.py", "rb").read(), mode=0o444), HostPath("/cache", here + "/cache")]
spec = SandboxSpec(
    root=OverlayRoot((here + "/lower",), here + "/upper", here + "/work"), network="host", mounts=tuple(mounts),
    argv=({python!r}, "-I", "-S", "/attempts.py"), env=tuple(json.loads({env!r}).items()),
)
ended = NativeSandbox().run(spec, lambda s, d: (os.write(s, d)), threading.Event())
sys.exit(ended.status)
"""


def _rootless(outside: dict[str, str]) -> dict[str, list[str]]:
    facts = {each.name: each.is_available for each in host.examine()}
    if not facts["user-namespaces"] or shutil.which("setpriv") is None or not os.access(_SYSTEM_PYTHON, os.X_OK):
        pytest.skip("needs user namespaces, setpriv and the system's Python")
    as_user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    version = "import sys; print(sys.version_info >= (3, 11))"
    if subprocess.run([_SYSTEM_PYTHON, "-c", version], capture_output=True).stdout != b"True\n":
        pytest.skip("the system's Python is older than 3.11")
    if subprocess.run([*as_user, "test", "-r", f"{_SOURCES}/slimstage"]).returncode:
        pytest.skip("other users cannot read this checkout")
    base = Path("/var/tmp") / f"slimstage-escape-{os.getpid()}"
    base.mkdir(mode=0o755)
    try:
        make_rootfs(base / "lower")
        (base / "attempts.py").write_bytes(_PROGRAM.read_bytes())
        env = json.dumps({**outside, "NETWORK": "host"})
        (base / "run.py").write_text(_ROOTLESS.format(sources=_SOURCES, python=_SYSTEM_PYTHON, env=env))
        for path in (base, *base.rglob("*")):
            os.lchown(path, 65534, 65534)
        done = subprocess.run(
            [*as_user, _SYSTEM_PYTHON, "run.py"], cwd=base, capture_output=True, text=True, check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found: dict[str, list[str]] = json.loads(done.stdout)
        return found
    finally:
        shutil.rmtree(base, ignore_errors=True)


@pytest.mark.parametrize("name", escape_attempts_names.NAMES)
@pytest.mark.parametrize("way", _WAYS)
@pytest.mark.xdist_group("escape-attempts")
def test_a_way_out_is_closed(way: str, name: str, reached: Any) -> None:
    found = reached(way)[name]
    if way.startswith("runc") and name == "devices_of_our_own_open":
        found = [each for each in found if each not in _RUNC_ALLOWS]
    if name == "sockets" and not hides_abstract_sockets():
        found = [each for each in found if not each.startswith("@")]
    assert found == []


def test_the_list_of_attempts_is_whole(reached: Any) -> None:
    assert tuple(reached("native-none")) == escape_attempts_names.NAMES


@pytest.mark.parametrize(
    "name", ["mounts_can_be_changed", "namespaces", "keyrings", "devices_of_our_own_open", "privileges", "sockets"]
)
def test_an_attempt_tells_when_it_gets_out(name: str, outside: dict[str, str], tmp_path: Path) -> None:
    """A privileged step may do these things: the attempts are real ones."""
    found = _in_sandbox("native", "host", outside, tmp_path, is_privileged=True, more={"ONLY": name})
    assert found[name] != []
