"""Paths inside a new root, by descriptor: found, or made and later removed without a trace.

No path of an image is ever joined to a path of the host. What exists is opened by openat2(RESOLVE_IN_ROOT); what has to
be made is walked component by component, symlinks read as text and followed inside the root. Runs in the process that
prepares a step, before anything of the image does.
"""

from __future__ import annotations

import os
import stat

from slimstage.sandbox.syscalls import (
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    Refused,
    openat2,
)

_PATH = os.O_PATH | os.O_CLOEXEC
_MOST_SYMLINKS = 40
_OVERLAY_XATTRS = ("trusted.overlay.", "user.overlay.")
_Facts = tuple[int, int, int, int, tuple[tuple[str, bytes], ...]]


def open_in(root_fd: int, path: str) -> int:
    """An O_PATH descriptor of what `path` names below `root_fd`, which is its root. Raises OSError."""
    return openat2(root_fd, os.fsencode(path) or b".", _PATH, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)


class MountPoints:
    """Finds and makes mount points in a root; remembers what it made.

    upper_fd: the overlay's upper directory, when the root is an overlay that keeps its changes. A directory that only
    our work copied up is removed from it in the end, unless the command changed it.
    """

    def __init__(self, root_fd: int, upper_fd: int | None) -> None:
        self._root, self._upper = root_fd, upper_fd
        self._device = os.fstat(root_fd).st_dev
        self._made: list[tuple[int, str, bool]] = []
        self._times: dict[int, tuple[tuple[int, int], int, int]] = {}
        self._copied_up: dict[str, _Facts] = {}

    def find(self, path: str, *, is_directory: bool, keeps: bool = False, follows_last: bool = True) -> int:
        """An O_PATH descriptor of the mount point, made with its parents (mode 0755; a file is empty) when missing.

        keeps: what is made is not removed afterwards (a working directory).
        Raises Refused: a component is no directory, a loop of symlinks, or the last is a symlink and must not be.
        """
        if follows_last:
            try:
                return open_in(self._root, path)
            except FileNotFoundError:
                pass
            except OSError as error:
                raise Refused(f'use "{path}" as a mount point', error.errno or 0) from None
        return self._walk(path, is_directory, keeps, follows_last)

    def _walk(self, path: str, is_directory: bool, keeps: bool, follows_last: bool) -> int:
        what = f'use "{path}" as a mount point'
        parts = [p for p in path.split("/") if p not in ("", ".")][::-1]
        trail: list[tuple[str, int]] = []  # name and descriptor of each directory from the root down
        links = 0
        opened: list[int] = []
        try:
            while parts:
                name = parts.pop()
                if name == "..":
                    if trail:
                        trail.pop()
                    continue
                parent = trail[-1][1] if trail else self._root
                try:
                    fd = os.open(name, _PATH | os.O_NOFOLLOW, dir_fd=parent)
                except FileNotFoundError:
                    is_last = not parts
                    names = [each for each, _ in trail]
                    self._make(parent, names, name, is_directory or not is_last, keeps)
                    fd = os.open(name, _PATH | os.O_NOFOLLOW, dir_fd=parent)
                opened.append(fd)
                if stat.S_ISLNK(os.fstat(fd).st_mode):
                    links += 1
                    if links > _MOST_SYMLINKS or (not parts and not follows_last):
                        raise Refused(what, 40, "it is a symbolic link" if links <= _MOST_SYMLINKS else "")
                    target = os.fsdecode(os.readlink(b"", dir_fd=fd))
                    if target.startswith("/"):
                        trail.clear()
                    parts += [p for p in target.split("/") if p not in ("", ".")][::-1]
                    continue
                trail.append((name, fd))
            found = trail[-1][1] if trail else self._root
            return os.dup(found)
        except OSError as error:
            raise Refused(what, error.errno or 0) from None
        finally:
            for fd in opened:
                os.close(fd)

    def _make(self, parent: int, names: list[str], name: str, is_directory: bool, keeps: bool) -> None:
        kept_parent = os.dup(parent)
        if not keeps:
            self._remember(kept_parent, names)
        if is_directory:
            os.mkdir(name, 0o755, dir_fd=parent)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=parent))
        if keeps:
            os.close(kept_parent)
        else:
            self._made.append((kept_parent, name, is_directory))

    def _remember(self, parent: int, names: list[str]) -> None:
        """Notes the times of a directory that gets a stub, and which directories that will copy up."""
        facts = os.fstat(parent)
        key = (facts.st_dev, facts.st_ino)
        if key not in {each[0] for each in self._times.values()}:
            self._times[parent] = (key, facts.st_atime_ns, facts.st_mtime_ns)
        if self._upper is None or facts.st_dev != self._device:
            return
        fd = os.dup(self._root)
        try:
            for depth, name in enumerate(names):
                deeper = os.open(name, _PATH | os.O_NOFOLLOW, dir_fd=fd)
                os.close(fd)
                fd = deeper
                path = "/".join(names[: depth + 1])
                if path not in self._copied_up and not self._is_in_upper(path):
                    self._copied_up[path] = _facts(fd)
        finally:
            os.close(fd)

    def _is_in_upper(self, path: str) -> bool:
        assert self._upper is not None
        try:
            os.close(openat2(self._upper, os.fsencode(path), _PATH, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS))
        except OSError:
            return False
        return True

    def restore_times(self) -> None:
        """Before the command starts: directories that got a stub look as they did."""
        for fd, (_, atime, mtime) in self._times.items():
            os.utime(f"/proc/self/fd/{fd}", ns=(atime, mtime))

    def remove(self) -> None:
        """After the command has ended and its mount namespace was left: removes what was made, deepest first."""
        now = {fd: os.fstat(fd) for fd in self._times}
        for parent, name, is_directory in reversed(self._made):
            try:
                if is_directory:
                    os.rmdir(name, dir_fd=parent)
                elif os.stat(name, dir_fd=parent, follow_symlinks=False).st_size == 0:
                    os.unlink(name, dir_fd=parent)
            except OSError:
                pass  # the command put something there, or replaced it: then it is the command's
        for fd, facts in now.items():
            try:
                os.utime(f"/proc/self/fd/{fd}", ns=(facts.st_atime_ns, facts.st_mtime_ns))
            except OSError:
                pass  # one of ours, removed just now
        for fd in {fd for fd, _, _ in self._made}:
            os.close(fd)
        self._made, self._times = [], {}

    def remove_copied_up(self) -> None:
        """After the overlay is gone: directories that only our stubs copied up leave the upper directory."""
        if self._upper is None:
            return
        for path in sorted(self._copied_up, key=lambda each: -each.count("/")):
            above, _, name = path.rpartition("/")
            try:
                parent = openat2(
                    self._upper, os.fsencode(above or "."), os.O_RDONLY | os.O_DIRECTORY,
                    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
                )  # fmt: skip
            except OSError:
                continue
            try:
                self._remove_if_same(parent, name, self._copied_up[path])
            finally:
                os.close(parent)
        self._copied_up = {}

    @staticmethod
    def _remove_if_same(parent: int, name: str, before: _Facts) -> None:
        try:
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        except OSError:
            return
        try:
            if _facts(fd) != before or any(x.endswith("overlay.opaque") for x in os.listxattr(fd)):
                return
        finally:
            os.close(fd)
        facts = os.fstat(parent)
        try:
            os.rmdir(name, dir_fd=parent)
        except OSError:
            return  # not empty: the command changed something below
        os.utime(parent, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def _facts(fd: int) -> _Facts:
    """What a directory is, without overlayfs' own marks."""
    facts, path = os.fstat(fd), f"/proc/self/fd/{fd}"
    try:
        names = sorted(name for name in os.listxattr(path) if not name.startswith(_OVERLAY_XATTRS))
        xattrs = tuple((name, os.getxattr(path, name)) for name in names)
    except OSError:
        xattrs = ()
    return (facts.st_mode, facts.st_uid, facts.st_gid, facts.st_mtime_ns, xattrs)
