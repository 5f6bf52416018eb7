"""`slimstage push`: what goes, what it says, what a registry has afterwards; in this process, over the project's registry."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import tarfile
from pathlib import Path

import pytest

from slimstage.digest import digest_bytes, parse_digest
from slimstage.oci.descriptor import (
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    OCI_LAYER_GZIP,
)
from slimstage.oci.manifest import parse_index, parse_manifest
from slimstage.oci.reference import parse_reference
from slimstage.store.store import Store
from support.artifacts import MemoryArtifact
from support.fake_registry import Answer, FakeRegistry, error_body
from support.fake_uploads import Cut
from support.images import memory_image
from support.in_process import InProcess
from support.indexes import put_image
from support.pushing import outcomes, store_index

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="builds as root"), pytest.mark.root]

BASE = memory_image({"etc/": b"", "etc/motd": b"hello\n"}, {"big": bytes(range(256)) * 9_000})


def test_an_image_that_was_built_here_goes_as_gzip(registry: FakeRegistry, run: InProcess) -> None:
    name = f"{registry.host}/team/app:1"
    built = run.build(name)
    out, err = run("push", name)
    media_type, raw = registry.manifests["1"]
    manifest = parse_manifest(raw, media_type)
    assert out == f"1: digest: {manifest.digest} size: {len(raw)}\n"
    assert "Pushed" in err
    assert manifest.config.digest == built["image_id"]
    assert [layer.media_type for layer in manifest.layers] == [OCI_LAYER_GZIP] * 2
    assert sum(layer.size for layer in manifest.layers) < 10_000


def test_an_archive_of_another_program_that_was_loaded_goes_as_gzip(registry: FakeRegistry, run: InProcess) -> None:
    """Its tar is not the one that we would make of these files, and the config names its digest."""
    name = f"{registry.host}/team/app:1"
    tar = b"".join(_gnu_member(each) for each in ("z", "etc/motd", "a")) + bytes(20 * 512)
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest_bytes(tar)]}}
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    archive = run.context.parent / "archive.tar"
    with tarfile.open(archive, "w") as made:
        for member, data in (
            ("config.json", json.dumps(config).encode()),
            ("layer.tar", tar),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    run("load", "-i", str(archive))
    (pushed,) = run.json("push", name)
    assert outcomes(pushed) == (2, 0, 0)
    (layer,) = parse_manifest(registry.manifests["1"][1]).layers
    assert layer.media_type == DOCKER_LAYER_GZIP
    assert gzip.decompress(registry.uploads.blobs["team/app", layer.digest]) == tar
    assert outcomes(run.json("push", name)[0]) == (0, 0, 2)
    run("inspect", "--verify", name)


def _gnu_member(name: str) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.uname, info.gname = 5, "me", "us"
    return info.tobuf(tarfile.GNU_FORMAT) + b"data\n".ljust(512, b"\0")


LARGE = random.Random(4).randbytes(10 << 20)


def streams(registry: FakeRegistry) -> list[int]:
    """Bytes of each request whose length was not known when it began."""
    patches = registry.seen("/uploads/", "PATCH")
    return [len(request.body) for request in patches if "transfer-encoding" in request.headers]


def test_a_large_layer_goes_while_it_is_compressed(registry: FakeRegistry, run: InProcess) -> None:
    name = f"{registry.host}/team/app:1"
    (run.context / "model").write_bytes(LARGE)
    run.build(name)
    (pushed,) = run.json("push", name)
    assert outcomes(pushed) == (3, 0, 0)
    manifest = parse_manifest(registry.manifests["1"][1])
    assert streams(registry) == [manifest.layers[0].size]
    assert pushed["sent"]["bytes"] == manifest.config.size + sum(layer.size for layer in manifest.layers)
    run("inspect", "--verify", name)
    assert outcomes(run.json("push", name)[0]) == (0, 0, 3)
    # The same bytes as those that were there before a push began.
    layout = run.context.parent / "layout"
    run("build", "-o", f"type=oci,tar=false,dest={layout}", str(run.context))
    for layer in manifest.layers:
        assert (layout / "blobs" / layer.digest.replace(":", "/")).is_file()


def test_a_push_that_broke_in_a_layer_sends_what_is_missing(registry: FakeRegistry, run: InProcess) -> None:
    name = f"{registry.host}/team/app:1"
    (run.context / "model").write_bytes(LARGE)
    run.build(name)
    registry.uploads.cuts = [Cut("PATCH", "/uploads/session", after=9 << 20)]
    assert outcomes(run.json("push", name)[0]) == (3, 0, 0)
    (layer, _) = parse_manifest(registry.manifests["1"][1]).layers
    assert [size for _, size in registry.uploads.received if size > 1 << 18] == [9 << 20, layer.size - (9 << 20)]


def test_a_refused_push_compresses_no_more_and_says_why(registry: FakeRegistry, run: InProcess) -> None:
    name = f"{registry.host}/team/app:1"
    (run.context / "model").write_bytes(LARGE)
    run.build(name)
    refuses = [True]
    denied = Answer(403, error_body("DENIED", "no"))
    registry.on("POST", "/uploads/", lambda _: denied if refuses else None)
    assert "this account may not push there" in run("push", name, status=3)[1]
    refuses.clear()
    assert outcomes(run.json("push", name)[0]) == (3, 0, 0)
    run("inspect", "--verify", name)


def test_the_stores_digest_is_the_registrys(registry: FakeRegistry, run: InProcess) -> None:
    name = f"{registry.host}/team/app:1"
    run.build(name)
    (pushed,) = run.json("push", name)
    (shown,) = run.json("inspect", name)
    assert shown["RepoDigests"] == [f"{registry.host}/team/app@{pushed['digest']}"]
    assert run.json("inspect", shown["RepoDigests"][0])[0]["Id"] == shown["Id"]
    run("inspect", "--verify", name)
    run("prune")
    assert outcomes(run.json("push", name)[0]) == (0, 0, 3)


def test_a_push_by_the_build_and_one_from_the_store_give_the_same(registry: FakeRegistry, run: InProcess) -> None:
    built = run.build(f"{registry.host}/team/app:1")
    run("push", f"{registry.host}/team/app:1")
    layout = run.context.parent / "layout"
    run("build", "-o", f"type=oci,tar=false,dest={layout}", str(run.context))
    with Store.open(run.root) as store:
        stored = store.images.find(built["image_id"])
        assert stored is not None
        assert (layout / "blobs" / stored.manifest.replace(":", "/")).read_bytes() == registry.manifests["1"][1]


def test_an_image_of_a_registry_goes_back_as_it_came(registry: FakeRegistry, run: InProcess) -> None:
    plain = memory_image({"a": b"b" * 10_000}, is_gzip=False)
    registry.add(plain)
    name = f"{registry.host}/team/app:1"
    run("pull", name)
    run("tag", name, f"{registry.host}/team/copy:2")
    (pushed,) = run.json("push", f"{registry.host}/team/copy:2")
    assert pushed["digest"] == plain.manifest().digest
    assert registry.manifests["2"] == (plain.manifest().media_type, plain.manifest().raw)


def test_layers_of_a_base_are_mounted_from_where_it_came(registry: FakeRegistry, run: InProcess) -> None:
    repository = "library/base"
    registry.add(BASE)
    registry.uploads.blobs |= {(repository, layer.digest): BASE.blobs[layer.digest] for layer in BASE.manifest().layers}
    registry.blobs = {BASE.manifest().config.digest: BASE.blobs[BASE.manifest().config.digest]}
    registry.on("GET", "/blobs/sha256", lambda asked: Answer(body=BASE.blobs[asked.path.rpartition("/")[2]]))  # type: ignore[index]
    name = f"{registry.host}/team/app:1"
    run.build(name, f"{registry.host}/{repository}:1")
    (pushed,) = run.json("push", name)
    assert outcomes(pushed) == (3, 2, 0)
    assert pushed["mounted"]["bytes"] == sum(layer.size for layer in BASE.manifest().layers)


def test_a_second_push_and_a_second_repository_send_nothing(registry: FakeRegistry, run: InProcess) -> None:
    first, second = f"{registry.host}/team/app:1", f"{registry.host}/team/other:1"
    run.build(first)
    assert outcomes(run.json("push", first)[0]) == (3, 0, 0)
    assert outcomes(run.json("push", first)[0]) == (0, 0, 3)
    run("tag", first, second)
    assert outcomes(run.json("push", second)[0]) == (0, 3, 0)


def test_all_tags_go_with_their_blobs_once(registry: FakeRegistry, run: InProcess) -> None:
    repository = f"{registry.host}/team/app"
    run.build(f"{repository}:1")
    run("tag", f"{repository}:1", f"{repository}:2")
    (run.context / "notes").write_bytes(b"other\n")
    run.build(f"{repository}:3")
    run("tag", f"{repository}:3", f"{registry.host}/team/elsewhere:9")
    pushed = run.json("push", "-a", repository)
    assert [each["name"] for each in pushed] == [f"{repository}:1", f"{repository}:2", f"{repository}:3"]
    assert set(registry.manifests) >= {"1", "2", "3"}
    assert "9" not in registry.manifests
    assert registry.manifests["1"] == registry.manifests["2"]
    assert len(registry.uploads.received) == 5  # of two images with a layer in common
    assert "cannot be used" in run("push", "-a", f"{repository}:1", status=2)[1]
    assert "no image of" in run("push", "-a", f"{registry.host}/team/none", status=2)[1]


def test_quiet_prints_the_name_and_nothing_else(registry: FakeRegistry, run: InProcess) -> None:
    name = f"{registry.host}/team/app"
    run.build(name)
    assert run("push", "-q", name) == (f"{name}:latest\n", "")
    assert "Using default tag: latest" in run("push", name)[1]


def test_docker_types_stay(registry: FakeRegistry, run: InProcess) -> None:
    name = f"{registry.host}/team/app:1"
    run.build(name, "scratch", "-o", f"type=image,name={name},oci-mediatypes=false")
    run("push", name)
    manifest = parse_manifest(registry.manifests["1"][1])
    assert manifest.media_type == DOCKER_MANIFEST
    assert {layer.media_type for layer in manifest.layers} == {DOCKER_LAYER_GZIP}


def test_an_index_goes_with_all_its_images_or_one_alone(registry: FakeRegistry, run: InProcess) -> None:
    name = f"{registry.host}/team/app:1"
    images = [
        memory_image({"x": architecture.encode()}, architecture=architecture) for architecture in ("amd64", "arm64")
    ]
    index = store_index(run, name, *images)
    (pushed,) = run.json("push", name)
    assert pushed["digest"] == index.digest
    assert pushed["sent"]["count"] == 4
    run("push", "--platform", "linux/arm64", name)
    assert registry.manifests["1"][1] == images[1].manifest().raw
    assert "is not for" in run("push", "--platform", "linux/s390x", name, status=2)[1]


def test_an_index_of_uncompressed_images_is_made_anew(registry: FakeRegistry, run: InProcess) -> None:
    name = f"{registry.host}/team/app:1"
    images = [
        memory_image({"x": architecture.encode() * 5000}, architecture=architecture, is_gzip=False)
        for architecture in ("amd64", "arm64")
    ]
    before = store_index(run, name, *images)
    (pushed,) = run.json("push", name)
    assert pushed["digest"] != before.digest
    with Store.open(run.root) as store:
        after = store.images.index(name)
        assert after is not None
        assert after.digest == pushed["digest"]
        assert store.indexes.get(before.digest) is None
    for member in after.members:
        manifest = parse_manifest(registry.manifests[member.manifest][1])
        assert [layer.media_type for layer in manifest.layers] == [OCI_LAYER_GZIP]


def test_an_image_that_a_signature_belongs_to_keeps_its_digest(registry: FakeRegistry, run: InProcess) -> None:
    name = f"{registry.host}/team/app:1"
    run.build(name)
    (shown,) = run.json("inspect", name)
    digest = parse_digest(shown["RepoDigests"][0].partition("@")[2])
    with Store.open(run.root) as store:
        artifact = MemoryArtifact(parse_manifest(store.blobs.read(digest)).descriptor())
        store.referrers.put(digest, artifact.manifest().raw, artifact.blobs.values())
    assert run.json("push", name)[0]["digest"] == digest
    # It goes along, and is listed under the tag by which registries without a list of their own keep it.
    media_type, raw = registry.manifests[f"sha256-{digest.partition(':')[2]}"]
    assert [entry.digest for entry in parse_index(raw, media_type).manifests] == [artifact.manifest().digest]
    assert registry.manifests[artifact.manifest().digest][1] == artifact.manifest().raw
    before = list(registry.uploads.received)
    run("push", name)
    assert registry.uploads.received == before


def test_a_layer_whose_bytes_and_files_are_gone_is_said_to(registry: FakeRegistry, run: InProcess) -> None:
    name = f"{registry.host}/team/app:1"
    with Store.open(run.root) as store:
        image = memory_image({"x": b"y"}, is_gzip=False)
        put_image(store, image, name)
        os.unlink(store.blobs.place(image.manifest().layers[0].digest))
    assert "neither packed nor unpacked" in run("push", name, status=3)[1]


def test_what_is_no_name_in_the_store_is_not_pushed(registry: FakeRegistry, run: InProcess) -> None:
    built = run.build(f"{registry.host}/team/app:1")
    err = run("push", f"{registry.host}/team/app:2", status=2)[1]
    assert "no image" in err
    run("push", built["image_id"][7:19], status=2)
    assert "not under a digest" in run("push", f"{registry.host}/team/app@{built['image_id']}", status=2)[1]
    assert registry.requests == []


def test_a_refusal_has_a_hint(registry: FakeRegistry, run: InProcess) -> None:
    name = f"{registry.host}/team/app:1"
    run.build(name)
    registry.on("POST", "/uploads/", Answer(403, error_body("DENIED", "requested access to the resource is denied")))
    out, err = run("push", name, status=3)
    assert out == ""
    assert f"error: denied: {registry.host}/team/app: this account may not push there" in err
    assert f"slimstage login {registry.host}" in err


def test_a_registry_of_tls_is_told_from_one_of_http(run: InProcess, registry: FakeRegistry) -> None:
    """https to a server of plain http: never tried without TLS, and the setting is named."""
    name = f"{registry.host}/team/app:1"
    run.build(name)
    Path("slimstage.toml").write_text(f'[registry."{registry.host}"]\nplain-http = false\n')
    err = run("push", name, status=3)[1]
    assert "does not speak TLS" in err
    assert "plain-http = true" in err
    assert registry.requests == []


def test_where_blobs_were_is_remembered_and_forgotten(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store:
        digest, other = BASE.manifest().layers[0].digest, BASE.manifest().layers[1].digest
        first, second = parse_reference("r.example/a/b:1"), parse_reference("r.example/c")
        store.origins.put(first, [digest, other])
        store.database.change("UPDATE origins SET seen_s = seen_s - 100")
        store.origins.put(second, [digest])
        assert [each.repository for each in store.origins.of(digest)] == ["c", "a/b"]
        assert store.origins.of(other) == [parse_reference("r.example/a/b")]
        store.database.change("UPDATE origins SET seen_s = 1")
        store.origins.put(second, [digest])
        assert [each.repository for each in store.origins.of(digest)] == ["c"]
        assert store.origins.of(other) == []
