"""When a heredoc or the checkout of a commit was first made here: that is how old its files are, wherever they are copied.

BuildKit makes either once and keeps it, so the same one copied again is the same files, in a later build as well; a layer in
which nothing else changed is empty, and one that is built again is the same. Kept as records of the store, which a prune may
take: then it is made anew.
Source: BuildKit frontend/dockerfile/dockerfile2llb/convert.go, dispatchCopy ("preparing inline document"), and
source/git/source.go, whose snapshots are by commit and subdirectory.
"""

from __future__ import annotations

import time

from slimstage.digest import digest_bytes, digest_json
from slimstage.dockerfile.instructions import Heredoc
from slimstage.plan.graph import Git
from slimstage.store.records import Record
from slimstage.store.store import Store

_NAME = "made_ns"


class Moments:
    """Of one store. Safe for threads and for several processes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def of_heredoc(self, heredoc: Heredoc) -> int:
        """Nanoseconds since the epoch, for a file of this name with this text."""
        content = digest_bytes(heredoc.content.encode("utf-8", "surrogateescape"))
        return self._made_ns(["heredoc", heredoc.name, content])

    def of_checkout(self, git: Git, commit: str) -> int:
        """Nanoseconds since the epoch, for the files of the commit that an ADD of this repository brings."""
        # Only .git tells from where a commit came. A remote may hold a token: nothing but the digest is stored.
        remote = git.remote if git.keep_git_dir else ""
        return self._made_ns(["git", commit, git.subdir or "", remote, git.submodules])

    def _made_ns(self, what: list[object]) -> int:
        key = f"made-{digest_json(what)[7:]}"
        with self._store.database.transaction():  # of two that make it at the same time one is the first
            record = self._store.records.get(key)
            text = dict(record.explain).get(_NAME, "") if record is not None else ""
            if text.isdecimal():
                return int(text)
            made_ns = time.time_ns()
            self._store.records.put(Record(key, key, None, ((_NAME, str(made_ns)),), created_s=made_ns / 1e9))
        return made_ns
