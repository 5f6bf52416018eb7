"""What every sandbox backend promises: `spec.Sandbox`, run over each."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimstage.errors import Interrupted, SandboxError, UsageError
from slimstage.sandbox.native import NativeSandbox
from slimstage.sandbox.runc import RuncSandbox
from slimstage.sandbox.spec import (
    FileMount,
    HostPath,
    Limits,
    OverlayRoot,
    PlainRoot,
    Sandbox,
    SocketMount,
    StackPath,
    Tmpfs,
)
from support.mount_table import mounts_but_of_others
from support.rootfs import PYTHON, Bench, make_rootfs, needs_sandbox, python_mounts, tree_of

pytestmark = needs_sandbox


def _native() -> Sandbox:
    return NativeSandbox()


def _old_kernel() -> Sandbox:
    return NativeSandbox(legacy_overlay=True)


def _runc() -> Sandbox:
    if shutil.which("runc") is None:
        pytest.skip("runc is not installed")
    return RuncSandbox()


@pytest.fixture(scope="module", params=[_native, _old_kernel, _runc], ids=["native", "native-mount2", "runc"])
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    made: Sandbox = request.param()
    return made


@pytest.fixture
def bench(sandbox: Sandbox, tmp_path: Path) -> Iterator[Bench]:
    before = mounts_but_of_others(tmp_path)
    yield Bench(sandbox, tmp_path, make_rootfs(tmp_path / "lower"))
    assert mounts_but_of_others(tmp_path) == before


# -- the command ------------------------------------------------------------------------------------------------------


def test_output_comes_on_its_stream(bench: Bench) -> None:
    assert bench.run("sh", "-c", "echo one; echo two >&2").status == 0
    assert (bench.out, bench.err) == (b"one\n", b"two\n")


def test_much_output_arrives_whole(bench: Bench) -> None:
    bench.run("sh", "-c", "dd if=/dev/zero bs=65536 count=64 2>/dev/null; echo end >&2")
    assert (len(bench.out), bench.err) == (64 * 65536, b"end\n")


@pytest.mark.parametrize("status", [0, 1, 42, 255])
def test_exit_status_is_the_commands(bench: Bench, status: int) -> None:
    assert bench.run("sh", "-c", f"exit {status}").status == status


def test_killed_by_a_signal_is_128_and_its_number(bench: Bench) -> None:
    assert bench.run("sh", "-c", "sh -c 'kill -15 $$'; exit $?").status == 143


def test_unknown_command_is_127_with_a_sentence(bench: Bench) -> None:
    assert bench.run("nothing-here").status == 127
    assert b'exec: "nothing-here": executable file not found in $PATH' in bench.err


def test_missing_path_is_127(bench: Bench) -> None:
    assert bench.run("/nowhere/x").status == 127
    assert b"no such file or directory" in bench.err


def test_not_executable_is_126(bench: Bench) -> None:
    (bench.lower / "plain").write_text("echo hi\n")
    (bench.lower / "plain").chmod(0o644)
    assert bench.run("/plain").status == 126
    assert b"permission denied" in bench.err.lower()


def test_environment_is_exactly_the_specs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    bench.run("/bin/busybox", "env", env=(("A", "1"), ("B", "two words"), ("PATH", "/bin"), ("HOME", "/root")))
    assert sorted(bench.out.decode().splitlines()) == ["A=1", "B=two words", "HOME=/root", "PATH=/bin"]


def test_bytes_that_are_no_utf8_pass_through(bench: Bench) -> None:
    if bench.sandbox.name == "runc":
        pytest.skip("runc is told by JSON, which is UTF-8")
    odd = os.fsdecode(b"\xff\xfe")
    bench.run("sh", "-c", 'printf "%s%s" "$1" "$ODD"', "sh", odd, env=(("PATH", "/bin"), ("ODD", odd)))
    assert bench.out == b"\xff\xfe\xff\xfe"


def test_cwd(bench: Bench) -> None:
    assert bench.sh("pwd", cwd="/tmp") == "/tmp\n"


def test_a_cwd_that_only_root_may_enter_serves_a_user_too(bench: Bench) -> None:
    (bench.lower / "private").mkdir(mode=0o700)
    assert bench.sh("pwd; ls 2>/dev/null || echo closed", cwd="/private", uid=1000, gid=1000) == "/private\nclosed\n"


def test_missing_cwd_is_made_and_kept(bench: Bench) -> None:
    assert bench.sh("pwd; stat -c '%a %u' .", cwd="/srv/app") == "/srv/app\n755 0\n"
    assert tree_of(bench.upper) == {"srv": "dir", "srv/app": "dir"}


def test_umask_is_022(bench: Bench) -> None:
    old = os.umask(0o077)
    try:
        assert bench.sh("umask") == "0022\n"
    finally:
        os.umask(old)


def test_stdin_is_empty_in_a_build(bench: Bench) -> None:
    assert bench.sh("cat; echo end") == "end\n"


def test_stdin_is_given(bench: Bench) -> None:
    reader, writer = os.pipe()
    running = bench.sandbox.start(bench.spec("cat"), bench.collect, stdin=reader)
    os.close(reader)
    os.write(writer, b"hello")
    os.close(writer)
    assert running.wait().status == 0
    assert bench.out == b"hello"


def test_python_signal_dispositions_do_not_leak(bench: Bench) -> None:
    bench.run("grep", "-E", "SigBlk|SigIgn", "/proc/self/status")
    blocked, ignored = (int(line.split()[1], 16) for line in bench.out.splitlines())
    assert (blocked, ignored & 1 << (signal.SIGPIPE - 1), ignored & 1 << (signal.SIGXFSZ - 1)) == (0, 0, 0)
    assert ignored & 1 << 31 | ignored & 1 << 32 == 0  # which posix_spawn ignores


# -- users ------------------------------------------------------------------------------------------------------------


def test_user_group_and_supplementary_groups(bench: Bench) -> None:
    text = bench.sh("id -u; id -g; grep Groups /proc/self/status", uid=1000, gid=1001, groups=(1001, 20, 44))
    assert text.split() == ["1000", "1001", "Groups:", "20", "44", "1001"]


def test_without_groups_there_are_none(bench: Bench) -> None:
    assert bench.sh("grep Groups /proc/self/status", uid=1000, gid=0).split() == ["Groups:"]


def test_a_user_may_open_its_own_stdout(bench: Bench) -> None:
    assert bench.sh("echo hi > /dev/stdout", uid=1000, gid=1000) == "hi\n"


def test_capabilities_are_dockers_for_root(bench: Bench) -> None:
    text = bench.sh("grep Cap /proc/self/status")
    values = dict(line.split(":\t") for line in text.splitlines())
    assert values == {
        "CapInh": "0000000000000000", "CapPrm": "00000000a80425fb", "CapEff": "00000000a80425fb",
        "CapBnd": "00000000a80425fb", "CapAmb": "0000000000000000",
    }  # fmt: skip


def test_other_users_have_no_capabilities(bench: Bench) -> None:
    text = bench.sh("grep Cap /proc/self/status", uid=1000, gid=1000)
    values = dict(line.split(":\t") for line in text.splitlines())
    assert values["CapPrm"] == values["CapEff"] == values["CapInh"] == "0" * 16
    assert values["CapBnd"] == "00000000a80425fb"


@pytest.mark.parametrize("may", [True, False])
def test_no_new_privs_as_asked(bench: Bench, may: bool) -> None:
    assert bench.sh("grep NoNewPrivs /proc/self/status", has_new_privileges=may).split()[1] == str(int(not may))


def test_a_filter_is_loaded_unless_privileged(bench: Bench) -> None:
    assert bench.sh("grep Seccomp: /proc/self/status").split()[1] == "2"
    assert bench.sh("grep Seccomp: /proc/self/status", is_privileged=True).split()[1] == "0"


# -- namespaces -------------------------------------------------------------------------------------------------------


def test_it_is_process_1_and_sees_no_others(bench: Bench) -> None:
    assert bench.sh("echo $$; ls /proc | grep -c '^[0-9]'").splitlines()[0] == "1"
    assert int(bench.out.split()[1]) <= 4


def test_host_name(bench: Bench) -> None:
    assert bench.sh("hostname") == "buildkitsandbox\n"
    assert bench.sh("hostname; cat /etc/hosts", hostname="box").split()[0] == "box"


def test_hosts_and_resolv_conf_are_there_and_not_in_the_layer(bench: Bench) -> None:
    text = bench.sh("cat /etc/hosts /etc/resolv.conf", extra_hosts=(("db.example", "10.1.2.3"),))
    assert "10.1.2.3\tdb.example\n" in text
    assert "127.0.0.1\tlocalhost buildkitsandbox\n" in text
    assert Path("/etc/resolv.conf").read_text() in text
    assert tree_of(bench.upper) == {}


def test_no_network_has_only_loopback_that_is_up(bench: Bench) -> None:
    text = bench.sh("cut -d: -f1 /proc/net/dev | tail -n +3; ifconfig lo", network="none")
    assert text.split()[0] == "lo"
    assert "UP LOOPBACK RUNNING" in text
    assert len([line for line in text.splitlines() if "Link encap" in line]) == 1


def test_no_network_reaches_nothing_of_the_host(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        assert bench.run("nc", "-w", "1", "127.0.0.1", port, network="none").status != 0
        answer = threading.Thread(target=lambda: server.accept()[0].close(), daemon=True)
        answer.start()
        assert bench.run("nc", "-w", "9", "127.0.0.1", port, network="host").status == 0
        answer.join()


# -- the root ---------------------------------------------------------------------------------------------------------


def test_changes_land_in_the_upper_directory(bench: Bench) -> None:
    bench.sh("echo new > /tmp/file; rm /etc/passwd; mkdir -p /a/b")
    assert tree_of(bench.upper) == {
        "tmp": "dir", "tmp/file": "new\n", "etc": "dir", "etc/passwd": "whiteout", "a": "dir", "a/b": "dir",
    }  # fmt: skip


def test_a_step_that_changes_nothing_leaves_nothing(bench: Bench) -> None:
    bench.run("true")
    root = bench.upper.stat()
    assert tree_of(bench.upper) == {}
    assert list(bench.work.iterdir()) == []
    assert stat.S_IMODE(root.st_mode) == 0o755


def test_times_of_touched_directories_stay(bench: Bench) -> None:
    os.utime(bench.lower / "etc", (10**9, 10**9))
    root = bench.fresh()
    os.utime(bench.upper, (10**9, 10**9))
    assert bench.sh("stat -c %Y /etc /", root=root) == "1000000000\n1000000000\n"
    assert bench.upper.stat().st_mtime == 10**9
    assert tree_of(bench.upper) == {}


def test_a_directory_the_command_changed_is_kept(bench: Bench) -> None:
    bench.sh("chmod 700 /etc")
    assert tree_of(bench.upper) == {"etc": "dir"}


def test_files_beside_a_stub_are_kept(bench: Bench) -> None:
    secret = FileMount("/run/secrets/token", b"s3cret")
    assert bench.sh("cat /run/secrets/token; echo mine > /run/mine", mounts=(secret,)) == "s3cret"
    assert tree_of(bench.upper) == {"run": "dir", "run/mine": "mine\n"}


def test_several_layers_are_stacked(bench: Bench) -> None:
    lowers = [str(bench.lower)]
    for number in range(60):
        layer = bench.base / ("layer-with-a-rather-long-name-" * 4 + str(number))
        layer.mkdir()
        (layer / "number").write_text(str(number))
        (layer / f"file{number}").write_text("")
        lowers.append(str(layer))
    root = bench.fresh()
    text = bench.sh("cat number; ls | grep -c file", root=OverlayRoot(tuple(lowers), root.upper, root.work))
    assert text == "5960\n"


def test_an_upper_directory_is_used_again(bench: Bench) -> None:
    root = bench.fresh()
    bench.sh("echo 1 >> /log", root=root)
    assert bench.sh("echo 2 >> /log; cat /log", root=root) == "1\n2\n"


def test_a_root_without_upper_is_read_only(bench: Bench) -> None:
    root = OverlayRoot((str(bench.lower),), None, None)
    assert bench.run("touch", "/x", root=root).status == 1
    assert b"Read-only" in bench.err


def test_a_read_only_root_keeps_writable_mounts(bench: Bench) -> None:
    bench.sh("! touch /x 2>/dev/null; touch /scratch/y /dev/shm/z", is_readonly_root=True, mounts=(Tmpfs("/scratch"),))
    assert tree_of(bench.upper) == {}


def test_a_plain_root_is_the_directory_itself(bench: Bench) -> None:
    before = tree_of(bench.lower)
    bench.sh("echo x > /made; cat /run/s", root=PlainRoot(str(bench.lower)), mounts=(FileMount("/run/s", b""),))
    assert tree_of(bench.lower) == before | {"made": "x\n"}


def test_an_empty_stack_has_what_the_sandbox_gives(bench: Bench) -> None:
    root = bench.fresh()
    busybox = HostPath("/busybox", "/bin/busybox", is_readonly=True)
    ended = bench.run("/busybox", "ls", "/", root=OverlayRoot((), root.upper, root.work), mounts=(busybox,))
    assert ended.status == 0
    assert bench.out.split() == [b"busybox", b"dev", b"etc", b"proc", b"sys"]
    assert tree_of(bench.upper) == {}


def test_usual_devices(bench: Bench) -> None:
    text = bench.sh("ls /dev | sort; head -c 4 /dev/urandom | wc -c; echo x > /dev/null; head -c 2 /dev/zero | wc -c")
    names = text.split()
    assert {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "mqueue", "fd", "stdin"} <= set(
        names
    )
    assert names[-2:] == ["4", "2"]


def test_shm_size(bench: Bench) -> None:
    assert bench.sh("df -k /dev/shm | tail -1", limits=Limits(shm_bytes=3 << 20)).split()[1] == "3072"


def test_ulimits(bench: Bench) -> None:
    text = bench.sh("ulimit -Sn; ulimit -Hn", limits=Limits(ulimits=(("nofile", 77, 99),)))
    assert text.split() == ["77", "99"]


# -- mounts -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def host(tmp_path: Path) -> Path:
    path = tmp_path / "host"
    (path / "sub").mkdir(parents=True)
    (path / "sub/file").write_text("from the host")
    return path


def test_bind_writes_through(bench: Bench, host: Path) -> None:
    bench.sh("cat /cache/sub/file; echo x > /cache/new", mounts=(HostPath("/cache", str(host)),))
    assert (host / "new").read_text() == "x\n"
    assert tree_of(bench.upper) == {}


def test_bind_read_only(bench: Bench, host: Path) -> None:
    assert bench.run("touch", "/in/x", mounts=(HostPath("/in", str(host), is_readonly=True),)).status == 1
    assert not (host / "x").exists()


def test_bind_discarded_is_writable_and_leaves_the_source(bench: Bench, host: Path) -> None:
    before = tree_of(host)
    mount = HostPath("/in", str(host), is_discarded=True)
    assert bench.sh("echo x > /in/new; rm -r /in/sub; ls /in", mounts=(mount,)) == "new\n"
    assert tree_of(host) == before


def test_bind_of_a_file(bench: Bench, host: Path) -> None:
    mounts = (
        HostPath("/one", str(host / "sub/file"), is_readonly=True),
        HostPath("/deep/er/two", str(host / "sub/file"), is_discarded=True),
    )
    assert bench.sh("cat /one; echo y > /deep/er/two; cat /deep/er/two", mounts=mounts) == "from the hosty\n"
    assert (host / "sub/file").read_text() == "from the host"
    assert tree_of(bench.upper) == {}


def test_stack_path_shows_a_path_of_the_stack(bench: Bench, tmp_path: Path) -> None:
    for name in ("base", "top"):
        (tmp_path / name / "out").mkdir(parents=True)
        (tmp_path / name / "out" / name).write_text(name)
    stack = (str(tmp_path / "base"), str(tmp_path / "top"))
    mounts = (StackPath("/a", stack, "/out"), StackPath("/b", stack, "/out", is_writable=True))
    text = bench.sh("ls /a; ! touch /a/x 2>/dev/null; touch /b/x; ls /b", mounts=mounts)
    assert text.split() == ["base", "top", "base", "top", "x"]
    assert tree_of(tmp_path / "top") == {"out": "dir", "out/top": "top"}


def test_nested_mounts_in_any_order_and_files_inside(bench: Bench, host: Path) -> None:
    mounts = (
        FileMount("/foo/bar/baz/file", b"file"), Tmpfs("/foo/bar/baz"), HostPath("/foo/bar", str(host)),
    )  # fmt: skip
    assert bench.sh("cat /foo/bar/sub/file /foo/bar/baz/file", mounts=mounts) == "from the hostfile"
    assert tree_of(bench.upper) == {}
    assert sorted(p.name for p in host.iterdir()) == ["sub"]


def test_tmpfs_size_and_mode(bench: Bench) -> None:
    text = bench.sh("stat -c %a /t; df -k /t | tail -1", mounts=(Tmpfs("/t", size_bytes=1 << 20, mode=0o700),))
    assert (text.split()[0], text.split()[2]) == ("700", "1024")


def test_a_tmpfs_looks_as_other_engines_mount_it_and_opens_no_device(bench: Bench) -> None:
    script = "grep ' /t ' /proc/mounts; mknod /t/null c 1 3; ls /t; cat /t/null 2>&1 || true"
    shown, name, refused = bench.sh(script, mounts=(Tmpfs("/t", size_bytes=1 << 20),)).splitlines()
    assert shown == "tmpfs /t tmpfs rw,nosuid,relatime,size=1024k 0 0"
    assert (name, refused) == ("null", "cat: can't open '/t/null': Permission denied")


def test_a_privileged_command_opens_devices_of_a_tmpfs(bench: Bench) -> None:
    assert (
        bench.sh("mknod /t/null c 1 3 && cat /t/null && echo done", mounts=(Tmpfs("/t"),), is_privileged=True)
        == "done\n"
    )


def test_two_tmpfs_have_each_their_own_size(bench: Bench) -> None:
    mounts = (Tmpfs("/a", size_bytes=1 << 20), Tmpfs("/b", size_bytes=2 << 20), Tmpfs("/a/in", size_bytes=3 << 20))
    text = bench.sh("for d in /a /b /a/in; do df -k $d | tail -1; done", mounts=mounts)
    assert [line.split()[1] for line in text.splitlines()] == ["1024", "2048", "3072"]


def test_file_mount_has_its_owner_and_mode(bench: Bench) -> None:
    mount = FileMount("/run/secrets/s", b"x", mode=0o440, uid=7, gid=8)
    assert bench.sh("stat -c '%a %u %g %s' /run/secrets/s", mounts=(mount,)) == "440 7 8 1\n"


def test_file_mount_writable_when_asked(bench: Bench) -> None:
    assert bench.sh("echo y > /f; cat /f", mounts=(FileMount("/f", b"x", mode=0o600, is_readonly=False),)) == "y\n"
    assert bench.run("sh", "-c", "echo y > /f", mounts=(FileMount("/f", b"x"),)).status == 1


def test_a_script_can_be_executed(bench: Bench) -> None:
    assert (
        bench.run("/run/script", mounts=(FileMount("/run/script", b"#!/bin/sh\necho ran\n", mode=0o755),)).status == 0
    )
    assert bench.out == b"ran\n"


@pytest.mark.parametrize("uid", [0, 1000])
def test_socket_is_carried_to_the_hosts(bench: Bench, tmp_path: Path, uid: int) -> None:
    path = tmp_path / "agent"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        heard: list[bytes] = []

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                heard.append(connection.recv(100))
                connection.sendall(b"pong")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        mounts = (SocketMount("/run/agent", str(path), uid=uid), *python_mounts())
        client = (
            "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/agent'); s.sendall(b'ping');"
            " print(s.recv(9).decode(), end='')"
        )
        text = bench.sh(f'stat -c "%a %u" /run/agent; {PYTHON} -ISc "{client}"', mounts=mounts, uid=uid)
        thread.join()
    assert heard == [b"ping"]
    assert text == f"600 {uid}\npong"


def test_mount_points_behind_symlinks(bench: Bench) -> None:
    (bench.lower / "etc/resolv.conf").symlink_to("../run/net/resolv.conf")
    text = bench.sh("cat /etc/resolv.conf; ls -d /run/net")
    assert text.endswith("/run/net\n")
    assert Path("/etc/resolv.conf").read_text() in text
    assert tree_of(bench.upper) == {}


@pytest.mark.parametrize("target", ["/", "relative", "/proc", "/proc/self", "/dev", "/../.."])
def test_bad_mount_targets_are_refused(bench: Bench, target: str) -> None:
    with pytest.raises(SandboxError) as caught:
        bench.run("true", mounts=(Tmpfs(target),))
    assert caught.value.code == "bad-mount-target"


def test_a_missing_bind_source_is_named(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="nowhere"):
        bench.run("true", mounts=(HostPath("/x", str(tmp_path / "nowhere")),))


@pytest.mark.parametrize(
    "values",
    [{"env": (("A=B", "x"),)}, {"cwd": "/\0"}, {"hostname": "a b"}, {"limits": Limits(ulimits=(("files", 1, 1),))}],
)
def test_senseless_specs_are_usage_errors(bench: Bench, values: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        bench.run("true", **values)


# -- its end ----------------------------------------------------------------------------------------------------------


def test_descendants_end_with_the_command(bench: Bench) -> None:
    bench.sh("sleep 1000 >/dev/null 2>&1 & echo started")
    assert bench.processes() == []


def test_kill_ends_everything(bench: Bench) -> None:
    ready = threading.Event()
    spec = bench.spec("sh", "-c", "trap '' TERM INT; sleep 1000 & echo up; sleep 1000; sleep 1000")
    running = bench.sandbox.start(spec, lambda _stream, _data: ready.set())
    assert ready.wait(20)
    while len(bench.processes()) < 3:
        pass  # the second sleep has not been started yet
    running.kill()
    assert running.wait().status == 137
    assert running.wait().status == 137
    running.kill()
    running.signal(15)
    assert bench.processes() == []
    assert tree_of(bench.upper) == {}


def test_signal_reaches_the_command(bench: Bench) -> None:
    ready = threading.Event()
    script = "trap 'exit 7' USR1; echo up; while :; do sleep 0.01; done"
    running = bench.sandbox.start(bench.spec("sh", "-c", script), lambda _stream, _data: ready.set())
    assert ready.wait(20)
    assert Path(f"/proc/{running.pid}").is_dir()
    running.signal(10)
    assert running.wait().status == 7


def test_cancel_interrupts(bench: Bench) -> None:
    cancel = threading.Event()
    with pytest.raises(Interrupted):
        bench.sandbox.run(bench.spec("sh", "-c", "echo up; sleep 1000"), lambda _s, _d: cancel.set(), cancel)
    assert bench.processes() == []
    with pytest.raises(Interrupted):
        bench.sandbox.run(bench.spec("true"), bench.collect, cancel)


def test_an_output_callback_that_fails_ends_the_step(bench: Bench) -> None:
    def fails(_stream: int, _data: bytes) -> None:
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        bench.sandbox.run(bench.spec("sh", "-c", "echo x; sleep 1000"), fails, threading.Event())
    assert bench.processes() == []


def test_steps_run_at_the_same_time(bench: Bench, tmp_path: Path) -> None:
    """Each waits for the other's file: one after the other would never end."""
    shared = tmp_path / "shared"
    shared.mkdir()
    mount = HostPath("/shared", str(shared))
    script = "touch /shared/$0; while [ ! -e /shared/$1 ]; do sleep 0.01; done; echo met"
    running = [
        bench.sandbox.start(bench.spec("sh", "-c", script, mine, other, mounts=(mount,)), bench.collect)
        for mine, other in (("a", "b"), ("b", "a"))
    ]
    assert [each.wait().status for each in running] == [0, 0]


def test_no_descriptor_of_ours_stays_open(bench: Bench) -> None:
    bench.run("true")
    gc.collect()
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        bench.run("true")
        bench.run("nothing")
        with pytest.raises(SandboxError):
            bench.run("true", mounts=(HostPath("/x", "/nowhere"),))
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == len(before)


# -- limits -----------------------------------------------------------------------------------------------------------


def test_pids_limit(bench: Bench) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done"
    ended = bench.run("sh", "-c", script, limits=Limits(pids=4))
    assert ended.status != 0 or b"fork" in bench.err
    assert b"fork" in bench.err


def test_memory_limit_is_told_as_such(bench: Bench) -> None:
    script = "dd if=/dev/zero of=/dev/null bs=200M count=1"
    ended = bench.run("sh", "-c", script, limits=Limits(memory_bytes=32 << 20))
    assert ended.status != 0
    assert ended.is_out_of_memory


def test_cpu_limit(bench: Bench) -> None:
    assert bench.run("true", limits=Limits(cpus=0.5)).status == 0
