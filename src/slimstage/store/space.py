"""A full disk: whether one lies behind an error, how much is free, and the room that is kept for pruning then.

Where a disk is full depends on what was written: the innermost place that knows says it, and it is said once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from slimstage.errors import DISK_FULL, DISK_FULL_ERRNOS, SlimstageError

_FREE = " free on the disk of "
_FEW_INODES = 16
_RESERVE = "reserve"
_RESERVE_BYTES = 2 << 20
_SMALLEST_SHARE = 4
"""The reserve is kept where the disk has this many times as much free."""


def is_full(error: BaseException) -> bool:
    """True when a full disk, or a used-up quota, lies behind the error."""
    at: BaseException | None = error
    seen: set[int] = set()
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        if isinstance(at, SlimstageError) and at.code == DISK_FULL:
            return True
        if isinstance(at, OSError) and at.errno in DISK_FULL_ERRNOS:
            return True
        at = at.__cause__
    return False


def space(place: str) -> str:
    """What is free where `place` lies or would lie: `1.2 MB of 40 MB free on the disk of "/x"`; inodes when few are left."""
    path = os.path.abspath(place)
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    facts = os.statvfs(path)
    bytes_ = f"{_megabytes(facts.f_bavail * facts.f_frsize)} of {_megabytes(facts.f_blocks * facts.f_frsize)} MB"
    has_few = facts.f_files and facts.f_favail < _FEW_INODES
    inodes = f" and {facts.f_favail} of {facts.f_files} inodes" if has_few else ""
    return f'{bytes_}{inodes}{_FREE}"{place}"'


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f}" if count < 100_000_000 else f"{count / 1e6:.0f}"


def has_no_room(directory: str, needed_bytes: int) -> bool:
    """True when the disk of a directory has less than that free, or no inode."""
    try:
        facts = os.statvfs(directory)
    except OSError:
        return False
    return facts.f_bavail * facts.f_frsize < needed_bytes or (facts.f_files > 0 and facts.f_favail == 0)


@contextmanager
def saying_space(place: str) -> Iterator[None]:
    """Adds to an error of a full disk how much is free at `place`, unless somebody nearer said so of another place."""
    try:
        yield
    except SlimstageError as error:
        note_space(error, place)
        raise


def note_space(error: SlimstageError, place: str) -> None:
    """As `saying_space`, for an error at hand."""
    if is_full(error) and not any(_FREE in note for each in error.diagnostics for note in each.notes):
        try:
            error.noted(space(place))
        except OSError:
            pass  # the disk may be gone altogether; the error itself is told


def keep_reserve(root: str) -> None:
    """Takes two megabytes of a disk that has enough, so that a prune has room to work when it is full. Idempotent."""
    path = os.path.join(root, _RESERVE)
    try:
        if os.path.lexists(path) or has_no_room(root, _SMALLEST_SHARE * _RESERVE_BYTES):
            return
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, _RESERVE_BYTES)
        finally:
            os.close(fd)
    except OSError:
        give_reserve(root)  # half of it is of no use; without one a prune works until the disk is full


def give_reserve(root: str) -> bool:
    """Gives that room back to the disk; False when there was none."""
    try:
        os.unlink(os.path.join(root, _RESERVE))
    except OSError:
        return False
    return True
