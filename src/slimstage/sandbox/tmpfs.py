"""A tmpfs for a step: one in which no device node can be opened, though no `nodev` says so.

Other engines mount it `rw,nosuid` and have a device cgroup; programs and tests read mount tables. Here the file system is
made in a user namespace of its own that maps every id to itself. The kernel then opens no device node in it, whatever its
mount options are or become: a superblock that belongs to another user namespace than the first has SB_I_NODEV.
Source: linux fs/super.c, alloc_super; fs/namei.c, may_open_dev.
"""

from __future__ import annotations

import os
import socket

from slimstage.sandbox.syscalls import (
    CLONE_NEWNS,
    CLONE_NEWUSER,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOSUID,
    Refused,
    make_filesystem,
    unshare,
)


def make_tmpfs(size_bytes: int | None, mode: int, what: str, *, opens_devices: bool = False) -> int:
    """A descriptor of a new, detached tmpfs. Forks for a moment: to be called before a new PID namespace is made.

    opens_devices: for a step that may use all of the host's. Where the host makes no user namespace the mount is `nodev`.
    Raises Refused.
    """
    options: list[tuple[str, str | None]] = [("mode", f"{mode:04o}")]
    if size_bytes:
        options.append(("size", str(size_bytes)))
    if not opens_devices:
        made = _of_another_user_namespace(options, what)
        if made is not None:
            return made
    return make_filesystem("tmpfs", options, MOUNT_ATTR_NOSUID | (0 if opens_devices else MOUNT_ATTR_NODEV), what)


def _of_another_user_namespace(options: list[tuple[str, str | None]], what: str) -> int | None:
    """None when it cannot be made, for whatever reason: who asked then makes it another way, and hears the reason."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if child == 0:
        ours.close()
        _serve(theirs, options, what)
    theirs.close()
    found: list[int] = []
    try:
        with ours:
            if ours.recv(1):
                for name in ("uid_map", "gid_map"):
                    _map_all(f"/proc/self/{name}", f"/proc/{child}/{name}")
                ours.send(b"m")
                found = socket.recv_fds(ours, 1, 1)[1]
    except OSError:
        pass  # the other end sees ours closed, and ends
    os.waitpid(child, 0)
    return found[0] if found else None


def _serve(parent: socket.socket, options: list[tuple[str, str | None]], what: str) -> None:
    """The child: never returns."""
    try:
        unshare(CLONE_NEWUSER | CLONE_NEWNS)
        parent.send(b"u")
        if parent.recv(1):
            socket.send_fds(parent, [b"f"], [make_filesystem("tmpfs", options, MOUNT_ATTR_NOSUID, what)])
    except (OSError, Refused):
        pass  # nothing was sent, and that is the answer
    finally:
        os._exit(0)


def _map_all(own: str, other: str) -> None:
    """Every id that is mapped here is mapped to itself there."""
    with open(own, encoding="ascii") as file:
        extents = [line.split() for line in file]
    fd = os.open(other, os.O_WRONLY | os.O_CLOEXEC)
    try:
        # One write: the kernel takes the whole map at once.
        os.write(fd, "".join(f"{first} {first} {count}\n" for first, _, count in extents).encode())
    finally:
        os.close(fd)
