"""What tests of `slimstage push` share: how blobs came to a registry, and indexes of a store to push."""

from __future__ import annotations

from typing import Any

from slimstage.oci.manifest import build_index
from slimstage.store.indexes import IndexMember, StoredIndex
from slimstage.store.store import Store
from support.images import MemoryImage
from support.in_process import InProcess
from support.indexes import put_image


def outcomes(pushed: dict[str, Any]) -> tuple[int, int, int]:
    """How many blobs were sent, mounted and there, of one entry of `push --json`."""
    return pushed["sent"]["count"], pushed["mounted"]["count"], pushed["there"]["count"]


def store_index(run: InProcess, name: str, *images: MemoryImage) -> StoredIndex:
    with Store.open(run.root) as store:
        stored = [put_image(store, image) for image in images]
        index = build_index(image.manifest().descriptor(image.config().platform) for image in images)
        store.blobs.put(index.raw)
        members = tuple(IndexMember(each.manifest, each.id, each.platform) for each in stored)
        made = StoredIndex(index.digest, members, 1.0)
        store.indexes.put(made, (name,))
        return made
