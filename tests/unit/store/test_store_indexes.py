"""Names that lead to an index: which image is meant, and what keeps what."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimstage.digest import digest_bytes
from slimstage.errors import StoreError, UsageError
from slimstage.oci.descriptor import Platform
from slimstage.store.collect import prune
from slimstage.store.doctor import examine
from slimstage.store.indexes import IndexMember, StoredIndex
from slimstage.store.store import Store
from support.images import memory_image
from support.indexes import AMD, ARM, put_image, put_index

HOST_FIRST = Platform("linux", "s390x")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "root") as opened:
        yield opened


def test_a_name_of_an_index_means_its_image_for_the_platform(store: Store) -> None:
    index = put_index(store, "app:1")
    for platform, member in zip((AMD, ARM), index.members, strict=True):
        found = store.images.find("app:1", platform)
        assert found is not None
        assert (found.id, found.manifest, found.platform) == (member.image, member.manifest, platform)
    assert store.images.find("app:1", HOST_FIRST) is None


def test_without_a_platform_this_hosts_image_is_meant(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    index = put_index(store, "app:1")
    for host, member in ((ARM, index.members[1]), (AMD, index.members[0]), (HOST_FIRST, index.members[0])):
        monkeypatch.setattr("slimstage.store.indexes.host_platform", lambda host=host: host)
        found = store.images.find("app:1")
        assert found is not None
        assert found.id == member.image


def test_a_lower_variant_stands_in_and_a_higher_one_does_not() -> None:
    digest = digest_bytes(b"")
    members = tuple(IndexMember(digest, digest, Platform("linux", "arm", variant)) for variant in ("v5", "v7", "v6"))
    index = StoredIndex(digest, members, 0.0)
    for wanted, got in (("v7", "v7"), ("v8", "v7"), ("v6", "v6"), ("v5", "v5")):
        found = index.member(Platform("linux", "arm", wanted))
        assert found is not None
        assert found.platform.variant == got
    only_v7 = StoredIndex(digest, members[1:2], 0.0)
    assert only_v7.member(Platform("linux", "arm", "v6")) is None


def test_an_index_is_found_by_name_digest_and_beginning(store: Store) -> None:
    index = put_index(store, "app:1")
    for reference in ("app:1", "docker.io/library/app:1", f"app@{index.digest}", index.digest, index.digest[7:20]):
        assert store.images.index(reference) == index, reference
        found = store.images.find(reference, ARM)
        assert found is not None, reference
        assert found.id == index.members[1].image
    assert store.images.index("other:1") is None
    assert store.images.index(f"other@{index.digest}") is None


def test_a_beginning_that_an_image_and_an_index_share_is_refused(store: Store) -> None:
    index = put_index(store)
    # No such pair of digests is at hand: a second row under a made-up one has the same effect.
    near = StoredIndex(type(index.digest)(index.digest[:-4] + "0000"), index.members, 1.0)
    store.indexes.put(near)
    with pytest.raises(UsageError) as caught:
        store.images.find(index.digest[7:30])
    assert caught.value.code == "ambiguous-id"


def test_a_name_belongs_to_what_it_was_given_to_last(store: Store) -> None:
    index = put_index(store, "app:1")
    image = put_image(store, memory_image({"f": b"one"}), "app:1")
    assert store.images.index("app:1") is None
    found = store.images.find("app:1")
    assert found is not None
    assert found.id == image.id
    assert store.images.names() == ["docker.io/library/app:1"]
    store.indexes.tag(index.digest, "docker.io/library/app:1")
    assert store.images.index("app:1") is not None
    assert store.images.names() == ["docker.io/library/app:1"]
    store.images.tag(image.id, "app:1")
    assert store.images.index("app:1") is None


def test_an_index_of_an_image_that_is_not_there_is_refused(store: Store) -> None:
    index = put_index(store)
    lost = IndexMember(index.digest, index.digest, AMD)
    with pytest.raises(StoreError, match="not in the store"):
        store.indexes.put(StoredIndex(index.digest, (lost,), 1.0), ["docker.io/library/app:1"])
    with pytest.raises(StoreError):
        store.indexes.tag(digest_bytes(b"no such"), "docker.io/library/app:1")
    assert store.images.names() == []


def test_a_prune_keeps_the_images_and_blobs_of_a_named_index(store: Store) -> None:
    put_index(store, "app:1")
    before = sorted(digest for digest, _ in store.blobs.list())
    assert not prune(store, all_=True).removed
    assert sorted(digest for digest, _ in store.blobs.list()) == before


def test_a_prune_keeps_the_manifest_that_an_index_lists_when_the_image_has_got_another(tmp_path: Path) -> None:
    with Store.open(tmp_path / "root") as store:
        index = put_index(store, "app:1")
        member = index.members[0]
        image = store.images.find(member.image)
        assert image is not None
        other = memory_image({"f": b"other"}).manifest()
        store.blobs.put(other.raw)
        store.images.put(type(image)(image.id, other.digest, image.platform, image.layers, 1.0))
    with Store.open(tmp_path / "root") as store:
        prune(store, all_=True)
        assert store.blobs.has(member.manifest)


def test_a_prune_takes_an_index_without_a_name_and_its_images_with_it(tmp_path: Path) -> None:
    with Store.open(tmp_path / "root") as store:
        index = put_index(store)
    with Store.open(tmp_path / "root") as store:
        preview = prune(store, dry_run=True)
        report = prune(store)
        gone = [thing.name for thing in report.removed if thing.kind == "image"]
        assert gone == [thing.name for thing in preview.removed if thing.kind == "image"]
        assert sorted(gone) == sorted([index.digest, *(member.image for member in index.members)])
        assert store.indexes.list() == []
        assert store.images.list() == []
        assert list(store.blobs.list()) == []


def test_doctor_finds_an_index_whose_parts_are_gone(store: Store) -> None:
    index = put_index(store, "app:1")
    assert examine(store) == []
    os.unlink(store.blobs.place(index.members[1].manifest))
    store.images.remove(index.members[1].image)
    (finding,) = examine(store)
    assert finding.code == "bad-image"
    assert "linux/arm64" in finding.what
    (repaired,) = examine(store, repair=True)
    assert repaired.is_repaired
    assert store.images.index("app:1") is None
    assert examine(store) == []
