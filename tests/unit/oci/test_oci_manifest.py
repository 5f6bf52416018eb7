from __future__ import annotations

import base64
import json
from collections.abc import Mapping

import pytest

from slimstage.digest import Digest, digest_bytes
from slimstage.errors import FormatError
from slimstage.oci.config import ImageConfig
from slimstage.oci.descriptor import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    DOCKER_SCHEMA1,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Platform,
)
from slimstage.oci.manifest import (
    Index,
    Manifest,
    build_index,
    build_manifest,
    parse_document,
    parse_index,
    parse_manifest,
)
from slimstage.oci.select import check_platform, fits, resolve, select

AMD = Platform("linux", "amd64")


def descriptor(number: int = 1, platform: Platform | None = None, media_type: str = OCI_MANIFEST) -> Descriptor:
    return Descriptor(media_type, Digest(f"sha256:{number:064x}"), number, platform)


def manifest_json(**changes: object) -> bytes:
    fields: dict[str, object] = json.loads(
        build_manifest(descriptor(1, media_type=OCI_CONFIG), [descriptor(2, media_type=OCI_LAYER_GZIP)]).raw
    )
    fields.update(changes)
    return json.dumps({key: value for key, value in fields.items() if value is not None}).encode()


@pytest.mark.parametrize("uses_docker_types", [False, True])
def test_manifest_round_trips(uses_docker_types: bool) -> None:
    built = build_manifest(
        descriptor(1), [descriptor(2), descriptor(3)], {"b": "2", "a": "1"}, uses_docker_types=uses_docker_types
    )
    assert built.media_type == (DOCKER_MANIFEST if uses_docker_types else OCI_MANIFEST)
    assert parse_manifest(built.raw, built.media_type) == built
    assert built.digest == digest_bytes(built.raw)
    assert built.descriptor().size == len(built.raw)


def test_index_round_trips_with_platforms_and_order() -> None:
    entries = [descriptor(2, Platform("linux", "arm", "v7")), descriptor(1, Platform("windows", "amd64", None, "10.0"))]
    built = build_index(entries, uses_docker_types=True)
    assert built.media_type == DOCKER_INDEX
    assert parse_index(built.raw) == built


def test_bytes_are_kept_as_they_were_read() -> None:
    raw = manifest_json(unknown={"z": 1, "a": 2}) + b"\n \n"
    assert parse_manifest(raw).raw == raw


def test_unknown_types_of_layers_and_artifacts_are_read() -> None:
    raw = manifest_json(
        artifactType="application/x-thing",
        layers=[{"mediaType": "application/x-weights", "digest": "sha256:" + "0" * 64, "size": 0}],
    )
    manifest = parse_manifest(raw)
    assert manifest.artifact_type == "application/x-thing"
    assert manifest.layers[0].media_type == "application/x-weights"


def test_schema1_is_refused_with_an_explanation() -> None:
    for raw, content_type in (
        (b'{"schemaVersion":1,"name":"x","fsLayers":[],"signatures":[]}', None),
        (manifest_json(), DOCKER_SCHEMA1 + "+prettyjws"),
    ):
        with pytest.raises(FormatError, match="schema 1") as caught:
            parse_document(raw, content_type)
        assert caught.value.code == "schema1"
        assert caught.value.hint


@pytest.mark.parametrize(
    ("raw", "content_type", "code"),
    [
        (manifest_json(), OCI_INDEX, "media-type-mismatch"),
        (manifest_json(mediaType=DOCKER_MANIFEST), OCI_MANIFEST, "media-type-mismatch"),
        (manifest_json(mediaType=OCI_INDEX), None, "media-type-mismatch"),
        (manifest_json(manifests=[]), None, "ambiguous-manifest"),
        (manifest_json(mediaType="text/html"), None, "unknown-media-type"),
        (manifest_json(schemaVersion=3), None, "bad-document"),
        (manifest_json(config=None), None, "bad-document"),
        (b'{"schemaVersion":2,"schemaVersion":2}', None, "duplicate-key"),
        (manifest_json(layers=[{"mediaType": "x", "digest": "sha256:" + "0" * 64, "size": -1}]), None, "bad-document"),
        (manifest_json(layers=[{"mediaType": "x", "digest": "sha256:" + "0" * 64, "size": 1.0}]), None, "bad-document"),
        (manifest_json(layers=[{}] * 5001), None, "too-many-entries"),
        (b'{"schemaVersion":2,"manifests":[' + b",".join([b"{}"] * 100_000) + b"]}", OCI_INDEX, "too-many-entries"),
        (b" " * (5 << 20), None, "document-too-large"),
    ],
)
def test_contradictory_or_oversized_documents_are_refused(raw: bytes, content_type: str | None, code: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_document(raw, content_type)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "digest",
    [
        "sha256:../../../etc/passwd",
        "sha256:" + "A" * 64,
        "sha256:" + "a" * 63,
        "sha256:",
        "md5:" + "a" * 32,
        "sha256:" + "a" * 64 + "?x=1",
        "sha256:" + "a" * 64 + "\n",
        7,
        None,
    ],
)
def test_digests_are_checked_against_their_grammar(digest: object) -> None:
    with pytest.raises(FormatError, match=r"layers\[0\].digest"):
        parse_document(manifest_json(layers=[{"mediaType": "x", "digest": digest, "size": 1}]))


