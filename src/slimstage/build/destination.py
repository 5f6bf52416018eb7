"""The layer directory that a COPY, ADD or WORKDIR writes, seen over the stack it will stand on.

Lookups answer what the finished step's tree will have: what was written so far, over the parent. Symlinks are followed
inside that tree in user space, dangling ones too; nothing is mounted. Directories of the parent that something is
written into are copied up with their metadata, as overlayfs wants them.
Source: dockerfile.md §4 (36 to 38, 44, 50).
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, Self, TypeAlias

from slimstage.build.owners import Owner
from slimstage.errors import DISK_FULL, DISK_FULL_ERRNOS, DISK_FULL_HINT, ContextError, StoreError
from slimstage.tree.copyup import copy_up
from slimstage.tree.entry import KINDS, Entry, Kind
from slimstage.tree.paths import MAX_SYMLINKS
from slimstage.tree.union import UnionTree
from slimstage.tree.writer import TreeWriter
from slimstage.values import replace

MadeBy: TypeAlias = Literal["copy", "archive", "member"]

_MOST_KNOWN = 16_384
"""Names whose kind is remembered; of more, the draft itself is asked."""
_MOST_LISTED = 64
_FEW = 16
"""Questions about a directory of the parent's tree that are asked one by one; after these it is listed."""


