"""Tries what a sandbox needs, each in a child process of its own, and prints the answers as JSON.

Started by `host.py` as `python -I -S -c …`: trying a namespace changes the process that tries it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable

from slimstage.sandbox import syscalls
from slimstage.sandbox.syscalls import Refused
from slimstage.userns import is_user_namespace


def _user_namespace() -> None:
    uid, gid = os.getuid(), os.getgid()
    syscalls.unshare(syscalls.CLONE_NEWUSER | syscalls.CLONE_NEWNS)
    with open("/proc/self/setgroups", "w", encoding="ascii") as file:
        file.write("deny")
    for name, number in (("uid_map", uid), ("gid_map", gid)):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(f"0 {number} 1")


def _namespaces() -> None:
    _become_root()
    syscalls.unshare(
        syscalls.CLONE_NEWPID | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWNET
        | syscalls.CLONE_NEWCGROUP
    )  # fmt: skip


def _become_root() -> None:
    if os.geteuid() == 0:
        syscalls.unshare(syscalls.CLONE_NEWNS)
    else:
        _user_namespace()
    syscalls.mount(None, b"/", None, syscalls.MS_REC | syscalls.MS_PRIVATE, None, "make the mounts private")


def _mount_api() -> None:
    _become_root()
    fd = syscalls.make_filesystem("tmpfs", [], 0, "mount a tmpfs")
    syscalls.mount_setattr(fd, syscalls.MOUNT_ATTR_NODEV, "set attributes of a mount")


def _overlay() -> None:
    is_own_namespace = os.geteuid() != 0 or is_user_namespace()
    _become_root()
    base = tempfile.gettempdir()
    stage = syscalls.make_filesystem("tmpfs", [], 0, "mount a tmpfs")
    target = os.open(base, os.O_PATH)
    syscalls.move_mount(stage, target, "mount a tmpfs")
    for name in ("lower", "upper", "work"):
        os.mkdir(f"{base}/{name}")
    options = f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work"
    options += ",userxattr" if is_own_namespace else ""
    syscalls.mount(b"overlay", f"{base}/lower".encode(), b"overlay", 0, options.encode(), "mount an overlay")


def _openat2() -> None:
    os.close(syscalls.openat2(-100, b"/", os.O_PATH, syscalls.RESOLVE_IN_ROOT))


def _seccomp() -> None:
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1, "set no_new_privs")
    syscalls.load_seccomp(b"\x06\x00\x00\x00\x00\x00\xff\x7f")  # one instruction: allow


_TRIALS: dict[str, Callable[[], None]] = {
    "user-namespaces": _user_namespace,
    "namespaces": _namespaces,
    "mount-api": _mount_api,
    "overlay": _overlay,
    "openat2": _openat2,
    "seccomp": _seccomp,
}


def _tried(trial: Callable[[], None]) -> str:
    """What went wrong; empty when nothing did."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            trial()
            words = ""
        except Refused as refused:
            words = f"{refused.what}: {refused.detail or os.strerror(refused.number)}"
        except OSError as error:
            words = str(error)
        os.write(writer, words.encode(errors="replace")[:4000])
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        words = file.read().decode(errors="replace")
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return words or (f"ended with status {status}" if status else "")


def main() -> None:
    json.dump({name: _tried(trial) for name, trial in _TRIALS.items()}, sys.stdout)
