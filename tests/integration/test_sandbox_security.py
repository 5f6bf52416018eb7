"""Known attacks on builders and runtimes, tried on the native sandbox: each names the CVE or practice it comes from."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimstage.errors import SandboxError
from slimstage.sandbox.native import NativeSandbox
from slimstage.sandbox.spec import FileMount, HostPath, StackPath
from support.escape import hides_abstract_sockets
from support.rootfs import PYTHON, Bench, make_rootfs, needs_sandbox, python_mounts, tree_of

pytestmark = needs_sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[NativeSandbox]:
    made = NativeSandbox()
    yield made
    made.close()


@pytest.fixture
def bench(sandbox: NativeSandbox, tmp_path: Path) -> Bench:
    return Bench(sandbox, tmp_path, make_rootfs(tmp_path / "lower"))


def python(bench: Bench, code: str) -> str:
    """What a Python program printed in the sandbox. It has errno, os, ctypes and socket, and `call(number, …)`."""
    start = (
        "import ctypes, errno, os, socket\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "def call(*a):\n"
        "    r = libc.syscall(*map(ctypes.c_long, a))\n"
        "    return errno.errorcode[ctypes.get_errno()] if r < 0 else 'done'\n"
    )
    ended = bench.run(PYTHON, "-I", "-S", "-c", start + code, mounts=python_mounts())
    assert ended.status == 0, bench.err
    return bench.out.decode()


@pytest.mark.parametrize("number", range(24))
def test_working_directory_behind_a_descriptor(bench: Bench, number: int) -> None:
    """CVE-2024-21626: WORKDIR /proc/self/fd/7 must not lead to a directory of the host."""
    ended = bench.run("sh", "-c", "cat /proc/self/cwd/../../../etc/shadow", cwd=f"/proc/self/fd/{number}")
    assert ended.status == 127
    assert bench.out == b""
    assert b"chdir to cwd" in bench.err


def test_working_directory_behind_a_symlink_to_a_descriptor(bench: Bench) -> None:
    (bench.lower / "work").symlink_to("/proc/self/fd/9/../../..")
    assert bench.run("pwd", cwd="/work").status != 0 or bench.out == b"/\n"
    (bench.lower / "self").symlink_to("/proc/self/root")
    assert bench.run("pwd", cwd="/self").status == 127


def test_only_three_descriptors(bench: Bench) -> None:
    """CVE-2015-3627, CVE-2024-21626: nothing of the host is left open."""
    text = python(bench, "d = os.listdir('/proc/self/fd'); print(sorted(map(int, d)))")
    assert text in ("[0, 1, 2, 3]\n", "[0, 1, 2]\n")  # 3 is the listing itself
    assert python(bench, "print([os.path.isdir(f'/proc/self/fd/{n}') for n in range(3)])") == "[False, False, False]\n"


def test_stage_paths_cannot_lead_to_the_host(bench: Bench, tmp_path: Path) -> None:
    """CVE-2024-1753: /rootdir -> / in the stage shows that stage's root."""
    stage = tmp_path / "stage"
    stage.mkdir()
    (stage / "rootdir").symlink_to("/")
    (stage / "up").symlink_to("../../../../../..")
    (stage / "mine").write_text("")
    for path in ("/rootdir", "/up", "/../../.."):
        text = bench.sh("ls /x", mounts=(StackPath("/x", (str(stage),), path, is_writable=True),))
        assert text.split() == ["mine", "rootdir", "up"]


def test_cache_sources_cannot_lead_out_of_the_cache(bench: Bench, tmp_path: Path) -> None:
    """CVE-2024-23651: a symlink planted in a cache, mounted with source=sub."""
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "sub").symlink_to("/etc")
    with pytest.raises(SandboxError):
        bench.run("ls", "/c", mounts=(HostPath("/c", "sub", beneath=str(cache)),))
    (cache / "sub").unlink()
    (cache / "sub").symlink_to("../../..")
    assert bench.sh("ls /c", mounts=(HostPath("/c", "sub", beneath=str(cache)),)) == "sub\n"


@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
def test_an_image_with_a_symlink_in_place_of_a_mount_point(bench: Bench, name: str) -> None:
    """CVE-2019-19921, CVE-2023-27561, CVE-2023-28642."""
    (bench.lower / "elsewhere").mkdir()
    (bench.lower / name).symlink_to("/elsewhere")
    with pytest.raises(SandboxError, match="symbolic link"):
        bench.run("true")
    assert tree_of(bench.upper) == {}


