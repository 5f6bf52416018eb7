"""/proc, /sys and /dev of a sandbox: fresh, masked, and with devices that are ours.

Masks and devices use descriptors of the host that were opened before anything of the image was looked at, and paths are
found below the descriptor of the file system that was just mounted: what the image has in these places does not matter
(CVE-2025-31133 and its kin).
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable

from slimstage.sandbox.overlay import open_host
from slimstage.sandbox.syscalls import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    RESOLVE_BENEATH,
    RESOLVE_NO_SYMLINKS,
    Refused,
    filesystem_magic,
    make_filesystem,
    mount_setattr,
    move_mount,
    open_tree,
    openat2,
)

_PATH = os.O_PATH | os.O_CLOEXEC
_DIRECTORY = _PATH | os.O_DIRECTORY
_TIOCSPTLCK, _TIOCGPTPEER = 0x40045431, 0x5441
_PROC_MAGIC, _CGROUP2_MAGIC = 0x9FA0, 0x63677270
_NODES = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))
_LINKS = (
    ("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"), ("core", "/proc/kcore"),
)  # fmt: skip
_PLAIN = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC


class SystemMounts:
    """The file systems that every root has. `put` attaches a mount in the root (attach.py); `stage_fd` is set by it."""

    def __init__(self, put: Callable[..., None]) -> None:
        self._put = put
        self.stage_fd = -1
        self._dev = -1
        self._dev_fd = open_host("/dev")
        self._null_fd = open_host("/dev/null")
        if not stat.S_ISCHR(os.fstat(self._null_fd).st_mode):
            raise Refused("use /dev/null", 22, "it is no device on this host")

    def mount_proc(self, point: int, target: str, masked: tuple[str, ...], readonly: tuple[str, ...]) -> None:
        """By a process in the new PID namespace: the file system shows the processes of who mounts it."""
        what = f'mount proc at "{target}"'
        try:
            tree = make_filesystem("proc", [], _PLAIN, what)
        except Refused as refused:
            if refused.number != errno.EPERM:
                raise
            tree = _containers_proc(what)
        if filesystem_magic(tree) != _PROC_MAGIC:
            raise Refused(what, 22, "it is no proc file system")
        move_mount(tree, point, what)
        self._make_readonly(tree, target, readonly)
        self._mask(tree, target, masked)
        os.close(tree)

    def attach_sys(self, target: str, masked: tuple[str, ...], is_readonly: bool) -> None:
        what = f'mount sysfs at "{target}"'
        attributes = _PLAIN | (MOUNT_ATTR_RDONLY if is_readonly else 0)
        host = open_host("/sys")
        try:
            has_cgroup2 = _is_cgroup2()
            try:
                tree = make_filesystem("sysfs", [], attributes, what)
            except Refused as refused:
                if refused.number != errno.EPERM:
                    raise
                tree = open_tree(host, what, is_recursive=True)  # EPERM: the network namespace is another user's
                mount_setattr(tree, attributes, what, is_recursive=True)
                has_cgroup2 = False
        finally:
            os.close(host)
        kept = os.dup(tree)
        self._put(tree, target, what, is_directory=True, is_ours=True)
        if has_cgroup2:
            self._mount_cgroup(kept, attributes)
        self._mask(kept, target, masked)
        os.close(kept)

    @staticmethod
    def _mount_cgroup(sys_fd: int, attributes: int) -> None:
        point = _beneath(sys_fd, "fs/cgroup")
        if point is None:
            return
        try:
            tree = make_filesystem("cgroup2", [], attributes, "mount the cgroup tree")
            move_mount(tree, point, "mount the cgroup tree")
            os.close(tree)
        except Refused:
            pass  # nothing in a build needs it, and a nested host often refuses it
        finally:
            os.close(point)

    def attach_dev(self, target: str, shm_bytes: int | None, devices: tuple[tuple[str, str], ...]) -> None:
        what = f'mount devices at "{target}"'
        flags = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC
        tree = make_filesystem("tmpfs", [("mode", "0755"), ("size", "65536k")], flags | MOUNT_ATTR_NODEV, what)
        dev = os.dup(tree)
        self._put(tree, target, what, is_directory=True, is_ours=True)
        for name in ("pts", "shm", "mqueue"):
            os.mkdir(name, 0o755, dir_fd=dev)
        for name, link in _LINKS:
            if name != "core" or os.path.exists(link):  # not every kernel has it
                os.symlink(link, name, dir_fd=dev)
        for name, major, minor in _NODES:
            self._put_node(dev, name, major, minor)
        for source, place in devices:
            self._put_device(dev, source, place[len("/dev/") :])
        self._put_into(dev, "pts", self._devpts(), what)
        if shm_bytes is not None:
            shm = [("mode", "1777"), ("size", str(shm_bytes))]
            self._put_into(dev, "shm", make_filesystem("tmpfs", list(shm), _PLAIN, what), what)
        try:
            self._put_into(dev, "mqueue", make_filesystem("mqueue", [], _PLAIN, what), what)
        except Refused as refused:
            if refused.number not in (1, 19):  # EPERM, ENODEV: a kernel without message queues
                raise
        self._dev = dev

    def open_terminal(self, uid: int, gid: int) -> tuple[int, int]:
        """Both ends of a new pseudo-terminal of the new /dev, which is also its /dev/console; the slave is the user's."""
        what = "open a pseudo-terminal"
        try:
            master = os.open("pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=self._dev)
            fcntl.ioctl(master, _TIOCSPTLCK, b"\0\0\0\0")
            slave = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
            os.fchown(slave, uid, gid)
        except OSError as error:
            raise Refused(what, error.errno or 0) from None
        tree = open_tree(slave, what)
        self._put_into(self._dev, "console", tree, what)
        return master, slave

    @staticmethod
    def _devpts() -> int:
        options: list[tuple[str, str | None]] = [("newinstance", None), ("ptmxmode", "0666"), ("mode", "0620")]
        what = "mount devpts"
        try:
            return make_filesystem("devpts", [*options, ("gid", "5")], MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, what)
        except Refused as refused:
            if refused.number != 22:
                raise
            return make_filesystem("devpts", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, what)  # gid 5 not mapped

    def _put_node(self, dev: int, name: str, major: int, minor: int) -> None:
        """One device node: of our own where we may make one, else the host's, read-only so that its mode stays."""
        what = f"make the device {name}"
        try:
            os.mknod(name, stat.S_IFCHR | 0o666, os.makedev(major, minor), dir_fd=self.stage_fd)
            os.chmod(name, 0o666, dir_fd=self.stage_fd)
            source, attributes = os.open(name, _PATH, dir_fd=self.stage_fd), MOUNT_ATTR_NOSUID
        except PermissionError:
            source, attributes = os.open(name, _PATH, dir_fd=self._dev_fd), MOUNT_ATTR_NOSUID | MOUNT_ATTR_RDONLY
        tree = open_tree(source, what)
        os.close(source)
        mount_setattr(tree, attributes, what)
        self._put_into(dev, name, tree, what)

    def _put_device(self, dev: int, source: str, place: str) -> None:
        what = f'add the device "{source}"'
        fd = openat2(self._dev_fd, os.fsencode(source[len("/dev/") :]), _PATH, RESOLVE_BENEATH)
        tree = open_tree(fd, what)
        is_device = stat.S_ISCHR(os.fstat(fd).st_mode) or stat.S_ISBLK(os.fstat(fd).st_mode)
        os.close(fd)
        if not is_device:
            raise Refused(what, 22, "it is no device")
        mount_setattr(tree, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY, what)
        parent, _, name = place.rpartition("/")
        for depth in range(parent.count("/") + 1 if parent else 0):
            try:
                os.mkdir("/".join(parent.split("/")[: depth + 1]), 0o755, dir_fd=dev)
            except FileExistsError:
                pass
        base = os.open(parent or ".", _DIRECTORY, dir_fd=dev)
        self._put_into(base, name, tree, what)
        os.close(base)

    @staticmethod
    def _put_into(directory: int, name: str, tree: int, what: str) -> None:
        """Attaches a mount at a name in one of our own directories; a file is made for it when nothing is there."""
        try:
            point = os.open(name, _PATH | os.O_NOFOLLOW, dir_fd=directory)
        except FileNotFoundError:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666, dir_fd=directory))
            point = os.open(name, _PATH | os.O_NOFOLLOW, dir_fd=directory)
        move_mount(tree, point, what)
        os.close(point)
        os.close(tree)

    # -- masks --------------------------------------------------------------------------------------------------------

    def _mask(self, tree: int, base: str, paths: tuple[str, ...]) -> None:
        """Hides paths of a file system of ours: a file becomes /dev/null (the host's, by descriptor), a directory empty."""
        for path in paths:
            point = _beneath(tree, path[len(base) + 1 :])
            if point is None:
                continue
            what = f'mask "{path}"'
            if stat.S_ISDIR(os.fstat(point).st_mode):
                cover = make_filesystem("tmpfs", [("size", "4k"), ("mode", "0755")], _PLAIN | MOUNT_ATTR_RDONLY, what)
            else:
                cover = open_tree(self._null_fd, what)
                mount_setattr(cover, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, what)
            move_mount(cover, point, what)
            os.close(cover)
            os.close(point)

    @staticmethod
    def _make_readonly(tree: int, base: str, paths: tuple[str, ...]) -> None:
        for path in paths:
            point = _beneath(tree, path[len(base) + 1 :])
            if point is None:
                continue
            what = f'make "{path}" read-only'
            cover = open_tree(point, what)
            mount_setattr(cover, _PLAIN | MOUNT_ATTR_RDONLY, what)
            move_mount(cover, point, what)
            os.close(cover)
            os.close(point)


def _beneath(tree: int, path: str) -> int | None:
    try:
        return openat2(tree, os.fsencode(path), _PATH, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)
    except OSError:
        return None


def _is_cgroup2() -> bool:
    try:
        fd = os.open("/sys/fs/cgroup", _DIRECTORY)
    except OSError:
        return False
    try:
        return filesystem_magic(fd) == _CGROUP2_MAGIC
    finally:
        os.close(fd)


def _containers_proc(what: str) -> int:
    """That of the container in which we run, read-only, with all that the container's engine mounted over parts of it.

    In a user namespace the kernel makes no new one where the one that is there is covered in places, since the new one
    would show them. A step then sees the names of the container's processes; it can neither signal nor look into them.
    """
    host = open_host("/proc")
    try:
        tree = open_tree(host, what, is_recursive=True)
    finally:
        os.close(host)
    mount_setattr(tree, _PLAIN | MOUNT_ATTR_RDONLY, what, is_recursive=True)
    return tree
