"""A layer that can be read in parts: its table of contents says what is in it, and only the files that are wanted are fetched.

For registries: of a layer of a gigabyte a megabyte or two comes. The table is the one that the manifest names by its digest;
every piece is digested when it comes. A table that lies is no table: then the whole blob is read.
Source: as for tree/partread.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import BinaryIO, Protocol

from slimstage.analyze.blob_layer import BlobLayer, Kept, Spool
from slimstage.analyze.gathering import Gathering
from slimstage.analyze.layers import Content, Keeps, LayerEntry, LayerFacts
from slimstage.analyze.record import below_root
from slimstage.errors import DigestMismatch, FormatError
from slimstage.oci.descriptor import Descriptor
from slimstage.tree import partial
from slimstage.tree.copying import write_all
from slimstage.tree.partread import Contents, PartialFile, read_chunk, read_contents
from slimstage.tree.toc import Chunk
from slimstage.tree.untar import MemberKind
from slimstage.values import replace

_GAP_BYTES = 256 << 10
"""What lies between two wanted pieces is read and thrown away rather than asked around."""
_MOST_AT_ONCE = 8 << 20
_READ_BYTES = 256 << 10
_KINDS: Mapping[str, MemberKind] = {
    "reg": "file", "dir": "dir", "symlink": "symlink", "hardlink": "hardlink", "char": "char", "block": "block", "fifo": "fifo",
}  # fmt: skip


class OpenAt(Protocol):
    """Opens a blob's bytes from an offset on; the caller closes the stream, and may do so before its end."""

    def __call__(self, blob: Descriptor, offset: int, /) -> BinaryIO: ...


def has_table(blob: Descriptor) -> bool:
    """True when the manifest names a table of contents for the layer."""
    return partial.TOC_DIGEST in blob.annotations or partial.is_zstd_chunked(blob.annotations)


class TableLayer:
    """See `layers.Layer`. fetches: what of `keeps` is worth a request, as `keeps` itself. The spool stays the caller's."""

    has_digests = True

    def __init__(self, blob: Descriptor, open_at: OpenAt, facts: LayerFacts, spool: Spool, fetches: Keeps) -> None:
        self.facts = facts
        self._blob, self._open_at, self._spool, self._fetches = blob, open_at, spool, fetches
        self._kept: dict[str, tuple[int, int, int]] = {}
        self._digests: dict[str, bytes] = {}
        self._gathering = Gathering(blob.digest)
        self._whole: BlobLayer | None = None

    def entries(self, keeps: Keeps) -> Iterator[LayerEntry]:
        """In the order of the table."""
        source = _Ranges(lambda offset: self._open_at(self._blob, offset))
        try:
            contents = read_contents(source, self._blob.size, self._blob.annotations)
            wanted = self._gather(contents)
            self._fetch(contents, wanted)
        except (FormatError, DigestMismatch):
            # Of several readers of one image none may see another: the blob itself has the last word.
            self._whole = BlobLayer(self._blob, lambda blob: self._open_at(blob, 0), self.facts, self._spool)
            yield from self._whole.entries(keeps)
            return
        remark = "was read by its table of contents: libraries and sources were not looked into"
        self.facts = replace(self.facts, remark=remark)
        yield from self._gathering.entries()

    def open(self, path: str) -> Content | None:
        if self._whole is not None:
            return self._whole.open(path)
        kept = self._kept.get(self._gathering.first_name(path))
        return None if kept is None else Kept(self._spool.fd, *kept)

    def digest(self, path: str) -> bytes | None:
        if self._whole is not None:
            return self._whole.digest(path)
        return self._digests.get(self._gathering.first_name(path))

    def _gather(self, contents: Contents) -> list[tuple[PartialFile, str, int]]:
        """Takes the table's files; returns those to fetch: (file, path, bytes from its beginning)."""
        wanted: dict[str, tuple[PartialFile, str, int]] = {}
        for file in contents.files:
            path = _path(file.name)
            fields = file.fields
            owner = (_number(fields, "mode") & 0o7777, _number(fields, "uid"), _number(fields, "gid"))
            link = fields.get("linkName")
            target = link if isinstance(link, str) else ""
            kind = _KINDS[file.kind]
            wanted.pop(path, None)
            self._digests.pop(path, None)
            if not self._gathering.add(path, kind, file.size, _path(target) if kind == "hardlink" else target, owner):
                continue
            if file.digest:
                self._digests[path] = bytes.fromhex(file.digest.rpartition(":")[2])
            self._kept.pop(path, None)
            if not file.size:
                self._kept[path] = (self._spool.end, 0, 0)
            count = min(self._fetches(path, file.size), file.size)
            if 0 < count <= self._spool.left_bytes:
                wanted[path] = (file, path, count)
        return list(wanted.values())

    def _fetch(self, contents: Contents, wanted: list[tuple[PartialFile, str, int]]) -> None:
        """Brings the beginnings of the files into the spool, in the order in which they lie in the blob."""
        wanted.sort(key=lambda each: each[0].chunks[0].offset if each[0].chunks else 0)
        chunks = [chunk for file, _, count in wanted for chunk in file.chunks if chunk.at < count]
        pieces = _pieces(contents, chunks, lambda offset: self._open_at(self._blob, offset))
        for file, path, count in wanted:
            kept = 0
            for chunk in file.chunks:
                if chunk.at < count:
                    data = next(pieces)
                    write_all(self._spool.fd, data)
                    kept += len(data)
            self._kept[path] = (self._spool.end, kept, file.size)
            self._spool.end += kept
            self._spool.left_bytes -= kept


def _pieces(contents: Contents, chunks: Sequence[Chunk], open_at: Callable[[int], BinaryIO]) -> Iterator[bytes]:
    """The content of each chunk, verified; neighbours come in one request. Raises FormatError, DigestMismatch."""
    at = 0
    while at < len(chunks):
        end = at + 1
        while (
            end < len(chunks)
            and 0 <= chunks[end].offset - chunks[end - 1].end <= _GAP_BYTES
            and chunks[end].end - chunks[at].offset <= _MOST_AT_ONCE
        ):
            end += 1
        start = chunks[at].offset
        window = _Window(start, _Ranges(open_at).at(start, chunks[end - 1].end - start))
        for chunk in chunks[at:end]:
            yield read_chunk(window, contents.form, chunk)
        at = end


class _Ranges:
    """A blob of which parts are asked for one by one."""

    def __init__(self, open_at: Callable[[int], BinaryIO]) -> None:
        self._open_at = open_at

    def at(self, offset: int, count: int) -> bytes:
        parts: list[bytes] = []
        with self._open_at(offset) as stream:
            while count > 0 and (data := stream.read(min(count, _READ_BYTES))):
                parts.append(data)
                count -= len(data)
        return b"".join(parts)


class _Window:
    def __init__(self, start: int, data: bytes) -> None:
        self._start, self._data = start, data

    def at(self, offset: int, count: int) -> bytes:
        begin = offset - self._start
        return self._data[begin : begin + count]


def _path(name: str) -> str:
    path = below_root(name, "")
    if path is None and any(part == ".." for part in name.split("/")):
        raise FormatError(f'"{name[:200]}" in a table of contents leads outside its root', code="tar-escape")
    return path or ""


def _number(fields: Mapping[str, object], key: str) -> int:
    value = fields.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 32:
        raise FormatError(f'a table of contents has a "{key}" that is none', code="bad-toc")
    return value
