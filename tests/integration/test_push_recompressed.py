"""`slimstage push --recompress`, and what becomes of attestations in an index."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from slimstage.digest import digest_bytes
from slimstage.oci.descriptor import OCI_CONFIG, Descriptor, Platform
from slimstage.oci.manifest import Manifest, build_index, build_manifest, parse_index, parse_manifest
from slimstage.store.indexes import IndexMember, StoredIndex
from slimstage.store.recompress import compression_of
from slimstage.store.store import Store
from support.fake_registry import FakeRegistry
from support.images import MemoryImage, memory_image
from support.in_process import InProcess
from support.indexes import put_image
from support.pushing import outcomes, store_index
from support.registry import needs_registry
from support.registry_process import RegistryProcess

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="builds as root"), pytest.mark.root]


@pytest.mark.parametrize("kind", ["zstd", "estargz", "zstd:chunked"])
def test_an_image_goes_recompressed_and_the_store_keeps_its_own(
    registry: FakeRegistry, run: InProcess, kind: str
) -> None:
    name = f"{registry.host}/team/app:1"
    built = run.build(name)
    _, err = run("push", "--recompress", kind, name)
    assert f"as {kind}" in err
    manifest = parse_manifest(registry.manifests["1"][1])
    assert {compression_of(layer) for layer in manifest.layers} == {kind}
    assert (manifest.config.digest == built["image_id"]) == (kind != "estargz")
    (shown,) = run.json("inspect", name)
    assert shown["Id"] == built["image_id"]
    again = run.json("push", "--recompress", kind, name)[0]
    assert outcomes(again) == (0, 0, 3)
    assert again["digest"] == manifest.digest


def test_an_index_goes_recompressed_under_its_platforms(registry: FakeRegistry, run: InProcess) -> None:
    images = [memory_image({"f": name.encode()}, architecture=name) for name in ("amd64", "arm64")]
    name = f"{registry.host}/team/app:1"
    index = store_index(run, name, *images)
    (pushed,) = run.json("push", "--recompress", "zstd", name)
    assert pushed["digest"] != index.digest
    document = parse_index(registry.manifests["1"][1])
    assert [str(member.platform) for member in document.manifests] == ["linux/amd64", "linux/arm64"]
    assert "zstd" in run("push", "--recompress", "lzma", name, status=2)[1]


def attested_index(run: InProcess, name: str, image: MemoryImage) -> tuple[StoredIndex, Manifest]:
    """An index of the image and of an attestation as buildx keeps it."""
    config, text = b'{"architecture":"unknown","os":"unknown"}', b'{"_type":"https://in-toto.io/Statement/v0.1"}'
    statement = build_manifest(
        Descriptor(OCI_CONFIG, digest_bytes(config), len(config)),
        [Descriptor("application/vnd.in-toto+json", digest_bytes(text), len(text))],
    )
    notes = {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": image.manifest().digest,
    }
    entries = [
        image.manifest().descriptor(image.config().platform),
        statement.descriptor(Platform("unknown", "unknown"), notes),
    ]
    with Store.open(run.root) as store:
        stored = put_image(store, image)
        index = build_index(entries)
        for data in (config, text, statement.raw, index.raw):
            store.blobs.put(data)
        made = StoredIndex(index.digest, (IndexMember(stored.manifest, stored.id, stored.platform),), 1.0)
        store.indexes.put(made, (name,))
    return made, statement


def pushes_an_attested_index(host: str, run: InProcess, raw_of: Callable[[str], bytes]) -> None:
    """To the byte as it is; recompressed, without what is about the old form. raw_of: the manifest of a tag or digest."""
    name = f"{host}/team/app:1"
    index, statement = attested_index(run, name, memory_image({"x": b"y" * 5000}, is_gzip=False))
    assert run.json("push", name)[0]["digest"] == index.digest
    assert raw_of(statement.digest) == statement.raw
    err = run("push", "--recompress", "zstd", name)[1]
    assert "stay behind: 1" in err
    (entry,) = parse_index(raw_of("1")).manifests
    assert [compression_of(layer) for layer in parse_manifest(raw_of(entry.digest)).layers] == ["zstd"]
    assert run.json("push", "--recompress", "uncompressed", name)[0]["digest"] == index.digest


def test_an_index_with_attestations_goes_whole(registry: FakeRegistry, run: InProcess) -> None:
    pushes_an_attested_index(registry.host, run, lambda name: registry.manifests[name][1])


@needs_registry
def test_dockers_registry_takes_an_index_with_attestations(run: InProcess, tmp_path: Path) -> None:
    process = RegistryProcess(tmp_path / "registry")
    accept = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"

    def raw_of(name: str) -> bytes:
        request = urllib.request.Request(
            f"http://{process.host}/v2/team/app/manifests/{name}", headers={"Accept": accept}
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
            raw: bytes = answer.read()
            return raw

    try:
        pushes_an_attested_index(process.host, run, raw_of)
    finally:
        process.close()
