"""Laws of the formats: what is written is read back, and no bytes make a reader fail otherwise than with FormatError."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from slimstage.digest import Digest
from slimstage.errors import FormatError
from slimstage.oci.config import HistoryEntry, ImageConfig, from_json, to_json
from slimstage.oci.descriptor import Descriptor, Platform, normalised
from slimstage.oci.manifest import build_index, build_manifest, parse_document, parse_manifest
from slimstage.oci.reference import parse_reference
from slimstage.oci.select import fits

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
DIGESTS = st.binary(min_size=32, max_size=32).map(lambda data: Digest("sha256:" + data.hex()))
PLATFORMS = st.builds(
    lambda os, arch, variant: normalised(Platform(os, arch, variant)),
    st.sampled_from(["linux", "windows"]),
    st.sampled_from(["amd64", "arm", "arm64", "386"]),
    st.sampled_from([None, "v1", "v2", "v6", "v7", "v8", "v9"]),
)
DESCRIPTORS = st.builds(
    Descriptor,
    TEXT.filter(bool),
    DIGESTS,
    st.integers(0, 1 << 60),
    st.none(),
    st.dictionaries(TEXT, TEXT, max_size=3),
)
CONFIGS = st.builds(
    ImageConfig,
    TEXT.filter(bool),
    TEXT.filter(bool),
    created=st.none() | TEXT,
    env=st.lists(TEXT, max_size=3).map(tuple),
    cmd=st.none() | st.lists(TEXT, max_size=3).map(tuple),
    entrypoint=st.none() | st.lists(TEXT, max_size=3).map(tuple),
    labels=st.dictionaries(TEXT, TEXT, max_size=3).map(lambda labels: tuple(sorted(labels.items()))),
    volumes=st.sets(TEXT, max_size=3).map(lambda names: tuple(sorted(names))),
    diff_ids=st.lists(DIGESTS, max_size=3).map(tuple),
    history=st.lists(st.builds(HistoryEntry, created_by=TEXT, empty_layer=st.booleans()), max_size=3).map(tuple),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["schemaVersion", "mediaType", "config", "layers", "manifests", "digest", "size", "platform"]
            )
            | TEXT,
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(CONFIGS)
def test_config_read_back_is_equal(config: ImageConfig) -> None:
    assert from_json(to_json(config)) == config


@given(DESCRIPTORS, st.lists(DESCRIPTORS, max_size=4), st.dictionaries(TEXT, TEXT, max_size=3))
def test_manifest_read_back_is_equal(config: Descriptor, layers: list[Descriptor], annotations: dict[str, str]) -> None:
    built = build_manifest(config, layers, annotations)
    assert parse_manifest(built.raw) == built
    index = build_index([config, *layers], annotations)
    assert parse_document(index.raw) == index


@given(JSON)
def test_any_json_is_a_document_or_a_format_error(value: object) -> None:
    data = json.dumps(value).encode()
    for read in (parse_document, from_json):
        try:
            read(data)
        except FormatError:
            pass


@given(st.binary(max_size=200))
def test_any_bytes_are_a_format_error(data: bytes) -> None:
    for read in (parse_document, from_json):
        try:
            read(data)
        except FormatError:
            pass


@given(st.text(st.sampled_from("aA0:/@.-_[]%#? \n"), max_size=30))
def test_what_is_a_reference_survives_its_own_text(text: str) -> None:
    try:
        reference = parse_reference(text)
    except FormatError:
        return
    assert parse_reference(str(reference)) == reference
    assert parse_reference(reference.familiar()) == reference
    assert not set(str(reference)) & set("%#? \n")


@given(PLATFORMS, PLATFORMS)
def test_only_equal_platforms_fit_both_ways(one: Platform, two: Platform) -> None:
    assert fits(one, one) == 0
    if fits(one, two) is not None and fits(two, one) is not None:
        assert one == two
