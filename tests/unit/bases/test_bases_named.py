"""Images by name: the store first, a registry then, and what is told when neither has them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimstage.bases.base import Base
from slimstage.bases.resolve import Bases
from slimstage.digest import Digest
from slimstage.errors import FormatError, Interrupted, PlanError, RegistryError, SlimstageError
from slimstage.events import Event, TransferProgress, ignore
from slimstage.oci.descriptor import Platform
from slimstage.oci.manifest import build_index
from slimstage.store.collect import prune
from slimstage.store.store import Store
from support.fake_registry import Answer, FakeRegistry, Request, fake_registry
from support.images import MemoryImage, memory_image

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
TWO_LAYERS = ({"etc/": b"", "etc/one": b"1" * 5000}, {"etc/two": b"2"})


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's credentials, and no setting of this host."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with fake_registry() as running:
        yield running


@pytest.fixture
def image(registry: FakeRegistry) -> MemoryImage:
    made = memory_image(*TWO_LAYERS)
    registry.add(made)
    return made


@pytest.fixture
def bases(store: Store) -> Bases:
    return Bases(store)


def _pulled(bases: Bases, name: str) -> Base:
    base = bases.resolve(name, AMD64)
    bases.fetch(base, ignore, "")
    return base


@pytest.mark.parametrize("scheme", ["", "docker-image://"])
def test_an_image_is_pulled_once_and_kept_under_its_name(
    registry: FakeRegistry, image: MemoryImage, store: Store, bases: Bases, scheme: str
) -> None:
    base = _pulled(bases, f"{scheme}{registry.host}/app:1")
    assert (base.id, base.manifest) == (image.manifest().config.digest, image.manifest().digest)
    (stored,) = store.images.list()
    assert stored.names == (f"{registry.host}/app:1",)
    assert all(layer.size_bytes and layer.layer and layer.created_by for layer in stored.layers)
    asked = len(registry.requests)
    again = bases.resolve(f"{registry.host}/app:1", AMD64)
    assert (again.id, again.layers) == (base.id, stored.layers)
    assert bases.fetch(again, ignore, "") == tuple(layer.layer for layer in stored.layers)
    assert len(registry.requests) == asked


def test_resolving_reads_no_layer_and_keeps_no_name(
    registry: FakeRegistry, image: MemoryImage, store: Store, bases: Bases
) -> None:
    bases.resolve(f"{registry.host}/app:1", AMD64)
    assert [request.path.rpartition("/")[2] for request in registry.requests] == ["1", image.manifest().config.digest]
    assert store.images.list() == []


def test_pull_asks_the_registry_and_moves_the_name(
    registry: FakeRegistry, image: MemoryImage, store: Store, bases: Bases
) -> None:
    old = _pulled(bases, f"{registry.host}/app:1")
    newer = memory_image({"new": b"new"})
    registry.add(newer)
    assert bases.resolve(f"{registry.host}/app:1", AMD64).id == old.id
    base = bases.resolve(f"{registry.host}/app:1", AMD64, pull=True)
    assert base.id == newer.manifest().config.digest
    bases.fetch(base, ignore, "")
    assert bases.resolve(f"{registry.host}/app:1", AMD64).id == base.id
    found = store.images.find(old.id)
    assert found is not None
    assert found.names == ()


def test_a_tag_that_was_pulled_for_two_platforms_is_found_for_both_without_a_network(
    registry: FakeRegistry, store: Store, bases: Bases
) -> None:
    images = {AMD64: memory_image({"a": b"amd"}), ARM64: memory_image({"a": b"arm"}, architecture="arm64")}
    for each in images.values():
        registry.add(each)
    index = build_index([each.manifest().descriptor(platform) for platform, each in images.items()])
    registry.put_manifest(index.media_type, index.raw, "1")
    name = f"{registry.host}/app:1"
    pulled = {platform: bases.resolve(name, platform) for platform in images}
    for base in pulled.values():
        bases.fetch(base, ignore, "")
    prune(store)
    asked = len(registry.requests)
    for platform, base in pulled.items():
        assert bases.resolve(name, platform).id == base.id
    assert len(registry.requests) == asked


def test_a_pinned_index_is_found_again_without_a_network(
    registry: FakeRegistry, image: MemoryImage, bases: Bases
) -> None:
    index = build_index(
        [image.manifest().descriptor(AMD64), memory_image(architecture="arm64").manifest().descriptor(ARM64)]
    )
    registry.put_manifest(index.media_type, index.raw)
    name = f"{registry.host}/app@{index.digest}"
    base = _pulled(bases, name)
    assert base.id == image.manifest().config.digest
    asked = len(registry.requests)
    assert bases.resolve(name, AMD64).id == base.id
    assert len(registry.requests) == asked
    with pytest.raises(SlimstageError):  # what it led to was for this platform
        bases.resolve(name, ARM64)


def test_a_digest_promises_its_repository_too(registry: FakeRegistry, image: MemoryImage, bases: Bases) -> None:
    name = f"{registry.host}/app@{image.manifest().digest}"
    _pulled(bases, name)
    asked = len(registry.requests)
    bases.resolve(name, AMD64)
    assert len(registry.requests) == asked
    bases.resolve(f"{registry.host}/other@{image.manifest().digest}", AMD64)
    assert len(registry.requests) > asked


def test_an_image_of_the_store_for_another_platform_is_not_taken(
    registry: FakeRegistry, image: MemoryImage, bases: Bases
) -> None:
    arm = memory_image({"arm": b""}, architecture="arm64")
    index = build_index([image.manifest().descriptor(AMD64), arm.manifest().descriptor(ARM64)])
    registry.add(arm, "arm")
    registry.put_manifest(arm.manifest().media_type, arm.manifest().raw)
    registry.put_manifest(index.media_type, index.raw, "multi")
    _pulled(bases, f"{registry.host}/app:multi")
    assert bases.resolve(f"{registry.host}/app:multi", ARM64).id == arm.manifest().config.digest


def test_an_image_whose_files_and_bytes_are_gone_is_pulled_again(
    registry: FakeRegistry, image: MemoryImage, store: Store, bases: Bases
) -> None:
    name = f"{registry.host}/app:1"
    base = _pulled(bases, name)
    stack = bases.fetch(base, ignore, "")
    for layer in stack:
        Path(store.snapshots.place(layer)).rename(store.root / "tmp" / layer)
    asked = len(registry.requests)
    assert bases.fetch(bases.resolve(name, AMD64), ignore, "") == stack  # from the bytes
    assert len(registry.requests) == asked
    Path(store.snapshots.place(stack[1])).rename(store.root / "tmp" / "again")
    Path(store.blobs.place(image.manifest().layers[1].digest)).unlink()
    assert bases.fetch(bases.resolve(name, AMD64), ignore, "") == stack
    assert len(registry.requests) > asked


def test_an_image_called_by_its_id_gets_no_name(
    registry: FakeRegistry, image: MemoryImage, store: Store, bases: Bases
) -> None:
    base = _pulled(bases, f"{registry.host}/app:1")
    for layer in bases.fetch(base, ignore, ""):
        Path(store.snapshots.place(layer)).rename(store.root / "tmp" / layer)
    by_id = Base(base.id, base.id, base.manifest, base.config, base.platform, base.layers)
    bases.fetch(by_id, ignore, "")
    (stored,) = store.images.list()
    assert stored.names == (f"{registry.host}/app:1",)


def test_progress_counts_every_byte_once(registry: FakeRegistry, image: MemoryImage, bases: Bases) -> None:
    events: list[Event] = []
    base = bases.resolve(f"{registry.host}/app:1", AMD64)
    bases.fetch(base, events.append, "s0.0")
    total = sum(layer.size for layer in image.manifest().layers)
    moved = [event for event in events if isinstance(event, TransferProgress)]
    assert max(event.done_bytes for event in moved) == total
    assert {(event.total_bytes, event.step, event.what) for event in moved} == {(total, "s0.0", base.reference)}


def test_threads_that_want_one_image_fetch_each_layer_once(
    registry: FakeRegistry, image: MemoryImage, bases: Bases
) -> None:
    base = bases.resolve(f"{registry.host}/app:1", AMD64)
    stacks: list[object] = []
    threads = [threading.Thread(target=lambda: stacks.append(bases.fetch(base, ignore, ""))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stacks) == 4
    assert len(set(map(str, stacks))) == 1
    for layer in image.manifest().layers:
        assert len(registry.seen(layer.digest)) == 1


def test_a_layer_that_fails_ends_the_others_and_leaves_no_image(
    registry: FakeRegistry, image: MemoryImage, store: Store, bases: Bases
) -> None:
    first = image.manifest().layers[0]
    registry.blobs[first.digest] = b"x" * first.size
    base = bases.resolve(f"{registry.host}/app:1", AMD64)
    with pytest.raises(SlimstageError) as caught:
        bases.fetch(base, ignore, "")
    assert caught.value.code == "digest-mismatch"
    assert store.images.list() == []
    assert list(store.snapshots.list()) == []


def test_a_build_that_is_called_off_ends_the_transfer(registry: FakeRegistry, image: MemoryImage, store: Store) -> None:
    cancel = threading.Event()
    bases = Bases(store, cancel=cancel)
    base = bases.resolve(f"{registry.host}/app:1", AMD64)

    def reply(request: Request) -> Answer | None:
        cancel.set()
        return None

    registry.on("GET", "/blobs/", reply)
    with pytest.raises(Interrupted):
        bases.fetch(base, ignore, "")
    assert not any(store.blobs.has(layer.digest) for layer in image.manifest().layers)


# What is told -------------------------------------------------------------------------------------------------------


def test_an_unknown_tag_is_the_dockerfiles_fault_and_names_near_ones(registry: FakeRegistry, bases: Bases) -> None:
    registry.add(memory_image(), "3.11-slim")
    registry.add(memory_image(), "2.7")
    with pytest.raises(PlanError) as caught:
        bases.resolve(f"{registry.host}/python:3.11-slm", AMD64)
    assert caught.value.code == "base-not-found"
    assert "3.11-slim" in (caught.value.hint or "")


def test_a_near_name_of_the_store_is_offered(registry: FakeRegistry, image: MemoryImage, bases: Bases) -> None:
    _pulled(bases, f"{registry.host}/applikation:1")
    registry.on("GET", "applikatoin", Answer(404))
    with pytest.raises(PlanError) as caught:
        bases.resolve(f"{registry.host}/applikatoin:1", AMD64)
    assert caught.value.hint == f'did you mean "{registry.host}/applikation:1", which is in the store?'


def test_a_near_name_of_a_named_context_is_offered(registry: FakeRegistry, store: Store) -> None:
    bases = Bases(store, names={"debian://bookworm": f"{registry.host}/python:3"})
    registry.on("GET", "pyton", Answer(404))
    with pytest.raises(PlanError) as caught:
        bases.resolve(f"{registry.host}/pyton:3", AMD64)
    assert caught.value.hint == f'did you mean "{registry.host}/python:3", which is a named context?'


def test_without_a_registry_the_way_by_debian_packages_is_told(bases: Bases) -> None:
    with pytest.raises(RegistryError) as caught:
        bases.resolve("127.0.0.1:1/library/python:3.9-slim", AMD64)
    text = str(caught.value)
    assert caught.value.is_temporary
    assert '"127.0.0.1:1/library/python:3.9-slim" = "debian://bookworm?include=python3,' in text
    assert "--build-context" in text


def test_the_store_that_has_it_for_another_platform_is_mentioned(
    registry: FakeRegistry, image: MemoryImage, bases: Bases
) -> None:
    _pulled(bases, f"{registry.host}/app:1")
    registry.on("GET", "/v2/", Answer(404))
    with pytest.raises(PlanError) as caught:
        bases.resolve(f"{registry.host}/app:1", ARM64)
    assert f'the store has "{registry.host}/app:1", for "linux/amd64"' in str(caught.value)


@pytest.mark.parametrize(
    "name", ["a/../b", "a/UPPER", "a?b", "a#b", "a%2fb", "a\r\nHost: x", "a:" + "t" * 129, "a@sha256:xyz", ""]
)
def test_a_name_outside_the_grammar_goes_nowhere(bases: Bases, name: str) -> None:
    with pytest.raises((PlanError, FormatError)) as caught:
        bases.resolve(f"docker-image://{name}", AMD64)
    assert caught.value.code in {"bad-reference", "bad-digest"}


def test_digests_of_layers_are_checked_before_a_path_is_made(
    registry: FakeRegistry, image: MemoryImage, bases: Bases
) -> None:
    raw = image.manifest().raw.replace(image.manifest().layers[0].digest.encode(), b"sha256:../../../../etc/passwd")
    registry.put_manifest(image.manifest().media_type, raw, "bad")
    with pytest.raises(FormatError) as caught:
        bases.resolve(f"{registry.host}/app:bad", AMD64)
    assert caught.value.code == "bad-digest"
    assert Digest("sha256:../../../../etc/passwd") not in str(registry.requests)
