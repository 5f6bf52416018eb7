"""COPY and ADD: writes the new layer directory from what was selected.

Comes after `context/select.py` (which files) and `context/fingerprint.py` (their digest); `build/add.py` unpacks archives
and brings what is elsewhere. From a stage or image a file becomes a hard link where owner and mode stay the same: its
source never changes. From the context it is copied, and must still be the file that was digested.
Source: dockerfile.md §1.4 and §4 (36 to 51); the metadata rules as fsutil's copy package shows them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from itertools import pairwise

from slimstage.build.add import Source, unpack_archive
from slimstage.build.destination import Destination, disk_errors
from slimstage.build.owners import Owner, parse_owner
from slimstage.context.entry import ContextEntry
from slimstage.context.fingerprint import WORTH_REMEMBERING_BYTES, check_unchanged, layer_identity
from slimstage.context.select import Picked
from slimstage.context.tree import DigestMemory, SourceTree
from slimstage.dockerfile.instructions import Heredoc
from slimstage.errors import ContextError
from slimstage.plan.graph import CopyStep
from slimstage.plan.modes import ModeChange, parse_mode
from slimstage.store.snapshots import Draft
from slimstage.tree.copying import copy_data
from slimstage.tree.entry import Entry
from slimstage.tree.union import UnionTree
from slimstage.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class CopyResult:
    """files: regular files written or linked. size_bytes: of their content, each inode once."""

    files: int
    size_bytes: int


def copy_step(
    step: CopyStep,
    parent: Sequence[str],
    sources: Sequence[Source],
    draft: Draft,
    *,
    memory: DigestMemory | None = None,
    now_ns: int | None = None,
    made_ns: Callable[[Heredoc], int] | None = None,
) -> CopyResult:
    """Writes the layer of a COPY or ADD into the draft.

    parent: the layer directories below, base first; not looked at by `--link`. sources: what the step's paths picked, its
    downloads and repositories, in the order of the line. memory: learns the digests of the new files.
    now_ns: the time of directories that are made. made_ns: that of a heredoc's file, `now_ns` without.
    Raises ContextError, PlanError, FormatError, StoreError.
    """
    with disk_errors(step.title), UnionTree(() if step.is_link else parent) as below:
        is_based = bool(parent) and not step.is_link
        owner = parse_owner(step.chown, below.read if is_based else None) if step.chown else None
        mode = parse_mode(step.chmod) if step.chmod else None
        with Destination(
            draft.path,
            below if is_based else None,
            owner=owner,
            # Of a number what mkdir takes of it under Docker's umask of 022: setuid and its kin are for what is copied.
            mode=mode.octal & 0o755 if mode is not None and mode.octal is not None else 0o755,
            now_ns=time.time_ns() if now_ns is None else now_ns,
        ) as into:
            copier = _Copier(into, step.destination, owner, mode, memory)
            copier.overlaps = _overlap([picked.entry.path for source in sources for picked in source.selection])
            for source in sources:
                copier.keeps_owner, copier.unpacks = source.keeps_owner, source.unpacks
                for picked in source.selection:
                    copier.copy(picked, source.tree)
            for heredoc in step.inline:
                mtime_ns = into.now_ns if made_ns is None else made_ns(heredoc)
                copier.text(heredoc.name, os.fsencode(heredoc.content), mtime_ns)
            into.finish()
    return CopyResult(copier.files, copier.size_bytes)


def _overlap(paths: list[str]) -> bool:
    """True when one of the paths is another, or above another."""
    names = sorted(f"{path}/" if path else "" for path in paths)
    return any(later.startswith(earlier) for earlier, later in pairwise(names))


class _Copier:
    """Copies sources one after another to one destination."""

    def __init__(
        self,
        into: Destination,
        destination: str,
        owner: Owner | None,
        mode: ModeChange | None,
        memory: DigestMemory | None,
    ) -> None:
        self._into, self._destination, self._owner, self._mode, self._memory = into, destination, owner, mode, memory
        self._first_names: dict[tuple[int, tuple[int, int]], str] = {}
        self._adopted: dict[tuple[int, int], tuple[int, int]] = {}
        """By inode, the layer and the number of the source for which the new layer took it over: where it may come again."""
        self._sources = 0
        self._is_in_directory = False
        self.keeps_owner = self.unpacks = False
        self.overlaps = False
        """True when one source holds another: then every file may come again."""
        self.files = self.size_bytes = 0

    def copy(self, picked: Picked, tree: SourceTree) -> None:
        # Names of one file stay that within one source; and a name of an earlier source may have been written over.
        self._first_names.clear()
        self._sources += 1
        self._is_in_directory = picked.is_dir
        if self.unpacks and not picked.is_dir and self._unpacked(picked.entry, tree):
            return
        if not picked.is_dir:
            self._entry(self._file_target(picked.name), picked.entry, tree)
            return
        into = self._into
        base = into.resolve(self._destination)
        kind = into.kind(base)
        if kind is not None and kind != "dir":
            raise ContextError(f'"/{base}" is a {kind}, a directory cannot be copied to it', code="copy-dir-over-file")
        into.make_directories(base)
        prefix = f"{base}/" if base else ""
        for path, entry in picked.below:
            target = prefix + path
            if entry.kind != "dir":
                self._entry(target, entry, tree)
            elif path not in picked.passing or into.kind(target) != "dir":
                self._directory(target, entry)
        into.took_contents_of(base, picked.entry)

    def text(self, name: str, content: bytes, mtime_ns: int) -> None:
        """A heredoc: a file with this content, 0644."""
        target = self._file_target(name)
        into = self._into
        into.claim(target, "file")
        uid, gid = self._owner or (0, 0)
        mode = self._mode.change(0o644, False) if self._mode else 0o644
        into.writer.file(Entry(target, "file", mode, uid, gid, mtime_ns=mtime_ns), (content,))
        self.files += 1
        self.size_bytes += len(content)

    def _file_target(self, name: str) -> str:
        """Where a file called `name` goes: into the destination when that is a directory, or shall be one."""
        into, text = self._into, self._destination
        base = into.resolve(text)
        if text.endswith("/"):
            into.make_directories(base)
        if into.kind(base) == "dir":
            return f"{base}/{name}" if base else name
        into.make_directories(base.rpartition("/")[0])
        return base

    def _directory(self, target: str, entry: Entry) -> None:
        uid, gid, mode = self._metadata(entry)
        self._into.directory(Entry(target, "dir", mode, uid, gid, mtime_ns=entry.mtime_ns, xattrs=entry.xattrs))

    def _metadata(self, entry: Entry) -> tuple[int, int, int]:
        uid, gid = self._owner or ((entry.uid, entry.gid) if self.keeps_owner else (0, 0))
        return uid, gid, self._mode.change(entry.mode, entry.kind == "dir") if self._mode else entry.mode

    def _entry(self, target: str, entry: Entry, tree: SourceTree) -> None:
        """Anything but a directory."""
        into, kind = self._into, entry.kind
        if kind == "file":
            into.claim(target, "file")
            self.files += 1
            self._file(target, entry, tree)
            return
        into.claim(target, "file" if kind == "socket" else kind)
        uid, gid, mode = self._metadata(entry)
        if kind == "char" and entry.rdev == (0, 0):
            raise ContextError(
                f'"{entry.path}" is a device 0:0, which means a deletion in a layer', code="copy-whiteout"
            )
        if kind == "socket":
            # A socket is nothing without who listens: what is left is its name.
            into.writer.file(Entry(target, "file", mode, uid, gid, mtime_ns=entry.mtime_ns), ())
        else:
            into.writer.add(replace(entry, path=target, uid=uid, gid=gid, mode=mode))

    def _file(self, target: str, entry: Entry, tree: SourceTree) -> None:
        writer = self._into.writer
        # Files of several layers share an inode where a COPY linked them, and are several files all the same.
        may_come_again = entry.nlink > 1 or not self._is_in_directory or self.overlaps
        layer = tree.layer_of(entry.path) if isinstance(tree, UnionTree) and may_come_again else -1
        first = self._first_names.get((layer, entry.identity)) if entry.nlink > 1 else None
        if first is not None:
            if first != target:
                writer.link(target, first)
            return
        uid, gid, mode = self._metadata(entry)
        is_frozen = isinstance(tree, UnionTree)
        if is_frozen and (uid, gid, mode) == (entry.uid, entry.gid, entry.mode):
            assert isinstance(tree, UnionTree)
            own = (layer, self._sources)
            taken_for = (
                self._adopted.setdefault(entry.identity, own)
                if may_come_again
                else self._adopted.get(entry.identity, own)
            )
            if taken_for == own and writer.adopt(target, *tree.place(entry.path)):
                self.size_bytes += entry.size
                return
        if entry.nlink > 1:
            self._first_names[layer, entry.identity] = target
        source = tree.open(entry.path)
        try:
            fd = writer.create(target)
            try:
                size = copy_data(source, fd) if entry.size else 0
                if not is_frozen:
                    check_unchanged(entry, source, tree)
                writer.finish_file(
                    fd, Entry(target, "file", mode, uid, gid, mtime_ns=entry.mtime_ns, xattrs=entry.xattrs)
                )
                if self._memory is not None and size >= WORTH_REMEMBERING_BYTES and isinstance(entry, ContextEntry):
                    self._remember(entry, fd)
            finally:
                os.close(fd)
        finally:
            os.close(source)
        self.size_bytes += size

    def _remember(self, entry: ContextEntry, fd: int) -> None:
        """The new file has the bytes of the old: a later COPY --from need not read it to know its digest."""
        assert self._memory is not None
        known = self._memory.recall(entry.file_identity)
        identity = layer_identity(fd) if known is not None else None
        if known is not None and identity is not None:
            self._memory.remember(identity, known)

    def _unpacked(self, entry: Entry, tree: SourceTree) -> bool:
        if entry.kind != "file":
            return False
        source = tree.open(entry.path)
        try:
            found = unpack_archive(source, self._into, self._destination, owner=self._owner, name=entry.path)
            if not isinstance(tree, UnionTree):
                check_unchanged(entry, source, tree)
        finally:
            os.close(source)
        if found is None:
            return False
        self.files += found[0]
        self.size_bytes += found[1]
        return True
