"""Writing blobs: bytes that are digested elsewhere, and exports of what was just written."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from slimstage.digest import Digest
from slimstage.errors import DigestMismatch
from slimstage.oci.descriptor import OCI_CONFIG, OCI_LAYER, Descriptor
from slimstage.oci.manifest import build_manifest
from slimstage.store.blobs import WRITEBACK_BYTES
from slimstage.store.layout_sink import LayoutSink
from slimstage.store.source import Export, StoreSource
from slimstage.store.store import Store


def digest_of(data: bytes) -> Digest:
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def test_a_digested_writer_takes_the_digest_it_is_told(tmp_path: Path) -> None:
    data = b"layer" * 1000
    with Store.open(tmp_path / "s") as store:
        with store.blobs.writer(is_digested=True) as writer:
            writer.write(data)
            assert writer.commit(digest_of(data), len(data)) == (digest_of(data), len(data))
        assert store.blobs.read(digest_of(data)) == data


def test_a_digested_writer_needs_a_digest_and_the_right_size(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store:
        with store.blobs.writer(is_digested=True) as writer, pytest.raises(ValueError, match="digest"):
            writer.commit()
        with store.blobs.writer(is_digested=True) as writer:
            writer.write(b"ab")
            with pytest.raises(DigestMismatch):
                writer.commit(digest_of(b"abc"), 3)
        assert not store.blobs.has(digest_of(b"abc"))


def test_a_blob_beyond_the_writeback_size_is_whole(tmp_path: Path) -> None:
    block = os.urandom(1 << 20)
    count = (WRITEBACK_BYTES >> 20) * 2 + 1
    with Store.open(tmp_path / "s") as store:
        digest, size = store.blobs.put(block for _ in range(count))
        assert size == count << 20
        with store.blobs.open(digest) as stream:
            assert digest_of(b"".join(iter(lambda: stream.read(1 << 20), b""))) == digest


def _image(store: Store, layer: bytes) -> tuple[Digest, Digest]:
    config = b'{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}'
    store.blobs.put(config)
    digest, size = store.blobs.put(layer)
    manifest = build_manifest(
        Descriptor(OCI_CONFIG, digest_of(config), len(config)), [Descriptor(OCI_LAYER, digest, size)]
    )
    store.blobs.put(manifest.raw)
    return manifest.digest, digest


def test_only_what_this_process_wrote_is_fresh(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store:
        _, layer = _image(store, b"x" * 300_000)
        assert store.blobs.is_fresh(layer)
    with Store.open(tmp_path / "s") as store:
        assert not store.blobs.is_fresh(layer)


def test_fresh_and_older_blobs_are_exported_as_they_are_in_files_of_their_own(tmp_path: Path) -> None:
    data = os.urandom(300_000)
    for name in ("fresh", "older"):
        with Store.open(tmp_path / "s") as store:
            manifest, layer = _image(store, data)
            LayoutSink(str(tmp_path / name)).write([Export(StoreSource(store.blobs, manifest))])
            written = tmp_path / name / "blobs" / "sha256" / layer[7:]
            assert written.read_bytes() == data
            assert written.stat().st_nlink == 1


def test_an_older_blob_that_is_damaged_is_not_exported(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store:
        manifest, layer = _image(store, b"y" * 300_000)
        place = store.blobs.path(layer)
    os.chmod(place, 0o600)
    Path(place).write_bytes(b"z" * 300_000)
    with Store.open(tmp_path / "s") as store, pytest.raises(DigestMismatch):
        LayoutSink(str(tmp_path / "out")).write([Export(StoreSource(store.blobs, manifest))])
    assert not (tmp_path / "out").exists()


def test_a_fresh_blob_that_was_cut_short_is_not_exported(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store:
        manifest, layer = _image(store, b"y" * 300_000)
        os.truncate(store.blobs.path(layer), 1000)
        with pytest.raises(DigestMismatch):
            LayoutSink(str(tmp_path / "out")).write([Export(StoreSource(store.blobs, manifest))])
