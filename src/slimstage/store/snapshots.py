"""Layer directories: write, then freeze.

A snapshot is a stack of immutable layer directories, base first. A step's result is one new directory. It is made under
a temporary name and renamed into place, so a kill -9 at any moment leaves the whole thing or nothing that counts.
Directories are in overlayfs' form, on a file system that cannot hold that in one of ours (see tree/marks.py): such a store
is *plain*, its layers are never mounted as an overlay, and a RUN works on a copy. Only `store/` knows where they lie.

A layer that was asked for is kept from being pruned until the process ends (see session.py).
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import NewType, TypeAlias

from slimstage.errors import StoreError
from slimstage.regex import pattern
from slimstage.store.database import Database
from slimstage.store.files import guarded, make_private, random_name, remove_tree, replace_file
from slimstage.store.folding import GROUP, KEPT, folded
from slimstage.store.promises import Promise, Promises
from slimstage.store.session import Session
from slimstage.tree.marks import UnfitFilesystem, holds_overlays_marks
from slimstage.tree.xattrs import opaque_name
from slimstage.values import dataclass

LayerId = NewType("LayerId", str)
"""Names one frozen layer directory: 32 hex digits (random), `c` + a chain ID's hex for layers of base images, or `f` and a
digest for several as one (see folding.py)."""

Stack: TypeAlias = tuple[LayerId, ...]
"""A snapshot: layer directories, base first. () is the empty tree."""

_BROUGHT_AT_ONCE = 4
"""Promised layers that come at the same time: they wait for a network, then for a core."""

_GRAMMAR = pattern(r"[0-9a-f]{32}\Z|[cf][0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class Draft:
    """A layer directory that is being written: `path` takes the files, `work` is an empty directory beside it."""

    id: LayerId
    path: str
    work: str


class Snapshots:
    """The layer directories of one store. Safe for threads and for several processes."""

    def __init__(self, directory: str, session: Session, database: Database) -> None:
        self._directory, self._session, self._database = directory, session, database
        self._plain_mark = os.path.join(os.path.dirname(directory), "plain")
        self._marks = os.path.join(os.path.dirname(directory), "marks")
        self._is_plain: bool | None = None
        self._folding = threading.Lock()
        self._promises: Promises[LayerId] = Promises()

    def promise(self, layer: LayerId, size_bytes: int, bring: Callable[[], None]) -> None:
        """Says that the layer can be had: `bring` freezes it once its path is asked for. size_bytes: of its files."""
        self._promises.add(layer, Promise(size_bytes, bring))

    def gives(self, stack: Stack) -> bool:
        """True when every layer is here or promised: `paths` gives them."""
        return all(self._promises.get(layer) is not None or self.has((layer,)) for layer in stack)

    def bring(self, stack: Stack) -> None:
        """Brings every layer that is only promised, several at a time. Raises PromiseBroken."""
        wanted = [layer for layer in dict.fromkeys(stack) if self._promises.get(layer) and not self.has((layer,))]
        if len(wanted) < 2:
            for layer in wanted:
                self._bring(layer)
            return
        from concurrent.futures import ThreadPoolExecutor  # few builds stand on promises

        with ThreadPoolExecutor(_BROUGHT_AT_ONCE, thread_name_prefix="bring") as pool:
            for done in [pool.submit(self._bring, layer) for layer in wanted]:
                done.result()

    def _bring(self, layer: LayerId) -> None:
        self._promises.keep(layer, lambda: self.has((layer,)))

    def draft(self, layer: LayerId | None = None) -> Draft:
        """A new empty draft, held by a lock for as long as this process lives. Raises StoreError when the disk is full."""
        self.is_plain()
        home = self._session.temporary("draft-")
        draft = Draft(
            LayerId(random_name()) if layer is None else layer, os.path.join(home, "fs"), os.path.join(home, "work")
        )
        self._place(draft.id)
        with guarded("begin a layer"):
            make_private(home)
            os.mkdir(draft.path)
            os.chmod(draft.path, 0o755)
            make_private(draft.work)
        return draft

    def is_plain(self) -> bool:
        """True when layers cannot be mounted as an overlay here: they have to be copied out (tree/plain.py).

        Found out once a process, and kept in the store as long as there are layers: a plain store that is moved to a better
        file system still has its own marks. Raises StoreError where no layer can lie at all.
        """
        if self._is_plain is None:
            with guarded("try the store's file system"):
                self._check_marks()
                is_plain = self._tries_plain()
                is_marked = os.path.lexists(self._plain_mark)
                if is_marked and not is_plain and not os.listdir(self._directory):
                    os.unlink(self._plain_mark)
                    is_marked = False
                if is_plain and not is_marked:
                    said = b"layers have slimstage's own marks: never mount them as an overlay\n"
                    replace_file(self._plain_mark, said)
                self._is_plain = is_plain or is_marked
        return self._is_plain

    def _check_marks(self) -> None:
        """Whoever cannot see the marks of a store would show what was deleted. Raises StoreError."""
        ours = "the host's root" if opaque_name().startswith("trusted.") else "a user namespace"
        try:
            with open(self._marks, encoding="utf-8") as file:
                theirs = file.read().strip()
        except FileNotFoundError:
            theirs = ""
        if theirs != ours and (not theirs or not os.listdir(self._directory)):
            replace_file(self._marks, f"{ours}\n".encode())
        elif theirs != ours:
            raise StoreError(
                f'the layers of the store "{os.path.dirname(self._directory)}" were made by {theirs}: {ours} cannot read them',
                code="store-of-others",
                hint="choose another place with --root or SLIMSTAGE_ROOT",
            )

    def become_plain(self) -> None:
        """For this process: the host refuses overlays, whatever the file system could hold."""
        self._is_plain = True

    def _tries_plain(self) -> bool:
        place = self._session.temporary("try-")
        make_private(place)
        try:
            return not holds_overlays_marks(place)
        except UnfitFilesystem as fault:
            raise StoreError(
                f'the store "{os.path.dirname(self._directory)}" is on a file system that cannot hold {fault}',
                code="bad-file-system",
                hint="choose a place on ext4, xfs, btrfs or tmpfs with --root or SLIMSTAGE_ROOT",
            ) from fault
        finally:
            remove_tree(place, on_error=lambda name, cause: None)

    def freeze(self, draft: Draft, *, size_bytes: int | None = None) -> LayerId:
        """Puts the draft in its place, atomically, and records its size; a layer that is already there wins silently."""
        home, place = os.path.dirname(draft.path), self._place(draft.id)
        self._session.hold(f"layer {draft.id}")
        with guarded("keep a layer"):
            remove_tree(draft.work)
            try:
                os.rename(home, place)
            except OSError as cause:
                if cause.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                remove_tree(home)
        self._database.change(
            "INSERT INTO layers (id, size_bytes, created_s) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING",
            (draft.id, size_bytes, time.time()),
        )
        return draft.id

    def discard(self, draft: Draft) -> None:
        """Removes a draft with all it holds. Idempotent; what cannot be removed goes with the session, at the latest."""
        remove_tree(os.path.dirname(draft.path), on_error=lambda name, cause: None)

    def path(self, layer: LayerId) -> str:
        """The absolute path of a frozen layer's directory. Raises StoreError when it is gone."""
        return self._paths((layer,))[0]

    def paths(self, stack: Stack) -> tuple[str, ...]:
        """Directories, base first, that show the stack's tree: those of its layers, of a deep stack fewer.

        Raises StoreError when a layer is gone.
        """
        if len(stack) < GROUP + KEPT:
            return self._paths(stack)
        self._hold(stack)
        shallow: list[LayerId] = []
        for name, layers in folded(stack):
            folds = LayerId(name)
            if len(layers) > 1 and not self.has((folds,)):
                with self._folding:
                    if not self.has((folds,)):
                        self._fold(folds, self._paths(tuple(map(LayerId, layers))))
            shallow.append(folds)
        return self._paths(tuple(shallow))

    def _paths(self, stack: Stack) -> tuple[str, ...]:
        if self._promises:
            self.bring(stack)
        self._hold(stack)
        found = tuple(os.path.join(self._place(layer), "fs") for layer in stack)
        for layer, path in zip(stack, found, strict=True):
            if not os.path.isdir(path):
                raise StoreError(
                    f'layer "{layer}" is not in the store any more',
                    code="layer-missing",
                    hint="build or pull the image again",
                )
        return found

    def _fold(self, name: LayerId, paths: tuple[str, ...]) -> None:
        from slimstage.tree.fold import fold  # few stacks are deep

        draft = self.draft(name)
        try:
            with guarded("fold layers"):
                fold(paths, draft.path)
            self.freeze(draft, size_bytes=0)  # its files are those of the layers
        except BaseException:
            self.discard(draft)
            raise

    def has(self, stack: Stack) -> bool:
        """True when every layer is there, and then they stay until this process ends."""
        places = [os.path.join(self._place(layer), "fs") for layer in stack]
        if not all(map(os.path.isdir, places)):
            return False
        self._hold(stack)
        return all(map(os.path.isdir, places))

    def size_bytes(self, layer: LayerId) -> int:
        """Bytes of the regular files in the layer, each inode once."""
        rows = self._database.query("SELECT size_bytes FROM layers WHERE id = ?", (layer,))
        if rows and rows[0][0] is not None:
            return int(rows[0][0])
        if (promise := self._promises.get(layer)) is not None and not self.has((layer,)):
            return promise.size_bytes
        size = tree_bytes(self.path(layer))
        self._database.change(
            "INSERT INTO layers (id, size_bytes, created_s) VALUES (?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET size_bytes = excluded.size_bytes",
            (layer, size, time.time()),
        )
        return size

    def list(self) -> Iterator[LayerId]:
        """Every frozen layer, sorted."""
        for name in sorted(os.listdir(self._directory)):
            if _GRAMMAR.match(name):
                yield LayerId(name)

    def place(self, layer: LayerId) -> str:
        """The directory that holds the layer's `fs`, whether it is there or not. Raises StoreError for a bad ID."""
        return self._place(layer)

    def _place(self, layer: LayerId) -> str:
        if not _GRAMMAR.match(layer):
            raise StoreError(f'"{layer[:100]}" is not a layer ID', code="bad-layer-id")
        return os.path.join(self._directory, layer)

    def _hold(self, stack: Stack) -> None:
        self._session.hold(*(f"layer {layer}" for layer in stack))


def tree_bytes(path: str) -> int:
    """Bytes of the regular files below the directory, each inode once; what cannot be read counts nothing."""
    total, seen = 0, set[tuple[int, int]]()
    pending = [path]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        found = entry.stat(follow_symlinks=False)
                        if found.st_nlink > 1:
                            if (found.st_dev, found.st_ino) in seen:
                                continue
                            seen.add((found.st_dev, found.st_ino))
                        total += found.st_size
        except OSError:
            continue
    return total
