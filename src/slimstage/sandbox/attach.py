"""Applies the mounts of a plan: the one place where a sandbox's file system is put together.

Runs in the process that supervises a step, in a mount namespace of its own, before the command exists. The order: open
everything of the host by descriptor; put a private tmpfs (the *stage*) on a directory of the host, seen only here; build
the root on it; attach the mounts to the root by descriptor. After `pivot_root` nothing of the host is reachable.
Device nodes work only where we put them: every mount of ours but those nodes is `nodev`.
"""

from __future__ import annotations

import os
import socket
import stat

from slimstage.sandbox.inroot import MountPoints, open_in
from slimstage.sandbox.overlay import empty_work, make_overlay, open_host
from slimstage.sandbox.syscalls import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MS_PRIVATE,
    MS_REC,
    Refused,
    make_filesystem,
    mount,
    mount_setattr,
    move_mount,
    open_tree,
)
from slimstage.sandbox.system import SystemMounts

_PATH = os.O_PATH | os.O_CLOEXEC
_DIRECTORY = _PATH | os.O_DIRECTORY
_STAGES = ("/tmp", "/mnt", "/run", "/var", "/usr")
_TIOCSPTLCK, _TIOCGPTPEER = 0x40045431, 0x5441
_PROC_MAGIC, _CGROUP2_MAGIC = 0x9FA0, 0x63677270
_NODES = (("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0))
_LINKS = (
    ("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"), ("core", "/proc/kcore"),
)  # fmt: skip
_SAFE = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV
_PLAIN = _SAFE | MOUNT_ATTR_NOEXEC


class Assembly:
    """The file system of one step while it is built, and what has to be undone afterwards.

    plan: as `native.py` sends it. Raises Refused from every method.
    """

    def __init__(self, plan: dict[str, object]) -> None:
        self._plan = plan
        self._uses_userxattr = bool(plan["userxattr"])
        self._has_all_devices = bool(plan["privileged"])
        self._sources: dict[int, list[int]] = {}
        self._tmpfs: list[int] = []
        self._count = 0
        self.listeners: list[int] = []
        self.upper_fd: int | None = None
        self.work_fd: int | None = None
        self.proc_fd = self.root_fd = -1
        self.points: MountPoints | None = None
        self.system: SystemMounts | None = None

    # -- first: everything of the host --------------------------------------------------------------------------------

    def prepare(self) -> None:
        """What takes a fork of its own, before the next one is the first process of the step's PID namespace."""
        actions = self._plan["mounts"]
        assert isinstance(actions, tuple)
        for action in actions:
            if action[0] == "tmpfs":
                from slimstage.sandbox.tmpfs import make_tmpfs  # few steps have one

                _, target, size_bytes, mode = action
                what = f'mount a tmpfs at "{target}"'
                self._tmpfs.append(make_tmpfs(size_bytes, mode, what, opens_devices=self._has_all_devices))

    def build(self) -> None:
        """The whole of it, in the caller's new mount namespace."""
        mount(None, b"/", None, MS_REC | MS_PRIVATE, None, "make the host's mounts private")
        root, actions = self._plan["root"], self._plan["mounts"]
        assert isinstance(root, tuple)
        assert isinstance(actions, tuple)
        root_sources = self._open_root(root)
        for index, action in enumerate(actions):
            self._sources[index] = self._open_sources(action)
        system = self.system = SystemMounts(self._put)
        self._make_stage()
        system.stage_fd = self._stage
        self._make_root(root, root_sources)
        points = self.points = MountPoints(self.root_fd, self.upper_fd if root[0] == "overlay" else None)
        for index, action in enumerate(actions):
            kind, target, *rest = action
            if kind == "proc" or (self._plan["runc"] and kind in ("sys", "dev")):
                self._reserve(kind, target)
            elif kind in ("sys", "dev"):
                getattr(system, f"attach_{kind}")(target, *rest)
            else:
                getattr(self, f"_attach_{kind}")(self._sources[index], target, *rest)
        if self._plan["make_cwd"]:
            os.close(points.find(str(self._plan["cwd"]), is_directory=True, keeps=True))
        points.restore_times()
        if self._plan["readonly"]:
            mount_setattr(self.root_fd, MOUNT_ATTR_RDONLY, "make the root read-only")

    def _open_root(self, root: tuple[object, ...]) -> list[int]:
        if root[0] == "plain":
            return [open_host(str(root[1]), _DIRECTORY)]
        lowers, upper, work = root[1:]
        assert isinstance(lowers, tuple)
        if upper is not None:
            self.upper_fd, self.work_fd = open_host(str(upper), _DIRECTORY), open_host(str(work), _DIRECTORY)
        return [open_host(lower, _DIRECTORY) for lower in lowers]

    @staticmethod
    def _open_sources(action: tuple[object, ...]) -> list[int]:
        if action[0] == "stack":
            lowers = action[2]
            assert isinstance(lowers, tuple)
            return [open_host(lower, _DIRECTORY) for lower in lowers]
        if action[0] != "bind":
            return []
        source, beneath = str(action[2]), action[3]
        if beneath is None:
            return [open_host(source)]
        base = open_host(str(beneath), _DIRECTORY)
        try:
            return [open_in(base, source)]
        except OSError as error:
            raise Refused(f'bind "{source}" of "{beneath}"', error.errno or 0) from None
        finally:
            os.close(base)

    def _make_stage(self) -> None:
        place = next((each for each in _STAGES if os.path.isdir(each)), "")
        self.stage_path = place
        if not place:
            raise Refused("find a directory to mount on", 2, "none of " + ", ".join(_STAGES))
        target = open_host(place, _DIRECTORY)
        stage = make_filesystem("tmpfs", [("mode", "0700")], MOUNT_ATTR_NOSUID, "mount a tmpfs")
        move_mount(stage, target, "mount a tmpfs")
        os.close(target)
        self._stage = stage

    def _directory(self, purpose: str, mode: int = 0o755) -> int:
        """A new empty directory on the stage."""
        self._count += 1
        name = f"{purpose}.{self._count}"
        os.mkdir(name, mode, dir_fd=self._stage)
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._stage)

    # -- the root -----------------------------------------------------------------------------------------------------

    def _make_root(self, root: tuple[object, ...], sources: list[int]) -> None:
        if root[0] == "plain":
            tree = open_tree(sources[0], "mount the root")
            if not self._has_all_devices:
                mount_setattr(tree, MOUNT_ATTR_NODEV, "mount the root")
            place = self._directory("root")
            move_mount(tree, place, "mount the root")
            os.close(place)
            self.root_fd = tree
        else:
            upper, work = self.upper_fd, self.work_fd
            if upper is None or work is None:
                upper, work = self._throw_away()
            attributes = 0 if self._has_all_devices else MOUNT_ATTR_NODEV
            self.root_fd = self._overlay(sources, upper, work, attributes, "mount the root as an overlay")

    def _throw_away(self) -> tuple[int, int]:
        """Upper and work directory of an overlay whose writes nobody wants."""
        base = self._directory("away")
        os.mkdir("upper", 0o755, dir_fd=base)
        os.mkdir("work", 0o755, dir_fd=base)
        pair = os.open("upper", _DIRECTORY, dir_fd=base), os.open("work", _DIRECTORY, dir_fd=base)
        os.close(base)
        return pair

    def _overlay(self, lowers: list[int], upper: int | None, work: int | None, attributes: int, what: str) -> int:
        """A descriptor of an overlay, attached on the stage. `lowers` base first."""
        stack = lowers[::-1]
        while len(stack) < (2 if upper is None else 1):
            stack.append(self._directory("empty"))
        pair = None if upper is None or work is None else (upper, work)
        place = self._directory("overlay")
        try:
            return make_overlay(
                stack, pair, place, attributes, what,
                uses_userxattr=bool(self._plan["userxattr"]), is_legacy=bool(self._plan["legacy_overlay"]),
            )  # fmt: skip
        finally:
            os.close(place)

    # -- mounts -------------------------------------------------------------------------------------------------------

    def _find(self, target: str, *, is_directory: bool, follows_last: bool) -> int:
        assert self.points is not None
        return self.points.find(target, is_directory=is_directory, follows_last=follows_last)

    def _put(self, tree: int, target: str, what: str, *, is_directory: bool, is_ours: bool = False) -> None:
        """Attaches a detached mount at a path in the new root, and closes it."""
        point = self._find(target, is_directory=is_directory, follows_last=not is_ours)
        try:
            if stat.S_ISDIR(os.fstat(point).st_mode) != is_directory:
                raise Refused(what, 20, "one is a directory, the other is not")
            move_mount(tree, point, what)
        finally:
            os.close(point)
            os.close(tree)

    def _reserve(self, kind: str, target: str) -> None:
        """Finds the place only: a process in the new PID namespace mounts proc there, or runc does."""
        point = self._find(target, is_directory=True, follows_last=False)
        if not stat.S_ISDIR(os.fstat(point).st_mode):
            raise Refused(f'mount {kind} at "{target}"', 20, "the image has no directory there")
        if kind == "proc":
            self.proc_fd = point
        else:
            os.close(point)

    def mount_proc(self) -> None:
        """By the first process of the new PID namespace, before it gives up anything."""
        assert self.system is not None
        actions = self._plan["mounts"]
        assert isinstance(actions, tuple)
        for action in actions:
            if action[0] == "proc":
                self.system.mount_proc(self.proc_fd, *action[1:])

    def _attach_bind(
        self, sources: list[int], target: str, source: str, _beneath: object, is_readonly: bool, is_discarded: bool
    ) -> None:
        what = f'bind "{source}" at "{target}"'
        is_directory = stat.S_ISDIR(os.fstat(sources[0]).st_mode)
        if is_discarded and not is_readonly:
            if is_directory:
                upper, work = self._throw_away_like(sources[0])
                overlay = self._overlay([sources[0]], upper, work, MOUNT_ATTR_NODEV, what)
                tree = open_tree(overlay, what)
            else:
                copy = self._copied(sources[0])
                tree = open_tree(copy, what)
                os.close(copy)
            mount_setattr(tree, MOUNT_ATTR_NODEV, what)
        else:
            tree = open_tree(sources[0], what, is_recursive=is_directory)
            attributes = MOUNT_ATTR_NODEV | (MOUNT_ATTR_RDONLY if is_readonly else 0)
            mount_setattr(tree, attributes, what, is_recursive=True)
        self._put(tree, target, what, is_directory=is_directory)

    def _throw_away_like(self, directory: int) -> tuple[int, int]:
        """As `_throw_away`, the upper with owner and mode of the directory, since the merged one shows them."""
        upper, work = self._throw_away()
        facts, path = os.fstat(directory), f"/proc/self/fd/{upper}"
        os.chown(path, facts.st_uid, facts.st_gid)
        os.chmod(path, stat.S_IMODE(facts.st_mode))
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
        return upper, work

    def _copied(self, source: int) -> int:
        """A descriptor of a private copy of a regular file."""
        facts = os.fstat(source)
        if not stat.S_ISREG(facts.st_mode):
            raise Refused("copy a file for a writable bind mount", 22, "it is neither a file nor a directory")
        with open(f"/proc/self/fd/{source}", "rb") as file:
            return self._file(file.read(), stat.S_IMODE(facts.st_mode), facts.st_uid, facts.st_gid)

    def _attach_stack(self, sources: list[int], target: str, _lowers: object, path: str, is_writable: bool) -> None:
        what = f'bind "{path}" of a stage at "{target}"'
        upper, work = self._throw_away() if is_writable else (None, None)
        overlay = self._overlay(sources, upper, work, MOUNT_ATTR_NODEV, what)
        try:
            shown = open_in(overlay, path)
        except OSError as error:
            raise Refused(what, error.errno or 0) from None
        tree = open_tree(shown, what)
        mount_setattr(tree, MOUNT_ATTR_NODEV | (0 if is_writable else MOUNT_ATTR_RDONLY), what)
        is_directory = stat.S_ISDIR(os.fstat(shown).st_mode)
        os.close(shown)
        self._put(tree, target, what, is_directory=is_directory)

    def _attach_tmpfs(self, _sources: list[int], target: str, _size_bytes: int | None, _mode: int) -> None:
        self._put(self._tmpfs.pop(0), target, f'mount a tmpfs at "{target}"', is_directory=True)

    def _file(self, content: bytes, mode: int, uid: int, gid: int) -> int:
        """A descriptor of a new file on the stage: in memory, for as long as the step runs."""
        self._count += 1
        name = f"file.{self._count}"
        fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=self._stage)
        with open(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fchown(file.fileno(), uid, gid)
            os.fchmod(file.fileno(), mode)
        return os.open(name, _PATH, dir_fd=self._stage)

    def _attach_file(
        self, _sources: list[int], target: str, content: bytes, mode: int, uid: int, gid: int, is_readonly: bool
    ) -> None:
        what = f'mount a file at "{target}"'
        fd = self._file(content, mode, uid, gid)
        tree = open_tree(fd, what)
        os.close(fd)
        mount_setattr(tree, _SAFE | (MOUNT_ATTR_RDONLY if is_readonly else 0), what)
        self._put(tree, target, what, is_directory=False)

    def _attach_socket(self, _sources: list[int], target: str, mode: int, uid: int, gid: int) -> None:
        """A listening socket of ours; the builder answers it, so the command never holds the host's own."""
        what = f'make a socket at "{target}"'
        self._count += 1
        path = f"/proc/self/fd/{self._stage}/socket.{self._count}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(path)
            os.chown(path, uid, gid)
            os.chmod(path, mode)
            listener.listen(64)
            self.listeners.append(listener.detach())
        fd = os.open(path, _PATH)
        tree = open_tree(fd, what)
        os.close(fd)
        mount_setattr(tree, _SAFE, what)
        self._put(tree, target, what, is_directory=False)

    # -- afterwards ---------------------------------------------------------------------------------------------------

    def thaw(self) -> None:
        """When the command has ended, still in its mount namespace: a root that was made read-only can be cleaned."""
        if self.points is not None and self._plan["readonly"]:
            mount_setattr(self.root_fd, 0, "clean the root", cleared=MOUNT_ATTR_RDONLY)

    def clean(self) -> None:
        """When the command has ended and its mount namespace was left: no stub stays, the work directory is empty."""
        if self.points is None:
            return  # nothing was made yet
        self.points.remove()
        for fd in (self.proc_fd, self.root_fd):
            if fd >= 0:
                os.close(fd)
        if self.upper_fd is not None and self.work_fd is not None:
            self.points.remove_copied_up()
            empty_work(self.work_fd)