def test_an_image_with_files_below_a_mount_point(bench: Bench) -> None:
    (bench.lower / "proc/sys/kernel").mkdir(parents=True)
    (bench.lower / "proc/sys/kernel/core_pattern").write_text("mine")
    (bench.lower / "dev").mkdir()
    (bench.lower / "dev/null").symlink_to("/proc/sys/kernel/core_pattern")
    assert "mine" not in bench.sh("cat /proc/sys/kernel/core_pattern; test -c /dev/null; cat /dev/null")


def test_a_mount_target_behind_a_symlink_stays_inside(bench: Bench, tmp_path: Path) -> None:
    """CVE-2021-30465 and its kin: the mount lands in the new root, whatever the image says."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (bench.lower / "link").symlink_to(str(outside))
    (bench.lower / "up").symlink_to("../../../../../../tmp/made-outside")
    bench.sh("cat /link/f /up/f", mounts=(FileMount("/link/f", b"x"), FileMount("/up/f", b"y")))
    assert list(outside.iterdir()) == []
    assert not Path("/tmp/made-outside").exists()
    assert tree_of(bench.upper) == {}


def test_masks_do_not_use_the_images_devices(bench: Bench) -> None:
    """CVE-2025-31133, CVE-2025-52565: what hides /proc/kcore is the host's own /dev/null, found before the image."""
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    text = bench.sh(
        "for f in kcore keys timer_list; do test -e /proc/$f && wc -c < /proc/$f; done; ls /sys/firmware | wc -l"
    )
    assert set(text.split()) <= {"0"}
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before


@pytest.mark.parametrize(
    "path",
    ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/proc/irq/default_smp_affinity",
     "/sys/kernel/uevent_helper", "/sys/kernel/profiling", "/sys/power/state"],
)  # fmt: skip
def test_kernel_settings_cannot_be_written(bench: Bench, path: str) -> None:
    assert bench.run("sh", "-c", f"test ! -e {path} || ! echo x > {path}").status == 0


