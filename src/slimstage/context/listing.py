"""What a COPY picks from a directory, as a list that need not lie in memory.

A listing is gone through twice or more, by digesting and by copying, and both have to see the same. A short one is a tuple;
the rest of a long one is written into a file without a name, in blocks, and read again a block at a time.
"""

from __future__ import annotations

import marshal
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice
from typing import TypeAlias

from slimstage.context.entry import ContextEntry
from slimstage.tree.entry import NO_DEVICE, NO_XATTRS, Entry

Item: TypeAlias = tuple[str, Entry]
"""(path under the destination, what is copied there)."""
Listing: TypeAlias = Collection[Item]
"""In order; may be gone through any number of times, by several threads."""

BLOCK = 1024
FEW = 64
"""Items that always are in memory."""
MOST_IN_MEMORY = 24_576
"""Items of all listings of one scratch: about 15 MB."""


class Scratch:
    """Takes what does not fit into memory, for one build. Safe for threads. Its file ends with the object.

    directory: called at the first need; the directory has room for about 150 bytes an item.
    """

    def __init__(self, directory: Callable[[], str]) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._fd = -1
        self._end = 0
        self._free = MOST_IN_MEMORY

    def keep(self, items: Iterable[Item]) -> Listing:
        """All the items, in their order. Raises OSError when the directory has no room."""
        rest = iter(items)
        head: list[Item] = []
        blocks: list[tuple[int, int, int]] = []
        while block := list(islice(rest, BLOCK)):
            if not blocks and (len(block) <= FEW or self._takes(len(block))):
                head += block
            else:
                blocks.append(self._written(block))
        return _Spilled(tuple(head), self, blocks) if blocks else tuple(head)

    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self._fd, size, offset)

    def _takes(self, count: int) -> bool:
        with self._lock:
            has_room = self._free >= count
            self._free -= count if has_room else 0
        return has_room

    def _written(self, block: list[Item]) -> tuple[int, int, int]:
        """(offset, bytes, items) of the block."""
        data = _packed(block)
        with self._lock:
            if self._fd < 0:
                self._fd = _nameless(self._directory())
            offset, self._end = self._end, self._end + len(data)
        left = memoryview(data)
        while left:
            left = left[os.pwrite(self._fd, left, offset + len(data) - len(left)) :]
        return offset, len(data), len(block)

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


class _Passed(Collection[Item]):
    """A listing that is only gone through: whether something is in it is seen by that too."""

    def __contains__(self, item: object) -> bool:
        return any(each == item for each in self)


class _Spilled(_Passed):
    def __init__(self, head: tuple[Item, ...], scratch: Scratch, blocks: list[tuple[int, int, int]]) -> None:
        self._head, self._scratch, self._blocks = head, scratch, blocks
        self._len = len(head) + sum(count for _, _, count in blocks)

    def __len__(self) -> int:
        return self._len

    def __iter__(self) -> Iterator[Item]:
        yield from self._head
        for offset, size, _ in self._blocks:
            yield from _unpacked(self._scratch.read(offset, size))


class Changed(_Passed):
    """A listing whose entries are something else, worked out anew whenever it is gone through."""

    def __init__(self, listing: Listing, change: Callable[[Entry], Entry]) -> None:
        self._listing, self._change = listing, change

    def __len__(self) -> int:
        return len(self._listing)

    def __iter__(self) -> Iterator[Item]:
        change = self._change
        return ((path, change(entry)) for path, entry in self._listing)


class Whole(_Passed):
    """A directory of a name and then all that a listing has of it."""

    def __init__(self, name: str, directory: Entry, listing: Listing) -> None:
        self._name, self._directory, self._listing = name, directory, listing

    def __len__(self) -> int:
        return 1 + len(self._listing)

    def __iter__(self) -> Iterator[Item]:
        yield self._name, self._directory
        yield from ((f"{self._name}/{path}", entry) for path, entry in self._listing)


def _nameless(directory: str) -> int:
    """A descriptor of a new file that nobody can open."""
    path = os.path.join(directory, f"listing-{os.urandom(8).hex()}")
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    os.unlink(path)
    return fd


def _packed(block: list[Item]) -> bytes:
    # A path in the tree mostly ends with the path under the destination: then what stands before is said, once a block.
    before: dict[str, str] = {}
    rows = []
    for path, entry in block:
        is_below = entry.path.endswith(path)
        prefix = entry.path[: len(entry.path) - len(path)] if is_below else entry.path
        rows.append(
            (
                path, is_below, before.setdefault(prefix, prefix), entry.kind, entry.mode, entry.uid, entry.gid, entry.size,
                entry.mtime_ns, entry.target, entry.rdev, dict(entry.xattrs) if entry.xattrs else None, entry.identity,
                entry.nlink, entry.is_opaque, entry.ctime_ns if isinstance(entry, ContextEntry) else None,
            )
        )  # fmt: skip
    return marshal.dumps(rows)


def _unpacked(data: bytes) -> Iterator[Item]:
    for (
        path,
        is_below,
        before,
        kind,
        mode,
        uid,
        gid,
        size,
        mtime_ns,
        target,
        rdev,
        xattrs,
        identity,
        *rest,
    ) in marshal.loads(data):
        nlink, is_opaque, ctime_ns = rest
        values = (
            before + path if is_below else before, kind, mode, uid, gid, size, mtime_ns, target,
            rdev if rdev != NO_DEVICE else NO_DEVICE, xattrs or NO_XATTRS, identity, nlink, is_opaque,
        )  # fmt: skip
        yield path, Entry(*values) if ctime_ns is None else ContextEntry(*values, ctime_ns)
