"""Images of the store, as something to run: config, and what their names and IDs mean."""

from __future__ import annotations

from slimstage.diagnostics import did_you_mean
from slimstage.digest import Digest
from slimstage.errors import FormatError, UsageError
from slimstage.oci.config import ImageConfig, from_json
from slimstage.oci.descriptor import Platform, host_platform, parse_platform
from slimstage.oci.reference import familiar, parse_reference
from slimstage.oci.select import fits
from slimstage.store.images import StoredImage
from slimstage.store.pins import pinned
from slimstage.store.store import Store


def config_of(store: Store, image_id: str) -> ImageConfig:
    """The config of an image ID. Raises BlobMissing, FormatError."""
    return from_json(store.blobs.read(Digest(image_id)))


def get_image(store: Store, reference: str, platform: Platform | None = None) -> StoredImage:
    """The image of that name, ID or beginning of an ID; of an index, its image for the platform, else for this host.

    Raises UsageError: no such image, with a near name; an index or an image for other platforms.
    """
    found = find_image(store, reference, platform)
    if found is not None and platform is not None and fits(found.platform, platform) is None:
        raise not_for(reference, platform, str(found.platform))
    if found is None:
        index = store.images.index(reference)
        if index is not None and platform is not None:
            raise not_for(reference, platform, index.platforms())
        names = [familiar(name) for name in store.images.names()]
        raise UsageError(
            f'no image "{reference}" in the store',
            code="no-such-image",
            hint=did_you_mean(reference, [*names, *(name.rpartition(":")[0] or name for name in names)])
            or "see: slimstage images",
        )
    return found


def find_image(store: Store, reference: str, platform: Platform | None = None) -> StoredImage | None:
    """As `get_image`; None when there is none; an image that is no index' may be for another platform.

    Raises UsageError for a prefix that fits several images.
    """
    return store.images.find(reference, platform) or _by_digest(store, reference, platform)


def _by_digest(store: Store, reference: str, platform: Platform | None) -> StoredImage | None:
    """What was pulled as NAME@DIGEST: of an index that digest names, the image for the platform (None: this host)."""
    if "@" not in reference:
        return None
    try:
        parsed = parse_reference(reference)
    except FormatError:
        return None
    for stored in store.images.list():
        if stored.manifest == parsed.digest:
            return pinned(store.records, store.images, parsed, stored.platform)
    return pinned(store.records, store.images, parsed, platform or host_platform())


def not_for(reference: str, platform: Platform, there: str) -> UsageError:
    """The error about an image that is not for the platform. there: those that it is for."""
    return UsageError(
        f'image "{reference}" is not for "{platform}"', code="no-matching-platform", notes=[f"it is for {there}"]
    )


def wanted_platform(text: str | None) -> Platform | None:
    """What `--platform` names; None when it was not given. Raises UsageError."""
    if text is None:
        return None
    try:
        return parse_platform(text)
    except FormatError as error:
        raise UsageError(f"--platform: {error.message}", hint=error.hint) from error