def test_environment_and_files_of_the_builder_are_not_there(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """CVE-2021-3602, and credentials of the builder's user."""
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    text = bench.sh(
        "cat /proc/1/environ | tr '\\0' '\\n'; cat /proc/mounts; find / -xdev -type f", env=(("PATH", "/bin"),)
    )
    for word in ("hunter2", "SSH_AUTH_SOCK", str(bench.base), ".docker", "/root"):
        assert word not in text


def test_capabilities_do_not_help_out(bench: Bench) -> None:
    """CVE-2022-27651, CVE-2022-24769 and the usual ways out for root."""
    code = (
        "import platform\nx = platform.machine() == 'x86_64'\n"
        "print('mount', call(165 if x else 40, 0, 0, 0, 0, 0))\n"
        "print('setns', call(308 if x else 268, 0, 0))\n"
        "print('unshare', call(272 if x else 97, 0x10000000))\n"
        "print('bpf', call(321 if x else 280, 0, 0, 0))\n"
        "print('init_module', call(175 if x else 105, 0, 0, 0))\n"
        "print('keyctl', call(250 if x else 219, 0, 0, 0))\n"
        "print('io_uring', call(425, 1, 0))\n"
        "print('userfaultfd', call(323 if x else 282, 0))\n"
        "print('clone3', call(435, 0, 0))\n"
        "print('reboot', call(169 if x else 142, 0, 0, 0, 0))\n"
    )
    lines = python(bench, code).split("\n")[:-1]
    assert {line.split()[0]: line.split()[1] for line in lines} == {
        "mount": "EPERM", "setns": "EPERM", "unshare": "EPERM", "bpf": "EPERM", "init_module": "EPERM", "keyctl": "EPERM",
        "io_uring": "EPERM", "userfaultfd": "EPERM", "clone3": "ENOSYS", "reboot": "EPERM",
    }  # fmt: skip


@pytest.mark.parametrize("place", ["/x", "/dev/x", "/tmp/x", "/dev/shm/x", "/cache/x"])
def test_device_nodes_of_the_command_do_not_open(bench: Bench, tmp_path: Path, place: str) -> None:
    """A disk made with mknod (CAP_MKNOD is in the default set) cannot be opened anywhere."""
    (tmp_path / "cache").mkdir()
    mounts = (HostPath("/cache", str(tmp_path / "cache")),)
    ended = bench.run("sh", "-c", f"mknod {place} c 1 5 && head -c 1 {place}", mounts=mounts)
    assert ended.status != 0
    assert b"ermission denied" in bench.err


def test_the_devices_of_the_host_keep_their_mode(bench: Bench) -> None:
    before = os.stat("/dev/null").st_mode
    bench.run("sh", "-c", "chmod 600 /dev/null; chown 7 /dev/zero")
    assert os.stat("/dev/null").st_mode == before
    assert os.stat("/dev/zero").st_uid == 0


def test_nested_user_namespaces_are_refused(bench: Bench) -> None:
    assert bench.run("unshare", "-U", "true").status != 0
    assert b"Operation not permitted" in bench.err
    assert bench.run("unshare", "-U", "true", is_privileged=True).status == 0


def test_typing_into_a_terminal_is_refused(bench: Bench) -> None:
    """CVE-2017-5226: TIOCSTI, on the step's own terminal as on any."""
    code = "import fcntl, os, termios\ntry:\n    fcntl.ioctl(0, 0x5412, b'x')\nexcept OSError as e: print(e.strerror)"
    ended = bench.run(PYTHON, "-I", "-S", "-c", code, mounts=python_mounts(), has_terminal=True)
    assert ended.status == 0
    assert b"not permitted" in bench.out


def test_no_controlling_terminal(bench: Bench) -> None:
    assert bench.run("sh", "-c", ": < /dev/tty").status != 0
    assert b"No such device" in bench.err


def test_abstract_sockets_of_the_host_are_out_of_reach_with_its_network_too(bench: Bench) -> None:
    """CVE-2020-15257: a network namespace of its own hides them; else Landlock does, where the kernel can (6.12)."""
    name = f"\0slimstage-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        code = f"import socket\ns = socket.socket(socket.AF_UNIX)\nprint(s.connect_ex({name!r}))"
        values = {"mounts": python_mounts()}
        bench.run(PYTHON, "-I", "-S", "-c", code, network="none", **values)
        assert bench.out == b"111\n"
        bench.run(PYTHON, "-I", "-S", "-c", code, network="host", **values)
        assert bench.out == (b"1\n" if hides_abstract_sockets() else b"0\n")  # EPERM
        bench.run(PYTHON, "-I", "-S", "-c", code, network="host", is_privileged=True, **values)
        assert bench.out == b"0\n"


def test_abstract_sockets_of_the_steps_own_work(bench: Bench) -> None:
    code = (
        "import socket\ns = socket.socket(socket.AF_UNIX)\ns.bind('\\0slimstage-own')\ns.listen()\n"
        "c = socket.socket(socket.AF_UNIX)\nprint(c.connect_ex('\\0slimstage-own'))"
    )
    bench.run(PYTHON, "-I", "-S", "-c", code, mounts=python_mounts(), network="host")
    assert bench.out == b"0\n"


def test_the_builders_interpreter_cannot_be_written_by_the_command(bench: Bench) -> None:
    """CVE-2019-5736: what /proc/self/exe leads to is seen through a read-only mount, and is busy besides."""
    code = (
        "import os\nprint(os.fstatvfs(os.open('/proc/self/exe', os.O_RDONLY)).f_flag & os.ST_RDONLY)\n"
        "try: os.open('/proc/self/exe', os.O_WRONLY)\nexcept OSError as e: print(e.errno in (26, 30))"
    )
    assert bench.run("/proc/self/exe", "-I", "-S", "-c", code, mounts=python_mounts()).status == 0
    assert bench.out == b"1\nTrue\n"


def test_processes_of_the_host_are_out_of_reach(bench: Bench) -> None:
    assert bench.run("kill", "-0", str(os.getpid())).status != 0
    assert bench.run("ls", f"/proc/{os.getpid()}").status != 0


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc for a 32-bit-call program")
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="int 0x80 is x86's")
def test_32_bit_calls_are_filtered_too(bench: Bench) -> None:
    source = bench.base / "call.c"
    source.write_text(
        'int main(void) { int r; __asm__ volatile ("int $0x80" : "=a"(r) : "a"(310), "b"(0x10000000)); return -r; }'
    )
    subprocess.run(["gcc", "-static", "-o", str(bench.lower / "call"), str(source)], check=True)
    assert bench.run("/call").status == 1  # unshare by its i386 number: EPERM
