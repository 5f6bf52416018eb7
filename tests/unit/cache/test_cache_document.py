"""What a cache that travels says: exact bytes, and suspicion."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimstage.cache.artifact import ARTIFACT, DOCUMENT, artifact, read_artifact
from slimstage.cache.document import (
    CachedLayer,
    CachedMount,
    CacheDocument,
    CachedRecord,
    CachedSystem,
    from_json,
    to_json,
)
from slimstage.digest import digest_bytes
from slimstage.errors import FormatError
from slimstage.oci.descriptor import OCI_LAYER_GZIP, OCI_LAYER_ZSTD, Descriptor
from slimstage.oci.manifest import parse_manifest

KEY = "c1-" + "a" * 64
LAYERS = tuple(
    CachedLayer(digest_bytes(b"tar %d" % n), 10240 + n, 5, Descriptor(kind, digest_bytes(b"blob %d" % n), 100 + n))
    for n, kind in enumerate((OCI_LAYER_GZIP, OCI_LAYER_ZSTD))
)
INDEX = Descriptor("application/json", digest_bytes(b"index"), 5)
PACK = Descriptor("application/octet-stream", digest_bytes(b"pack"), 4)
DOCUMENT_VALUE = CacheDocument(
    "1",
    LAYERS,
    (
        CachedRecord((KEY, "d1-" + "b" * 64), "r1-" + "c" * 64, 0, 1_700_000_000.25),
        CachedRecord(("c1-" + "d" * 64,), "c1-" + "d" * 64, None, 0.0),
    ),
    (CachedSystem("debian-" + "e" * 64, '{"os": "linux"}', 1),),
    (CachedMount("pip", INDEX, (PACK, PACK)),),
)


def written() -> tuple[dict[str, Any], tuple[Descriptor, ...]]:
    cache = artifact(DOCUMENT_VALUE)
    return json.loads(cache.data), cache.manifest.layers


def test_a_document_is_read_as_it_was_written() -> None:
    cache = artifact(DOCUMENT_VALUE)
    assert read_artifact(parse_manifest(cache.manifest.raw), cache.data) == DOCUMENT_VALUE
    assert artifact(DOCUMENT_VALUE).manifest.raw == cache.manifest.raw


def test_the_artifact_is_an_image_manifest_that_names_the_document_and_each_blob_once() -> None:
    twice = replace(DOCUMENT_VALUE, layers=(*LAYERS, replace(LAYERS[0], diff_id=digest_bytes(b"x"))))
    manifest = json.loads(artifact(twice).manifest.raw)
    assert manifest["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert (manifest["artifactType"], manifest["config"]["mediaType"]) == (ARTIFACT, DOCUMENT)
    assert [layer["digest"] for layer in manifest["layers"]] == [
        *(layer.blob.digest for layer in LAYERS), INDEX.digest, PACK.digest,
    ]  # fmt: skip


def test_a_document_of_another_version_is_told_apart_from_a_broken_one() -> None:
    for name in ("version", "keys"):
        document, blobs = written()
        document[name] += 1
        with pytest.raises(FormatError, match="another version") as raised:
            from_json(json.dumps(document).encode(), blobs)
        assert raised.value.code == "cache-version"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("records", 0, "keys"), []),
        (("records", 0, "keys"), ["../../etc/passwd"]),
        (("records", 0, "keys"), [KEY] * 17),
        (("records", 0, "content"), "no key"),
        (("records", 0, "layer"), 2),
        (("records", 0, "layer"), -1),
        (("records", 0, "layer"), True),
        (("records", 0, "created"), 1e300),
        (("records", 0, "created"), -1),
        (("records", 0, "created"), "now"),
        (("records", 0, "created"), None),
        (("layers", 0, "diffID"), "sha256:xyz"),
        (("layers", 0, "diffID"), None),
        (("layers", 0, "size"), -1),
        (("layers", 0, "size"), 1 << 60),
        (("layers", 0, "fileBytes"), 0.5),
        (("layers", 0, "blob"), 2),
        (("layers", 0, "blob"), None),
        (("systems", 0, "key"), "../debian"),
        (("systems", 0, "layer"), None),
        (("mounts", 0, "id"), "a\0b"),
        (("mounts", 0, "index"), None),
        (("mounts", 0, "index"), 9),
        (("mounts", 0, "packs"), None),
        (("mounts", 0, "packs"), [9]),
        (("mounts", 0, "packs"), [None]),
        (("records",), {}),
        (("layers",), [1]),
    ],
)
def test_what_makes_no_sense_is_refused(place: tuple[Any, ...], value: object) -> None:
    document, blobs = written()
    at: Any = document
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = value
    with pytest.raises(FormatError):
        from_json(json.dumps(document).encode(), blobs)


def test_a_blob_that_is_no_layer_is_refused() -> None:
    document, blobs = written()
    with pytest.raises(FormatError, match="is no layer"):
        from_json(json.dumps(document).encode(), (replace(blobs[0], media_type="text/html"), *blobs[1:]))


def test_too_many_of_anything_is_refused() -> None:
    document, blobs = written()
    document["records"] = document["records"][:1] * 50_001
    with pytest.raises(FormatError, match="more than"):
        from_json(json.dumps(document).encode(), blobs)
    with pytest.raises(FormatError, match="larger than"):
        from_json(b" " * (17 << 20), blobs)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.data())
def test_any_change_of_a_document_is_read_or_refused(data: st.DataObject) -> None:
    """Never another error; and what is read holds only keys, places and digests that make sense."""
    document, blobs = written()
    at: Any = document
    while True:
        choices = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not choices:
            break
        key = data.draw(st.sampled_from(choices))
        if isinstance(at[key], dict | list) and at[key] and data.draw(st.booleans()):
            at = at[key]
            continue
        if data.draw(st.booleans()):
            at[key] = data.draw(JSON_VALUES)
        else:
            del at[key]
        break
    try:
        found = from_json(json.dumps(document).encode(), blobs)
    except FormatError:
        return
    for record in found.records:
        assert record.layer is None or 0 <= record.layer < len(found.layers)
        assert all(key[1:2].isdigit() for key in (*record.keys, record.content_key))
    assert to_json(found, [blob.digest for blob in blobs])


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        from_json(data, ())


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_flipped_byte_is_read_or_refused(place: int, flip: int) -> None:
    cache = artifact(DOCUMENT_VALUE)
    data = bytearray(cache.data)
    data[place % len(data)] ^= flip
    try:
        from_json(bytes(data), cache.manifest.layers)
    except FormatError:
        pass
