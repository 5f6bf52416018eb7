"""The store: one directory that several slimstage processes share.

version          format version; a newer one is refused
store.db         SQLite, WAL: images, records, layers, file digests
blobs/sha256/    bytes by digest
layers/ID/fs     frozen layer directories
tmp/             drafts and temporary files, each with an owner's lock
caches/          RUN --mount=type=cache directories
containers/      what `run -d` started
locks/
"""

from __future__ import annotations

from pathlib import Path

from slimstage.store.blobs import Blobs
from slimstage.store.images import Images
from slimstage.store.records import Records
from slimstage.store.snapshots import Snapshots


class Store:
    """Everything on disk, opened. Cheap to open; safe for threads and for several processes at once."""

    root: Path
    blobs: Blobs
    snapshots: Snapshots
    records: Records
    images: Images

    @classmethod
    def open(cls, root: Path) -> Store:
        """Makes the directory (0700) where it is not there. Raises StoreError: newer version, not writable, not a store."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def default_root() -> Path:
    """`SLIMSTAGE_ROOT`, else /var/lib/slimstage for root, else the XDG data directory."""
    raise NotImplementedError
