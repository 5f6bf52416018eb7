"""An image whose documents and blobs are all in the store, unpacked so that it can be run and built on."""

from __future__ import annotations

import time

from slimstage.bases.resolve import image_layers
from slimstage.bases.unpack import LayerUnpacker
from slimstage.oci.config import LIMIT_BYTES, from_json
from slimstage.oci.manifest import Manifest
from slimstage.store.images import StoredImage
from slimstage.store.store import Store


def unpacked_image(store: Store, manifest: Manifest, shown: str) -> StoredImage:
    """The image, ready for `Images.put`. What is unpacked already is not unpacked again; all bytes are verified.

    shown: what the user calls it. Raises FormatError: malformed, a layer that is not its diff ID; BlobMissing; StoreError.
    """
    config = from_json(store.blobs.read(manifest.config.digest, LIMIT_BYTES))
    unpacker = LayerUnpacker(store)
    layers = image_layers(shown, manifest, config)
    unpacker.unpack(layers, lambda blob: None, lambda: None)
    known = tuple(unpacker.known(layer) for layer in layers)
    return StoredImage(manifest.config.digest, manifest.digest, config.platform, known, time.time())
