"""Linux system calls that Python 3.11 does not offer: thin wrappers, one exception.

Every wrapper raises `Refused`, which says what was asked for and what the kernel answered; the builder's side turns it
into a SandboxError with a hint (`refusal.py`). This module is loaded by the small process that starts steps, so it
imports next to nothing.
"""

from __future__ import annotations

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

_IS_ARM = os.uname().machine in ("aarch64", "arm64")
_PIVOT_ROOT, _CAPSET, _KEYCTL, _SECCOMP = (41, 91, 219, 277) if _IS_ARM else (155, 126, 250, 317)
_RT_SIGACTION = 134 if _IS_ARM else 13
_OPEN_TREE, _MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT = 428, 429, 430, 431, 432
_CLOSE_RANGE, _OPENAT2, _MOUNT_SETATTR = 436, 437, 442
_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF = 444, 446

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x02000000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
CAP_SYS_ADMIN = 21

MS_RDONLY, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 1, 4, 4096, 16384, 1 << 18
MNT_DETACH = 2

MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC = 1, 2, 4, 8

RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH, RESOLVE_IN_ROOT = 2, 4, 8, 16

_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC = 1, os.O_CLOEXEC
_MOVE_MOUNT_EMPTY_PATHS = 0x04 | 0x40
_FSCONFIG_SET_FLAG, _FSCONFIG_SET_STRING, _FSCONFIG_CMD_CREATE = 0, 1, 6

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_READ, PR_CAPBSET_DROP = 1, 4, 23, 24
PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4


class Refused(Exception):
    """The kernel refused `what` (a phrase, "mount the root"); `number` is the errno, `detail` its own words, if any."""

    def __init__(self, what: str, number: int, detail: str = "") -> None:
        super().__init__(what, number, detail)
        self.what, self.number, self.detail = what, number, detail

    def __str__(self) -> str:
        return f"cannot {self.what}: {self.detail or os.strerror(self.number)}"


def _call(what: str, number: int, *arguments: object) -> int:
    result: int = _libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        raise Refused(what, ctypes.get_errno())
    return result


def _check(what: str, result: int) -> int:
    if result < 0:
        raise Refused(what, ctypes.get_errno())
    return result


def _int(value: int) -> ctypes.c_long:
    return ctypes.c_long(value)


# -- signals ---------------------------------------------------------------------------------------------------------


def reset_internal_signals() -> None:
    """The two signals that glibc keeps to itself do again what the kernel does with them; its posix_spawn ignores them."""
    action = (ctypes.c_ulong * 4)()  # handler SIG_DFL, no flags, no restorer, empty mask
    for number in (32, 33):
        _call(f"reset signal {number}", _RT_SIGACTION, _int(number), ctypes.byref(action), None, _int(8))


# -- namespaces ------------------------------------------------------------------------------------------------------

_NAMES = {
    CLONE_NEWNS: "mount", CLONE_NEWCGROUP: "cgroup", CLONE_NEWUTS: "UTS", CLONE_NEWIPC: "IPC",
    CLONE_NEWUSER: "user", CLONE_NEWPID: "PID", CLONE_NEWNET: "network",
}  # fmt: skip


def unshare(flags: int) -> None:
    names = ", ".join(name for flag, name in _NAMES.items() if flags & flag)
    _check(f"make new namespaces ({names})", _libc.unshare(flags))


def setns(fd: int, kind: int) -> None:
    _check("enter a namespace", _libc.setns(fd, kind))


def sethostname(name: bytes) -> None:
    _check("set the host name", _libc.sethostname(name, ctypes.c_size_t(len(name))))


# -- mounts ----------------------------------------------------------------------------------------------------------


def mount(
    source: bytes | None, target: bytes, kind: bytes | None, flags: int, options: bytes | None, what: str
) -> None:
    _check(what, _libc.mount(source, target, kind, ctypes.c_ulong(flags), options))


def umount(target: bytes, flags: int = 0) -> None:
    _check("unmount", _libc.umount2(target, flags))


