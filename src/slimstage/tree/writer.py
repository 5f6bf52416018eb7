"""Writes a file tree in overlay form, entry by entry: what unpacking a layer, COPY and ADD all do in the end.

Each entry's path is its place below one directory. Parents are reached by descriptors and never through a symlink; a
parent that is missing is made. Where something is already, it is replaced, except that a directory over a directory
only takes the new metadata.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from typing import Self, TypeAlias

from slimstage.tree.copying import copy_data, write_all
from slimstage.tree.entry import Entry
from slimstage.tree.marks import is_whiteout, make_whiteout, set_opaque
from slimstage.tree.morenames import MoreNames
from slimstage.tree.paths import DIRECTORY, link_path, remove_tree
from slimstage.tree.xattrs import DEFAULT_ACL

Data: TypeAlias = int | Iterable[bytes | memoryview]
"""A file's content: a descriptor at its start, or the pieces in order."""

Inherit: TypeAlias = Callable[[str], Entry | None]
"""What a missing parent directory shall be: the lower layers' entry of that path, or None for 0755 root."""

_OPEN_DIRECTORIES = 64
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = {"char": stat.S_IFCHR, "block": stat.S_IFBLK, "fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK}


class TreeWriter:
    """Writes below `root` (a path, or a descriptor that is duplicated). Not for several threads at once.

    inherit: asked once for each parent directory that has to be made.
    keeps_owner: False leaves all to this process's user; by default as root only.
    Call `finish` at the end: only then directories have their times. Every method raises OSError where the
    filesystem refuses; NotADirectoryError when a parent is something else than a directory.
    """

    def __init__(self, root: str | int, *, inherit: Inherit | None = None, keeps_owner: bool | None = None) -> None:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        self._root = os.dup(root) if isinstance(root, int) else os.open(root, flags)
        self._inherit = inherit
        is_root = os.geteuid() == 0
        self._keeps_owner = is_root if keeps_owner is None else keeps_owner
        self._defers_modes = not is_root
        self._open: dict[str, int] = {}
        self._times: dict[str, int] = {}
        self._modes: dict[str, int] = {}
        self._defaults: dict[str, bytes] = {}
        """Default ACLs, set last: what is made in such a directory would take them over."""
        self._more = MoreNames(self)
        self.dropped_xattrs: set[str] = set()
        """Names of xattrs that the filesystem, or a lack of rights, refused."""

    def add(self, entry: Entry, data: Data | None = None) -> int:
        """Writes the entry, whatever its kind; `data` for a file. Returns the bytes of file content written."""
        kind = entry.kind
        if kind == "file":
            return self.file(entry, () if data is None else data)
        if kind == "dir":
            self.directory(entry)
        elif kind == "symlink":
            self.symlink(entry)
        else:
            self.special(entry)
        return 0

    def directory(self, entry: Entry) -> None:
        """Makes the directory, or gives the one that is there this metadata. "" is the root itself.

        Over a whiteout the new directory is opaque: what the lower layers have below that name stays hidden.
        """
        path = entry.path
        fd = self._open.get(path) if path else self._root
        if fd is None:
            parent, name = self.place(path)
            try:
                os.mkdir(name, 0o700, dir_fd=parent)
            except FileExistsError:
                self._make_way(parent, name)
            fd = self._keep(path, os.open(name, DIRECTORY, dir_fd=parent))
        self._set_directory(fd, entry, path)

    def set_time(self, path: str, mtime_ns: int) -> None:
        """Gives a directory that time when all is written; it is made as a parent is when it is missing."""
        self.open_directory(path)
        self._times[path] = mtime_ns

    def file(self, entry: Entry, data: Data) -> int:
        """Makes a new regular file with this content; returns its size in bytes (`entry.size` is not used)."""
        parent, name = self.place(entry.path)
        try:
            fd = os.open(name, _CREATE, 0o600, dir_fd=parent)
        except FileExistsError:
            remove_tree(parent, name)
            self._forget(entry.path)
            fd = os.open(name, _CREATE, 0o600, dir_fd=parent)
        try:
            if isinstance(data, int):
                size = copy_data(data, fd)
            else:
                size = 0
                for piece in data:
                    size += write_all(fd, piece)
            self.finish_file(fd, entry)
        finally:
            os.close(fd)
        return size

    def create(self, path: str) -> int:
        """A descriptor of a new empty file to write into; the caller calls `finish_file` and closes it."""
        parent, name = self.place(path)
        try:
            return os.open(name, _CREATE, 0o600, dir_fd=parent)
        except FileExistsError:
            remove_tree(parent, name)
            self._forget(path)
            return os.open(name, _CREATE, 0o600, dir_fd=parent)

    def finish_file(self, fd: int, entry: Entry) -> None:
        """Gives an open file the entry's owner, mode, xattrs and time."""
        if self._keeps_owner:
            os.fchown(fd, entry.uid, entry.gid)
        if entry.xattrs:
            self._set_xattrs(fd, entry.xattrs)
        # After the owner, a change of which clears setuid, and after an ACL, which has a mode too.
        os.fchmod(fd, entry.mode)
        os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))

    def symlink(self, entry: Entry) -> None:
        """Makes the symlink; its target is only text here."""
        parent, name = self.place(entry.path)
        self._vacate(parent, name, entry.path)
        os.symlink(entry.target, name, dir_fd=parent)
        self._set_owner(parent, name, entry)
        os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=parent, follow_symlinks=False)

    def special(self, entry: Entry) -> None:
        """Makes a device, FIFO or socket node."""
        parent, name = self.place(entry.path)
        self._vacate(parent, name, entry.path)
        os.mknod(name, _KINDS[entry.kind] | 0o600, os.makedev(*entry.rdev), dir_fd=parent)
        self.dress(entry)

    def link(self, path: str, target: str) -> None:
        """Makes `path` one more name of what `target` is in this tree (a symlink itself, not what it points at).

        Where a file cannot have more names (65,000 on ext4), a copy takes those that come. Raises FileNotFoundError when
        the target is not in this tree, IsADirectoryError when it is a directory.
        """
        from_fd, from_name = self._existing(target)
        status = os.stat(from_name, dir_fd=from_fd, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, "a directory cannot have a second name", target)
        if is_whiteout(status):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), target)
        if path == target:
            return
        parent, name = self.place(path)
        self._vacate(parent, name, path)
        source = self._more.of(target, status)
        from_fd, from_name = self._existing(source)  # the descriptor may have been closed to make room
        try:
            os.link(from_name, name, src_dir_fd=from_fd, dst_dir_fd=self.place(path)[0], follow_symlinks=False)
        except OSError as error:
            if error.errno != errno.EMLINK:
                raise
            self._more.copy(self._existing(source), path, status)

    def dress(self, entry: Entry) -> None:
        """Gives what is there, no directory, the entry's owner and xattrs, and unless it is a symlink mode and time."""
        parent, name = self._existing(entry.path)
        is_symlink = stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
        self._set_owner(parent, name, entry)
        if not is_symlink:
            os.chmod(name, entry.mode, dir_fd=parent)
            os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=parent, follow_symlinks=False)

    def _set_owner(self, parent: int, name: str, entry: Entry) -> None:
        if self._keeps_owner:
            os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        if entry.xattrs:
            self._set_xattrs(link_path(parent, name), entry.xattrs)

    def adopt(self, path: str, dirfd: int, name: str) -> bool:
        """Makes `path` a further name of a frozen file elsewhere: no byte is copied. False where links cannot be made.

        For files that never change again. Copy them when this says False (other filesystem, link count, rights).
        """
        parent, own = self.place(path)
        try:
            os.link(name, own, src_dir_fd=dirfd, dst_dir_fd=parent, follow_symlinks=False)
        except FileExistsError:
            remove_tree(parent, own)
            self._forget(path)
            return self.adopt(path, dirfd, name)
        except OSError as error:
            if error.errno in (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EACCES, errno.EOPNOTSUPP):
                return False
            raise
        return True

    def whiteout(self, path: str) -> None:
        """Hides `path` of the lower layers. What this tree itself has there stays: a directory becomes opaque."""
        parent, name = self.place(path)
        try:
            make_whiteout(parent, name)
        except FileExistsError:
            if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                self.opaque(path)

    def opaque(self, path: str) -> None:
        """Hides all that the lower layers have below the directory `path`, which is made when it is not there."""
        set_opaque(self.open_directory(path))

    def lstat(self, path: str) -> os.stat_result | None:
        """What this tree itself has at `path`; None when nothing, or when a parent is missing or no directory."""
        if not path:
            return os.fstat(self._root)
        try:
            fd, name = self._existing(path)
            return os.stat(name, dir_fd=fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                return None
            raise

    def readlink(self, path: str) -> str:
        """The target of the symlink `path` of this tree."""
        fd, name = self._existing(path)
        return os.readlink(name, dir_fd=fd)

    def remove(self, path: str) -> None:
        """Removes it from this tree, with all below. Idempotent."""
        if self.lstat(path) is not None:
            fd, name = self._existing(path)
            remove_tree(fd, name)
            self._forget(path)

    def place(self, path: str) -> tuple[int, str]:
        """(descriptor of the parent, last component); parents that are missing are made. Valid until the next call."""
        if not path:
            raise IsADirectoryError(errno.EISDIR, "the root of a tree is a directory", path)
        above, _, name = path.rpartition("/")
        fd = self._open.get(above) if above else self._root
        return (self.open_directory(above) if fd is None else fd), name

    def open_directory(self, path: str) -> int:
        """A descriptor of the directory, made with its parents when it is missing. Valid until the next call."""
        return self._descend(path, makes=True)

    def finish(self) -> None:
        """Gives directories their times (and modes that would have been in the way), deepest first. Then closes."""
        try:
            for path in sorted(self._modes.keys() | self._times.keys(), key=len, reverse=True):
                fd = self._descend(path, makes=False)
                if (acl := self._defaults.get(path)) is not None:
                    self._set_xattrs(fd, {DEFAULT_ACL: acl})
                if (mode := self._modes.get(path)) is not None:
                    os.fchmod(fd, mode)
                if (mtime_ns := self._times.get(path)) is not None:
                    os.utime(fd, ns=(mtime_ns, mtime_ns))
        finally:
            self.close()

    def close(self) -> None:
        """Closes the descriptors. Idempotent."""
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _descend(self, path: str, *, makes: bool) -> int:
        if not path:
            return self._root
        if (known := self._open.get(path)) is not None:
            return known
        names = path.split("/")
        start = len(names) - 1
        while start and "/".join(names[:start]) not in self._open:
            start -= 1
        fd = self._open["/".join(names[:start])] if start else self._root
        for end in range(start, len(names)):
            here = "/".join(names[: end + 1])
            try:
                child = os.open(names[end], DIRECTORY, dir_fd=fd)
            except OSError as error:
                if error.errno == errno.ELOOP:
                    raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), here) from error
                whited = error.errno == errno.ENOTDIR and is_whiteout(
                    os.stat(names[end], dir_fd=fd, follow_symlinks=False)
                )
                if not (makes and (whited or error.errno == errno.ENOENT)):
                    error.filename = here
                    raise
                fd = self._make_parent(fd, names[end], here, whited)
            else:
                fd = self._keep(here, child)
        return fd

    def _make_parent(self, parent: int, name: str, path: str, is_whited: bool) -> int:
        if is_whited:
            os.unlink(name, dir_fd=parent)
        os.mkdir(name, 0o700, dir_fd=parent)
        fd = self._keep(path, os.open(name, DIRECTORY, dir_fd=parent))
        entry = self._inherit(path) if self._inherit and not is_whited else None
        if entry is not None:
            self._set_directory(fd, entry, path)
        else:
            if self._keeps_owner:
                os.fchown(fd, 0, 0)
            os.fchmod(fd, 0o755)
        if is_whited:
            set_opaque(fd)
        return fd

    def _set_directory(self, fd: int, entry: Entry, path: str) -> None:
        if self._keeps_owner:
            os.fchown(fd, entry.uid, entry.gid)
        self._defaults.pop(path, None)
        if entry.xattrs:
            self._set_xattrs(fd, {name: value for name, value in entry.xattrs.items() if name != DEFAULT_ACL})
            if DEFAULT_ACL in entry.xattrs:
                self._defaults[path] = entry.xattrs[DEFAULT_ACL]
        if self._defers_modes and entry.mode & 0o700 != 0o700:
            self._modes[path] = entry.mode
        else:
            self._modes.pop(path, None)
            os.fchmod(fd, entry.mode)
        self._times[path] = entry.mtime_ns

    def _make_way(self, parent: int, name: str) -> None:
        """Something is where a directory shall be: unless it is one, a directory takes its place."""
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            return
        os.unlink(name, dir_fd=parent)
        os.mkdir(name, 0o700, dir_fd=parent)
        if is_whiteout(status):
            fd = os.open(name, DIRECTORY, dir_fd=parent)
            try:
                set_opaque(fd)
            finally:
                os.close(fd)

    def _vacate(self, parent: int, name: str, path: str) -> None:
        remove_tree(parent, name)
        self._forget(path)

    def _existing(self, path: str) -> tuple[int, str]:
        above, _, name = path.rpartition("/")
        return self._descend(above, makes=False), name

    def _keep(self, path: str, fd: int) -> int:
        while len(self._open) >= _OPEN_DIRECTORIES:
            os.close(self._open.pop(next(iter(self._open))))
        self._open[path] = fd
        return fd

    def _forget(self, path: str) -> None:
        """What was a directory at `path` is gone, with everything below it."""
        below = path + "/"
        known: dict[str, int] | dict[str, bytes]
        for known in (self._times, self._modes, self._defaults):
            for key in [key for key in known if key == path or key.startswith(below)]:
                del known[key]
        for key in [key for key in self._open if key == path or key.startswith(below)]:
            os.close(self._open.pop(key))

    def _set_xattrs(self, where: int | str, xattrs: Mapping[str, bytes]) -> None:
        for name, value in xattrs.items():
            try:
                if isinstance(where, int):
                    os.setxattr(where, name, value)
                else:
                    os.setxattr(where, name, value, follow_symlinks=False)
            except OSError as error:
                if error.errno not in (errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.EINVAL):
                    raise
                self.dropped_xattrs.add(name)
