"""The target's whole file tree, as plain files: `type=local` (a directory) and `type=tar` (one flat tar).

Of several platforms, each tree has a directory of its own, `linux_amd64`, unless they are to be laid over each other.
Source: BuildKit exporter/local and exporter/tar (platform-split).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence

from slimstage.build.packing import Times
from slimstage.errors import UsageError
from slimstage.store.files import remove_tree
from slimstage.store.leftovers import beside
from slimstage.tree.entry import Entry
from slimstage.tree.pack import LAYER_XATTRS, member_header
from slimstage.tree.union import UnionTree
from slimstage.tree.writer import TreeWriter
from slimstage.values import dataclass, replace

_KINDS = {"file": b"0", "symlink": b"2", "char": b"3", "block": b"4", "dir": b"5", "fifo": b"6"}
_BLOCK = 1 << 20
_END = bytes(1024)


@dataclass(frozen=True, slots=True)
class Part:
    """The tree of one platform. has_directory: in a directory named by its platform."""

    platform: str
    tree: UnionTree
    has_directory: bool = False

    @property
    def directory(self) -> str:
        return self.platform.replace("/", "_") if self.has_directory else ""


def check_apart(parts: Sequence[Part]) -> None:
    """Raises UsageError when two platforms' trees that go into one directory have a file of the same name."""
    if len(parts) < 2 or any(part.has_directory for part in parts):
        return
    owners: dict[str, str] = {}
    for part in parts:
        for entry in part.tree.walk(""):
            if entry.kind == "dir":
                continue
            first = owners.setdefault(entry.path, part.platform)
            if first != part.platform:
                raise UsageError(
                    f"cannot overwrite {entry.path} from {first} with {part.platform} when split option is disabled",
                    code="platforms-overlap",
                    hint="leave platform-split=false out: each platform has its own directory then",
                )


def export_directory(
    parts: Sequence[Part], destination: str, times: Times, beside: Callable[[str], str] = beside
) -> None:
    """Copies the trees into the directory. A new one appears whole or not at all; in one that is there files are put one
    by one, and what is there else stays.

    Files belong to whoever runs this, as with buildx: only modes, times and links are kept. Devices are left out.
    beside: names the directory that is written first. Raises UsageError: the destination is no directory.
    """
    path = os.path.realpath(destination)
    if os.path.isdir(path):
        _copy_trees(parts, path, times)
        return
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if os.path.lexists(path):
            raise NotADirectoryError
    except (FileExistsError, NotADirectoryError) as cause:
        raise UsageError(f'--output: "{destination}" is not a directory', code="bad-output") from cause
    temporary = beside(path)
    os.mkdir(temporary)
    try:
        _copy_trees(parts, temporary, times)
        os.rename(temporary, path)
    except BaseException:
        remove_tree(temporary)
        raise


def _copy_trees(parts: Sequence[Part], path: str, times: Times) -> None:
    for part in parts:
        place = os.path.join(path, part.directory) if part.directory else path
        if part.directory:
            try:
                os.mkdir(place, 0o755)
            except FileExistsError:
                if os.path.islink(place) or not os.path.isdir(place):
                    raise UsageError(f'--output: "{place}" is not a directory', code="bad-output") from None
        _copy_tree(part.tree, place, times)


def _copy_tree(tree: UnionTree, destination: str, times: Times) -> None:
    uid, gid = os.geteuid(), os.getegid()
    first: dict[tuple[int, int], str] = {}
    with TreeWriter(destination) as writer:
        for entry in tree.walk(""):
            if entry.kind in ("char", "block", "socket"):
                continue
            own = replace(entry, uid=uid, gid=gid, xattrs={}, mtime_ns=_time_ns(entry, times))
            if entry.kind == "file" and entry.nlink > 1:
                earlier = first.setdefault(entry.identity, entry.path)
                if earlier != entry.path:
                    writer.link(entry.path, earlier)
                    continue
            if entry.kind != "file":
                writer.add(own)
                continue
            fd = tree.open(entry.path)
            try:
                writer.add(own, fd)
            finally:
                os.close(fd)
        writer.finish()


def export_tar(parts: Sequence[Part], write: Callable[[bytes | memoryview], object], times: Times) -> None:
    """Writes the trees as one tar: names sorted, owners, capabilities and hard links kept; deterministic."""
    for part in sorted(parts, key=lambda part: part.directory):
        if part.directory:
            name = part.directory.encode() + b"/"
            write(member_header(name, b"5", 0o755, 0, 0, 0, times.latest_s or 0))
        _tar_tree(part.tree, part.directory.encode() + b"/" if part.directory else b"", write, times)
    write(_END)


def _tar_tree(tree: UnionTree, prefix: bytes, write: Callable[[bytes | memoryview], object], times: Times) -> None:
    first: dict[tuple[int, int], bytes] = {}
    for entry in tree.walk(""):
        if entry.kind == "socket":
            continue
        name = prefix + os.fsencode(entry.path) + (b"/" if entry.kind == "dir" else b"")
        time_s = _time_ns(entry, times) // 1_000_000_000
        if entry.kind == "file" and entry.nlink > 1:
            earlier = first.setdefault(entry.identity, name)
            if earlier is not name:
                write(member_header(name, b"1", entry.mode, entry.uid, entry.gid, 0, time_s, earlier))
                continue
        size = entry.size if entry.kind == "file" else 0
        write(
            member_header(
                name,
                _KINDS[entry.kind],
                entry.mode,
                entry.uid,
                entry.gid,
                size,
                time_s,
                os.fsencode(entry.target),
                entry.rdev,
                [(key, entry.xattrs[key]) for key in LAYER_XATTRS if key in entry.xattrs],
            )
        )
        if size:
            _content(tree, entry, write)


def _content(tree: UnionTree, entry: Entry, write: Callable[[bytes | memoryview], object]) -> None:
    fd = tree.open(entry.path)
    try:
        assert stat.S_ISREG(os.fstat(fd).st_mode)
        left = entry.size
        while left and (data := os.read(fd, min(_BLOCK, left))):
            write(data)
            left -= len(data)
    finally:
        os.close(fd)
    if padding := -entry.size % 512:
        write(bytes(padding))


def _time_ns(entry: Entry, times: Times) -> int:
    if times.latest_s is None:
        return entry.mtime_ns
    latest = times.latest_s * 1_000_000_000
    return latest if times.is_for_all else min(entry.mtime_ns, latest)
