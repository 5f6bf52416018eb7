"""Tars: read member by member, and unpacked as a layer: bounded, only our own errors, nothing outside the destination."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator

from fuzz.harness import Choices, interleaved
from fuzz.tars import PAX, archive, compressed
from slimstage.context.archive import unpack_context
from slimstage.errors import FormatError, SlimstageError
from slimstage.tree.decompress import decompressed
from slimstage.tree.unpack import unpack_layer
from slimstage.tree.untar import TarReader, looks_like_tar

MAX_BYTES = 8192
TOKENS = (
    b"ustar\x0000",
    b"ustar  \0",
    b"\0" * 12,
    b"0000644\0",
    b"00000000000\0",
    *PAX,
    b"\x1f\x8b\x08",
    b"\x28\xb5\x2f\xfd",
)
_DAMAGE = ("bad-compression", "truncated-stream")
_MOST_BYTES = 16 << 20
"""Of one archive's content that is read: a sparse file may claim what it likes."""


def check(data: bytes) -> None:
    choices = Choices(data)
    kind = choices.below(8)
    tar = choices.rest() if kind == 0 else compressed(archive(choices), choices)
    whole = _members(tar, len(tar) + 1)
    if len(tar) < 20_000:
        in_pieces = _members(tar, 1 + kind * 97)
        # Of a damaged stream more or less is read before the damage is met.
        if whole[-1] not in _DAMAGE and in_pieces[-1] not in _DAMAGE:
            assert in_pieces == whole, "the pieces in which a stream comes change what is read"
    looks_like_tar(tar)
    if kind % 2:
        _check_unpacking(tar, as_context=kind == 7)


def _members(tar: bytes, piece: int) -> list[object]:
    """What the archive says, and how it ended."""
    found: list[object] = []
    left = _MOST_BYTES
    try:
        reader = TarReader(decompressed(_Pieces(tar, piece)))
        for member in reader:
            content = 0
            for view in reader.chunks():
                content += len(view)
                left -= len(view)
                if left < 0:
                    return [*found, "enough"]
            assert member.kind != "file" or content == member.size
            assert not member.path.startswith("/")
            assert ".." not in member.path.split("/")
            found.append(member)
        reader.drain()
        found.append("end")
    except FormatError as error:
        found.append(error.code)
    return found


class _Pieces:
    """A stream that gives at most `piece` bytes at once."""

    def __init__(self, data: bytes, piece: int) -> None:
        self._stream, self._piece = io.BytesIO(data), piece

    def read(self, count: int = -1, /) -> bytes:
        return self._stream.read(self._piece if count < 0 else min(count, self._piece))


def _check_unpacking(tar: bytes, *, as_context: bool) -> None:
    with scratch() as place:
        lower, draft, outside = (os.path.join(place, name) for name in ("lower", "draft", "outside"))
        for directory in (lower, draft, outside, os.path.join(lower, "d")):
            os.mkdir(directory)
        for name in ("outside/marker", "lower/d/a", "lower/b"):
            with open(os.path.join(place, name), "w") as file:
                file.write(name)
        os.symlink("../outside", os.path.join(lower, "l"))
        before = _listing(place, "draft")
        with contextlib.suppress(SlimstageError):
            if as_context:
                unpack_context(io.BytesIO(tar), draft, "the context")
            else:
                unpack_layer(io.BytesIO(tar), draft, [lower])
        assert _listing(place, "draft") == before, "something outside the destination has changed"
        for directory, _, names in os.walk(draft):
            for name in names:
                mode = os.lstat(os.path.join(directory, name)).st_mode
                # A character device 0/0 is overlayfs' own mark of a deletion.
                assert as_context or not stat.S_ISBLK(mode)


@contextlib.contextmanager
def scratch() -> Iterator[str]:
    """A directory in memory where there is one, gone afterwards."""
    shared = "/dev/shm"
    place = tempfile.mkdtemp(prefix="fuzz-", dir=shared if os.access(shared, os.W_OK) else None)
    try:
        yield place
    finally:
        shutil.rmtree(place)


def _listing(place: str, left_out: str) -> list[tuple[str, int, int, int]]:
    found = []
    for directory, names, files in os.walk(place):
        if directory == place:
            names.remove(left_out)
        for name in (*names, *files):
            path = os.path.join(directory, name)
            status = os.lstat(path)
            found.append((path, status.st_mode, status.st_size, status.st_uid))
    return sorted(found)


def seeds() -> list[bytes]:
    made = [
        bytes([1 + step % 7, 5, *[(step * 7 + at * 13 + at // 9) % 240 for at in range(160)]]) for step in range(60)
    ]
    raw = [b"\0" + archive(Choices(seed[1:]))[: MAX_BYTES - 1] for seed in made[:10]]
    return interleaved(made, raw)
