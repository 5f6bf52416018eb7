"""store/recompress.py: layers and images in another compression."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from slimstage.digest import Digest
from slimstage.errors import StoreError
from slimstage.oci.config import from_json
from slimstage.oci.descriptor import DOCKER_CONFIG, DOCKER_LAYER_GZIP, DOCKER_MANIFEST, OCI_CONFIG, Platform
from slimstage.oci.manifest import Manifest, build_index, build_manifest
from slimstage.store.recompress import KINDS, compression_of, recompressed, recompressed_image, recompressed_index
from slimstage.store.store import Store
from slimstage.store.verify import verify_stored
from slimstage.tree.compress import Compression
from slimstage.values import replace
from support.images import memory_image


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def image(store: Store) -> Manifest:
    held = memory_image({"etc/": b"", "etc/motd": b"hello\n" * 900}, {"app": b"x" * 70_000})
    for data in held.blobs.values():
        store.blobs.put(data)
    return held.manifest()


def diff_ids(store: Store, manifest: Manifest) -> tuple[Digest, ...]:
    return tuple(from_json(store.blobs.read(manifest.config.digest)).diff_ids)


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_in_another_compression_is_sound_and_has_its_files(
    store: Store, image: Manifest, kind: Compression
) -> None:
    made = recompressed_image(store.blobs, image, kind)
    assert {compression_of(layer) for layer in made.layers} == {kind}
    assert verify_stored(store.blobs, made.descriptor()) == []
    if kind == "estargz":
        assert diff_ids(store, made) != diff_ids(store, image)
    else:
        assert made.config == image.config
    back = recompressed_image(store.blobs, made, "uncompressed")
    assert verify_stored(store.blobs, back.descriptor()) == []
    assert diff_ids(store, back) == diff_ids(store, made)
    assert not any(layer.annotations for layer in back.layers)


def test_what_is_in_the_form_already_is_the_same_manifest(store: Store, image: Manifest) -> None:
    assert recompressed_image(store.blobs, image, "gzip") is image
    once = recompressed_image(store.blobs, image, "zstd:chunked")
    assert recompressed_image(store.blobs, once, "zstd:chunked") is once
    assert recompressed_image(store.blobs, image, "zstd:chunked").raw == once.raw


def test_an_artifact_stays_as_it_is(store: Store, image: Manifest) -> None:
    other = replace(image.layers[0], media_type="application/spdx+json")
    artifact = build_manifest(image.config, [other], artifact_type="application/spdx+json")
    assert recompressed_image(store.blobs, artifact, "zstd") is artifact


def test_docker_s_media_types_stay_where_they_can(store: Store, image: Manifest) -> None:
    docker = build_manifest(
        replace(image.config, media_type=DOCKER_CONFIG),
        [replace(layer, media_type=DOCKER_LAYER_GZIP) for layer in image.layers],
        uses_docker_types=True,
    )
    plain = recompressed_image(store.blobs, docker, "uncompressed")
    assert (plain.media_type, plain.config.media_type) == (DOCKER_MANIFEST, DOCKER_CONFIG)
    parts = recompressed_image(store.blobs, docker, "zstd:chunked")
    assert parts.config == image.config
    assert parts.config.media_type == OCI_CONFIG
    for made in (plain, parts):
        assert verify_stored(store.blobs, made.descriptor()) == []


def test_a_layer_that_is_not_what_its_config_says_is_refused(store: Store, image: Manifest) -> None:
    wrong = Digest("sha256:" + "0" * 64)
    kinds: tuple[Compression, ...] = ("gzip", "estargz")
    for kind in kinds:
        with pytest.raises(StoreError, match="diff ID"):
            recompressed(store.blobs, image.layers[0], wrong, kind)


def test_an_index_names_the_new_images_and_keeps_all_else(store: Store, image: Manifest) -> None:
    amd, arm = Platform("linux", "amd64"), Platform("linux", "arm64")
    other = image.descriptor(arm, {"note": "kept"})
    index = build_index([image.descriptor(amd), replace(other, digest=Digest("sha256:" + "1" * 64))], {"a": "b"})
    made = recompressed_image(store.blobs, image, "zstd")
    found = recompressed_index(store.blobs, index, {image.digest: made})
    assert [member.digest for member in found.manifests] == [made.digest, index.manifests[1].digest]
    assert [member.platform for member in found.manifests] == [amd, arm]
    assert found.manifests[1].annotations == {"note": "kept"}
    assert found.annotations == {"a": "b"}
    assert store.blobs.read(found.digest) == found.raw
    assert recompressed_index(store.blobs, index, {image.digest: image}) is index
