"""Layers that were packed before: a layer directory is immutable, so packing it the same way gives the same bytes."""

from __future__ import annotations

import json
import threading
import time

from slimstage.digest import Digest, parse_digest
from slimstage.errors import FormatError
from slimstage.oci.descriptor import Descriptor
from slimstage.store.blobs import Blobs
from slimstage.store.database import Database
from slimstage.store.snapshots import LayerId
from slimstage.values import dataclass

_USED_STEP_S = 600.0


@dataclass(frozen=True, slots=True)
class Packing:
    """How a layer is packed: all that its bytes depend on, besides the directory.

    version: of the packer's and compressors' output; another one never matches.
    clamp_s: times later than this are lowered to it; None leaves them.
    """

    compression: str
    level: int | None = None
    clamp_s: int | None = None
    version: str = "1"
    extra: str = ""
    """Anything else that the tar depends on: times that are all the same, a table of contents in it."""

    def __str__(self) -> str:
        parts = (self.version, self.compression, self.level, self.clamp_s, self.extra)
        return "/".join("-" if part is None else str(part) for part in parts)


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """`size_bytes` of the uncompressed tar. `blob` is None when its bytes have been pruned: the diff ID still holds."""

    diff_id: Digest
    size_bytes: int
    blob: Descriptor | None


class Packed:
    """The packed layers of one store. Safe for threads and for several processes."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database, self._blobs = database, blobs
        self._lock = threading.Lock()
        self._used: dict[tuple[str, str], float] = {}
        self._promised: dict[tuple[LayerId, str], PackedLayer] = {}

    def promise(self, layer: LayerId, packing: Packing, packed: PackedLayer) -> None:
        """Says for this process what packing a layer gives that is only promised itself."""
        self._promised[layer, str(packing)] = packed

    def get(self, layer: LayerId, packing: Packing) -> PackedLayer | None:
        """What packing the layer gives, and the blob when it is still here. A row that cannot be read is a miss."""
        rows = self._database.query(
            "SELECT diff_id, size_bytes, media_type, digest, blob_bytes, created_s, annotations FROM packed"
            " WHERE layer = ? AND packing = ?",
            (layer, str(packing)),
        )
        if not rows:
            return self._promised.get((layer, str(packing)))
        diff_id, size_bytes, media_type, digest, blob_bytes, created_s, annotations = rows[0]
        now = time.time()
        if now - created_s > _USED_STEP_S:
            with self._lock:
                self._used[layer, str(packing)] = now
        try:
            blob = None
            if digest:
                blob = Descriptor(media_type, parse_digest(digest), blob_bytes, annotations=json.loads(annotations))
            if blob is not None and not self._blobs.gives(blob.digest):
                blob = None
            return PackedLayer(parse_digest(diff_id), size_bytes, blob)
        except (FormatError, ValueError):
            return None

    def diff_id(
        self, layer: LayerId, clamp_s: int | None = None, *, version: str = "1", extra: str = ""
    ) -> PackedLayer | None:
        """Diff ID and size, from any packing with this clamp and extra: what compresses the tar is no matter. No blob."""
        rows = self._database.query("SELECT packing, diff_id, size_bytes FROM packed WHERE layer = ?", (layer,))
        rows += [
            (text, packed.diff_id, packed.size_bytes)
            for (name, text), packed in self._promised.items()
            if name == layer
        ]
        for text, diff_id, size_bytes in rows:
            parts = text.split("/", 4)
            if parts[0] == version and parts[3] == ("-" if clamp_s is None else str(clamp_s)) and parts[4] == extra:
                return PackedLayer(Digest(diff_id), size_bytes, None)
        return None

    def blobs(self, layer: LayerId, *, version: str) -> list[PackedLayer]:
        """Every packed form of the layer that keeps its times and whose blob is here or promised, the latest first."""
        rows = self._database.query(
            "SELECT packing, diff_id, size_bytes, media_type, digest, blob_bytes FROM packed"
            " WHERE layer = ? AND digest != '' ORDER BY created_s DESC",
            (layer,),
        )
        found = [
            packed for (name, text), packed in self._promised.items() if name == layer and _keeps_times(text, version)
        ]
        for text, diff_id, size_bytes, media_type, digest, blob_bytes in rows:
            if _keeps_times(text, version) and self._blobs.gives(Digest(digest)):
                blob = Descriptor(media_type, Digest(digest), blob_bytes)
                found.append(PackedLayer(Digest(diff_id), size_bytes, blob))
        return [packed for packed in found if packed.blob is not None]

    def put(self, layer: LayerId, packing: Packing, packed: PackedLayer) -> None:
        """Remembers it; an earlier one of the same packing is replaced."""
        blob = packed.blob
        self._database.change(
            "INSERT OR REPLACE INTO packed"
            " (layer, packing, diff_id, size_bytes, media_type, digest, blob_bytes, created_s, annotations)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                layer,
                str(packing),
                packed.diff_id,
                packed.size_bytes,
                blob.media_type if blob else "",
                blob.digest if blob else "",
                blob.size if blob else 0,
                time.time(),
                json.dumps(dict(blob.annotations), sort_keys=True) if blob else "{}",
            ),
        )

    def flush(self) -> None:
        """Writes down what was used since the last time; `Store.close` does it."""
        with self._lock:
            used, self._used = self._used, {}
        if used:
            self._database.change_many(
                "UPDATE packed SET created_s = max(created_s, ?) WHERE layer = ? AND packing = ?",
                [(now, layer, packing) for (layer, packing), now in used.items()],
            )


def _keeps_times(packing: str, version: str) -> bool:
    parts = packing.split("/", 4)
    return parts[0] == version and parts[3:] == ["-", ""]
