"""Directories of containers: what `run` needs beside an image, and which layers and images it keeps from a prune."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator

from slimstage.digest import Digest
from slimstage.errors import StoreError
from slimstage.regex import pattern
from slimstage.store.files import guarded, make_private, random_name, read_small, remove_tree, replace_file
from slimstage.store.snapshots import Stack

_NEEDS = "needs"
_GRAMMAR = pattern(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}\Z")


class Containers:
    """`containers/ID/`, 0700. The file `needs` in it lists what the container stands on; the rest is `container/`'s."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def create(
        self,
        stack: Stack,
        image: Digest | None = None,
        identity: str | None = None,
        *,
        fill: Callable[[str, str], None] = lambda identity, path: None,
    ) -> tuple[str, str]:
        """A new container directory: (ID, absolute path). Its layers and image stay until it is removed.

        fill: called with the ID and the directory under a temporary name, before anyone else can see it: a kill leaves a
        whole container or none. The layers have to be held (`Snapshots.has` or `paths`) when this is called.
        Raises StoreError.
        """
        identity = identity or random_name()
        path = self.path(identity)
        needs = "".join(f"layer {layer}\n" for layer in stack) + (f"image {image}\n" if image else "")
        draft = os.path.join(self._directory, random_name(".new-"))
        with guarded("make a container's directory"):
            make_private(draft)
            try:
                replace_file(os.path.join(draft, _NEEDS), needs.encode(), is_durable=False)
                fill(identity, draft)
                try:
                    os.rename(draft, path)
                except OSError as cause:
                    if cause.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                        raise
                    raise StoreError(f'container "{identity}" exists already', code="container-exists") from None
            except BaseException:
                remove_tree(draft)
                raise
        return identity, path

    def path(self, identity: str) -> str:
        """Where the container's directory lies or would lie. Raises StoreError for what is no ID."""
        if not _GRAMMAR.match(identity):
            raise StoreError(f'"{identity[:100]}" is not a container ID', code="bad-container-id")
        return os.path.join(self._directory, identity)

    def list(self) -> list[str]:
        """The IDs, sorted."""
        with guarded("list containers"):
            return sorted(name for name in os.listdir(self._directory) if _GRAMMAR.match(name))

    def needs(self) -> Iterator[str]:
        """`layer ID` and `image DIGEST` of all containers."""
        for identity in self.list():
            try:
                text = read_small(os.path.join(self.path(identity), _NEEDS)).decode("utf-8", "replace")
            except OSError:
                continue
            yield from (line for line in text.split("\n") if line)

    def remove(self, identity: str) -> None:
        """Removes the directory with all it holds. Idempotent. Raises StoreError when something is mounted inside."""
        away = os.path.join(self._directory, random_name(".gone-"))
        with guarded("remove a container's directory"):
            try:
                # First out of sight: half a container is none, and what is left of it is known as a leftover.
                os.rename(self.path(identity), away)
            except FileNotFoundError:
                return
            try:
                remove_tree(away)
            except OSError:
                if os.path.lexists(away):
                    os.rename(away, self.path(identity))
                raise
