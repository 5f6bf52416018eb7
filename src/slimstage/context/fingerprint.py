"""The digest of a selection: what decides whether a COPY gives the same layer as before.

Names, kinds, modes, owners as they will be written, xattrs, link targets, hard links and contents; never times. Contents
come from a memory of files that were read before, and are read only where it does not know them.
Source: dockerfile.md §4 (64, 66); design.md "The context is never re-read without cause".
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from itertools import islice

from slimstage.context.entry import ContextEntry
from slimstage.context.listing import Item, Listing
from slimstage.context.local import LocalContext
from slimstage.context.select import Selection
from slimstage.context.tree import DigestMemory, FileIdentity, SourceTree
from slimstage.digest import Digest
from slimstage.errors import ContextError
from slimstage.tree.birth import birth_ns
from slimstage.tree.entry import Entry

BLOCK = 1 << 20
WORTH_REMEMBERING_BYTES = 64 << 10
"""Of a layer's file: a smaller one is read again in less time than it takes to ask when its inode was made."""
VERSION = b"selection-1"
_FORESEEN = 512


def selection_digest(
    selection: Selection,
    tree: SourceTree,
    memory: DigestMemory,
    *,
    keeps_owners: bool = False,
    seen: list[tuple[Entry, str]] | None = None,
) -> Digest:
    """The digest of all that a COPY would write from this selection, but its destination.

    keeps_owners: the files' own ids are written (from a stage or image, without --chown). seen: takes each entry with
    the digest of its content ("" for what has none), in the order of the selection.
    Raises ContextError when a file changes while it is read, or cannot be.
    """
    state = hashlib.sha256(VERSION)
    first_names: dict[tuple[int, int], str] = {}
    for picked in selection:
        if not picked.is_dir:
            content = _linked(picked.entry, picked.name, first_names) + _content(picked.entry, tree, memory)
            _feed(state, "f", picked.name, picked.entry, content, keeps_owners)
            if seen is not None:
                seen.append((picked.entry, content))
            continue
        state.update(b"D\0")
        for path, entry in _foreseen(picked.below, memory):
            tag = "p" if path in picked.passing else "b"
            content = _linked(entry, path, first_names) + _content(entry, tree, memory)
            _feed(state, tag, path, entry, content, keeps_owners)
            if seen is not None:
                seen.append((entry, content))
    return Digest("sha256:" + state.hexdigest())


def _feed(state: hashlib._Hash, tag: str, path: str, entry: Entry, content: str, keeps_owners: bool) -> None:
    owner = f"{entry.uid}:{entry.gid}" if keeps_owners else ""
    more = entry.target or (f"{entry.rdev[0]}:{entry.rdev[1]}" if entry.rdev != (0, 0) else "")
    mode = "" if entry.kind == "symlink" else f"{entry.mode:o}"
    state.update(os.fsencode(f"{tag}\0{path}\0{entry.kind}\0{mode}\0{owner}\0{content}\0{more}\0{len(entry.xattrs)}\0"))
    for name, value in entry.xattrs.items() if entry.xattrs else ():
        state.update(b"%s\0%d\0%s" % (os.fsencode(name), len(value), value))


def _linked(entry: Entry, name: str, first_names: dict[tuple[int, int], str]) -> str:
    """What tells a further name of a file that was selected already from an equal file: a copy keeps them one file.

    "" for all else, files with names outside the selection too.
    """
    if entry.kind != "file" or entry.nlink < 2:
        return ""
    first = first_names.setdefault(entry.identity, name)
    return "" if first == name else f"link-{hashlib.sha256(os.fsencode(first)).hexdigest()[:8]}-"


def _foreseen(listing: Listing, memory: DigestMemory) -> Iterator[Item]:
    """The same items; the memory is told of those to come, some hundreds at a time."""
    items = iter(listing)
    while some := list(islice(items, _FORESEEN)):
        memory.foresee(
            [e.file_identity for _, e in some if isinstance(e, ContextEntry) and e.kind == "file" and e.size]
        )
        yield from some


def _content(entry: Entry, tree: SourceTree, memory: DigestMemory) -> str:
    if entry.kind != "file" or not entry.size:
        return ""
    identity: FileIdentity | None = None
    if isinstance(entry, ContextEntry):
        identity = entry.file_identity
        if (known := memory.recall(identity)) is not None:
            return known
    fd = tree.open(entry.path)
    try:
        if identity is None and entry.size >= WORTH_REMEMBERING_BYTES:
            identity = layer_identity(fd)
            if identity is not None and (known := memory.recall(identity)) is not None:
                return known
        state = hashlib.sha256()
        while block := os.read(fd, BLOCK):
            state.update(block)
        check_unchanged(entry, fd, tree)
    finally:
        os.close(fd)
    digest = Digest("sha256:" + state.hexdigest())
    if identity is not None:
        memory.remember(identity, digest)
    return digest


def layer_identity(fd: int) -> FileIdentity | None:
    """The identity of an open file of an immutable layer; None where the filesystem knows no birth times."""
    born = birth_ns(fd)
    if not born:
        return None
    status = os.fstat(fd)
    return FileIdentity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, -born)


def check_unchanged(entry: Entry, fd: int, tree: SourceTree) -> None:
    """Raises ContextError unless the open file is the one that the walk saw, unchanged.

    Asked once all was read: what was swapped before it was opened, or written since, has other times or another inode.
    """
    status = os.fstat(fd)
    same = (status.st_dev, status.st_ino) == entry.identity and status.st_size == entry.size
    if isinstance(entry, ContextEntry):
        same = same and status.st_ctime_ns == entry.ctime_ns  # a writer can set mtime back, and not this
    if not same or status.st_mtime_ns != entry.mtime_ns:
        raise tree.changed(entry.path) if isinstance(tree, LocalContext) else _changed(entry)


def _changed(entry: Entry) -> ContextError:
    return ContextError(f'"{entry.path}" changes while it is read', code="context-changes")
