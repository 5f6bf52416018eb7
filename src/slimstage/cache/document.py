"""What a cache that travels says: records, the layers that they mean, and base systems; to and from bytes. Pure.

    {"version": 1, "keys": 1, "packing": "1",
     "layers": [{"diffID": "sha256:…", "size": 10240, "fileBytes": 5, "blob": 0}, …],
     "records": [{"keys": ["c1-…", "d1-…"], "content": "r1-…", "layer": 0, "created": 1700000000.5}, …],
     "systems": [{"key": "debian-…", "config": "{…}", "layer": 1}, …],
     "mounts": [{"id": "pip", "index": 2, "packs": [3, 4]}, …]}

The document is the config of an OCI manifest; `blob`, `index` and `packs` count in that manifest's layers. A record
without a layer says only what the step's content key is: enough for finding what was made of it, and nothing that a step
could stand on.

Everything here is read with suspicion. What is wrong with one entry spoils the document, and a document that cannot be
read is a cache that has nothing.
"""

from __future__ import annotations

import math

from slimstage.cache.keys import VERSION as KEYS
from slimstage.digest import Digest, canonical_json
from slimstage.errors import FormatError
from slimstage.oci.descriptor import (
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    Descriptor,
)
from slimstage.oci.document import Fields, read_object
from slimstage.regex import pattern
from slimstage.values import dataclass

VERSION = 1
"""Of the document; a reader that knows another one has a cache that has nothing for it."""

LIMIT_BYTES = 16 << 20
COMPRESSIONS = {
    OCI_LAYER: "uncompressed",
    DOCKER_LAYER: "uncompressed",
    OCI_LAYER_GZIP: "gzip",
    DOCKER_LAYER_GZIP: "gzip",
    OCI_LAYER_ZSTD: "zstd",
}
"""Media types of layers that a cache may have; Docker's in an image with an inline cache."""

_MOST_LAYERS, _MOST_RECORDS, _MOST_KEYS, _MOST_SYSTEMS, _MOST_MOUNTS = 10_000, 50_000, 16, 1_000, 1_000
_LARGEST_BYTES = 1 << 50
_LATEST_S = 253402300799.0
"""The end of the year 9999: RFC 3339, in which an image says its times, has no later ones."""

_KEY = pattern(r"[a-z]\d{1,4}-[0-9a-f]{64}\Z")
_SYSTEM_KEY = pattern(r"debian-[0-9a-f]{8,64}\Z")
_MOUNT_ID = pattern(r"[^\0]{1,1024}\Z")


@dataclass(frozen=True, slots=True)
class CachedLayer:
    """diff_id, size_bytes: of the uncompressed tar. file_bytes: of its files. blob: where its bytes are."""

    diff_id: Digest
    size_bytes: int
    file_bytes: int
    blob: Descriptor


@dataclass(frozen=True, slots=True)
class CachedRecord:
    """keys: all under which the step's result is known. layer: a position in the document's layers, None: not carried."""

    keys: tuple[str, ...]
    content_key: str
    layer: int | None
    created_s: float


@dataclass(frozen=True, slots=True)
class CachedSystem:
    """A base that was made on the other machine. config: the image config's exact text."""

    key: str
    config: str
    layer: int


@dataclass(frozen=True, slots=True)
class CachedMount:
    """The content of one cache directory: its index and the packs that this counts in (see `mounts.py`)."""

    id: str
    index: Descriptor
    packs: tuple[Descriptor, ...] = ()


@dataclass(frozen=True, slots=True)
class CacheDocument:
    """All that one cache says. packing: the version of the packer by which its layers were made."""

    packing: str = ""
    layers: tuple[CachedLayer, ...] = ()
    records: tuple[CachedRecord, ...] = ()
    systems: tuple[CachedSystem, ...] = ()
    mounts: tuple[CachedMount, ...] = ()


def to_json(document: CacheDocument, blobs: list[Digest]) -> bytes:
    """The document's bytes, the same for the same value. blobs: the digests of the manifest's layers, in order."""
    places = {digest: place for place, digest in enumerate(blobs)}
    layers = [
        {
            "diffID": layer.diff_id,
            "size": layer.size_bytes,
            "fileBytes": layer.file_bytes,
            "blob": places[layer.blob.digest],
        }
        for layer in document.layers
    ]
    records = []
    for record in document.records:
        fields: dict[str, object] = {
            "keys": list(record.keys),
            "content": record.content_key,
            "created": record.created_s,
        }
        if record.layer is not None:
            fields["layer"] = record.layer
        records.append(fields)
    systems = [{"key": each.key, "config": each.config, "layer": each.layer} for each in document.systems]
    mounts = [
        {"id": each.id, "index": places[each.index.digest], "packs": [places[pack.digest] for pack in each.packs]}
        for each in document.mounts
    ]
    whole = {"version": VERSION, "keys": KEYS, "packing": document.packing, "layers": layers, "records": records}
    return canonical_json({**whole, "systems": systems, "mounts": mounts})


