"""Images of one to three hostile layers, analysed: every attribution sums to the image, whatever the tars say."""

from __future__ import annotations

import io
import json
from contextlib import suppress

from fuzz.harness import Choices, interleaved
from fuzz.tars import archive, compressed
from slimstage.analyze import gathering
from slimstage.analyze.analyse import analyse
from slimstage.analyze.analysis import Analysis
from slimstage.analyze.blob_layer import BlobLayer, Spool
from slimstage.analyze.document import document
from slimstage.analyze.layers import ImageLayers, LayerFacts
from slimstage.digest import digest_bytes
from slimstage.errors import FormatError
from slimstage.oci.config import ImageConfig
from slimstage.oci.descriptor import OCI_LAYER, Descriptor

MAX_BYTES = 4096
TOKENS = (
    b"usr/lib/",
    b"site-packages/x-1.dist-info/RECORD",
    b".wh.",
    b"ustar\x0000",
    b"\x7fELF\2\1\1",
    b"GGUF",
    b"\x80\x04",
)
_MOST_BYTES = 16 << 20
"""Of one image's files: a sparse file may claim what it likes."""


def check(data: bytes) -> None:
    choices = Choices(data)
    config = ImageConfig("amd64", "linux", cmd=("python3", choices.pick(("a", "d/a", "../x", "l"))))
    spool, most = Spool(), gathering.MOST_UNPACKED_BYTES
    gathering.MOST_UNPACKED_BYTES = _MOST_BYTES
    try:
        layers = tuple(_layer(compressed(archive(choices), choices), spool) for _ in range(1 + choices.below(3)))
        with suppress(FormatError):
            _check_sums(analyse(ImageLayers("image", digest_bytes(data), None, config, layers)).analysis)
    finally:
        gathering.MOST_UNPACKED_BYTES = most
        spool.close()


def _layer(blob: bytes, spool: Spool) -> BlobLayer:
    descriptor = Descriptor(OCI_LAYER, digest_bytes(blob), len(blob))
    return BlobLayer(descriptor, lambda _: io.BytesIO(blob), LayerFacts(), spool)


def _check_sums(analysis: Analysis) -> None:
    size = analysis.size_bytes
    assert size == sum(analysis.files.sizes) <= _MOST_BYTES * 3
    assert size == sum(owner.size_bytes for owner in analysis.owners)
    assert size == sum(layer.size_bytes for layer in analysis.layers)
    assert size == sum(analysis.purposes.values())
    assert size == analysis.seen_bytes + analysis.waste.hidden_bytes
    assert 0 <= analysis.waste.efficiency <= 1
    for file in analysis.files:
        assert not file.path.startswith("/")
        assert ".." not in file.path.split("/")
    json.dumps(document(analysis))


def seeds() -> list[bytes]:
    return interleaved(
        [bytes([step, *[(step * 7 + at * 31 + at // 5) % 251 for at in range(200)]]) for step in range(60)], []
    )
