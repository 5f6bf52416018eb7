"""A directory on this machine as a context: opened once, by descriptor, and seen through its ignore file.

What the ignore file excludes is not there: a lookup finds nothing, a walk does not descend where nothing can come back.
Nothing is read before a COPY asks for it, nothing outside the directory is ever opened, whatever symlinks say.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Self

from slimstage.context.entry import entry_of
from slimstage.context.patterns import Pattern, PatternMatcher
from slimstage.context.walking import Walk
from slimstage.errors import ContextError
from slimstage.tree.entry import NO_XATTRS, Entry
from slimstage.tree.paths import DIRECTORY, MAX_SYMLINKS, link_path, open_real, sort_by_bytes
from slimstage.tree.xattrs import read_xattrs

_READ_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class LocalContext:
    """A directory as a source of files. Safe for threads. Closing it closes its descriptors.

    name: as shown to people ("the build context", `context "models"`). path: where it lies, as the user gave it.
    """

    def __init__(self, path: str | os.PathLike[str], *, name: str = "the build context") -> None:
        """Raises ContextError when `path` is no directory that can be read."""
        self.path, self.name = os.fspath(path), name
        self.opened_ns = time.time_ns()
        try:
            self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise cannot_open(self.path, name, error) from error
        self.ignored: PatternMatcher | None = None
        self._lock = threading.Lock()
        self._held: dict[int, tuple[str, int]] = {}
        self._walks_bare = False

    def ignore(self, ignored: PatternMatcher | None) -> Self:
        """This context, without what the patterns keep out."""
        self.ignored = ignored if ignored is not None and ignored.patterns else None
        return self

    def bare(self) -> LocalContext:
        """The same context, whose `walk` asks for no xattrs; `xattrs` does. It ends with this one, and is not closed."""
        view = object.__new__(LocalContext)
        view.__dict__.update(self.__dict__, _walks_bare=True, _held={})
        return view

    # Lookups --------------------------------------------------------------------------------------------------

    def resolve(self, path: str, *, follows_last: bool = True) -> str:
        """The path without symlinks, inside this directory; what does not exist stays, and an ignored symlink with it.

        Raises ContextError on a loop.
        """
        return self._follow(path, self.ignored, follows_last=follows_last)

    def _follow(self, path: str, ignored: PatternMatcher | None, *, follows_last: bool = True) -> str:
        todo = _names(path)
        done: list[str] = []
        links = 0
        while todo:
            name = todo.pop()
            if name == "..":
                del done[-1:]
                continue
            here = "/".join([*done, name])
            target = self._readlink(here) if todo or follows_last else None
            if target is None or (ignored is not None and ignored.match_below(here)[0]):
                done.append(name)
                continue
            links += 1
            if links > MAX_SYMLINKS:
                raise ContextError(f'"{path}" leads through too many symlinks in {self.name}', code="symlink-loop")
            if target.startswith("/"):
                done.clear()
            todo += _names(target)
        return "/".join(done)

    def lstat(self, path: str) -> Entry | None:
        """What the path is, symlinks before its last component followed inside; None when missing or ignored."""
        resolved = self.resolve(path, follows_last=False)
        entry = self._entry(resolved)
        if entry is None or not resolved or self.ignored is None:
            return entry
        # As the walk of a directory has it, which is not what a pattern says of the path alone: see PatternMatcher.
        if self.ignored.match_below(resolved)[0] and not (entry.kind == "dir" and self._comes_back(entry)):
            return None
        return entry

    def kept_out(self, path: str) -> Pattern | None:
        """The pattern that keeps an existing path, or a symlink on the way to it, out of this context; None: no such."""
        if self.ignored is None:
            return None
        resolved = self.resolve(path)
        if self._entry(resolved) is None:
            # Missing all the same, unless the way to it leads through an ignored symlink.
            while resolved and self._readlink(resolved) is None:
                resolved = resolved.rpartition("/")[0]
        return self.ignored.keeping_out(resolved) if resolved else None

    def names(self, path: str) -> list[str]:
        """Names in a directory at a resolved path, without what is ignored, sorted by bytes."""
        prefix = f"{path}/" if path else ""
        with self._directory(path) as opened, os.scandir(opened.fd) as found:
            names = [each.name for each in found]
        if self.ignored is not None:
            names = [name for name in names if self.lstat(prefix + name) is not None]
        return sort_by_bytes(names)

    def all_names(self, path: str) -> list[str]:
        """Names in a directory, symlinks followed inside, ignored ones too, in no order. Raises ContextError."""
        with self._directory(self._follow(path, None)) as opened:
            return os.listdir(opened.fd)

    def link_at(self, path: str) -> str | None:
        """The target of the symlink that `path` is, ignored or not; None when it is none."""
        return self._readlink(self._follow(path, None, follows_last=False))

    def walk(self, path: str) -> Iterator[Entry]:
        """All below a resolved directory that is not ignored, directories first, sorted by bytes; not itself."""
        walk = Walk(self.ignored, self.changed, is_bare=self._walks_bare)
        yield from walk.below(self._directory(path).fd, path)

    def open(self, path: str) -> int:
        """A descriptor of the regular file at a resolved path: opened once, no symlink followed. Raises ContextError."""
        parent, _, name = path.rpartition("/")
        try:
            fd = os.open(name, _READ_FILE, dir_fd=self._parent(parent))
        except OSError as error:
            self._forget()
            raise self.changed(path, error) from error
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise self.changed(path)
        return fd

    def xattrs(self, entry: Entry) -> Mapping[str, bytes]:
        """Those that are part of an image, of a walk's entry, as they are now. Raises ContextError when it is gone."""
        if entry.kind not in ("file", "dir"):
            return NO_XATTRS
        parent, _, name = entry.path.rpartition("/")
        try:
            return read_xattrs(link_path(self._parent(parent), name))[0]
        except OSError as error:
            self._forget()
            raise self.changed(entry.path, error) from error

    def read(self, path: str, limit_bytes: int = 1 << 20) -> bytes | None:
        """A small file, symlinks followed inside, ignored or not; None when there is none. Raises ContextError."""
        resolved = self._follow(path, None)
        try:
            fd = open_real(self._fd, resolved, _READ_FILE)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.EXDEV):
                return None
            raise cannot_open(path, self.name, error) from error
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)  # fdopen refuses a directory
            return None
        with os.fdopen(fd, "rb") as file:
            data = file.read(limit_bytes + 1)
        if len(data) > limit_bytes:
            raise ContextError(f'"{path}" is larger than {limit_bytes} bytes', code="file-too-large")
        return data

    def changed(self, path: str, error: OSError | None = None) -> ContextError:
        """The error for a file that is not any more what the walk saw."""
        if error is not None and error.errno in (errno.EACCES, errno.EPERM):
            return ContextError(f'"{path}" in {self.name} cannot be read: {error.strerror}', code="context-unreadable")
        return ContextError(
            f'"{path}" changes while it is read',
            code="context-changes",
            hint="stop what writes to it, or keep it out with .dockerignore",
        )

    # Descriptors ----------------------------------------------------------------------------------------------

    def _directory(self, path: str) -> _Opened:
        try:
            return _Opened(open_real(self._fd, path or ".", DIRECTORY))
        except OSError as error:
            raise self.changed(path or ".", error) from error

    def _parent(self, path: str) -> int:
        """A descriptor of a directory, kept per thread: files of one directory are opened one after another."""
        thread = threading.get_ident()
        held = self._held.get(thread)
        if held is not None and held[0] == path:
            return held[1]
        fd = open_real(self._fd, path or ".", DIRECTORY)
        with self._lock:
            previous = self._held.get(thread)
            self._held[thread] = (path, fd)
        if previous is not None:
            os.close(previous[1])
        return fd

    def _forget(self) -> None:
        with self._lock:
            held = self._held.pop(threading.get_ident(), None)
        if held is not None:
            os.close(held[1])

    def close(self) -> None:
        """Idempotent."""
        with self._lock:
            held, self._held = self._held, {}
        for _, fd in held.values():
            os.close(fd)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Entries --------------------------------------------------------------------------------------------------

    def _readlink(self, path: str) -> str | None:
        parent, _, name = path.rpartition("/")
        try:
            if not parent:
                return os.readlink(name, dir_fd=self._fd)
            with _Opened(open_real(self._fd, parent, DIRECTORY)) as opened:
                return os.readlink(name, dir_fd=opened.fd)
        except OSError:
            return None

    def _entry(self, path: str) -> Entry | None:
        parent, _, name = path.rpartition("/")
        try:
            with _Opened(open_real(self._fd, parent or ".", DIRECTORY)) as opened:
                status = os.stat(name or ".", dir_fd=opened.fd, follow_symlinks=False)
                return entry_of(opened.fd, name or ".", path, status)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
                return None
            raise cannot_open(path, self.name, error) from error

    def _comes_back(self, directory: Entry) -> bool:
        """Whether an ignored directory holds something that the ignore file takes back in."""
        may = self.ignored is not None and self.ignored.may_let_in_below(directory.path)
        return may and next(self.walk(directory.path), None) is not None


class _Opened:
    """Closes a descriptor on leaving."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


def cannot_open(path: str, name: str, error: OSError) -> ContextError:
    """The error for a context, or something in it, that cannot be opened."""
    if isinstance(error, FileNotFoundError):
        return ContextError(f'there is no directory "{path}" for {name}', code="context-missing")
    if isinstance(error, NotADirectoryError):
        return ContextError(
            f'"{path}" is a file, {name} has to be a directory',
            code="context-is-file",
            hint="name the directory that holds it, and the Dockerfile with -f",
        )
    return ContextError(f'"{path}" cannot be opened for {name}: {error.strerror}', code="context-unreadable")


def _names(path: str) -> list[str]:
    """The components, last first."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]