def test_inline_data_has_to_match() -> None:
    good = b"hello"
    layer = {"mediaType": "x", "digest": digest_bytes(good), "size": 5, "data": base64.b64encode(good).decode()}
    assert parse_manifest(manifest_json(layers=[layer])).layers[0].size == 5
    with pytest.raises(FormatError, match="data"):
        parse_manifest(manifest_json(layers=[layer | {"data": base64.b64encode(b"hallo").decode()}]))
    with pytest.raises(FormatError, match="base64"):
        parse_manifest(manifest_json(layers=[layer | {"data": "!"}]))


@pytest.mark.parametrize(
    ("offered", "wanted", "distance"),
    [
        ("linux/amd64", "linux/amd64", 0),
        ("linux/x86_64", "linux/amd64", 0),
        ("linux/amd64/v1", "linux/amd64", 0),
        ("linux/amd64/v3", "linux/amd64", None),
        ("linux/amd64", "linux/amd64/v3", 2),
        ("linux/386", "linux/amd64", None),
        ("linux/arm64/v8", "linux/arm64", 0),
        ("linux/arm", "linux/arm/v7", 0),
        ("linux/arm/v6", "linux/arm/v7", 1),
        ("linux/arm/v7", "linux/arm/v6", None),
        ("linux/arm/v7", "linux/arm64", None),
        ("windows/amd64", "linux/amd64", None),
    ],
)
def test_platforms_fit_by_variant(offered: str, wanted: str, distance: int | None) -> None:
    def platform(text: str) -> Platform:
        os, architecture, variant = [*text.split("/"), None][:3]
        return Platform(str(os), str(architecture), variant)

    assert fits(platform(offered), platform(wanted)) == distance


def test_best_variant_is_selected_and_the_first_of_equals() -> None:
    index = build_index(
        [
            descriptor(1, Platform("linux", "arm", "v5")),
            descriptor(2, Platform("linux", "arm", "v6")),
            descriptor(3, Platform("linux", "arm", "v6")),
            descriptor(4, Platform("unknown", "unknown")),
        ]
    )
    assert select(index, Platform("linux", "arm", "v7")).size == 2
    with pytest.raises(FormatError, match="linux/amd64") as caught:
        select(index, AMD)
    assert "linux/arm/v5, linux/arm/v6" in str(caught.value)
    assert "unknown" not in str(caught.value)


def test_only_entry_without_platform_is_taken_but_not_one_of_several() -> None:
    assert select(build_index([descriptor(5)]), AMD).size == 5
    with pytest.raises(FormatError, match="2 that say no platform"):
        select(build_index([descriptor(5), descriptor(6)]), AMD)


def test_image_that_says_another_platform_than_the_index_is_refused() -> None:
    for config in (ImageConfig("arm64", "linux"), ImageConfig("amd64", "windows")):
        with pytest.raises(FormatError, match="another platform") as caught:
            check_platform(config, AMD)
        assert caught.value.code == "platform-mismatch"
    check_platform(ImageConfig("x86_64", "linux"), AMD)


def test_nested_indexes_are_followed_to_a_limit() -> None:
    documents: dict[Digest, bytes] = {}

    def add(document: Index | Manifest) -> Descriptor:
        documents[document.digest] = document.raw
        return document.descriptor()

    def read(wanted: Descriptor) -> bytes:
        return documents[wanted.digest]

    image = build_manifest(descriptor(1), [descriptor(2)])
    top = add(image)
    for depth in range(1, 1000):
        top = add(build_index([top]))
        if depth <= 4:
            assert resolve(read, top, AMD) == image
    with pytest.raises(FormatError, match="nested deeper"):
        resolve(read, top, AMD)


def test_annotations_have_to_be_text() -> None:
    annotations: Mapping[str, object] = {"a": 1}
    with pytest.raises(FormatError, match="annotations"):
        parse_manifest(manifest_json(annotations=annotations))
