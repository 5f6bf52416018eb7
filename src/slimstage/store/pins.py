"""Pulled images that have no name of their own in the store, and are found again all the same.

`NAME@DIGEST` is not a name in the store, which tags are. The digest may be an index's: what it led to for a platform is
written down. So is what a tag led to where it was pulled for several platforms: the name is that of the last one. Such an
image is kept when others without a name are pruned, for as long as its record is.
"""

from __future__ import annotations

from slimstage.digest import digest_json
from slimstage.oci.descriptor import Platform
from slimstage.oci.reference import Reference
from slimstage.store.images import Images, StoredImage
from slimstage.store.records import Record, Records

PIN = "pull-"
"""How the keys of these records begin."""


def pin(records: Records, reference: Reference, platform: Platform, image: StoredImage) -> None:
    """Writes down what the reference is for the platform. The image is in the store."""
    records.put(Record(_key(reference, platform), image.id, None))


def pinned(records: Records, images: Images, reference: Reference, platform: Platform) -> StoredImage | None:
    """The image that the reference was for the platform; None when it was not pulled, or has been removed."""
    record = records.get(_key(reference, platform))
    return images.find(record.content_key) if record else None


def _key(reference: Reference, platform: Platform) -> str:
    return PIN + digest_json([1, reference.repository_name, reference.digest or reference.tag, str(platform)])[7:]
