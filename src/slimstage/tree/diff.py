"""What changed between two scans of one tree, and how deletions are named in a layer. Pure.

Used where snapshots are plain copies: overlayfs writes down changes by itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeAlias

from slimstage.tree.entry import Entry
from slimstage.tree.pack import WHITEOUT
from slimstage.values import dataclass

ChangeKind: TypeAlias = Literal["added", "modified", "deleted"]


@dataclass(frozen=True, slots=True)
class Change:
    """One path that changed. entry: what it is now; of a deletion, what it was.

    A deleted directory is one change. Of a directory that became something else, or the reverse, the new entry is
    "modified", and what was below the old one is not named: the new one hides it.
    """

    kind: ChangeKind
    entry: Entry


Same: TypeAlias = Callable[[Entry, Entry], bool]
"""True when two entries of one path mean that nothing changed."""


def unchanged(before: Entry, after: Entry) -> bool:
    """Equal in all that a layer holds, taking equal times and sizes to mean equal content.

    Of directories the time counts as well: something was made or removed in them.
    """
    return (
        before.kind == after.kind
        and before.mode == after.mode
        and before.uid == after.uid
        and before.gid == after.gid
        and before.size == after.size
        and before.mtime_ns == after.mtime_ns
        and before.target == after.target
        and before.rdev == after.rdev
        and dict(before.xattrs) == dict(after.xattrs)
    )


def diff(before: Iterable[Entry], after: Iterable[Entry], *, same: Same = unchanged) -> Iterator[Change]:
    """The changes from one scan to the other, in the order of a scan; both must be in it too (see tree/scan.py).

    Memory does not grow with the trees. Applied to the tree before, they give the tree after.
    """
    old, new = iter(before), iter(after)
    was, now = next(old, None), next(new, None)
    while was is not None or now is not None:
        order = _order(was, now)
        if order < 0:
            assert was is not None
            yield Change("deleted", was)
            was = _after(was, old)
        elif order > 0:
            assert now is not None
            yield Change("added", now)
            now = next(new, None)
        else:
            assert was is not None
            assert now is not None
            if not same(was, now):
                yield Change("modified", now)
            # When the directory is gone, what was in it is hidden by what is there now.
            was = _after(was, old) if was.kind == "dir" != now.kind else next(old, None)
            now = next(new, None)


def whiteout_path(path: str) -> str:
    """The name by which a layer says that `path` is deleted. Source: OCI image-spec v1.1, layer.md, "Whiteouts"."""
    above, slash, name = path.rpartition("/")
    return f"{above}{slash}{WHITEOUT}{name}"


def _order(was: Entry | None, now: Entry | None) -> int:
    if was is None or now is None:
        return 1 if was is None else -1
    if was.path == now.path:
        return 0
    # Component by component, as a scan goes: "a/b" comes before "a.b".
    return -1 if _key(was) < _key(now) else 1


def _key(entry: Entry) -> list[bytes]:
    return os.fsencode(entry.path).split(b"/")


def _after(entry: Entry, rest: Iterator[Entry]) -> Entry | None:
    """The next entry that is not below this one."""
    below = entry.path + "/"
    for following in rest:
        if not following.path.startswith(below):
            return following
    return None
