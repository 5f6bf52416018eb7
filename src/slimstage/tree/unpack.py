"""A layer's tar into a layer directory in overlay form, on top of the layers below it.

The tar comes from a registry or a file and is not trusted. What it may do is decided here: names stay below the root,
parents that are symlinks are followed inside the image (as a mounted image would), whiteouts hide only what lies in
lower layers, wherever in the tar they stand. The layers below are only read.

Source: OCI image-spec v1.1, layer.md, "Applying Changesets" and "Whiteouts".
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from slimstage.digest import Digest
from slimstage.errors import DISK_FULL, DISK_FULL_ERRNOS, DISK_FULL_HINT, ContextError, FormatError, StoreError
from slimstage.tree.copyup import copy_up
from slimstage.tree.decompress import decompressed
from slimstage.tree.entry import Entry
from slimstage.tree.marks import is_whiteout
from slimstage.tree.pack import OPAQUE, WHITEOUT
from slimstage.tree.paths import MAX_SYMLINKS
from slimstage.tree.union import UnionTree
from slimstage.tree.untar import READ_BYTES, Readable, TarMember, TarReader
from slimstage.tree.writer import TreeWriter
from slimstage.values import dataclass

_AUFS = ".wh..wh."
_NOTES = 20
_MOST_STEPS = 4096
"""Directories that are looked at on the way to one member: 40 symlinks of 4,000 characters each would be 80,000."""
_MALFORMED = {errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR, errno.EINVAL, errno.EEXIST, errno.ENOENT}


@dataclass(frozen=True, slots=True)
class UnpackResult:
    """diff_id, size_bytes: of the whole uncompressed stream, what follows the archive included.

    file_bytes: content of the regular files. notes: what of the layer was left out, one sentence each.
    """

    diff_id: Digest
    size_bytes: int
    file_bytes: int
    notes: tuple[str, ...] = ()


def unpack_layer(
    stream: Readable,
    draft_path: str,
    parents: Sequence[str],
    *,
    keeps_devices: bool = False,
    keeps_owner: bool | None = None,
    progress: Callable[[int], object] | None = None,
) -> UnpackResult:
    """Writes a layer, compressed in any known way, into the empty directory `draft_path`; says what its tar was.

    stream: the blob; read to its end, so a VerifyingReader verifies, and not closed. parents: directories of the layers
    below, base first. keeps_devices: makes device nodes, which are left out otherwise: /dev is fresh in every step.
    keeps_owner: see TreeWriter. progress: called with the bytes of tar read so far, from another thread.
    On failure the draft holds a part: throw it away. The diff ID is the caller's to compare.
    Raises FormatError (malformed, truncated, leads outside), StoreError (disk full, refused), and what `stream` raises.
    """
    unpacked = decompressed(stream)
    with _Ahead(unpacked, progress) as ahead, UnionTree(parents) as below:
        unpacker = _Unpacker(draft_path, below, keeps_devices, keeps_owner)
        try:
            reader = TarReader(ahead)
            for member in reader:
                unpacker.member(member, reader)
            reader.drain()
            unpacker.writer.finish()
        finally:
            unpacker.writer.close()
        return UnpackResult(ahead.digest(), ahead.size_bytes, unpacker.file_bytes, unpacker.notes())


class _Ahead:
    """Decompresses and digests in another thread, a few blocks ahead of who reads; short streams need no thread."""

    _DEPTH = 3

    def __init__(self, stream: Readable, progress: Callable[[int], object] | None) -> None:
        self._stream, self._progress = stream, progress
        self._state = hashlib.sha256()
        self.size_bytes = 0
        self._pool: ThreadPoolExecutor | None = None
        self._blocks: deque[Future[bytes]] = deque()
        self._reads = 0

    def __enter__(self) -> _Ahead:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def read(self, count: int = -1, /) -> bytes:
        """The next block, of whatever size it comes in; b"" at the end."""
        self._reads += 1
        if self._pool is None:
            if self._reads <= 2:
                return self._next()
            self._pool = ThreadPoolExecutor(1, "unpack")
            self._blocks.extend(self._pool.submit(self._next) for _ in range(self._DEPTH))
        data = self._blocks.popleft().result()
        self._blocks.append(self._pool.submit(self._next))
        return data

    def digest(self) -> Digest:
        return Digest("sha256:" + self._state.hexdigest())

    def _next(self) -> bytes:
        data = self._stream.read(READ_BYTES)
        if data:
            self._state.update(data)
            self.size_bytes += len(data)
            if self._progress is not None:
                self._progress(self.size_bytes)
        return data


class _Unpacker:
    def __init__(self, draft_path: str, below: UnionTree, keeps_devices: bool, keeps_owner: bool | None) -> None:
        self._below = below
        self._keeps_devices = keeps_devices
        self.writer = TreeWriter(draft_path, inherit=self._inherit, keeps_owner=keeps_owner)
        self.file_bytes = 0
        self._opaque: set[str] = set()
        self._resolved: dict[str, str] = {"": ""}
        self._devices = self._aufs = 0
        self._dropped: set[str] = set()

    def notes(self) -> tuple[str, ...]:
        notes = []
        if self._devices:
            notes.append(f"{self._devices} device nodes were left out")
        if self._aufs:
            notes.append(f"{self._aufs} entries of aufs' own were left out")
        names = sorted(self._dropped | self.writer.dropped_xattrs)
        notes += [f"the xattr {name.encode('unicode_escape').decode()} was left out" for name in names[:_NOTES]]
        return tuple(notes)

    def member(self, member: TarMember, reader: TarReader) -> None:
        try:
            self._member(member, reader)
        except ContextError as error:
            raise FormatError(f"{_shown(member.path)}: {error.message}", code="bad-layer") from error
        except OSError as error:
            what = f"{_shown(member.path)} of the layer cannot be written: {error.strerror}"
            if error.errno in _MALFORMED:
                raise FormatError(what, code="bad-layer") from error
            is_full = error.errno in DISK_FULL_ERRNOS
            hint = DISK_FULL_HINT if is_full else None
            raise StoreError(what, code=DISK_FULL if is_full else "cannot-unpack", hint=hint) from error

    def _member(self, member: TarMember, reader: TarReader) -> None:
        above, _, name = member.path.rpartition("/")
        if ".wh." in member.path and self._is_marker(above, name):
            return
        if not name:
            if member.kind != "dir":
                raise FormatError("the root of a layer is not a directory", code="bad-layer")
            self.writer.directory(_entry(member, ""))
            return
        parent = self._parent(above)
        path = f"{parent}/{name}" if parent else name
        self._dropped.update(member.dropped)
        kind = member.kind
        if kind == "file":
            fd = self.writer.create(path)
            try:
                self.file_bytes += reader.copy_to(fd)
                self.writer.finish_file(fd, _entry(member, path))
            finally:
                os.close(fd)
        elif kind == "dir":
            self.writer.directory(_entry(member, path))
        elif kind == "hardlink":
            self._link(path, member.target)
        elif kind in ("char", "block") and (not self._keeps_devices or member.rdev == (0, 0)):
            self._devices += 1
        else:
            self._resolved = {"": ""}  # a symlink may have taken the place of a directory
            self.writer.add(_entry(member, path))

    def _is_marker(self, above: str, name: str) -> bool:
        """True when the member stands for a deletion, which is done, or for something that is no file."""
        parts = above.split("/") if above else []
        if any(part.startswith(_AUFS) for part in parts) or (name.startswith(_AUFS) and name != OPAQUE):
            self._aufs += 1
            return True
        if any(part.startswith(WHITEOUT) for part in parts):
            raise FormatError(f"{_shown(above)} in the layer is below a whiteout", code="bad-whiteout")
        if not name.startswith(WHITEOUT):
            return False
        parent = self._parent(above)
        if name == OPAQUE:
            self._opaque.add(parent)
            self.writer.opaque(parent)
            return True
        hidden = name[len(WHITEOUT) :]
        if hidden in ("", ".", ".."):
            raise FormatError(f"{_shown(name)} in the layer is no whiteout of a name", code="bad-whiteout")
        self.writer.whiteout(f"{parent}/{hidden}" if parent else hidden)
        return True

    def _link(self, path: str, target: str) -> None:
        above, _, name = target.rpartition("/")
        parent = self._parent(above)
        first = f"{parent}/{name}" if parent else name
        status = self.writer.lstat(first)
        if status is None:
            self._copy_up(first)
        elif is_whiteout(status):
            raise _no_target(path, target)
        self._resolved = {"": ""}
        self.writer.link(path, first)

    def _copy_up(self, path: str) -> None:
        """Brings what a hard link names from the lower layers into this one, as overlayfs does."""
        entry = self._lower(path) if path else None
        if entry is None or entry.kind == "dir":
            raise _no_target(path, path)
        self.file_bytes += copy_up(self._below, entry, self.writer)

    def _parent(self, path: str) -> str:
        """The directory that `path` means in the image so far, symlinks followed inside; it need not be there."""
        if (known := self._resolved.get(path)) is not None:
            return known
        todo = path.split("/")
        todo.reverse()
        done: list[str] = []
        links = steps = 0
        there = True
        missing_at = 0
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if name == "..":
                if done:
                    done.pop()
                there = there or len(done) < missing_at
                continue
            done.append(name)
            if not there:  # nor is what is below it
                continue
            steps += 1
            if steps > _MOST_STEPS:
                raise FormatError(f"too many directories on the way to {_shown(path)}", code="symlink-loop")
            target, there = self._directory_or_link("/".join(done))
            if target is None:
                missing_at = len(done)
                continue
            links += 1
            if links > MAX_SYMLINKS:
                raise FormatError(f"too many symlinks on the way to {_shown(path)}", code="symlink-loop")
            done.pop()
            if target.startswith("/"):
                done.clear()
            todo += reversed(target.split("/"))
        resolved = self._resolved[path] = "/".join(done)
        return resolved

    def _directory_or_link(self, path: str) -> tuple[str | None, bool]:
        """(the target when `path` is a symlink, False when nothing is there)."""
        status = self.writer.lstat(path)
        if status is not None and not is_whiteout(status):
            if stat.S_ISLNK(status.st_mode):
                return self.writer.readlink(path), True
            if not stat.S_ISDIR(status.st_mode):
                raise FormatError(f"{_shown(path)} in the layer is not a directory", code="bad-layer")
            return None, True
        entry = self._lower(path) if status is None else None
        if entry is not None and entry.kind == "symlink":
            return entry.target, True
        if entry is not None and entry.kind != "dir":
            raise FormatError(f"{_shown(path)} below the layer is not a directory", code="bad-layer")
        return None, entry is not None

    def _inherit(self, path: str) -> Entry | None:
        entry = self._lower(path)
        return entry if entry is not None and entry.kind == "dir" else None

    def _lower(self, path: str) -> Entry | None:
        """What the layers below have at a resolved path, unless this layer hides it."""
        if self._opaque:
            above = path
            while above:
                above = above.rpartition("/")[0]
                if above in self._opaque:
                    return None
        return self._below.lstat(path)


def _entry(member: TarMember, path: str) -> Entry:
    kind = member.kind
    assert kind != "hardlink"
    return Entry(
        path,
        kind,
        member.mode,
        member.uid,
        member.gid,
        member.size,
        member.mtime_ns,
        member.target,
        member.rdev,
        member.xattrs,
    )


def _no_target(path: str, target: str) -> FormatError:
    return FormatError(f"{_shown(path)} in the layer is a link to {_shown(target)}, which is no file", code="bad-layer")


def _shown(path: str) -> str:
    """A name for messages: nothing in it moves a terminal's cursor."""
    return '"' + os.fsencode(path)[:200].decode(errors="backslashreplace").encode("unicode_escape").decode() + '"'