def open_tree(fd: int, what: str, *, is_recursive: bool = False) -> int:
    """A descriptor of a new, detached, private copy of the mount at `fd` (an O_PATH descriptor will do)."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | _AT_EMPTY_PATH | (_AT_RECURSIVE if is_recursive else 0)
    return _call(what, _OPEN_TREE, _int(fd), b"", _int(flags))


def move_mount(fd: int, target_fd: int, what: str) -> None:
    """Attaches a detached mount at what `target_fd` names."""
    _call(what, _MOVE_MOUNT, _int(fd), b"", _int(target_fd), b"", _int(_MOVE_MOUNT_EMPTY_PATHS))


def make_filesystem(kind: str, options: list[tuple[str, str | None]], attributes: int, what: str) -> int:
    """A descriptor of a new, detached mount of a new file system. Options in order; None is a flag without value.

    Raises Refused with the kernel's own words where it gives some.
    """
    fd = _call(what, _FSOPEN, kind.encode(), _int(1))
    try:
        try:
            # The kind as the source, as mount tables show it under other engines: "tmpfs on /tmp type tmpfs".
            for key, value in [("source", kind), *options]:
                if value is None:
                    _call(what, _FSCONFIG, _int(fd), _int(_FSCONFIG_SET_FLAG), key.encode(), None, _int(0))
                else:
                    data = os.fsencode(value)
                    _call(what, _FSCONFIG, _int(fd), _int(_FSCONFIG_SET_STRING), key.encode(), data, _int(0))
            _call(what, _FSCONFIG, _int(fd), _int(_FSCONFIG_CMD_CREATE), None, None, _int(0))
            return _call(what, _FSMOUNT, _int(fd), _int(1), _int(attributes))
        except Refused as refused:
            raise Refused(what, refused.number, _kernel_log(fd)) from None
    finally:
        os.close(fd)


def _kernel_log(fd: int) -> str:
    """What the kernel said about a file system context: its error lines."""
    lines = []
    for _ in range(16):
        try:
            line = os.read(fd, 4096).decode(errors="replace").strip()
        except OSError:
            break
        if line.startswith("e "):
            lines.append(line[2:])
    return "; ".join(lines)


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def mount_setattr(fd: int, attributes: int, what: str, *, cleared: int = 0, is_recursive: bool = False) -> None:
    """Sets attributes of the mount (of all below it, when recursive), which becomes private."""
    attr = _MountAttr(attributes, cleared, MS_PRIVATE, 0)
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if is_recursive else 0)
    _call(what, _MOUNT_SETATTR, _int(fd), b"", _int(flags), ctypes.byref(attr), ctypes.c_size_t(ctypes.sizeof(attr)))


def pivot_root() -> None:
    """Makes the working directory, a mount point, the root; the old root is stacked below it and then detached."""
    _call("make the new root the root", _PIVOT_ROOT, b".", b".")
    umount(b".", MNT_DETACH)


# -- files -----------------------------------------------------------------------------------------------------------


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def openat2(dir_fd: int, path: bytes, flags: int, resolve: int) -> int:
    """Raises OSError, as os.open does: that a path is missing is no refusal."""
    how = _OpenHow(flags | os.O_CLOEXEC, 0, resolve)
    size = ctypes.c_size_t(ctypes.sizeof(how))
    for _ in range(128):
        fd: int = _libc.syscall(ctypes.c_long(_OPENAT2), _int(dir_fd), path, ctypes.byref(how), size)
        if fd >= 0:
            return fd
        number = ctypes.get_errno()
        if number != 11:  # EAGAIN: something moved while ".." was resolved; the kernel asks to try again
            break
    raise OSError(number, os.strerror(number), os.fsdecode(path))


def close_range(first: int, last: int = 0xFFFFFFFF) -> None:
    """Closes all descriptors from `first` to `last`."""
    if _libc.syscall(ctypes.c_long(_CLOSE_RANGE), ctypes.c_uint(first), ctypes.c_uint(last), ctypes.c_uint(0)) < 0:
        os.closerange(first, min(last, os.sysconf("SC_OPEN_MAX")))


def mount_id(fd: int) -> int:
    """Which mount a descriptor was opened on. Source: proc(5), /proc/[pid]/fdinfo."""
    with open(f"/proc/self/fdinfo/{fd}", "rb") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(b"mnt_id:"))


class _StatFs(ctypes.Structure):
    _fields_ = (("f_type", ctypes.c_long), ("rest", ctypes.c_char * 248))


def filesystem_magic(fd: int) -> int:
    """The magic number of the file system that `fd` lies on (statfs.f_type)."""
    buffer = _StatFs()
    _check("examine a file system", _libc.fstatfs(fd, ctypes.byref(buffer)))
    return int(buffer.f_type) & 0xFFFFFFFF


# -- privileges ------------------------------------------------------------------------------------------------------


def prctl(option: int, value: int, what: str, third: int = 0) -> int:
    result: int = _libc.prctl(
        option, ctypes.c_ulong(value), ctypes.c_ulong(third), ctypes.c_ulong(0), ctypes.c_ulong(0)
    )
    return _check(what, result)


def limit_bounding_set(mask: int) -> None:
    """Drops every capability that is not in `mask` (bit N is capability N) from the bounding set; clears ambient ones."""
    for number in range(64):
        if mask >> number & 1:
            continue
        try:
            prctl(PR_CAPBSET_DROP, number, "drop a capability")
        except Refused as refused:
            if refused.number == 22:  # EINVAL: the kernel knows no capability of this number
                break
            raise
    try:
        prctl(PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, "clear the ambient capabilities")
    except Refused as refused:
        if refused.number != 22:
            raise


def set_capabilities(mask: int) -> None:
    """Effective and permitted become `mask` (of what is permitted now), inheritable empty."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    data = (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)
    _call("set the capabilities", _CAPSET, header, data)


