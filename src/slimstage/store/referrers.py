"""Artifacts in the store that belong to an image or index there: signatures, SBOMs, provenance.

An artifact is a manifest with a `subject`; its bytes, its config's and its layers' are blobs like any other, and a row
says whom it belongs to. A prune keeps it for as long as it keeps the manifest that is its subject, artifacts of
artifacts too, and removes it together with that one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import Any

from slimstage.digest import Digest, parse_digest
from slimstage.errors import BlobMissing, FormatError
from slimstage.oci.descriptor import Descriptor
from slimstage.oci.manifest import Manifest, parse_document, parse_manifest
from slimstage.oci.referrer import EMPTY, EMPTY_CONFIG, referrer_descriptor, refers_to
from slimstage.store.blobs import Blobs
from slimstage.store.content import blobs_of
from slimstage.store.database import Database
from slimstage.store.layout import BlobReader
from slimstage.store.source import StoreSource

MOST_REFERRERS = 1_000
"""Of one image, theirs included, that are taken from somewhere else."""

_COLUMNS = "digest, media_type, size_bytes, artifact_type, annotations"


class Referrers:
    """All of one store. Every change is one transaction. Safe for threads and for several processes."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database, self._blobs = database, blobs

    def put(self, subject: Digest, manifest: bytes, blobs: Iterable[bytes] = ()) -> Descriptor:
        """Stores the artifact; returns its descriptor as lists of referrers have it. Idempotent.

        blobs: bytes of its layers and config that are not in the store yet; the empty config need not be given.
        Raises FormatError: the manifest's subject is another, or it is an index; BlobMissing: a blob was not given.
        """
        document = parse_manifest(manifest)
        if not refers_to(document, subject):
            named = document.subject.digest if document.subject else "none"
            raise FormatError(
                f"the artifact belongs to something else: want subject {subject}, got {named}", code="wrong-subject"
            )
        for data in blobs:
            self._blobs.put(data)
        for needed in (document.config, *document.layers):
            if needed.digest == EMPTY_CONFIG.digest:
                self._blobs.put(EMPTY)
            elif not self._blobs.has(needed.digest):
                raise BlobMissing(f'blob "{needed.digest}" of the artifact is not in the store')
        self._blobs.put(manifest)
        listed = referrer_descriptor(document)
        row = (
            listed.digest,
            subject,
            listed.media_type,
            listed.size,
            listed.artifact_type or "",
            json.dumps(dict(listed.annotations), sort_keys=True),
            time.time(),
        )
        self._database.change(
            "INSERT OR IGNORE INTO referrers"
            " (digest, subject, media_type, size_bytes, artifact_type, annotations, created_s)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            row,
        )
        return listed

    def list(self, subject: Digest, artifact_type: str | None = None) -> list[Descriptor]:
        """What belongs to the manifest of that digest, oldest first, with artifact types and annotations.

        What a prune of another process took is not listed; what is listed stays until this process ends.
        """
        rows = self._database.query(
            f"SELECT {_COLUMNS} FROM referrers WHERE subject = ? ORDER BY created_s, digest", (subject,)
        )
        found = [_descriptor(row) for row in rows if artifact_type in (None, row[3])]
        return [descriptor for descriptor in found if self._blobs.has(descriptor.digest)]

    def source(self, referrer: Descriptor) -> StoreSource:
        """The artifact, readable: its manifest and blobs."""
        return StoreSource(self._blobs, referrer.digest)

    def sources(self, subject: Digest) -> tuple[StoreSource, ...]:
        """All that belongs to the subject, and to those artifacts themselves, for an `Export`."""
        found: dict[Digest, StoreSource] = {}
        waiting = [subject]
        while waiting:
            for descriptor in self.list(waiting.pop(0)):
                if descriptor.digest not in found:
                    found[descriptor.digest] = self.source(descriptor)
                    waiting.append(descriptor.digest)
        return tuple(found.values())

    def take(self, reader: BlobReader, subject: Digest) -> tuple[Descriptor, ...]:
        """Stores what belongs to the subject in a layout or an archive, and what belongs to that; all verified.

        Returns what was left out: an index that is an artifact. Raises FormatError, BlobMissing, DigestMismatch.
        """
        left_out = []
        waiting, count = [subject], 0
        while waiting:
            owner = waiting.pop()
            for descriptor in reader.referrers(owner):
                count += 1
                if count > MOST_REFERRERS:
                    raise FormatError(f"more than {MOST_REFERRERS} artifacts belong to one image", code="too-many")
                raw = reader.read_blob(descriptor)
                artifact = parse_document(raw, descriptor.media_type)
                if not isinstance(artifact, Manifest):
                    left_out.append(descriptor)
                    continue
                for blob in blobs_of(artifact):
                    if not self._blobs.has(blob.digest):
                        with reader.open_blob(blob.digest) as stream:
                            self._blobs.copy(stream, blob.digest, blob.size)
                self.put(owner, raw)
                waiting.append(descriptor.digest)
        return tuple(left_out)

    def remove(self, digest: Digest) -> bool:
        """Takes the artifact from its subject; False when it was not there. Its blobs go with the next prune."""
        return self._database.change("DELETE FROM referrers WHERE digest = ?", (digest,)) > 0


def mark(database: Database, read: Callable[[Digest], bytes], needed: set[str]) -> list[Digest]:
    """Adds to `needed` the blobs of every artifact whose subject is in it; returns the artifacts that are not kept.

    read: the bytes of a blob by digest, without holding it. Called by a prune that marks.
    """
    rows = database.query("SELECT digest, subject FROM referrers ORDER BY digest")
    waiting = {Digest(digest): subject for digest, subject in rows}
    while found := [digest for digest, subject in waiting.items() if f"blob {subject}" in needed]:
        for digest in found:
            del waiting[digest]
            needed.add(f"blob {digest}")
            try:
                document = parse_document(read(digest))
            except (FormatError, OSError):
                continue  # damaged: nothing to keep but the row
            if isinstance(document, Manifest):
                needed.update(f"blob {blob.digest}" for blob in (document.config, *document.layers))
    return sorted(waiting)


def _descriptor(row: tuple[Any, ...]) -> Descriptor:
    digest, media_type, size, artifact_type, annotations = row
    return Descriptor(media_type, parse_digest(digest), size, None, json.loads(annotations), artifact_type or None)
