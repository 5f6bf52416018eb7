"""The store: one directory that several slimstage processes share.

version          format version; a newer one is refused
store.db         SQLite, WAL: images, records, layers, file digests
blobs/sha256/    bytes by digest
partial/         what interrupted transfers brought (see partial.py)
layers/ID/fs     frozen layer directories
reserve          room for a prune on a full disk (see space.py)
plain            there when layers have our own marks and not overlayfs' (see tree/marks.py)
tmp/             drafts and temporary files, each with an owner's lock
caches/          RUN --mount=type=cache directories
containers/      what `run -d` started
locks/
"""

from __future__ import annotations

import os
from pathlib import Path

from slimstage.errors import StoreError
from slimstage.store.blobs import Blobs
from slimstage.store.builds import Builds
from slimstage.store.caches import Caches
from slimstage.store.containers import Containers
from slimstage.store.database import Database
from slimstage.store.digests import FileDigests
from slimstage.store.files import guarded, make_private, read_small, replace_file
from slimstage.store.images import Images
from slimstage.store.indexes import Indexes
from slimstage.store.origins import Origins
from slimstage.store.packed import Packed
from slimstage.store.places import Places
from slimstage.store.records import Records
from slimstage.store.referrers import Referrers
from slimstage.store.session import Session
from slimstage.store.snapshots import Snapshots

FORMAT = 1
"""Of the directory as a whole; the database has its own version and migrations."""

_DIRECTORIES = ("blobs", "blobs/sha256", "layers", "tmp", "caches", "containers", "locks")


class Store:
    """Everything on disk, opened. Cheap to open; safe for threads and for several processes at once.

    What a process was told to be there (a layer, a blob) stays there until it closes the store or ends.
    """

    root: Path
    blobs: Blobs
    snapshots: Snapshots
    records: Records
    places: Places
    images: Images
    referrers: Referrers
    indexes: Indexes
    digests: FileDigests
    packed: Packed
    origins: Origins
    builds: Builds
    caches: Caches
    containers: Containers

    def __init__(self, root: Path) -> None:
        """Ties the parts together; `open` is the way in."""
        self.root = root
        base = os.fspath(root)
        self.session = Session(base)
        self.database = Database(os.path.join(base, "store.db"), os.path.join(base, "locks", "database"))
        self.blobs = Blobs(os.path.join(base, "blobs"), self.session)
        self.snapshots = Snapshots(os.path.join(base, "layers"), self.session, self.database)
        self.records = Records(self.database)
        self.places = Places(self.database)
        self.referrers = Referrers(self.database, self.blobs)
        self.indexes = Indexes(self.database)
        self.images = Images(self.database, self.indexes)
        self.digests = FileDigests(self.database)
        self.packed = Packed(self.database, self.blobs)
        self.origins = Origins(self.database)
        self.builds = Builds(self.database)
        self.caches = Caches(os.path.join(base, "caches"), self.session)
        self.containers = Containers(os.path.join(base, "containers"))

    @classmethod
    def open(cls, root: Path) -> Store:
        """Makes the directory (0700) where it is not there. Raises StoreError: newer version, not writable, not a store."""
        with guarded(f'open the store "{root}"'):
            base = os.path.realpath(root)
            os.makedirs(os.path.dirname(base), exist_ok=True)
            make_private(base)
            _check_owner(base)
            _check_version(base)
            for name in _DIRECTORIES:
                make_private(os.path.join(base, name))
        return cls(Path(base))

    def close(self) -> None:
        """Writes down what was used, lets go of everything that was held. Idempotent."""
        try:
            self.records.flush()
            self.packed.flush()
        finally:
            self.database.close()
            self.session.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def default_root() -> Path:
    """`SLIMSTAGE_ROOT`, else /var/lib/slimstage for root, else the XDG data directory."""
    named = os.environ.get("SLIMSTAGE_ROOT")
    if named:
        return Path(named).absolute()
    if os.geteuid() == 0:
        return Path("/var/lib/slimstage")
    data = os.environ.get("XDG_DATA_HOME", "")
    # The XDG base directory specification: a relative path in the variable is to be ignored.
    base = Path(data) if os.path.isabs(data) else Path.home() / ".local" / "share"
    return base / "slimstage"


def _check_owner(base: str) -> None:
    """The directory is ours and nobody else can enter: what images hold, setuid programs too, stays out of reach."""
    found = os.stat(base)
    if found.st_uid != os.geteuid():
        raise StoreError(
            f'the store "{base}" belongs to user {found.st_uid}, not to {os.geteuid()}',
            code="store-owner",
            hint="choose another place with --root or SLIMSTAGE_ROOT",
        )
    if found.st_mode & 0o077:
        os.chmod(base, 0o700)


def _check_version(base: str) -> None:
    path = os.path.join(base, "version")
    try:
        text = read_small(path, 64).decode("ascii", "replace").strip()
    except FileNotFoundError:
        if any(not name.startswith(".new-") and name != "lost+found" for name in os.listdir(base)):
            # Another process may have just made it.
            if os.path.exists(path):
                return _check_version(base)
            raise StoreError(
                f'"{base}" is not a slimstage store, and it is not empty',
                code="not-a-store",
                hint="name an empty or new directory with --root or SLIMSTAGE_ROOT",
            ) from None
        replace_file(path, f"{FORMAT}\n".encode())
        return None
    if not text.isdigit():
        raise StoreError(f'"{path}" is damaged: want a number, got {text[:40]!r}', code="store-damaged")
    if int(text) > FORMAT:
        raise StoreError(
            f'the store "{base}" has format {text}, this program knows up to {FORMAT}',
            code="store-newer",
            hint="use a newer slimstage, or another place with --root or SLIMSTAGE_ROOT",
        )
    return None
