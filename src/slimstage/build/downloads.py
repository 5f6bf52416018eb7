"""What ADD fetched before, kept in the store: an unchanged file is asked for with its ETag and not transferred again.

The bytes are a blob, what the server said about them is a record. Either may be pruned: then it is fetched anew.
"""

from __future__ import annotations

import time

from slimstage.context.remote import Known
from slimstage.digest import Digest, digest_bytes
from slimstage.errors import StoreError
from slimstage.store.records import Record
from slimstage.store.store import Store

_BLOCK = 1 << 20


class StoreDownloads:
    """A `Revalidation` over a store. Safe for threads."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, url: str) -> Known | None:
        record = self._store.records.get(_key(url))
        if record is None:
            return None
        facts = dict(record.explain)
        digest = Digest(record.content_key)
        try:
            path = self._store.blobs.path(digest)
        except StoreError:
            return None
        return Known(facts.get("etag", ""), facts.get("last-modified", ""), digest, path)

    def keep(self, url: str, etag: str, last_modified: str, digest: Digest, path: str) -> None:
        with self._store.blobs.writer() as blob, open(path, "rb", buffering=0) as source:
            while block := source.read(_BLOCK):
                blob.write(block)
            blob.commit(digest)
        facts = (("etag", etag), ("last-modified", last_modified))
        self._store.records.put(Record(_key(url), digest, None, explain=facts, created_s=time.time()))


def _key(url: str) -> str:
    """The URL may hold a token: only its digest is stored."""
    return "url-" + digest_bytes(url.encode("utf-8", "surrogateescape"))[7:]
