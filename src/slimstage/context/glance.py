"""A selection of a context known by what `stat` says of it, so that neither contents nor xattrs are asked for.

Whatever is in the digest of a selection (contents, modes, owners, xattrs, names) changes a ctime or a name when it changes. So
the facts of `stat` of all that was selected stand for the digest: a build in which nothing changed learns it from them.
Entries are taken without their xattrs (`LocalContext.bare`), and completed once something has to be digested or copied.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from operator import attrgetter

from slimstage.context.fingerprint import VERSION
from slimstage.context.listing import Item, Listing
from slimstage.context.local import LocalContext
from slimstage.context.select import Picked, Selection
from slimstage.tree.entry import Entry
from slimstage.values import dataclass, replace
from slimstage.version import __version__

_AT_ONCE = 256
_FACTS = attrgetter("kind", "target", "identity", "rdev", "mtime_ns", "ctime_ns", "size", "mode", "uid", "gid", "nlink")
_PACK = struct.Struct("=QQIIQQQIIIQ").pack
"""A third of what it takes to write so many numbers as text."""
_BITS = (1 << 64) - 1  # file systems know times before 1970 and after 2262


@dataclass(frozen=True, slots=True)
class Glance:
    """state: the same for two selections only when all their facts are. newest_ns: the last of all times, wall clock."""

    state: bytes
    newest_ns: int


def glance(selection: Selection) -> Glance:
    """What `stat` said of a selection of a context: facts and order of entries, their names at the destination.

    A directory that is a source itself is left out: only what it holds is digested.
    """
    state = hashlib.blake2b(b"%s\0%s\0" % (VERSION, __version__.encode()), digest_size=32)
    newest_ns = 0
    for picked in selection:
        state.update(os.fsencode(f"{'D' if picked.is_dir else 'F'}\0{picked.name}\0"))
        items = iter(picked.below if picked.is_dir else [("", picked.entry)])
        while some := list(islice(items, _AT_ONCE)):
            texts: list[str] = []
            numbers: list[bytes] = []
            for path, entry in some:
                kind, target, identity, rdev, mtime_ns, ctime_ns, size, mode, uid, gid, nlink = _FACTS(entry)
                if mtime_ns > newest_ns:
                    newest_ns = mtime_ns
                if ctime_ns > newest_ns:
                    newest_ns = ctime_ns
                texts.append(f"{path}\0{kind}\0{target}\0")
                numbers.append(_PACK(*identity, *rdev, mtime_ns & _BITS, ctime_ns & _BITS, size, mode, uid, gid, nlink))
            state.update(b"%d\0" % len(some))
            state.update(os.fsencode("".join(texts)))
            state.update(b"".join(numbers))
        for path in sorted(picked.passing):
            state.update(os.fsencode(f"p\0{path}\0"))
        state.update(b"\0")
    return Glance(state.digest(), newest_ns)


def completed(selection: Selection, tree: LocalContext, keep: Callable[[Iterable[Item]], Listing]) -> Selection:
    """The selection with the xattrs of all entries below its directories. Raises ContextError when something is gone."""
    return tuple(_completed(picked, tree, keep) for picked in selection)


def _completed(picked: Picked, tree: LocalContext, keep: Callable[[Iterable[Item]], Listing]) -> Picked:
    if not picked.below:
        return picked
    return replace(picked, below=keep(_with_xattrs(picked.below, tree)))


def _with_xattrs(items: Iterable[Item], tree: LocalContext) -> Iterator[tuple[str, Entry]]:
    for path, entry in items:
        found = tree.xattrs(entry)
        yield path, replace(entry, xattrs=found) if found or entry.xattrs else entry