def from_json(data: bytes, blobs: tuple[Descriptor, ...]) -> CacheDocument:
    """The document. blobs: the layers of the manifest whose config it is.

    Raises FormatError: malformed, of another version (`cache-version`), or with values that make no sense.
    """
    fields = read_object(data, "the cache's document", LIMIT_BYTES)
    versions = (fields.number("version"), fields.number("keys"))
    if versions != (VERSION, KEYS):
        raise FormatError(
            f"it was written by another version of slimstage: its format is {versions[0]}.{versions[1]}, "
            f"this one knows {VERSION}.{KEYS}",
            code="cache-version",
        )
    layers = tuple(_layer(each, blobs) for each in fields.items("layers", _MOST_LAYERS))
    return CacheDocument(
        fields.text("packing") or "",
        layers,
        tuple(_record(each, len(layers)) for each in fields.items("records", _MOST_RECORDS)),
        tuple(_system(each, len(layers)) for each in fields.items("systems", _MOST_SYSTEMS)),
        tuple(_mount(each, blobs) for each in fields.items("mounts", _MOST_MOUNTS)),
    )


def _layer(fields: Fields, blobs: tuple[Descriptor, ...]) -> CachedLayer:
    place = _place(fields, "blob", len(blobs))
    if place is None:
        fields.wrong("blob", "the place of a layer in the manifest")
    blob = blobs[place]
    if blob.media_type not in COMPRESSIONS:
        raise FormatError(f'{fields.at("blob")}: "{blob.media_type[:100]}" is no layer', code="bad-document")
    return CachedLayer(fields.digest("diffID"), _size(fields, "size"), _size(fields, "fileBytes"), blob)


def _record(fields: Fields, layers: int) -> CachedRecord:
    keys = fields.texts("keys") or ()
    if not 0 < len(keys) <= _MOST_KEYS or not all(_KEY.match(key) for key in keys):
        fields.wrong("keys", f"up to {_MOST_KEYS} keys")
    content = fields.needed_text("content")
    if not _KEY.match(content):
        fields.wrong("content", "a key")
    return CachedRecord(keys, content, _place(fields, "layer", layers), _time(fields, "created"))


def _system(fields: Fields, layers: int) -> CachedSystem:
    key, layer = fields.needed_text("key"), _place(fields, "layer", layers)
    if not _SYSTEM_KEY.match(key):
        fields.wrong("key", "the key of a system")
    if layer is None:
        fields.wrong("layer", "the place of a layer")
    return CachedSystem(key, fields.needed_text("config"), layer)


def _mount(fields: Fields, blobs: tuple[Descriptor, ...]) -> CachedMount:
    identity, index = fields.needed_text("id"), _place(fields, "index", len(blobs))
    if not _MOUNT_ID.match(identity):
        fields.wrong("id", "the name of a cache")
    if index is None:
        fields.wrong("index", "the place of an index")
    packs = fields.values.get("packs")
    if not isinstance(packs, list) or len(packs) > len(blobs):
        fields.wrong("packs", "places of packs")
    places = [Fields({"packs": place}, fields.place) for place in packs]
    found = [_place(each, "packs", len(blobs)) for each in places]
    if None in found:
        fields.wrong("packs", "places of packs")
    return CachedMount(identity, blobs[index], tuple(blobs[place] for place in found if place is not None))


def _place(fields: Fields, name: str, count: int) -> int | None:
    value = fields.number(name)
    if value is not None and not 0 <= value < count:
        fields.wrong(name, f"a number below {count}")
    return value


def _size(fields: Fields, name: str) -> int:
    value = fields.number(name)
    if value is None or not 0 <= value <= _LARGEST_BYTES:
        fields.wrong(name, "a size in bytes")
    return value


def _time(fields: Fields, name: str) -> float:
    value = fields.values.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        fields.wrong(name, "seconds since 1970")
    if not (math.isfinite(value) and 0 <= value <= _LATEST_S):
        fields.wrong(name, "seconds since 1970")
    return float(value)
