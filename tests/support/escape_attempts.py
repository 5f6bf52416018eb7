"""Ways out of a step, each tried for real. Runs inside a sandbox, alone (standard library only), prints JSON.

{attempt: [what it reached, ...]}: an empty list is a sandbox that held. Nothing is changed even where it does not hold: files
are opened, and written with zero bytes; calls have arguments that the kernel refuses later on; no device is read.
Environment: HOST_PID, a process outside; ABSTRACT, the name of a socket outside; NETWORK, host or none; ONLY, the
attempts to make, all when it is empty.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import platform
import re
import signal
import socket
import stat
import struct
import sys
from collections.abc import Callable, Iterator

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_ON_X86 = platform.machine() == "x86_64"
_HOST_PID = int(os.environ["HOST_PID"])
_ATTEMPTS: dict[str, Callable[[], Iterator[str]]] = {}


def attempt(function: Callable[[], Iterator[str]]) -> Callable[[], Iterator[str]]:
    _ATTEMPTS[function.__name__] = function
    return function


def call(x86: int, arm: int, *arguments: int | bytes | None) -> str:
    """The name of the errno of a system call, or "done"."""
    given = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    if _libc.syscall(ctypes.c_long(x86 if _ON_X86 else arm), *given) >= 0:
        return "done"
    return errno.errorcode[ctypes.get_errno()]


def clone(flags: int) -> str:
    """As `call` for clone, whose child ends at once."""
    child = _libc.syscall(
        ctypes.c_long(56 if _ON_X86 else 220), ctypes.c_long(flags | signal.SIGCHLD), *[ctypes.c_long(0)] * 4
    )
    if child == 0:
        os._exit(0)
    if child < 0:
        return errno.errorcode[ctypes.get_errno()]
    os.waitpid(child, 0)
    return "done"


def refused(calls: dict[str, str], *allowed: str) -> Iterator[str]:
    """What was not refused: each answer has to be one of these (EPERM when none is given)."""
    for name, answer in calls.items():
        if answer not in (allowed or ("EPERM",)):
            yield f"{name}: {answer}"


def files(top: str, *, passes_over: str = "") -> Iterator[str]:
    """Every regular file below, but of directories that match."""
    for directory, names, entries in os.walk(top):
        names[:] = [n for n in names if not (passes_over and re.match(passes_over, f"{directory}/{n}"))]
        for name in entries:
            path = f"{directory}/{name}"
            try:
                if stat.S_ISREG(os.lstat(path).st_mode):
                    yield path
            except OSError:
                continue


def writes(path: str) -> str:
    """What becomes of a write of no bytes: "done" or the errno's name."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    try:
        os.write(fd, b"")
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    finally:
        os.close(fd)
    return "done"


def read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(4096)
    except OSError:
        return b""


# -- proc and sys -----------------------------------------------------------------------------------------------------


@attempt
def proc_is_writable() -> Iterator[str]:
    for path in files("/proc", passes_over=r"/proc/(\d+|self|thread-self|pressure)$"):
        answer = writes(path)  # EIO: proc's own word for a file that takes no writes
        if answer in ("done", "EINVAL") and not stat.S_ISCHR(os.stat(path).st_mode):
            yield f"{path}: {answer}"


@attempt
def proc_sys_is_writable() -> Iterator[str]:
    for path in files("/proc/sys"):
        answer = writes(path)
        if answer not in ("EROFS", "EACCES", "EPERM"):
            yield f"{path}: {answer}"


@attempt
def sys_is_writable() -> Iterator[str]:
    for path in files("/sys"):
        answer = writes(path)
        if answer not in ("EROFS", "EACCES"):
            yield f"{path}: {answer}"


@attempt
def core_pattern_and_helpers() -> Iterator[str]:
    for path in (
        "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hotplug",
        "/proc/sys/vm/panic_on_oom", "/proc/sys/fs/binfmt_misc/register", "/sys/kernel/uevent_helper",
        "/proc/sysrq-trigger", "/sys/fs/cgroup/release_agent", "/proc/sys/kernel/ns_last_pid",
    ):  # fmt: skip
        if os.path.exists(path):
            try:
                os.close(os.open(path, os.O_WRONLY))
                yield path
            except OSError:
                continue


