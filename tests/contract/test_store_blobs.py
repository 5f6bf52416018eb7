"""What every blob store promises. Run over the store's own; another backend is one more fixture parameter."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimstage.digest import Digest, digest_bytes
from slimstage.errors import BlobMissing, DigestMismatch, FormatError
from slimstage.store.blobs import Blobs
from slimstage.store.store import Store

HELLO = digest_bytes(b"hello")
NOBODY = Digest("sha256:" + "0" * 64)


@pytest.fixture(params=["store"])
def blobs(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Blobs]:
    with Store.open(tmp_path / "s") as store:
        yield store.blobs


def test_put_returns_digest_and_size_and_is_idempotent(blobs: Blobs) -> None:
    assert blobs.put(b"hello") == (HELLO, 5)
    assert blobs.put([b"he", b"llo"]) == (HELLO, 5)
    assert blobs.read(HELLO) == b"hello"
    assert [digest for digest, _ in blobs.list()] == [HELLO]


def test_empty_blob_is_a_blob(blobs: Blobs) -> None:
    digest, size = blobs.put(b"")
    assert size == 0
    assert blobs.read(digest) == b""


def test_missing_blob_is_missing(blobs: Blobs) -> None:
    assert not blobs.has(NOBODY)
    for ask in (blobs.path, blobs.read, blobs.open, blobs.size_bytes):
        with pytest.raises(BlobMissing, match="0000"):
            ask(NOBODY)


def test_nothing_is_visible_before_commit(blobs: Blobs) -> None:
    with blobs.writer() as writer:
        writer.write(b"hello")
        assert not blobs.has(HELLO)
        assert writer.commit() == (HELLO, 5)
        assert blobs.has(HELLO)


def test_leaving_without_commit_leaves_nothing(blobs: Blobs) -> None:
    with blobs.writer() as writer:
        writer.write(b"hello")
    writer.abort()
    assert not blobs.has(HELLO)
    assert list(blobs.list()) == []


def test_abort_after_commit_keeps_the_blob(blobs: Blobs) -> None:
    with blobs.writer() as writer:
        writer.write(b"hello")
        writer.commit()
        writer.abort()
    assert blobs.has(HELLO)


@pytest.mark.parametrize(("want", "size"), [(NOBODY, None), (HELLO, 4), (HELLO, 6), (NOBODY, 5)])
def test_mismatch_keeps_nothing(blobs: Blobs, want: Digest, size: int | None) -> None:
    with blobs.writer() as writer:
        writer.write(b"hello")
        with pytest.raises(DigestMismatch, match="want"):
            writer.commit(want, size)
    assert list(blobs.list()) == []


def test_other_algorithm_is_verified_when_announced(blobs: Blobs) -> None:
    import hashlib

    want = Digest("sha512:" + hashlib.sha512(b"hello").hexdigest())
    with blobs.writer() as writer:
        writer.expects(want).write(b"hello")
        assert writer.commit(want) == (want, 5)
    assert blobs.read(want) == b"hello"
    with blobs.writer() as writer:
        writer.expects(want).write(b"hallo")
        with pytest.raises(DigestMismatch):
            writer.commit(want)


def test_copy_stops_at_the_announced_size(blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(5 << 20))
    with (tmp_path / "big").open("rb") as stream, pytest.raises(DigestMismatch, match="more than 10"):
        blobs.copy(stream, size=10)
    assert list(blobs.list()) == []


def test_read_verifies_again_and_is_bounded(blobs: Blobs) -> None:
    blobs.put(b"hello")
    with pytest.raises(FormatError, match="larger than 4 bytes"):
        blobs.read(HELLO, 4)
    path = blobs.path(HELLO)
    os.chmod(path, 0o600)
    Path(path).write_bytes(b"hallo")
    with pytest.raises(DigestMismatch):
        blobs.read(HELLO)


@pytest.mark.parametrize(
    "digest",
    [
        "sha256:../../../../etc/passwd",
        "sha256:" + "A" * 64,
        "sha256:" + "a" * 63,
        "sha256:",
        "md5:" + "a" * 32,
        "sha256:" + "a" * 64 + "?x",
        "",
    ],
)
def test_no_path_is_made_of_what_is_no_digest(blobs: Blobs, digest: str) -> None:
    for ask in (blobs.has, blobs.path, blobs.read, blobs.open, blobs.place):
        with pytest.raises(FormatError, match="not a digest"):
            ask(Digest(digest))


def test_blob_that_is_a_symlink_or_fifo_is_not_opened(blobs: Blobs, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    os.symlink(tmp_path / "secret", blobs.place(NOBODY))
    with pytest.raises(OSError, match="symbolic"):
        blobs.open(NOBODY)
    os.unlink(blobs.place(NOBODY))
    os.mkfifo(blobs.place(NOBODY))
    with pytest.raises(OSError, match="regular"):
        blobs.open(NOBODY)


def test_threads_may_write_the_same_blob_at_once(blobs: Blobs) -> None:
    results: list[object] = []

    def put() -> None:
        results.append(blobs.put([b"hello" * 100_000]))

    threads = [threading.Thread(target=put) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert len(set(map(str, results))) == 1
    assert len(list(blobs.list())) == 1
