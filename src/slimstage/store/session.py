"""One process' part of the store: its temporary directory, and what it keeps from being pruned.

A session is a lock file `locks/session-ID`, held for as long as the process lives, and a directory `tmp/ID` for drafts
and temporary files. `tmp/ID/leases` lists what the process uses, one a line (`layer ID`, `blob DIGEST`), `tmp/ID/outside`
what it is making elsewhere. When the lock can be taken by someone else, its owner is dead: its directory is garbage, its
leases count no more, and whoever begins a session next removes what it left (see leftovers.py).

The order that makes this safe: a lease is written under the shared `locks/collect`; a prune reads all leases and moves
its victims away under the exclusive one. So a thing is leased before the prune looks, or looked for after it is done.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from slimstage.store.files import Lock, guarded, make_private, random_name, remove_tree, wait_lock
from slimstage.store.leftovers import OUTSIDE, SESSION_LOCK, beside, dead_sessions, sweep_dead


class Session:
    """Begun at the first need. Safe for threads; a forked child begins one of its own and leaves its parent's alone."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._alive: Lock | None = None
        self._name = ""
        self._leases = -1
        self._held: set[str] = set()
        self._pid = 0
        self._steady = 0

    def directory(self) -> str:
        """The absolute path of this process' temporary directory. Raises StoreError."""
        with self._lock:
            self._begin()
            return os.path.join(self._root, "tmp", self._name)

    def temporary(self, prefix: str = "") -> str:
        """A path in it that does not exist yet."""
        return os.path.join(self.directory(), random_name(prefix))

    def beside(self, path: str) -> str:
        """A hidden name in the directory of `path`, outside the store, for what is renamed to `path` once it is whole.

        Whoever sweeps this session after its process was killed removes what has that name. Raises StoreError.
        """
        temporary = beside(path)
        note = os.path.join(self.directory(), OUTSIDE)
        with guarded("note a temporary file"):
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(note, flags, 0o600)
            try:
                os.write(fd, os.fsencode(temporary) + b"\0")
            finally:
                os.close(fd)
        return temporary

    def hold(self, *things: str) -> None:
        """Keeps each `layer ID` or `blob DIGEST` from being pruned until this process ends. Raises StoreError."""
        if self._pid == os.getpid() and self._held.issuperset(things):
            return
        with self._lock, guarded("note what is in use"):
            self._begin()
            new = [thing for thing in things if thing not in self._held]
            with nullcontext() if self._steady else wait_lock(self.collect_lock, is_shared=True):
                os.write(self._leases, "".join(f"{thing}\n" for thing in new).encode())
            self._held.update(new)

    @contextmanager
    def steady(self) -> Iterator[None]:
        """Nothing is pruned by anyone until the `with` ends: for moments in which many things are held one by one."""
        with wait_lock(self.collect_lock, is_shared=True):
            with self._lock:
                self._steady += 1
            try:
                yield
            finally:
                with self._lock:
                    self._steady -= 1

    @property
    def collect_lock(self) -> str:
        return os.path.join(self._root, "locks", "collect")

    @property
    def name(self) -> str:
        """ "" before it begins."""
        return self._name

    def close(self) -> None:
        """Gives everything back and removes the temporary directory. The session may begin again, as a new one."""
        with self._lock:
            if self._alive is None or self._pid != os.getpid():
                return
            os.close(self._leases)
            remove_tree(os.path.join(self._root, "tmp", self._name), on_error=lambda name, cause: None)
            self._alive.release(removes=True)
            self._alive, self._name, self._leases, self._held = None, "", -1, set()

    def _begin(self) -> None:
        if self._alive is not None:
            if self._pid == os.getpid():
                return
            # A fork: closing the child's copies leaves the parent's lock as it is.
            os.close(self._leases)
            self._alive.release()
            self._held = set()
        with guarded("begin to use the store"):
            name = random_name()
            # The lock first: a directory without a held lock is a dead one.
            alive = wait_lock(os.path.join(self._root, "locks", SESSION_LOCK + name))
            directory = os.path.join(self._root, "tmp", name)
            try:
                make_private(directory)
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
                self._leases = os.open(os.path.join(directory, "leases"), flags, 0o600)
            except BaseException:
                alive.release(removes=True)
                raise
            self._alive, self._name, self._pid = alive, name, os.getpid()
            sweep_dead(self._root)


def leased(root: str) -> set[str]:
    """What the live sessions hold. The caller has the exclusive `locks/collect`."""
    held: set[str] = set()
    dead = set(dead_sessions(root))
    for name in os.listdir(os.path.join(root, "tmp")):
        if name in dead:
            continue
        try:
            with open(os.path.join(root, "tmp", name, "leases"), encoding="utf-8") as lines:
                held.update(line.rstrip("\n") for line in lines if line.endswith("\n"))
        except (FileNotFoundError, NotADirectoryError):
            continue
    return held