@attempt
def kernel_memory_is_readable() -> Iterator[str]:
    for path in (
        "/proc/kcore",
        "/proc/keys",
        "/proc/timer_list",
        "/proc/sched_debug",
        "/proc/interrupts",
        "/proc/kmsg",
    ):
        if read(path):
            yield path
    for path in ("/proc/kallsyms", "/proc/iomem", "/proc/modules"):
        if re.search(rb"(?<![0-9a-f])(?!0+(?![0-9a-f]))[0-9a-f]{16}(?![0-9a-f])", read(path)):
            yield f"{path} shows addresses"
    for path in ("/sys/firmware", "/proc/acpi", "/proc/scsi", "/sys/kernel/debug", "/sys/kernel/security"):
        if os.path.isdir(path) and os.listdir(path):
            yield path


# -- mounts -----------------------------------------------------------------------------------------------------------


@attempt
def mounts_can_be_changed() -> Iterator[str]:
    os.makedirs("/tmp/point", exist_ok=True)
    yield from refused(
        {
            "mount proc": call(165, 40, b"proc", b"/tmp/point", b"proc", 0, None),
            "mount tmpfs": call(165, 40, b"tmpfs", b"/tmp/point", b"tmpfs", 0, None),
            "mount sysfs": call(165, 40, b"sysfs", b"/tmp/point", b"sysfs", 0, None),
            "mount a cgroup": call(165, 40, b"cgroup", b"/tmp/point", b"cgroup", 0, b"memory"),
            "bind /proc": call(165, 40, b"/proc", b"/tmp/point", None, 4096 | 16384, None),
            "remount /proc/sys": call(165, 40, None, b"/proc/sys", None, 32 | 4096, None),
            "remount /sys": call(165, 40, None, b"/sys", None, 32 | 4096, None),
            "share /": call(165, 40, None, b"/", None, 1 << 20, None),
            "unmount a mask": call(166, 39, b"/proc/kcore", 2),
            "unmount /proc/sys": call(166, 39, b"/proc/sys", 2),
            "unmount /etc/hosts": call(166, 39, b"/etc/hosts", 2),
            "open_tree": call(428, 428, -100, b"/proc", 1),
            "move_mount": call(429, 429, -100, b"/proc/sys", -100, b"/tmp/point", 0),
            "fsopen": call(430, 430, b"proc", 0),
            "fspick": call(433, 433, -100, b"/proc", 0),
            "mount_setattr": call(442, 442, -100, b"/proc/sys", 0, bytes(32), 32),
            "pivot_root": call(155, 41, b"/", b"/tmp/point"),
        }
    )


@attempt
def mounts_are_shared_or_name_the_host() -> Iterator[str]:
    for line in read_lines("/proc/self/mountinfo"):
        fields = line.split(" ")
        optional = fields[6 : fields.index("-")]
        if any(each.startswith(("shared:", "master:", "propagate_from:")) for each in optional):
            yield f"{fields[4]} is {optional}"
        if "upperdir=/proc/self/fd" not in line and re.search(r"(upper|work|lower)dir\+?=", line):
            yield f"{fields[4]} shows a path of the host"
        if fields[4] not in ("/proc", "/sys") and not {"nosuid", "nodev", "ro"} & set(fields[5].split(",")):
            yield f"{fields[4]} has devices"


def read_lines(path: str) -> list[str]:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read().splitlines()


@attempt
def the_old_root_is_there() -> Iterator[str]:
    """Out of a chroot by a second one (the classic), and up from every directory that is open."""
    mine = (os.stat("/").st_dev, os.stat("/").st_ino)
    child = os.fork()
    if child == 0:
        try:
            os.makedirs("/tmp/jail", exist_ok=True)
            fd = os.open("/", os.O_RDONLY)
            os.chroot("/tmp/jail")
            os.fchdir(fd)
            for _ in range(64):
                os.chdir("..")
            os.chroot(".")
            facts = os.stat("/")
            os._exit(0 if (facts.st_dev, facts.st_ino) == mine else 1)
        except OSError:
            os._exit(0)
    if os.waitpid(child, 0)[1]:
        yield "a root above the root"


# -- devices ----------------------------------------------------------------------------------------------------------

