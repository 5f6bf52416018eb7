"""Layer directories: write, then freeze.

A snapshot is a stack of immutable layer directories, base first. A step's result is one new directory. It is made under
a temporary name and renamed into place, so a kill -9 at any moment leaves the whole thing or nothing that counts.
Directories are in overlayfs' form (see tree/union.py). Only `store/` knows where they lie.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType, TypeAlias

LayerId = NewType("LayerId", str)
"""Names one frozen layer directory: 32 hex digits (random), or `c` + a chain ID's hex for layers of base images."""

Stack: TypeAlias = tuple[LayerId, ...]
"""A snapshot: layer directories, base first. () is the empty tree."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A layer directory that is being written: `path` takes the files, `work` is an empty directory beside it."""

    id: LayerId
    path: str
    work: str


class Snapshots:
    """The layer directories of one store."""

    def draft(self, layer: LayerId | None = None) -> Draft:
        """A new empty draft, held by a lock for as long as this process lives. Raises StoreError when the disk is full."""
        raise NotImplementedError

    def freeze(self, draft: Draft, *, size_bytes: int | None = None) -> LayerId:
        """Puts the draft in its place, atomically, and records its size; a layer that is already there wins silently."""
        raise NotImplementedError

    def discard(self, draft: Draft) -> None:
        """Removes a draft with all it holds. Idempotent."""
        raise NotImplementedError

    def path(self, layer: LayerId) -> str:
        """The absolute path of a frozen layer's directory. Raises StoreError when it is gone."""
        raise NotImplementedError

    def paths(self, stack: Stack) -> tuple[str, ...]:
        raise NotImplementedError

    def has(self, stack: Stack) -> bool:
        """True when every layer is there."""
        raise NotImplementedError

    def size_bytes(self, layer: LayerId) -> int:
        """Bytes of the regular files in the layer, each inode once."""
        raise NotImplementedError
