"""Images of the store, as something to run: config, and what their names and IDs mean."""

from __future__ import annotations

from slimstage.diagnostics import did_you_mean
from slimstage.digest import Digest
from slimstage.errors import FormatError, UsageError
from slimstage.oci.config import ImageConfig, from_json
from slimstage.oci.descriptor import host_platform
from slimstage.oci.reference import familiar, parse_reference
from slimstage.store.images import StoredImage
from slimstage.store.pins import pinned
from slimstage.store.store import Store


def config_of(store: Store, image_id: str) -> ImageConfig:
    """The config of an image ID. Raises BlobMissing, FormatError."""
    return from_json(store.blobs.read(Digest(image_id)))


def get_image(store: Store, reference: str) -> StoredImage:
    """The image of that name, ID or beginning of an ID. Raises UsageError, with a near name, when there is none."""
    found = find_image(store, reference)
    if found is None:
        names = [familiar(name) for image in store.images.list() for name in image.names]
        raise UsageError(
            f'no image "{reference}" in the store',
            code="no-such-image",
            hint=did_you_mean(reference, [*names, *(name.rpartition(":")[0] or name for name in names)])
            or "see: slimstage images",
        )
    return found


def find_image(store: Store, reference: str) -> StoredImage | None:
    """As `get_image`; None when there is none. Raises UsageError for a prefix that fits several images."""
    return store.images.find(reference) or _by_digest(store, reference)


def _by_digest(store: Store, reference: str) -> StoredImage | None:
    """What was pulled as NAME@DIGEST: the digest may be an index's, of which the image for this host is meant."""
    if "@" not in reference:
        return None
    try:
        parsed = parse_reference(reference)
    except FormatError:
        return None
    for stored in store.images.list():
        if stored.manifest == parsed.digest:
            return pinned(store.records, store.images, parsed, stored.platform)
    return pinned(store.records, store.images, parsed, host_platform())
