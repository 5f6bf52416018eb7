"""An image of the store, opened for analysis: its layers where they lie unpacked, and as blobs where they do not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

from slimstage.analyze.blob_layer import BlobLayer, Spool
from slimstage.analyze.directory_layer import DirectoryLayer
from slimstage.analyze.layers import ImageLayers, Layer, LayerFacts, instructions
from slimstage.errors import StoreError
from slimstage.oci.config import LIMIT_BYTES, from_json
from slimstage.oci.descriptor import Descriptor
from slimstage.store.images import StoredImage
from slimstage.store.snapshots import LayerId
from slimstage.store.store import Store


@contextmanager
def stored_layers(store: Store, image: StoredImage, name: str, *, digests_all: bool = False) -> Iterator[ImageLayers]:
    """Nothing is unpacked or packed for it. digests_all: as `BlobLayer`. Raises StoreError, BlobMissing, FormatError."""
    config = from_json(store.blobs.read(image.id, LIMIT_BYTES))
    made = instructions(config, len(image.layers))
    places = _places(store, image)
    with ExitStack() as opened:
        spool: Spool | None = None
        layers: list[Layer] = []
        for stored, created_by in zip(image.layers, made, strict=True):
            stage, line = places.get(stored.layer, (None, None)) if stored.layer else (None, None)
            facts = LayerFacts(
                stored.diff_id,
                stored.blob.digest if stored.blob else None,
                stored.blob.size if stored.blob else None,
                stored.size_bytes,
                stored.created_by or created_by,
                stage,
                line,
            )
            if stored.layer is not None and store.snapshots.has((stored.layer,)):
                layer = DirectoryLayer(store.snapshots.path(stored.layer), facts)
                opened.callback(layer.close)
                layers.append(layer)
                continue
            if stored.blob is None or not store.blobs.has(stored.blob.digest):
                raise StoreError(
                    f'layer "{stored.diff_id}" is neither packed nor unpacked in the store',
                    code="layer-missing",
                    hint="build or pull the image again",
                )
            if spool is None:
                spool = Spool()
                opened.callback(spool.close)

            def open_blob(blob: Descriptor) -> BinaryIO:
                return store.blobs.open(blob.digest)

            layers.append(BlobLayer(stored.blob, open_blob, facts, spool, digests_all=digests_all))
        yield ImageLayers(name, image.id, image.manifest, config, tuple(layers))


def _places(store: Store, image: StoredImage) -> Mapping[LayerId, tuple[str, int]]:
    """Layer → (stage, line), where the image was built here: of a base's layers those of the FROM that names it."""
    build = store.builds.of(image.id)
    if build is None:
        return {}
    stages = {stage.index: stage for stage in build.stages}
    found: dict[LayerId, tuple[str, int]] = {}
    root = stages.get(build.target)
    for _ in stages:
        if root is not None and root.base_stage is not None:
            root = stages.get(root.base_stage)
    if root is not None:
        found = dict.fromkeys(root.base_layers, (root.name, root.line))
    for step in build.steps:
        if step.layer and step.stage in stages:
            found[step.layer] = (stages[step.stage].name, step.line)
    return found