_DEVICES = (
    (stat.S_IFBLK, 8, 0), (stat.S_IFBLK, 254, 0), (stat.S_IFBLK, 7, 0), (stat.S_IFCHR, 1, 1), (stat.S_IFCHR, 1, 4),
    (stat.S_IFCHR, 1, 11), (stat.S_IFCHR, 10, 229), (stat.S_IFCHR, 10, 237), (stat.S_IFCHR, 10, 200), (stat.S_IFCHR, 4, 64),
    (stat.S_IFCHR, 5, 1), (stat.S_IFCHR, 1, 5),
)  # fmt: skip


@attempt
def devices_of_our_own_open() -> Iterator[str]:
    for place in ("/", "/tmp", "/dev", "/dev/shm", "/run", "/cache", "/bound"):
        for kind, major, minor in _DEVICES:
            path = f"{place}/node-{major}-{minor}"
            try:
                os.mknod(path, kind | 0o666, os.makedev(major, minor))
            except OSError:
                continue
            try:
                os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY))
                yield path
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EPERM):
                    yield f"{path}: {error.strerror}"
            finally:
                os.unlink(path)


@attempt
def devices_of_the_host_are_there() -> Iterator[str]:
    usual = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm", "mqueue", "fd", "stdin", "stdout", "stderr", "core"}  # fmt: skip  # noqa: E501
    yield from sorted(set(os.listdir("/dev")) - usual)
    yield from (f"pts/{name}" for name in os.listdir("/dev/pts") if name != "ptmx")


# -- descriptors, processes, signals ----------------------------------------------------------------------------------


@attempt
def descriptors_are_left_open() -> Iterator[str]:
    for pid in ("self", "1"):
        for name in os.listdir(f"/proc/{pid}/fd"):
            link = ""
            try:
                link = os.readlink(f"/proc/{pid}/fd/{name}")
            except OSError:
                continue
            if int(name) > 2 and link != f"/proc/{os.getpid()}/fd":
                yield f"{pid}: {name} -> {link}"
    for fd in range(1024):
        try:
            os.close(os.open("..", os.O_PATH, dir_fd=fd))
            yield f"{fd} is a directory"
        except OSError:
            continue


@attempt
def proc_leads_out() -> Iterator[str]:
    mine = (os.stat("/").st_dev, os.stat("/").st_ino)
    for name in os.listdir("/proc"):
        if name.isdigit():
            for link in ("root", "cwd"):
                try:
                    facts = os.stat(f"/proc/{name}/{link}/..")
                except OSError:
                    continue
                if link == "root" and (facts.st_dev, facts.st_ino) != mine:
                    yield f"/proc/{name}/{link}"
    if os.getppid() not in (0, 1):
        yield f"a parent {os.getppid()} that is not ours"
    if os.path.exists(f"/proc/{_HOST_PID}"):
        yield f"/proc/{_HOST_PID}"


@attempt
def signals_reach_outside() -> Iterator[str]:
    number = int(signal.SIGCONT)
    yield from refused(
        {
            "kill": call(62, 129, _HOST_PID, 0),
            "kill its group": call(62, 129, -_HOST_PID, number),
            "tkill": call(200, 130, _HOST_PID, number),
            "tgkill": call(234, 131, _HOST_PID, _HOST_PID, number),
            "rt_sigqueueinfo": call(129, 138, _HOST_PID, number, bytes(128)),
            "pidfd_open": call(434, 434, _HOST_PID, 0),
            "setpriority": call(141, 140, 0, _HOST_PID, 0),
            "sched_setaffinity": call(203, 122, _HOST_PID, 8, bytes(8)),
            "prlimit64": call(302, 261, _HOST_PID, 4, None, None),
            "getsid": call(124, 156, _HOST_PID),
        },
        "ESRCH", "EPERM",
    )  # fmt: skip
    reader, _ = os.pipe()
    try:
        fcntl.fcntl(reader, fcntl.F_SETOWN, _HOST_PID)
        yield "F_SETOWN"
    except OSError:
        pass


@attempt
def other_processes_can_be_traced() -> Iterator[str]:
    buffer = ctypes.create_string_buffer(8)
    vector = struct.pack("NN", ctypes.addressof(buffer), 8)
    yield from refused(
        {
            "PTRACE_ATTACH": call(101, 117, 16, _HOST_PID, 0, 0),
            "PTRACE_SEIZE": call(101, 117, 0x4206, _HOST_PID, 0, 0),
            "process_vm_readv": call(310, 270, _HOST_PID, vector, 1, vector, 1, 0),
            "process_vm_writev": call(311, 271, _HOST_PID, vector, 1, vector, 1, 0),
            "kcmp": call(312, 272, os.getpid(), _HOST_PID, 0, 0, 0),
            "pidfd_getfd": call(438, 438, 0, 0, 0),
            "process_madvise": call(440, 440, 0, bytes(16), 1, 21, 0),
        },
        "ESRCH", "EPERM",
    )  # fmt: skip


