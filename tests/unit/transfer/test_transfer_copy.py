"""Copying between places of every kind: the same bytes at both ends, and nothing but them."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from slimstage.digest import Digest, digest_bytes
from slimstage.errors import FormatError, PlanError, RegistryError, SlimstageError, UsageError
from slimstage.oci.config import to_json
from slimstage.oci.descriptor import OCI_INDEX, OCI_LAYER, Descriptor
from slimstage.oci.manifest import build_index, build_manifest
from slimstage.signing.signature import cosign_tag, tagged_manifest
from slimstage.store.archive import Archive
from slimstage.store.collect import prune
from slimstage.store.doctor import examine
from slimstage.store.layout import Layout
from slimstage.store.store import Store
from slimstage.transfer import gather
from slimstage.transfer.copying import Copier
from slimstage.transfer.place import parse_place
from support.copies import AMD, ARM, World, copy, layout_blobs, layout_of, quick_copier
from support.fake_referrers import FakeReferrers
from support.fake_registry import Answer, FakeRegistry
from support.images import memory_image


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture
def copier() -> Iterator[Copier]:
    made = quick_copier()
    yield made
    made.close()


@pytest.mark.parametrize("has_api", [True, False])
def test_every_way_round_keeps_every_byte(tmp_path: Path, world: World, registry: FakeRegistry, has_api: bool) -> None:
    """Layout → registry → layout → archive → store → registry → layout, with all platforms and all that belongs to them."""
    if has_api:
        FakeReferrers(registry, page=1)
    hosts = [f"{registry.host}/team/app:1", f"{registry.host}/other/app:1"]
    with Store.open(tmp_path / "store") as store:
        copier = quick_copier(store)
        stations = [
            world.write(tmp_path / "first"), hosts[0], f"oci:{tmp_path / 'l'}", f"oci-archive:{tmp_path / 'a.tar'}",
            "store:app:2", hosts[1], f"oci:{tmp_path / 'last'}",
        ]  # fmt: skip
        for source, target in pairwise(stations):
            done = copy(copier, source, target, has_referrers=True)
            assert (done.digest, done.images, done.remarks) == (world.index.digest, 2, ())
            assert {d.digest for d in done.referrers} == {a.manifest().digest for a in world.artifacts}
        copier.close()
        assert examine(store) == []
        prune(store, all_=True)
        assert [index.digest for index in store.indexes.list()] == [world.index.digest]
    assert layout_blobs(tmp_path / "last") == {str(digest): data for digest, data in world.blobs().items()}


def test_only_what_is_asked_for_is_copied(tmp_path: Path, world: World, copier: Copier) -> None:
    source = world.write(tmp_path / "first")
    done = copy(copier, source, f"oci:{tmp_path / 'arm'}:arm", platform=ARM)
    assert (done.digest, done.referrers) == (world.arm.manifest().digest, ())
    assert layout_blobs(tmp_path / "arm") == {str(digest): data for digest, data in world.arm.blobs.items()}
    with Layout(str(tmp_path / "arm")) as layout:
        assert layout.names() == ["arm"]
    done = copy(copier, source, f"oci:{tmp_path / 'amd'}", platform=AMD, has_referrers=True)
    assert [d.digest for d in done.referrers] == [a.manifest().digest for a in (world.sbom, world.about_sbom)]
    with pytest.raises(FormatError, match="linux/amd64, linux/arm64"):
        copy(copier, source, f"oci:{tmp_path / 'no'}", platform=type(AMD)("linux", "s390x"))
    assert not (tmp_path / "no").exists()


def test_an_image_that_is_there_alone_is_not_taken_for_another_platform(
    tmp_path: Path, registry: FakeRegistry, copier: Copier
) -> None:
    registry.add(memory_image({"a": b"b"}))
    source, target = f"{registry.host}/team/app:1", f"oci:{tmp_path / 'layout'}"
    assert copy(copier, source, target, platform=AMD).images == 1
    with pytest.raises(FormatError, match='for "linux/amd64", not for "linux/arm64"') as caught:
        copy(copier, source, target, platform=ARM)
    assert caught.value.code == "platform-mismatch"
    places = parse_place(source, "SRC"), parse_place(target, "DST")
    assert copier.copy(*places, lambda _: None, platform=ARM, is_preferred=True).images == 1


def test_what_the_registry_has_is_not_sent_and_what_a_neighbour_has_is_mounted(
    tmp_path: Path, world: World, registry: FakeRegistry, copier: Copier
) -> None:
    source = world.write(tmp_path / "first")
    first = copy(copier, source, f"{registry.host}/team/app:1")
    count = first.written.sent
    assert (first.written.there, first.written.sent_bytes) == (0, first.bytes)
    again = copy(quick_copier(), source, f"{registry.host}/team/app:2")
    assert (again.written.sent, again.written.there, again.written.sent_bytes) == (0, count, 0)
    beside = copy(quick_copier(), f"{registry.host}/team/app:1", f"{registry.host}/other/app")
    assert (beside.written.sent, beside.written.mounted) == (0, count)
    assert beside.target == f"docker://{registry.host}/other/app"
    assert registry.manifests["latest"] == registry.manifests["1"]


def test_a_mount_that_was_a_lie_is_sent_after_all(tmp_path: Path, registry: FakeRegistry, copier: Copier) -> None:
    image = memory_image({"a": b"1"})
    for digest, data in image.blobs.items():
        registry.uploads.blobs["team/app", str(digest)] = data
    registry.put_manifest(image.manifest().media_type, image.manifest().raw, "1")
    # It says of every blob that it has it, until the manifest comes.
    registry.on("HEAD", "/v2/other/app/blobs/", Answer(200), times=len(image.blobs) - 1)
    done = copy(copier, f"{registry.host}/team/app:1", f"{registry.host}/other/app:1")
    assert done.digest == image.manifest().digest
    layers = [layer.digest for layer in image.manifest().layers]
    assert all(registry.uploads.has("other/app", digest) for digest in layers)


def test_a_broken_connection_to_the_source_does_not_send_anything_twice(
    tmp_path: Path, registry: FakeRegistry, copier: Copier
) -> None:
    image = memory_image({"a": os.urandom(300_000)})
    registry.add(image)
    layer = image.manifest().layers[0]
    registry.on("GET", f"/blobs/{layer.digest}", Answer(body=image.blobs[layer.digest], cut_after=100_000), times=1)
    copy(copier, f"{registry.host}/a:1", f"oci-archive:{tmp_path / 'a.tar'}")
    assert [r.headers.get("range") for r in registry.seen(layer.digest)] == [None, "bytes=100000-"]
    with Archive(str(tmp_path / "a.tar")) as archive:
        assert archive.image(AMD).manifest() == image.manifest()


@pytest.mark.parametrize("target", ["oci:{}/new", "oci-archive:{}/new", "docker-archive:{}/new"])
def test_a_lying_source_leaves_nothing(tmp_path: Path, registry: FakeRegistry, copier: Copier, target: str) -> None:
    image = memory_image({"a": b"1"})
    registry.add(image)
    layer = image.manifest().layers[0].digest
    registry.blobs[layer] = registry.blobs[layer][:-1] + b"!"
    with pytest.raises(SlimstageError, match="want"):
        copy(copier, f"{registry.host}/a:1", target.format(tmp_path))
    assert os.listdir(tmp_path) == []


def test_a_lying_source_reaches_no_tag_of_a_registry(tmp_path: Path, registry: FakeRegistry, copier: Copier) -> None:
    image = memory_image({"a": b"1"})
    layer = image.manifest().layers[0].digest
    blobs = {**image.blobs, layer: image.blobs[layer][:-1] + b"!"}
    source = layout_of(blobs, image.manifest().descriptor(), tmp_path / "l")
    with pytest.raises(SlimstageError, match="want"):
        copy(copier, source, f"{registry.host}/a:1")
    assert registry.manifests == {}


def test_unknown_media_types_and_artifacts_are_copied_as_they_are(
    tmp_path: Path, registry: FakeRegistry, copier: Copier
) -> None:
    odd = Descriptor("application/x-odd", digest_bytes(b"odd"), 3, annotations={"k": "v"})
    artifact = build_manifest(odd, [odd], {"z": "1"}, artifact_type="application/x-model")
    raw = artifact.raw.replace(b'"schemaVersion": 2', b'"schemaVersion": 2, "future": [1, {"a": null}]')
    future = b'{"schemaVersion":9}'
    entries = [
        Descriptor(artifact.media_type, digest_bytes(raw), len(raw)),
        Descriptor("application/vnd.example.future.v9+json", digest_bytes(future), len(future)),
    ]
    index = build_index(entries)
    blobs = {index.digest: index.raw, digest_bytes(raw): raw, digest_bytes(future): future, odd.digest: b"odd"}
    registry.uploads.checks_manifests = False
    registry.on("PUT", f"/manifests/{digest_bytes(future)}", _kept(registry, future))
    source = layout_of(blobs, index.descriptor(), tmp_path / "l")
    copy(copier, source, f"{registry.host}/odd:1")
    copy(copier, f"{registry.host}/odd:1", f"oci-archive:{tmp_path / 'a.tar'}")
    copy(copier, f"oci-archive:{tmp_path / 'a.tar'}", f"oci:{tmp_path / 'back'}")
    assert layout_blobs(tmp_path / "back") == {str(digest): data for digest, data in blobs.items()}


def _kept(registry: FakeRegistry, data: bytes) -> Answer:
    registry.put_manifest("application/vnd.example.future.v9+json", data)
    return Answer(201)


def test_cosigns_tags_go_along(tmp_path: Path, registry: FakeRegistry, copier: Copier, world: World) -> None:
    payload = b"{}"
    layer = Descriptor("application/vnd.dev.cosign.simplesigning.v1+json", digest_bytes(payload), len(payload))
    signature, config = tagged_manifest([layer])
    registry.add(world.amd)
    registry.blobs |= {str(layer.digest): payload, digest_bytes(config): config}
    tag = cosign_tag(world.amd.manifest().digest)
    registry.put_manifest(signature.media_type, signature.raw, tag)
    done = copy(copier, f"{registry.host}/a:1", f"oci:{tmp_path / 'l'}", has_referrers=True)
    assert done.tags == (tag,)
    with Layout(str(tmp_path / "l")) as layout:
        assert layout.image(AMD).manifest() == world.amd.manifest()
        (entry,) = layout.entries(tag, None)
        assert layout.read_blob(entry) == signature.raw
    registry.manifests.clear()
    done = copy(copier, f"oci:{tmp_path / 'l'}", f"{registry.host}/b:1", has_referrers=True)
    assert done.tags == (tag,)
    assert registry.manifests[tag][1] == signature.raw
    done = copy(copier, f"{registry.host}/b:1", f"docker-archive:{tmp_path / 'd.tar'}", has_referrers=True)
    assert "no place for what belongs" in done.remarks[0]
    with Archive(str(tmp_path / "d.tar")) as archive:
        assert len(archive.index().manifests) == 1
        assert archive.image(AMD).manifest() == world.amd.manifest()


def test_layers_that_may_not_be_distributed_stay_where_they_are(
    tmp_path: Path, registry: FakeRegistry, copier: Copier
) -> None:
    image = memory_image({"a": b"1"})
    foreign = Descriptor("application/vnd.oci.image.layer.nondistributable.v1.tar", Digest("sha256:" + "1" * 64), 99)
    image.replace_layers([*image.manifest().layers, foreign])
    source = layout_of(image.blobs, image.manifest().descriptor(), tmp_path / "l")
    registry.uploads.checks_manifests = False
    done = copy(copier, source, f"{registry.host}/a:1")
    assert done.written.sent == 2
    assert foreign.digest in done.remarks[0]


def test_index_recursion_and_numbers_are_bounded(
    tmp_path: Path, copier: Copier, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = memory_image({"a": b"1"})
    blobs, entry = dict(image.blobs), image.manifest().descriptor()
    for _ in range(10):
        index = build_index([entry])
        blobs[index.digest], entry = index.raw, index.descriptor()
    with pytest.raises(FormatError) as caught:
        copy(copier, layout_of(blobs, entry, tmp_path / "deep"), f"oci:{tmp_path / 'x'}")
    assert caught.value.code == "index-too-deep"
    monkeypatch.setattr(gather, "MOST_DOCUMENTS", 50)
    many = {}
    for number in range(51):
        data = json.dumps({"schemaVersion": 2, "n": number}).encode()
        many[digest_bytes(data)] = data
    wide = build_index(Descriptor("application/x", digest, len(data)) for digest, data in many.items())
    many[wide.digest] = wide.raw
    with pytest.raises(FormatError) as caught:
        copy(copier, layout_of(many, wide.descriptor(), tmp_path / "wide"), f"oci:{tmp_path / 'x'}")
    assert caught.value.code == "too-many-entries"
    assert not (tmp_path / "x").exists()


def test_one_blob_with_two_sizes_is_refused(tmp_path: Path, copier: Copier) -> None:
    data = Descriptor(OCI_LAYER, digest_bytes(b"abc"), 3)
    odd = build_manifest(data, [Descriptor(OCI_LAYER, data.digest, 4)])
    blobs = {odd.digest: odd.raw, data.digest: b"abc"}
    with pytest.raises(FormatError, match="different sizes"):
        copy(copier, layout_of(blobs, odd.descriptor(), tmp_path / "l"), f"oci:{tmp_path / 'x'}")


def test_what_an_index_names_and_is_not_there_is_an_error(tmp_path: Path, world: World, registry: FakeRegistry) -> None:
    registry.add(world.amd)
    registry.put_manifest(OCI_INDEX, world.index.raw, "all")
    copier = quick_copier()
    with pytest.raises(RegistryError, match="404"):
        copy(copier, f"{registry.host}/a:all", f"oci:{tmp_path / 'l'}")
    assert copy(copier, f"{registry.host}/a:all", f"oci:{tmp_path / 'l'}", platform=AMD).images == 1
    with pytest.raises(PlanError, match='has no tag "2"'):
        copy(copier, f"{registry.host}/a:2", f"oci:{tmp_path / 'l'}")


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("docker-archive:{}/d.tar", "index"),
        ("docker://{}/a@sha256:" + "0" * 64, "digest-mismatch"),
        ("oci:{}/x:@sha256:" + "0" * 64, "bad-place"),
    ],
)
def test_targets_that_cannot_hold_it_say_so(
    tmp_path: Path, world: World, registry: FakeRegistry, copier: Copier, target: str, code: str
) -> None:
    place = registry.host if target.startswith("docker://") else tmp_path / "out"
    with pytest.raises((FormatError, UsageError)) as caught:
        copy(copier, world.write(tmp_path / "first"), target.format(place))
    assert caught.value.code == code


def test_the_store_takes_images_only_and_needs_a_name(tmp_path: Path, world: World) -> None:
    with Store.open(tmp_path / "s") as store:
        copier = quick_copier(store)
        source = world.write(tmp_path / "first")
        digest = world.sbom.manifest().digest
        with pytest.raises(FormatError) as caught:
            copy(copier, f"{source}:@{digest}", "store:x")
        assert caught.value.code == "not-an-image"
        nested = build_index([world.index.descriptor()])
        blobs = {**world.blobs(), nested.digest: nested.raw}
        deep = layout_of(blobs, nested.descriptor(), tmp_path / "deep")
        with pytest.raises(FormatError) as caught:
            copy(copier, deep, "store:x")
        assert caught.value.code == "nested-index"
        with pytest.raises(UsageError) as usage:
            copy(copier, deep, "store:")
        assert usage.value.code == "no-name"
        assert store.images.list() == []


def test_a_name_in_a_layout_moves_to_what_is_copied_last(tmp_path: Path, copier: Copier, world: World) -> None:
    source, target = world.write(tmp_path / "first"), f"oci:{tmp_path / 'l'}:app"
    for platform in (AMD, ARM, None, ARM, AMD, None):
        copy(copier, source, target, platform=platform)
        with Layout(str(tmp_path / "l")) as layout:
            found = [(entry.platform, entry.media_type == OCI_INDEX) for entry in layout.index().manifests]
        if platform is None:
            assert found == [(None, True)]
    copy(copier, source, target, platform=AMD)
    copy(copier, source, target, platform=ARM)
    with Layout(str(tmp_path / "l")) as layout:
        assert [entry.platform for entry in layout.index().manifests] == [AMD, ARM]


def test_a_failure_among_blobs_that_come_together_ends_the_others(
    tmp_path: Path, registry: FakeRegistry, copier: Copier
) -> None:
    image = memory_image(*({f"f{number}": os.urandom(2_000_000)} for number in range(4)))
    registry.add(image)
    first = image.manifest().layers[0].digest
    registry.blobs[first] = registry.blobs[first][:-1] + b"!"
    (tmp_path / "l").mkdir()
    with pytest.raises(SlimstageError, match=first):
        copy(copier, f"{registry.host}/a:1", f"oci:{tmp_path / 'l'}")
    assert list((tmp_path / "l").rglob("*/sha256/*")) == []


def test_several_images_in_a_layout_are_never_made_one(tmp_path: Path, copier: Copier) -> None:
    for name in "ab":
        image = memory_image({name: b"1"})
        source = layout_of(image.blobs, image.manifest().descriptor(), tmp_path / name)
        copy(copier, source, f"oci:{tmp_path / 'both'}:{name}")
    with pytest.raises(FormatError, match="several images"):
        copy(copier, f"oci:{tmp_path / 'both'}", f"oci:{tmp_path / 'x'}")
    done = copy(copier, f"oci:{tmp_path / 'both'}:b", f"oci:{tmp_path / 'x'}")
    assert done.digest == memory_image({"b": b"1"}).manifest().digest


def test_entries_of_one_name_for_several_platforms_become_an_index(
    tmp_path: Path, copier: Copier, world: World
) -> None:
    source = world.write(tmp_path / "first")
    for platform in (AMD, ARM):
        copy(copier, source, f"oci:{tmp_path / 'pieces'}:example.com/app:1", platform=platform)
    done = copy(copier, f"oci:{tmp_path / 'pieces'}:example.com/app:1", f"oci:{tmp_path / 'x'}")
    assert (done.images, done.media_type) == (2, OCI_INDEX)
    with Layout(str(tmp_path / "x")) as layout:
        assert layout.image(ARM).manifest() == world.arm.manifest()
        assert layout.names() == ["1", "example.com/app:1"]


@pytest.mark.parametrize("kind", ["symlink", "fifo"])
@pytest.mark.parametrize("which", ["layer", "config", "manifest", "index.json"])
def test_oci_layout_symlink_or_pipe_reaches_no_target(
    tmp_path: Path, registry: FakeRegistry, copier: Copier, which: str, kind: str
) -> None:
    image = memory_image({"a": b"1"})
    source = layout_of(image.blobs, image.manifest().descriptor(), tmp_path / "l")
    manifest = image.manifest()
    digests = {"layer": manifest.layers[0].digest, "config": manifest.config.digest, "manifest": manifest.digest}
    path = tmp_path / "l" / (f"blobs/sha256/{digests[which][7:]}" if which in digests else which)
    path.rename(tmp_path / "outside")  # the very bytes: it is the link that is refused
    path.symlink_to(tmp_path / "outside") if kind == "symlink" else os.mkfifo(path)
    for target in (f"{registry.host}/a:1", f"oci-archive:{tmp_path / 'a.tar'}"):
        with pytest.raises(FormatError) as caught:
            copy(copier, source, target)
        assert caught.value.code == "not-regular"
    assert registry.manifests == {}
    assert not (tmp_path / "a.tar").exists()


@pytest.mark.parametrize("layer", ["../../etc/passwd", "/etc/passwd", "link", "hardlink"])
def test_docker_archive_paths_lead_nowhere_outside(
    tmp_path: Path, registry: FakeRegistry, copier: Copier, layer: str
) -> None:
    image = memory_image({"a": b"1"})
    with tarfile.open(tmp_path / "d.tar", "w") as tar:
        for name, kind in (("link", tarfile.SYMTYPE), ("hardlink", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        entry = [{"Config": "config.json", "RepoTags": ["app:1"], "Layers": [layer]}]
        for name, data in (("config.json", to_json(image.config())), ("manifest.json", json.dumps(entry).encode())):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    with pytest.raises(FormatError) as caught:
        copy(copier, f"docker-archive:{tmp_path / 'd.tar'}", f"{registry.host}/a:1")
    assert caught.value.code in ("member-missing", "not-regular")
    assert registry.requests == []
