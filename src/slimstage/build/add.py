"""ADD beyond COPY: archives that are unpacked, and sources that are elsewhere.

An archive is known by its content, whatever its name: plain tar, or gzip, bzip2, xz or zstd that holds a tar. Its members
are written into the destination's tree as if they were unpacked inside it: symlinks that are there already, absolute ones
too, are followed inside the root, and no member leads out of it.
Source: dockerfile.md §1.4 and §4 (53); Docker's pkg/archive for what replaces what.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from slimstage.build.destination import Destination
from slimstage.build.owners import Owner
from slimstage.context.git import fetch_git, set_times
from slimstage.context.local import LocalContext
from slimstage.context.remote import Revalidation, fetch_url
from slimstage.context.select import Picked, Selection, select
from slimstage.context.tree import SourceTree
from slimstage.errors import FormatError
from slimstage.plan.graph import Git, Url
from slimstage.tree.decompress import Peekable, decompressed
from slimstage.tree.entry import Entry, Kind
from slimstage.tree.header import BLOCK
from slimstage.tree.untar import TarMember, TarReader, looks_like_tar
from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class Source:
    """One part of a COPY or ADD: what was picked of a tree, whether archives of it are unpacked, and owners kept."""

    tree: SourceTree
    selection: Selection
    unpacks: bool = False
    keeps_owner: bool = False


def fetch_source(
    part: Url | Git,
    work: str,
    cleanup: ExitStack,
    *,
    excludes: Sequence[str] = (),
    revalidation: Revalidation | None = None,
    progress: Callable[[str, int, int | None], None] | None = None,
    made_ns: Callable[[Git, str], int] | None = None,
) -> Source:
    """Brings a download or a repository into the directory `work`, which the caller removes after `cleanup` is closed.

    excludes: patterns of files of the repository that are left out. revalidation: remembers what the server said the last
    time. progress: called with (what, bytes so far, bytes in all or None). made_ns: of a repository and the commit that
    was checked out, how old its files are; without they are as old as this checkout. Raises ContextError, SandboxError.
    """
    if isinstance(part, Url):
        name = fetch_url(part.url, work, checksum=part.checksum, revalidation=revalidation, progress=progress)
        tree = cleanup.enter_context(LocalContext(work, name="the download"))
        entry = tree.lstat(name)
        if entry is None:
            raise tree.changed(name)
        return Source(tree, (Picked(entry, name),), part.unpack)
    place = os.path.join(work, "files")
    commit = fetch_git(
        part.remote,
        place,
        ref=part.ref,
        subdir=part.subdir,
        checksum=part.checksum,
        keeps_git_dir=part.keep_git_dir,
        submodules=part.submodules,
        mtime=part.mtime,
        by_commit=part.fetches_by_commit,
    )
    if made_ns is not None and part.mtime == "checkout":
        set_times(place, made_ns(part, commit))
    tree = cleanup.enter_context(LocalContext(place, name="the repository"))
    return Source(tree, select(tree, ["."], excludes=excludes, where="the repository"))


def unpack_archive(
    fd: int, into: Destination, destination: str, *, owner: Owner | None, name: str
) -> tuple[int, int] | None:
    """(files, bytes) unpacked from an open file, or None when it is no archive; the descriptor is then at its start.

    owner: of every member, None for the archive's own. name: of the file, for errors.
    Raises FormatError for an archive that is broken or leads outside, ContextError.
    """
    reader = _reader(fd)
    if reader is None:
        os.lseek(fd, 0, os.SEEK_SET)
        return None
    base = into.resolve(destination)
    into.make_directories(base, made_by="archive")
    unpacking = _Unpacking(into, base, owner)
    try:
        for member in reader:
            unpacking.member(member, reader)
    except FormatError as error:
        raise FormatError(f'"{name}": {error.message}', code=error.code, notes=error.diagnostics[0].notes) from error
    return unpacking.files, unpacking.size_bytes


def _reader(fd: int) -> TarReader | None:
    """A reader of the archive that the file is, else None. An archive without any member is a file like others."""
    with os.fdopen(os.dup(fd), "rb", buffering=0) as probe:
        try:
            head = Peekable(decompressed(Peekable(probe))).peek(BLOCK)
        except FormatError:
            return None
    if not (any(head) and looks_like_tar(head)):
        return None
    os.lseek(fd, 0, os.SEEK_SET)
    return TarReader(decompressed(Peekable(_Raw(fd))))


class _Raw:
    """A descriptor as a stream; whoever opened it closes it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read(self, count: int = -1, /) -> bytes:
        return os.read(self._fd, count if count >= 0 else 1 << 20)


class _Unpacking:
    def __init__(self, into: Destination, base: str, owner: Owner | None) -> None:
        self._into, self._base, self._owner = into, base, owner
        self.files = self.size_bytes = 0

    def member(self, member: TarMember, reader: TarReader) -> None:
        into = self._into
        if not member.path:
            return  # the destination keeps its own metadata
        above, _, name = member.path.rpartition("/")
        parent = into.resolve(f"{self._base}/{above}")
        into.make_directories(parent, made_by="member")
        path = f"{parent}/{name}" if parent else name
        existing = into.kind(path)
        if existing is not None and not (existing == "dir" and member.kind == "dir"):
            into.clear(path)
        if member.kind == "hardlink":
            self._link(path, member)
            return
        entry = self._entry(member, path, member.kind)
        if member.kind == "dir":
            into.replacing_directory(entry)
            return
        into.claim(path, entry.kind)
        if member.kind == "file":
            fd = into.writer.create(path)
            try:
                self.size_bytes += reader.copy_to(fd)
                into.writer.finish_file(fd, entry)
            finally:
                os.close(fd)
            self.files += 1
        elif member.kind == "char" and member.rdev == (0, 0):
            raise FormatError(f'"{member.path}" is a device 0:0, which means a deletion in a layer', code="bad-tar")
        else:
            into.writer.add(entry)

    def _link(self, path: str, member: TarMember) -> None:
        """A further name; what its own header says of owner, mode and time holds for the file from now on."""
        into, target = self._into, member.target
        above, _, name = target.rpartition("/")
        parent = into.resolve(f"{self._base}/{above}")
        first = f"{parent}/{name}" if parent else name
        kind = into.kind(first)
        if kind is None or kind == "dir":
            raise FormatError(f'"{path}" is a hard link to "{target}", which is no file of it', code="bad-tar")
        if into.writer.lstat(first) is None:
            into.copy_up(first)
        into.claim(path, kind)
        into.writer.link(path, first)
        into.writer.dress(self._entry(member, path, kind))

    def _entry(self, member: TarMember, path: str, kind: Kind) -> Entry:
        uid, gid = self._owner or (member.uid, member.gid)
        return Entry(
            path=path,
            kind=kind,
            mode=member.mode,
            uid=uid,
            gid=gid,
            mtime_ns=member.mtime_ns,
            target=member.target,
            rdev=member.rdev,
            xattrs=member.xattrs,
        )
