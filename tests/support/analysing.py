"""Analyses in tests: of layers, of layouts, and the law that every attribution sums to the image's bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from slimstage.analyze.analyse import Analysed, analyse
from slimstage.analyze.analysis import Analysis
from slimstage.analyze.blob_layer import BlobLayer, Spool
from slimstage.analyze.layers import ImageLayers, LayerFacts, instructions
from slimstage.oci.config import ImageConfig
from slimstage.oci.descriptor import Descriptor
from slimstage.store.layout import ReadImage
from support.layering import opened_image
from support.trees import Tree


def check_sums(analysis: Analysis) -> None:
    """Asserts that layers, owners, purposes, types, directories and states each sum to the image's bytes."""
    files, size = analysis.files, analysis.size_bytes
    assert size == sum(files.sizes)
    assert size == sum(layer.size_bytes for layer in analysis.layers)
    assert size == sum(owner.size_bytes for owner in analysis.owners)
    assert size == sum(analysis.purposes.values())
    assert size == sum(analysis.by_type().values())
    assert size == analysis.by_directory()[""]
    waste = analysis.waste
    assert size == analysis.seen_bytes + waste.overwritten_bytes + waste.deleted_bytes
    assert analysis.seen_bytes == sum(layer.seen_bytes for layer in analysis.layers)
    assert waste.hidden_bytes == sum(owner.hidden_bytes for owner in analysis.owners)
    assert waste.duplicate_bytes == sum(each.saving_bytes for each in analysis.duplicates) <= analysis.seen_bytes
    assert sum(layer.files for layer in analysis.layers) == sum(owner.files for owner in analysis.owners) == len(files)
    for position, parts in analysis.parts.items():
        assert 0 < sum(part for _, part in parts) <= files.sizes[position]
    assert all(finding.saving_bytes <= size for finding in analysis.findings)


def analysed(
    place: Path | None,
    *trees: Tree,
    created_by: Sequence[str] = (),
    config: ImageConfig | None = None,
    entries: Sequence[str] = (),
) -> Analysed:
    """The analysis of an image of these layers, see `layering.opened_image`; its sums are checked."""
    with opened_image(place, trees, config, created_by) as image:
        found = analyse(image, entries)
    check_sums(found.analysis)
    return found


def analysed_image(image: ReadImage) -> Analysis:
    """The analysis of an image of a layout or archive; its sums are checked."""
    manifest, config = image.manifest(), image.config()
    made = instructions(config, len(manifest.layers))
    spool = Spool()

    def open_blob(blob: Descriptor) -> BinaryIO:
        return image.open_blob(blob.digest)

    try:
        layers = tuple(
            BlobLayer(blob, open_blob, LayerFacts(None, blob.digest, blob.size, None, text), spool)
            for blob, text in zip(manifest.layers, made, strict=True)
        )
        found = analyse(ImageLayers("layout", manifest.config.digest, manifest.digest, config, layers)).analysis
    finally:
        spool.close()
    check_sums(found)
    return found
