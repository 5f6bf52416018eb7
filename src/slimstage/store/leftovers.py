"""What processes that were killed leave behind, found and removed.

A session's lock tells whether its owner lives: the kernel lets go of it with the process. What has no such owner has a
name that begins with a dot, and counts as left when it is older than anything that is just being made.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator

from slimstage.regex import pattern
from slimstage.store.files import random_name, remove_tree, try_lock, wait_lock

SESSION_LOCK = "session-"
OUTSIDE = "outside"
"""The file of a session's directory that names what it makes outside the store, each path ended by a zero byte."""

_BESIDE = pattern(rb"\..{0,64}\.[0-9a-f]{32}\Z", re.DOTALL)
_UNFINISHED = (".new-", ".gone-")
_LEFTOVER_S = 60.0


def beside(path: str) -> str:
    """A hidden name in the directory of `path` that nobody can guess: for what is renamed to it once it is whole."""
    directory, name = os.path.split(os.path.abspath(path))
    # Not more than 64 bytes of the name, so that a name of 255 has room for the rest.
    short = os.fsdecode(os.fsencode(name)[:64])
    return os.path.join(directory, random_name(f".{short}."))


def dead_sessions(root: str) -> Iterator[str]:
    """Names in `tmp/` whose owner has ended."""
    for name in sorted(os.listdir(os.path.join(root, "tmp"))):
        lock = try_lock(os.path.join(root, "locks", SESSION_LOCK + name), creates=False)
        if lock is not None:
            lock.release()
            yield name
        elif not os.path.lexists(os.path.join(root, "locks", SESSION_LOCK + name)):
            yield name


def stale_locks(root: str) -> list[str]:
    """Lock files of dead sessions that have no directory (killed between the two)."""
    names = []
    for name in sorted(os.listdir(os.path.join(root, "locks"))):
        if name.startswith(SESSION_LOCK) and not os.path.lexists(os.path.join(root, "tmp", name[len(SESSION_LOCK) :])):
            lock = try_lock(os.path.join(root, "locks", name), creates=False)
            if lock is not None:
                lock.release()
                names.append(name[len(SESSION_LOCK) :])
    return names


def sweep(root: str, names: Iterable[str]) -> int:
    """Removes what dead sessions left, in the store and outside; returns the bytes freed.

    One that someone else sweeps is left to them.
    """
    freed = 0
    for name in names:
        # Held while removing: two sweepers never meet, and an owner cannot be alive.
        with wait_lock(os.path.join(root, "locks", "sweep")):
            freed += _sweep_one(root, name)
    return freed


def sweep_dead(root: str) -> None:
    """Removes what dead sessions left; leaves all of it to whoever is at it already."""
    names = [*dead_sessions(root), *stale_locks(root)]
    if names and (lock := try_lock(os.path.join(root, "locks", "sweep"))) is not None:
        with lock:
            for name in names:
                _sweep_one(root, name)


def _sweep_one(root: str, name: str) -> int:
    lock = try_lock(os.path.join(root, "locks", SESSION_LOCK + name))
    if lock is None:
        return 0
    place = os.path.join(root, "tmp", name)
    freed = _remove_outside(place) + remove_tree(place, on_error=lambda where, cause: None)
    lock.release(removes=True)
    return freed


def _remove_outside(session: str) -> int:
    """What it was making outside the store. The list is only ours to write; still, only our own names are removed."""
    freed = 0
    try:
        with open(os.path.join(session, OUTSIDE), "rb") as stream:
            paths = stream.read().split(b"\0")[:-1]
    except (FileNotFoundError, NotADirectoryError):
        return 0
    for path in paths:
        if path.startswith(b"/") and _BESIDE.match(os.path.basename(path)):
            try:
                freed += remove_tree(os.fsdecode(path), on_error=lambda where, cause: None)
            except OSError:
                continue  # its directory is gone, or cannot be entered any more
    return freed


def drop_step_locks(root: str) -> None:
    """Removes the lock files of steps that nobody works on: each has a name that is used for one key only."""
    for name in os.listdir(os.path.join(root, "locks")):
        if name.startswith("step-"):
            lock = try_lock(os.path.join(root, "locks", name), creates=False)
            if lock is not None:
                lock.release(removes=True)


def unfinished(root: str) -> list[str]:
    """Paths in the store that were to be renamed or removed a while ago, and were not."""
    places = [root, *(os.path.join(root, name) for name in ("containers", "caches"))]
    found = []
    for place in (*places, *_directories(places[1]), *_directories(places[2])):
        for name in sorted(os.listdir(place)):
            path = os.path.join(place, name)
            if name.startswith(_UNFINISHED) and _is_old(path):
                found.append(path)
    return found


def _directories(path: str) -> list[str]:
    names = (name for name in sorted(os.listdir(path)) if not name.startswith(_UNFINISHED))
    return [os.path.join(path, name) for name in names if os.path.isdir(os.path.join(path, name))]


def _is_old(path: str) -> bool:
    """A younger one may belong to a process that is just between making and renaming it."""
    try:
        return os.lstat(path).st_mtime < time.time() - _LEFTOVER_S
    except FileNotFoundError:
        return False
