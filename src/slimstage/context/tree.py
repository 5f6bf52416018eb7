"""What a COPY reads from, behind one small seam: the build context, or the file tree of a stage or an image.

Paths are relative to the tree's root as in `tree/entry.py`. `tree.union.UnionTree` and `context.local.LocalContext` both
are such trees; a path never leads outside the root, whatever symlinks say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from slimstage.digest import Digest
from slimstage.tree.entry import Entry


class SourceTree(Protocol):
    """A read-only tree of files. Everything that takes a *resolved* path opens it without following a symlink."""

    def lstat(self, path: str) -> Entry | None:
        """What the path is; symlinks before the last component are followed inside. None when nothing is there."""
        ...

    def resolve(self, path: str, *, follows_last: bool = True) -> str:
        """The path without symlinks; components that do not exist stay. Raises ContextError on a loop."""
        ...

    def names(self, path: str) -> list[str]:
        """Names in a directory at a resolved path, sorted by bytes."""
        ...

    def open(self, path: str) -> int:
        """A descriptor of the regular file at a resolved path; the caller closes it."""
        ...

    def walk(self, path: str) -> Iterator[Entry]:
        """All below a resolved directory, a directory before what it holds, names sorted by bytes; not itself."""
        ...


class FileIdentity(NamedTuple):
    """What tells that a file is the one that was digested before: as git's index does, by device, inode, size and times.

    `change_ns` is the ctime for files that a user may edit. For files of an immutable layer it is the negated birth
    time: a hard link changes the ctime of the inode, but never its content. A tuple: it is a key many thousand times.
    """

    device: int
    inode: int
    size: int
    mtime_ns: int
    change_ns: int


class DigestMemory(Protocol):
    """Digests of files that were read before. Losing any of it costs time only. Safe for threads."""

    def foresee(self, files: Sequence[FileIdentity]) -> None:
        """Says that this thread is about to ask for these, so that they can be looked up together."""
        ...

    def recall(self, file: FileIdentity) -> Digest | None: ...

    def remember(self, file: FileIdentity, digest: Digest) -> None: ...


class Forgetful:
    """The memory of those who have none: what is remembered lasts as long as the object."""

    def __init__(self) -> None:
        self._known: dict[FileIdentity, Digest] = {}

    def foresee(self, files: Sequence[FileIdentity]) -> None: ...

    def recall(self, file: FileIdentity) -> Digest | None:
        return self._known.get(file)

    def remember(self, file: FileIdentity, digest: Digest) -> None:
        self._known[file] = digest
