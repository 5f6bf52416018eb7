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

from slimstage.analyze.gathering import Gathering
from slimstage.analyze.layers import DIGESTED_BYTES, Content, Keeps, LayerEntry, LayerFacts
from slimstage.digest import VerifyingReader
from slimstage.oci.descriptor import Descriptor
from slimstage.tree.copying import write_all
from slimstage.tree.decompress import decompressed
from slimstage.tree.untar import TarReader

MOST_KEPT_BYTES = 8 << 30


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
    """See `layers.Layer`. open_blob: opens the blob at its beginning. The spool stays the caller's.

    digests_all: small files have a digest, too; some 100 bytes of memory for each.
    """

    has_digests = True

    def __init__(
        self,
        blob: Descriptor,
        open_blob: Callable[[Descriptor], BinaryIO],
        facts: LayerFacts,
        spool: Spool,
        *,
        digests_all: bool = False,
    ) -> None:
        self.facts = facts
        self._least_bytes = 0 if digests_all else DIGESTED_BYTES
        self._blob, self._open_blob, self._spool = blob, open_blob, spool
        self._kept: dict[str, tuple[int, int, int]] = {}
        """Path → (offset in the spool, bytes there, size of the file)."""
        self._digests: dict[str, bytes] = {}
        self._gathering = Gathering(blob.digest)

    def entries(self, keeps: Keeps) -> Iterator[LayerEntry]:
        """In the order of the tar; a name that comes twice counts as the last time. Hard links have their file's size."""
        with self._open_blob(self._blob) as stream:
            verified = VerifyingReader(stream, self._blob.digest, self._blob.size)
            reader = TarReader(decompressed(verified))
            for member in reader:
                owner = (member.mode, member.uid, member.gid)
                if self._gathering.add(member.path, member.kind, member.size, member.target, owner):
                    self._take(member.path, member.size, reader, keeps)
            reader.drain()
            while verified.read(1 << 20):
                pass
        yield from self._gathering.entries()

    def _take(self, path: str, size: int, reader: TarReader, keeps: Keeps) -> None:
        """Digests the current member's content and keeps what is wanted of it."""
        self._kept.pop(path, None)
        self._digests.pop(path, None)
        wanted = min(keeps(path, size), size)
        if wanted > self._spool.left_bytes:
            wanted = 0
        if size < self._least_bytes and not wanted:
            return
        state = hashlib.sha256() if size >= self._least_bytes else None
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
        kept = self._kept.get(self._gathering.first_name(path))
        return None if kept is None else Kept(self._spool.fd, *kept)

    def digest(self, path: str) -> bytes | None:
        return self._digests.get(self._gathering.first_name(path))


class Kept:
    """A part of a spool as content: the first `kept` bytes of a file of `size`."""

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
