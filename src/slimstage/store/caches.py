"""Directories of `RUN --mount=type=cache`: they outlive builds, are shared by them, and are in no layer and no key.

`caches/HEX/` belongs to one cache ID; it holds numbered slots `N/fs`, each with a lock `N.lock` and a time of last use
(the lock file's mtime). Slot 0 serves everyone who shares; the others appear when `private` users meet.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from itertools import count
from typing import Literal

from slimstage.store.files import (
    Lock,
    guarded,
    make_private,
    remove_tree,
    replace_file,
    try_lock,
    wait_lock,
    wait_lock_cancellable,
)
from slimstage.store.session import Session
from slimstage.values import dataclass

Sharing = Literal["shared", "private", "locked"]


@dataclass(slots=True)
class CacheLease:
    """A cache directory in use: `path` is to be mounted. Release it when the step has ended; ending the process does too."""

    path: str
    is_new: bool
    _lock: Lock

    def release(self) -> None:
        """Lets others have it. Idempotent."""
        self._lock.release()

    def __enter__(self) -> CacheLease:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Caches:
    """The cache directories of one store. Safe for threads and for several processes."""

    def __init__(self, directory: str, session: Session) -> None:
        self._directory, self._session = directory, session

    def acquire(
        self,
        identity: str,
        sharing: Sharing = "shared",
        *,
        mode: int = 0o755,
        uid: int = 0,
        gid: int = 0,
        seed: Callable[[str], None] | None = None,
        is_fresh: bool = False,
        cancel: threading.Event | None = None,
    ) -> CacheLease:
        """A directory for the cache of this ID, new (seeded, then given mode and owner) or as it was left.

        sharing: `shared` with any number of others; `locked` waits until nobody else has it; `private` gets one of its
        own when it is taken. is_fresh (`--no-cache`): an empty one; what was there is dropped, unless it is in use:
        then its users keep it and this gets another. So are those that `private` users left.
        seed: called with the new directory's path before anyone else can see it.
        Raises StoreError; Interrupted when `cancel` is set while waiting.
        """
        home = os.path.join(self._directory, hashlib.sha256(os.fsencode(identity)).hexdigest()[:32])
        with guarded("open a cache directory"):
            make_private(home)
            if not os.path.exists(os.path.join(home, "id")):
                replace_file(os.path.join(home, "id"), os.fsencode(identity), is_durable=False)
            slot, lock = self._slot(home, sharing, is_fresh, cancel or threading.Event())
            try:
                place = os.path.join(home, str(slot))
                # Several may share the slot: one of them makes it.
                with wait_lock(os.path.join(home, "make.lock")):
                    if is_fresh and os.path.lexists(place):
                        self._drop(place)
                    if is_fresh:
                        self._drop_unused(home)
                    is_new = not os.path.lexists(place)
                    if is_new:
                        self._make(place, mode, uid, gid, seed)
                os.utime(lock.fd)
            except BaseException:
                lock.release()
                raise
            if is_fresh and sharing == "shared" and slot == 0:
                # flock cannot turn exclusive into shared in one go: let go, and come in again as everyone does.
                lock.release()
                lease = self.acquire(identity, sharing, mode=mode, uid=uid, gid=gid, seed=seed, cancel=cancel)
                return CacheLease(lease.path, True, lease._lock)
        return CacheLease(os.path.join(place, "fs"), is_new, lock)

    def borrow(self, identity: str, sharing: Sharing, cancel: threading.Event | None = None) -> CacheLease | None:
        """A directory that is there, as it was left, held as a step with that sharing holds it; None: there is none.

        Of `private` ones the first that nobody has; None when all are in use.
        Raises StoreError; Interrupted when `cancel` is set while waiting.
        """
        home = os.path.join(self._directory, hashlib.sha256(os.fsencode(identity)).hexdigest()[:32])
        with guarded("open a cache directory"):
            for slot in count():
                place = os.path.join(home, str(slot), "fs")
                if not os.path.isdir(place):
                    return None
                if sharing == "private":
                    lock = try_lock(_lock_path(home, slot))
                else:
                    path, is_shared = _lock_path(home, slot), sharing == "shared"
                    lock = wait_lock_cancellable(path, cancel or threading.Event(), is_shared=is_shared)
                if lock is None:
                    continue
                if os.path.isdir(place):
                    return CacheLease(place, False, lock)
                lock.release()  # pruned meanwhile
                return None
        return None

    def _slot(self, home: str, sharing: Sharing, is_fresh: bool, cancel: threading.Event) -> tuple[int, Lock]:
        if sharing == "locked":
            return 0, wait_lock_cancellable(_lock_path(home, 0), cancel)
        if sharing == "shared" and not is_fresh:
            return 0, wait_lock_cancellable(_lock_path(home, 0), cancel, is_shared=True)
        for slot in count():
            lock = try_lock(_lock_path(home, slot))
            if lock is not None:
                return slot, lock
        raise AssertionError("unreachable")

    def _make(self, place: str, mode: int, uid: int, gid: int, seed: Callable[[str], None] | None) -> None:
        draft = self._session.temporary("cache-")
        tree = os.path.join(draft, "fs")
        try:
            os.mkdir(draft, 0o700)
            os.mkdir(tree, 0o700)
            if seed is not None:
                seed(tree)
            fd = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if (uid, gid) != (os.geteuid(), os.getegid()):
                    os.fchown(fd, uid, gid)
                os.fchmod(fd, mode)
            finally:
                os.close(fd)
            os.rename(draft, place)
        except BaseException:
            remove_tree(draft, on_error=lambda name, cause: None)
            raise

    def _drop_unused(self, home: str) -> None:
        """All slots that nobody has; the one that was just taken is somebody's."""
        for name in os.listdir(home):
            if name.isdigit() and (lock := try_lock(_lock_path(home, int(name)))) is not None:
                with lock:
                    self._drop(os.path.join(home, name))

    def _drop(self, place: str) -> None:
        away = self._session.temporary("cache-")
        os.rename(place, away)
        remove_tree(away)

    def list(self) -> list[CacheSlot]:
        """Every slot on disk, with the time of its last use."""
        slots = []
        for home in sorted(os.listdir(self._directory)):
            base = os.path.join(self._directory, home)
            try:
                names = sorted(os.listdir(base))
                with open(os.path.join(base, "id"), "rb") as stream:
                    identity = os.fsdecode(stream.read())
            except OSError:
                continue
            slots += [
                CacheSlot(identity, os.path.join(base, name), _used_s(base, name)) for name in names if name.isdigit()
            ]
        return slots

    def remove(self, slot: CacheSlot) -> int:
        """Removes a slot unless someone has it; returns the bytes freed. Raises StoreError."""
        with guarded("remove a cache directory"):
            home, name = os.path.split(slot.path)
            lock = try_lock(_lock_path(home, int(name)))
            if lock is None:
                return 0
            with lock:
                away = self._session.temporary("cache-")
                try:
                    os.rename(slot.path, away)
                except FileNotFoundError:
                    return 0
            return remove_tree(away)


@dataclass(frozen=True, slots=True)
class CacheSlot:
    """One directory of a cache: `identity` is the mount's ID, `used_s` when it was last taken."""

    identity: str
    path: str
    used_s: float


def _lock_path(home: str, slot: int) -> str:
    return os.path.join(home, f"{slot}.lock")


def _used_s(home: str, slot: str) -> float:
    try:
        return os.stat(_lock_path(home, int(slot))).st_mtime
    except OSError:
        return 0.0
