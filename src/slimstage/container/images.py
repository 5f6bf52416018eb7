"""Images of the store, as something to run: config, and what their names and IDs mean."""

from __future__ import annotations

from slimstage.diagnostics import did_you_mean
from slimstage.digest import Digest
from slimstage.errors import UsageError
from slimstage.oci.config import ImageConfig, from_json
from slimstage.oci.reference import familiar
from slimstage.store.images import StoredImage
from slimstage.store.store import Store


def config_of(store: Store, image_id: str) -> ImageConfig:
    """The config of an image ID. Raises BlobMissing, FormatError."""
    return from_json(store.blobs.read(Digest(image_id)))


def get_image(store: Store, reference: str) -> StoredImage:
    """The image of that name, ID or beginning of an ID. Raises UsageError, with a near name, when there is none."""
    found = store.images.find(reference)
    if found is None:
        names = [familiar(name) for image in store.images.list() for name in image.names]
        raise UsageError(
            f'no image "{reference}" in the store',
            code="no-such-image",
            hint=did_you_mean(reference, [*names, *(name.rpartition(":")[0] or name for name in names)])
            or "see: slimstage images",
        )
    return found
