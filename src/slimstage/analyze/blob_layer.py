"""A layer as a blob: a tar, compressed or not, that passes by once. What is wanted later is kept beside in an unnamed file.

The blob is not trusted: `tree/untar.py` bounds what it says, its digest is checked at its end, and no more is kept than
`MOST_KEPT_BYTES` of all layers together and half of what the disk has free.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import BinaryIO

from slimstage.analyze.layers import DIGESTED_BYTES, Content, Keeps, LayerEntry, LayerFacts
from slimstage.digest import VerifyingReader
from slimstage.errors import FormatError
from slimstage.oci.descriptor import Descriptor
from slimstage.tree.copying import write_all
from slimstage.tree.decompress import decompressed
from slimstage.tree.pack import OPAQUE, WHITEOUT
from slimstage.tree.untar import TarMember, TarReader
from slimstage.values import replace

MOST_KEPT_BYTES = 8 << 30
MOST_ENTRIES = 4_000_000
"""Of one layer: no image has so many, and each takes memory."""
MOST_UNPACKED_BYTES = 1 << 40
"""Of one layer's files together: a bomb ends here at the latest."""
_AUFS = ".wh..wh."


class Spool:
    """Where layers of one image keep content: an unnamed file that grows. Close it."""

    def __init__(self, directory: str | None = None) -> None:
        self._file = tempfile.TemporaryFile(dir=directory)
        self.fd = self._file.fileno()
        facts = os.fstatvfs(self.fd)
        self.left_bytes = min(MOST_KEPT_BYTES, facts.f_bavail * facts.f_frsize // 2)
        self.end = 0

    def close(self) -> None:
        """Idempotent."""
        self._file.close()


class BlobLayer:
    """See `layers.Layer`. open_blob: opens the blob at its beginning. The spool stays the caller's."""

    has_digests = True

    def __init__(
        self, blob: Descriptor, open_blob: Callable[[Descriptor], BinaryIO], facts: LayerFacts, spool: Spool
    ) -> None:
        self.facts = facts
        self._blob, self._open_blob, self._spool = blob, open_blob, spool
        self._kept: dict[str, tuple[int, int, int]] = {}
        """Path → (offset in the spool, bytes there, size of the file)."""
        self._digests: dict[str, bytes] = {}
        self._links: dict[str, str] = {}
        """Further name → the first."""

    def entries(self, keeps: Keeps) -> Iterator[LayerEntry]:
        """In the order of the tar; a name that comes twice counts as the last time. Hard links have their file's size."""
        found: dict[str, LayerEntry] = {}
        groups: dict[str, int] = {}
        with self._open_blob(self._blob) as stream:
            verified = VerifyingReader(stream, self._blob.digest, self._blob.size)
            reader = TarReader(decompressed(verified))
            total = 0
            for member in reader:
                entry = self._entry(member, reader, found, groups, keeps)
                if entry is None:
                    continue
                total += entry.size if entry.kind == "file" else 0
                key = entry.path + "\0" if entry.kind in ("whiteout", "opaque") else entry.path
                found.pop(key, None)
                found[key] = entry
                if len(found) > MOST_ENTRIES or total > MOST_UNPACKED_BYTES:
                    raise FormatError(
                        f"the layer {self._blob.digest} has more than {MOST_ENTRIES} entries,"
                        f" or more than {MOST_UNPACKED_BYTES >> 30} GiB of files",
                        code="too-many-entries",
                    )
            reader.drain()
            while verified.read(1 << 20):
                pass
        for entry in found.values():
            if entry.kind == "file" and not entry.link and entry.path in groups:
                entry = replace(entry, link=groups[entry.path])
            yield entry

    def _entry(
        self,
        member: TarMember,
        reader: TarReader,
        found: dict[str, LayerEntry],
        groups: dict[str, int],
        keeps: Keeps,
    ) -> LayerEntry | None:
        path, kind = member.path, member.kind
        above, _, name = path.rpartition("/")
        if name == OPAQUE:
            return LayerEntry(above, "opaque")
        if name.startswith(_AUFS):
            return None
        if name.startswith(WHITEOUT):
            if name == WHITEOUT:
                return None
            bare = name[len(WHITEOUT) :]
            return LayerEntry(f"{above}/{bare}" if above else bare, "whiteout")
        if not path:
            return None
        if kind == "hardlink":
            first = self._links.get(member.target, member.target)
            known = found.get(first)
            groups.pop(path, None)
            if known is None or known.kind != "file" or first == path:
                return LayerEntry(path, "file")  # of a file of a lower layer, or of none: nothing is stored here
            self._links[path] = first
            link = groups.setdefault(first, len(groups) + 1)
            return LayerEntry(path, "file", known.size, link, "", known.mode, known.uid, known.gid)
        self._links.pop(path, None)
        groups.pop(path, None)
        if kind == "file":
            self._take(path, member.size, reader, keeps)
            return LayerEntry(path, "file", member.size, 0, "", member.mode, member.uid, member.gid)
        if kind == "dir":
            return LayerEntry(path, "dir", 0, 0, "", member.mode, member.uid, member.gid)
        if kind == "symlink":
            return LayerEntry(path, "symlink", 0, 0, member.target, member.mode, member.uid, member.gid)
        return LayerEntry(path, "other", 0, 0, "", member.mode, member.uid, member.gid)

    def _take(self, path: str, size: int, reader: TarReader, keeps: Keeps) -> None:
        """Digests the current member's content and keeps what is wanted of it."""
        self._kept.pop(path, None)
        self._digests.pop(path, None)
        wanted = min(keeps(path, size), size)
        if wanted > self._spool.left_bytes:
            wanted = 0
        if size < DIGESTED_BYTES and not wanted:
            return
        state = hashlib.sha256() if size >= DIGESTED_BYTES else None
        start, left = self._spool.end, wanted
        for chunk in reader.chunks():
            if state is not None:
                state.update(chunk)
            if left:
                part = chunk[:left]
                write_all(self._spool.fd, part)
                left -= len(part)
        if wanted:
            self._kept[path] = (start, wanted, size)
            self._spool.end += wanted
            self._spool.left_bytes -= wanted
        if state is not None:
            self._digests[path] = state.digest()

    def open(self, path: str) -> Content | None:
        kept = self._kept.get(self._links.get(path, path))
        return None if kept is None else _Kept(self._spool.fd, *kept)

    def digest(self, path: str) -> bytes | None:
        return self._digests.get(self._links.get(path, path))


class _Kept:
    def __init__(self, fd: int, offset: int, kept: int, size: int) -> None:
        self._fd, self._offset, self._kept, self.size = fd, offset, kept, size

    def at(self, offset: int, count: int) -> bytes:
        parts: list[bytes] = []
        count = max(0, min(count, self._kept - offset))
        while count and (data := os.pread(self._fd, count, self._offset + offset)):
            parts.append(data)
            offset, count = offset + len(data), count - len(data)
        return b"".join(parts)

    def close(self) -> None:
        """Nothing is open but the spool."""