def permitted_capabilities() -> int:
    """The mask of this process's permitted capabilities."""
    with open("/proc/self/status", "rb") as file:
        for line in file:
            if line.startswith(b"CapPrm:"):
                return int(line.split()[1], 16)
    return 0


def new_session_keyring() -> None:
    """Leaves the caller's session keyring behind; a kernel without keyrings has none to leave."""
    try:
        _call("make a session keyring", _KEYCTL, _int(1), None)
    except Refused as refused:
        if refused.number not in (1, 38, 122):  # EPERM (a filter around us), ENOSYS, EDQUOT
            raise


class _LandlockRuleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


_LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET = 1


def leave_abstract_sockets() -> bool:
    """From here on, this process and its descendants reach only abstract sockets of their own making (CVE-2020-15257).

    For a command that shares the host's network namespace, which such sockets belong to. False where the kernel cannot
    (before 6.12, or without Landlock). Needs CAP_SYS_ADMIN or no_new_privs. Source: landlock(7), "IPC scoping".
    """
    ruleset = _LandlockRuleset(0, 0, _LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET)
    size = ctypes.c_size_t(ctypes.sizeof(ruleset))
    fd: int = _libc.syscall(ctypes.c_long(_LANDLOCK_CREATE_RULESET), ctypes.byref(ruleset), size, _int(0))
    if fd < 0:
        return False
    try:
        _call("keep abstract sockets out of reach", _LANDLOCK_RESTRICT_SELF, _int(fd), _int(0))
    finally:
        os.close(fd)
    return True


class _SockFprog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def load_seccomp(program: bytes) -> None:
    """Confines this process with a BPF program (eight bytes an instruction)."""
    buffer = ctypes.create_string_buffer(program, len(program))
    fprog = _SockFprog(len(program) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    what = "load the seccomp filter"
    try:
        _call(what, _SECCOMP, _int(1), _int(4), ctypes.byref(fprog))  # SPEC_ALLOW: no slow-down of the command
    except Refused as refused:
        if refused.number != 22:
            raise
        _call(what, _SECCOMP, _int(1), _int(0), ctypes.byref(fprog))