class Destination:
    """One draft being filled. Not for several threads. Leaving the `with` without `finish` leaves the draft half done.

    below: the parent's tree, None for an empty one. owner, mode: of directories that have to be made on the way; owner None
    is root. now_ns: their time. Where the directory above is setgid, a new one is too, and has its group when it has no owner.
    """

    def __init__(
        self, draft: str, below: UnionTree | None, *, owner: Owner | None = None, mode: int = 0o755, now_ns: int
    ) -> None:
        self._below = below
        self.now_ns = now_ns
        self._owner = owner
        self._made = Entry("", "dir", mode, *(owner or (0, 0)), mtime_ns=now_ns)
        self._kinds: dict[str, dict[str, Kind]] = {}
        """By directory, what was written into it."""
        self._known = 0
        self._unknown: set[str] = set()
        """Directories of which too much was written to remember it."""
        self._hiding: set[str] = set()
        self._lower_names: dict[str, frozenset[str]] = {}
        self._asked: dict[str, int] = {}
        self.writer = TreeWriter(draft, inherit=self._inherit)
        root = below.lstat("") if below is not None else None
        self.writer.directory(root or Entry("", "dir", 0o755, 0, 0, mtime_ns=now_ns))

    def kind(self, path: str) -> Kind | None:
        """What is at a resolved path, None when nothing."""
        if not path:
            return "dir"
        found = self._own(path)
        if found is not None:
            return found
        lower = self.lower(path)
        return lower.kind if lower is not None else None

    def _own(self, path: str) -> Kind | None:
        """What this layer has there so far."""
        above, _, name = path.rpartition("/")
        names = self._kinds.get(above)
        if names is not None:
            return names.get(name)
        if above not in self._unknown:
            return None
        status = self.writer.lstat(path)
        return None if status is None else KINDS[stat.S_IFMT(status.st_mode)]

    def _wrote(self, path: str, kind: Kind) -> None:
        above, _, name = path.rpartition("/")
        if above in self._unknown:
            return
        self._kinds.setdefault(above, {})[name] = kind
        self._known += 1
        if self._known > _MOST_KNOWN:
            self._unknown.update(self._kinds)
            self._kinds.clear()
            self._known = 0

    def lower(self, path: str) -> Entry | None:
        """What the parent's tree has at a resolved path, unless this layer hides it."""
        if self._below is None or path in self._hiding:
            return None
        above, _, name = path.rpartition("/")
        names = self._lower_names.get(above)
        if names is None:
            asked = self._asked[above] = self._asked.get(above, 0) + 1
            if asked <= _FEW:
                return self._below.lstat(path) if self._shows(above) else None
            if len(self._lower_names) >= _MOST_LISTED:
                del self._lower_names[next(iter(self._lower_names))]
            names = self._lower_names[above] = self._names(above)
        return self._below.lstat(path) if name in names else None

    def _names(self, directory: str) -> frozenset[str]:
        assert self._below is not None
        return frozenset(self._below.names(directory)) if self._shows(directory) else frozenset()

    def _shows(self, directory: str) -> bool:
        """True for a directory of the parent's tree that this layer does not hide."""
        at = directory
        while at:
            if at in self._hiding or (self._own(at) or "dir") != "dir":
                return False
            at = at.rpartition("/")[0]
        assert self._below is not None
        found = self._below.lstat(directory)
        return found is not None and found.kind == "dir"

    def resolve(self, path: str, *, follows_last: bool = True) -> str:
        """The path without symlinks; what does not exist stays. Raises ContextError on a loop."""
        todo = path.split("/")
        todo.reverse()
        done: list[str] = []
        links = 0
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if name == "..":
                del done[-1:]
                continue
            done.append(name)
            here = "/".join(done)
            if not (todo or follows_last) or self.kind(here) != "symlink":
                continue
            links += 1
            if links > MAX_SYMLINKS:
                raise ContextError(f'"{path}" leads through too many symlinks in the destination', code="symlink-loop")
            done.pop()
            target = self.target(here)
            if target.startswith("/"):
                done.clear()
            todo += reversed(target.split("/"))
        return "/".join(done)

    def target(self, path: str) -> str:
        """Of the symlink at a resolved path."""
        if self._own(path) == "symlink":
            return self.writer.readlink(path)
        lower = self.lower(path)
        return lower.target if lower is not None else ""

    def make_directories(self, path: str, *, made_by: MadeBy = "copy") -> None:
        """Makes a resolved directory and what is missing above it. Raises ContextError when a file is in the way.

        made_by: "archive", a directory that an archive is unpacked to, knows no --chmod; a "member" of one that has no
        entry no --chown either, and is never setgid.
        """
        for here in above_and_itself(path):
            kind = self.kind(here)
            if kind is None:
                self.directory(self._new(here, made_by))
            elif kind != "dir":
                raise ContextError(f'"/{here}" is not a directory, nothing can be copied into it', code="copy-not-dir")

    def _new(self, path: str, made_by: MadeBy) -> Entry:
        """A directory that is made on the way, as mkdir makes it below the one above."""
        above = path.rpartition("/")[0]
        made = self.writer.lstat(above)
        lower = self.lower(above) if made is None else None
        mode, gid = (made.st_mode, made.st_gid) if made is not None else (lower.mode, lower.gid) if lower else (0, 0)
        is_setgid = bool(mode & stat.S_ISGID)
        inherited = gid if is_setgid else 0
        if made_by == "member":
            return replace(self._made, path=path, mode=0o755, uid=0, gid=inherited)
        own = self._made.mode if made_by == "copy" else 0o755
        uid, gid = self._owner or (0, inherited)
        return replace(self._made, path=path, mode=own | (stat.S_ISGID if is_setgid else 0), uid=uid, gid=gid)

    def took_contents_of(self, path: str, source: Entry) -> None:
        """Gives a directory, to which another's contents were copied, that one's time; all else is its own."""
        if path and source.path:  # a root has no time that an input determines
            self.writer.set_time(path, source.mtime_ns)

    def directory(self, entry: Entry) -> None:
        """Makes the directory, or gives the one that is there this metadata; the way to it must be there.

        Raises ContextError over anything but a directory.
        """
        path = entry.path
        kind = self.kind(path)
        if kind is not None and kind != "dir":
            raise ContextError(
                f'"/{path}" is a {kind}, a directory cannot replace it',
                code="copy-dir-over-file",
                hint="remove it in a RUN before, or use COPY --link",
            )
        self.writer.directory(entry)
        self._wrote(path, "dir")

    def claim(self, path: str, kind: Kind) -> None:
        """Says that something other than a directory is about to be written there. Raises ContextError over one."""
        if self.kind(path) == "dir":
            raise ContextError(
                f'"/{path}" is a directory, a {kind} cannot replace it',
                code="copy-file-over-dir",
                hint="end the destination with / to copy into it",
            )
        self._wrote(path, kind)

    def clear(self, path: str) -> None:
        """Removes what is there, whatever it is, so that something of another kind can take its place (archives)."""
        kind = self.kind(path)
        if kind is None:
            return
        self.writer.remove(path)
        below = path + "/"
        above, _, name = path.rpartition("/")
        self._kinds.get(above, {}).pop(name, None)
        for known in [each for each in self._kinds if each == path or each.startswith(below)]:
            del self._kinds[known]
        for known in [each for each in self._lower_names if each == path or each.startswith(below)]:
            del self._lower_names[known]
        self._hiding.add(path)

    def replacing_directory(self, entry: Entry) -> None:
        """Makes a directory where `clear` made room: nothing of the parent's shows through."""
        self.writer.directory(entry)
        if entry.path in self._hiding:
            self.writer.opaque(entry.path)
        self._wrote(entry.path, "dir")

    def copy_up(self, path: str) -> None:
        """Brings what the parent's tree has at a resolved path into this layer, to be changed; not a directory."""
        entry = self.lower(path)
        assert entry is not None
        assert self._below is not None
        copy_up(self._below, entry, self.writer, shares=False)

    def finish(self) -> None:
        """Sets the times of directories and closes."""
        self.writer.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.close()

    def _inherit(self, path: str) -> Entry:
        self._wrote(path, "dir")
        lower = self.lower(path)
        return lower if lower is not None and lower.kind == "dir" else replace(self._made, path=path)


@contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Turns an OSError of writing `what` into a StoreError that says what can be done."""
    try:
        yield
    except OSError as error:
        hint = "run as root, or leave --chown and devices out" if error.errno == errno.EPERM else None
        place = f" ({error.filename})" if isinstance(error.filename, str) else ""
        raise StoreError(
            f'"{what}" cannot be written: {error.strerror}{place}',
            code=DISK_FULL if error.errno in DISK_FULL_ERRNOS else "cannot-write",
            hint=DISK_FULL_HINT if error.errno in DISK_FULL_ERRNOS else hint,
        ) from error


def above_and_itself(path: str) -> Iterator[str]:
    """The directories on the way to a path and the path itself, outermost first; nothing for the root."""
    at = path.find("/")
    while at > 0:
        yield path[:at]
        at = path.find("/", at + 1)
    if path:
        yield path
