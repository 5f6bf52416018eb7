"""Layers of a registry that are read by their table of contents: what comes of them, and how little is fetched."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from slimstage.analyze.analyse import analyse, keeps, keeps_texts
from slimstage.analyze.analysis import Analysis
from slimstage.analyze.blob_layer import BlobLayer, Spool
from slimstage.analyze.layers import ImageLayers, LayerFacts
from slimstage.analyze.table_layer import TableLayer, has_table
from slimstage.digest import Digest, digest_bytes
from slimstage.oci.config import ImageConfig
from slimstage.oci.descriptor import OCI_LAYER_GZIP, OCI_LAYER_ZSTD, Descriptor
from slimstage.tree import partial
from slimstage.tree.blocks import pack_layer
from slimstage.tree.compress import Compression
from support.analysing import check_sums
from support.system_tree import PACKAGES, SYSTEM
from support.trees import Hardlink, Tree, Whiteout, make_tree

LARGE = os.urandom(3 << 20)
TREE: Tree = {**SYSTEM, **PACKAGES, "data/large": LARGE, "data/more": Hardlink("data/large"), "usr/gone": Whiteout()}


class Fetched:
    """A blob of a registry that counts what is read of it, in blocks."""

    def __init__(self, data: bytes) -> None:
        self.data, self.bytes, self.requests = data, 0, 0

    def open_at(self, blob: Descriptor, offset: int) -> BinaryIO:
        self.requests += 1
        counted = self

        class Stream(io.BytesIO):
            def read(self, count: int | None = -1, /) -> bytes:
                data = super().read(count)
                counted.bytes += len(data)
                return data

        return Stream(self.data[offset:])


@pytest.fixture(params=["estargz", "zstd:chunked"])
def packed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[bytes, Descriptor]:
    form: Compression = request.param
    sink = io.BytesIO()
    result = pack_layer(make_tree(tmp_path / "layer", TREE), compression=form, out=sink)
    media_type = OCI_LAYER_GZIP if form == "estargz" else OCI_LAYER_ZSTD
    data = sink.getvalue()
    return data, Descriptor(media_type, Digest(result.blob_digest or ""), len(data), annotations=result.annotations)


@pytest.fixture
def spool() -> Iterator[Spool]:
    made = Spool()
    yield made
    made.close()


def _analysis(layer: BlobLayer | TableLayer) -> Analysis:
    config = ImageConfig("amd64", "linux", diff_ids=(digest_bytes(b""),))
    found = analyse(ImageLayers("x", digest_bytes(b"x"), None, config, (layer,))).analysis
    check_sums(found)
    return found


def test_the_same_files_and_owners_come_of_a_table(packed: tuple[bytes, Descriptor], spool: Spool) -> None:
    data, blob = packed
    assert has_table(blob)
    fetched = Fetched(data)
    by_table = _analysis(TableLayer(blob, fetched.open_at, LayerFacts(), spool, keeps_texts))
    whole = _analysis(BlobLayer(blob, lambda each: io.BytesIO(data), LayerFacts(), spool))
    # The table itself is a file of an eStargz' tar, and does not list itself.
    table = {each.path: each.size_bytes for each in whole.files if each.path == partial.TOC_NAME}
    assert by_table.size_bytes == whole.size_bytes - sum(table.values())
    assert [(each.name, each.size_bytes) for each in by_table.packages] == [
        (each.name, each.size_bytes) for each in whole.packages
    ]
    assert sorted(each.path for each in by_table.files) == sorted({each.path for each in whole.files} - table.keys())
    assert "layer 0 was read by its table of contents" in by_table.faults[-1]
    assert fetched.bytes < len(data) / 5
    assert fetched.requests < 8


def test_content_and_digests_are_those_of_the_blob(packed: tuple[bytes, Descriptor], spool: Spool) -> None:
    data, blob = packed
    layer = TableLayer(blob, Fetched(data).open_at, LayerFacts(), spool, lambda path, size: size)
    other = BlobLayer(blob, lambda each: io.BytesIO(data), LayerFacts(), spool)
    entries = {each.path: each for each in layer.entries(keeps) if each.kind == "file"}
    for entry in other.entries(lambda path, size: size):
        if entry.kind != "file" or entry.path not in entries:
            continue
        ours, theirs = layer.open(entry.path), other.open(entry.path)
        if entry.size:
            assert ours is not None
            assert theirs is not None
            assert ours.at(0, entry.size) == theirs.at(0, entry.size)
        assert entries[entry.path].size == entry.size
    assert layer.digest("data/more") == other.digest("data/large") is not None
    assert layer.open("nothing") is None


def test_a_table_that_lies_is_not_believed(packed: tuple[bytes, Descriptor], spool: Spool) -> None:
    data, blob = packed
    wrong = Descriptor(
        blob.media_type,
        blob.digest,
        blob.size,
        annotations={key: _other(value) for key, value in blob.annotations.items()},
    )
    layer = TableLayer(wrong, Fetched(data).open_at, LayerFacts(), spool, keeps_texts)
    found = _analysis(layer)
    assert found.faults == _analysis(BlobLayer(blob, lambda each: io.BytesIO(data), LayerFacts(), spool)).faults
    assert layer.digest("data/large") is not None


def _other(value: str) -> str:
    return "sha256:" + "0" * 64 if value.startswith("sha256:") else value