# -- the kernel's services --------------------------------------------------------------------------------------------


@attempt
def keyrings() -> Iterator[str]:
    yield from refused(
        {
            "session keyring": call(250, 219, 0, -3, 0),
            "user keyring": call(250, 219, 0, -4, 0),
            "join a session": call(250, 219, 1, b"_ses"),
            "add_key": call(248, 217, b"user", b"x", b"y", 1, -3),
            "request_key": call(249, 218, b"user", b"x", None, -3),
        }
    )


@attempt
def namespaces() -> Iterator[str]:
    flags = {"mount": 0x20000, "cgroup": 0x2000000, "UTS": 0x4000000, "IPC": 0x8000000, "user": 0x10000000, "PID": 0x20000000,
             "network": 0x40000000, "time": 0x80}  # fmt: skip
    yield from refused({f"unshare {name}": call(272, 97, flag) for name, flag in flags.items()})
    yield from refused({f"clone {name}": clone(flag) for name, flag in flags.items() if flag != 0x80})
    yield from refused({"clone3": call(435, 435, bytes(64), 64)}, "ENOSYS")
    for name in os.listdir("/proc/1/ns"):
        try:
            fd = os.open(f"/proc/1/ns/{name}", os.O_RDONLY)
        except OSError:
            continue
        yield from refused({f"setns {name}": call(308, 268, fd, 0)})
        os.close(fd)
    yield from refused({"sethostname": call(170, 161, b"x", 1), "setdomainname": call(171, 162, b"x", 1)})
    for name in ("uid_map", "gid_map", "setgroups"):
        try:
            with open(f"/proc/self/{name}", "wb", buffering=0) as file:
                file.write(b"0 0 1" if name != "setgroups" else b"allow")
            yield f"/proc/self/{name}"
        except OSError:
            continue


@attempt
def programs_in_the_kernel() -> Iterator[str]:
    """BPF, perf, io_uring, userfaultfd, modules."""
    yield from refused(
        {
            "bpf load": call(321, 280, 5, bytes(128), 128),
            "bpf map": call(321, 280, 0, bytes(128), 128),
            "perf_event_open": call(298, 241, bytes(128), 0, -1, -1, 0),
            "io_uring_setup": call(425, 425, 1, bytes(120)),
            "io_uring_enter": call(426, 426, 0, 0, 0, 0, None),
            "io_uring_register": call(427, 427, -1, 0, None, 0),
            "userfaultfd": call(323, 282, 1),
            "init_module": call(175, 105, b"x", 1, b""),
            "finit_module": call(313, 273, 0, b"", 0),
            "delete_module": call(176, 106, b"nothing-here", 0),
            "kexec_load": call(246, 104, 0, 0, None, 0xFFFF),
            "fanotify_init": call(300, 262, 0, 0),
        }
    )


@attempt
def the_machine() -> Iterator[str]:
    """Clocks, kernel log, swap, accounting, reboot, ports, quotas."""
    yield from refused(
        {
            "reboot": call(169, 142, 0, 0, 0, None),
            "settimeofday": call(164, 170, 1, 0),
            "clock_settime": call(227, 112, 99, bytes(16)),
            "syslog": call(103, 116, 10, None, 0),
            "swapon": call(167, 224, b"/nothing-here", 0),
            "acct": call(163, 89, b"/nothing-here"),
            "iopl": call(172, 9999, 3) if _ON_X86 else "EPERM",
            "ioperm": call(173, 9999, 0, 1, 1) if _ON_X86 else "EPERM",
            "quotactl": call(179, 60, 0, None, 0, None),
            "lookup_dcookie": call(212, 18, 0, None, 0),
            "vhangup": call(153, 58),
            "mbind": call(237, 235, None, 0, 0, None, 0, 0),
        }
    )


@attempt
def files_by_handle() -> Iterator[str]:
    """Shocker: a file handle opens any file of the file system, whatever the root is."""
    handle = (8).to_bytes(4, sys.byteorder) + (1).to_bytes(4, sys.byteorder) + (2).to_bytes(4, sys.byteorder) + bytes(4)
    yield from refused({"open_by_handle_at": call(304, 265, os.open("/", os.O_RDONLY), handle, 0)})


@attempt
def typing_into_the_terminal() -> Iterator[str]:
    for number in (0, 1, 2):
        for request in (0x5412, 0x541C, 0x5412 | 1 << 32):
            answer = call(16, 29, number, request, b"\n")
            if answer != "EPERM":
                yield f"ioctl({number}, {request:#x}): {answer}"
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
        yield "/dev/tty"
    except OSError as error:
        if error.errno != errno.ENXIO:
            yield f"/dev/tty: {error.strerror}"


@attempt
def control_groups() -> Iterator[str]:
    for path in files("/sys/fs/cgroup"):
        if writes(path) not in ("EROFS", "EACCES"):
            yield path
    try:
        os.mkdir("/sys/fs/cgroup/mine")
        yield "a group of our own"
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.ENOENT):
            yield f"mkdir: {error.strerror}"
    for line in read_lines("/proc/self/cgroup"):
        if line.split(":", 2)[2] != "/":
            yield f"/proc/self/cgroup shows {line}"


@attempt
def sockets() -> Iterator[str]:
    names = {line.rpartition(" @")[2] for line in read_lines("/proc/net/unix") if " @" in line} | {
        os.environ["ABSTRACT"]
    }
    for name in sorted(names):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(2)
            answer = client.connect_ex("\0" + name)
        wanted = errno.EPERM if os.environ["NETWORK"] == "host" else errno.ECONNREFUSED
        if answer == 0 or (name == os.environ["ABSTRACT"] and answer != wanted):
            yield f"@{name}: {errno.errorcode.get(answer, 'connected')}"
    for family in (38, 40):  # AF_ALG, AF_VSOCK
        try:
            socket.socket(family, socket.SOCK_STREAM).close()
            yield f"a socket of family {family}"
        except PermissionError:
            continue
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        try:  # SIOCSIFFLAGS of the loopback to what it is
            request = fcntl.ioctl(control, 0x8913, b"lo".ljust(40, b"\0"))
            fcntl.ioctl(control, 0x8914, request)
            yield "the network's configuration"
        except OSError:
            pass


@attempt
def privileges() -> Iterator[str]:
    """Capabilities only shrink: the bounding set has nothing that leads out, nothing is inheritable or ambient."""
    values = dict(line.split(":\t") for line in read_lines("/proc/self/status") if line.startswith("Cap"))
    dangerous = {2: "DAC_READ_SEARCH", 9: "LINUX_IMMUTABLE", 12: "NET_ADMIN", 16: "SYS_MODULE", 17: "SYS_RAWIO",
                 19: "SYS_PTRACE", 20: "SYS_PACCT", 21: "SYS_ADMIN", 22: "SYS_BOOT", 23: "SYS_NICE", 24: "SYS_RESOURCE",
                 25: "SYS_TIME", 26: "SYS_TTY_CONFIG", 30: "AUDIT_CONTROL", 32: "MAC_OVERRIDE", 33: "MAC_ADMIN", 34: "SYSLOG",
                 38: "PERFMON", 39: "BPF", 40: "CHECKPOINT_RESTORE"}  # fmt: skip
    for kind in ("CapBnd", "CapEff", "CapPrm"):
        mask = int(values[kind], 16)
        yield from (f"{kind} has {name}" for bit, name in dangerous.items() if mask >> bit & 1)
    yield from (f"{kind} is {values[kind]}" for kind in ("CapInh", "CapAmb") if int(values[kind], 16))


@attempt
def the_builders_program_is_writable() -> Iterator[str]:
    """CVE-2019-5736, by the links of every process here."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            answer = writes(f"/proc/{name}/exe")
            if answer not in ("ETXTBSY", "EROFS", "EACCES", "ENOENT", "ESRCH"):
                yield f"/proc/{name}/exe: {answer}"


def main() -> None:
    found: dict[str, list[str]] = {}
    only = os.environ.get("ONLY", "").split()
    for name, function in _ATTEMPTS.items():
        if only and name not in only:
            continue
        try:
            found[name] = list(function())
        except OSError as error:
            found[name] = [f"the attempt itself failed: {error!r}"]
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
