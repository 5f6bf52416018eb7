"""Bases that are layouts and archives, and what the store keeps of them."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimstage.bases.files import FileBase, parse_file_base
from slimstage.bases.resolve import Bases
from slimstage.digest import Digest, digest_bytes
from slimstage.errors import FormatError, PlanError, SlimstageError
from slimstage.events import Event, TransferProgress, ignore
from slimstage.oci.chain import chain_ids
from slimstage.oci.config import ImageConfig, to_json
from slimstage.oci.descriptor import OCI_CONFIG, Descriptor, Platform
from slimstage.oci.manifest import build_index, build_manifest
from slimstage.store.layout_sink import LayoutSink
from slimstage.store.save import ArchiveSink
from slimstage.store.source import Export
from slimstage.store.store import Store
from support.images import MemoryImage, memory_image

AMD64 = Platform("linux", "amd64")
DIGEST = Digest("sha256:" + "a" * 64)
TWO_LAYERS = ({"etc/": b"", "etc/one": b"1"}, {"etc/two": b"2", "etc/.wh.one": b""})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def bases(store: Store) -> Bases:
    return Bases(store)


def _layout(path: Path, *images: tuple[MemoryImage, str]) -> Path:
    LayoutSink(str(path)).write([Export(image, (name,) if name else (), platform=AMD64) for image, name in images])
    return path


def _archive(path: Path, image: MemoryImage, name: str, *, is_docker: bool) -> Path:
    ArchiveSink(str(path), is_docker=is_docker).write([Export(image, (name,), platform=AMD64)])
    return path


@pytest.mark.parametrize(
    ("reference", "wanted"),
    [
        ("oci-layout:///a/b", FileBase("/a/b", True)),
        ("oci-layout://a/b:1.2", FileBase("a/b", True, "1.2")),
        (f"oci-layout://a/b@{DIGEST}", FileBase("a/b", True, None, DIGEST)),
        (f"oci-layout://a/b:1@{DIGEST}", FileBase("a/b", True, "1", DIGEST)),
        ("oci-layout:///a:b/c", FileBase("/a:b/c", True)),
        ("docker-archive:a.tar", FileBase("a.tar", False)),
        ("docker-archive:a.tar:host:5000/x:1", FileBase("a.tar", False, "host:5000/x:1")),
        ("oci-archive:/a/b.tar", FileBase("/a/b.tar", False)),
        ("python:3.11", None),
        ("docker-image://python", None),
        ("debian://bookworm", None),
    ],
)
def test_references_of_files(reference: str, wanted: FileBase | None) -> None:
    assert parse_file_base(reference) == wanted


@pytest.mark.parametrize("digest", ["sha256:../../etc/passwd", "sha256:" + "A" * 64, "sha256:" + "a" * 63, "sha256:"])
def test_a_digest_outside_the_grammar_is_refused(digest: str) -> None:
    with pytest.raises(FormatError, match="not a digest"):
        parse_file_base(f"oci-layout://a@{digest}")


def test_a_path_with_a_colon_that_exists_is_the_path(tmp_path: Path) -> None:
    (tmp_path / "x:1").mkdir()
    assert parse_file_base(f"oci-layout://{tmp_path}/x:1") == FileBase(f"{tmp_path}/x:1", True)


def test_layers_keep_bytes_digests_and_order_and_are_named_by_their_chain(
    tmp_path: Path, store: Store, bases: Bases
) -> None:
    image = memory_image(*TWO_LAYERS)
    base = bases.resolve(f"oci-layout://{_layout(tmp_path / 'l', (image, 'app:1'))}", AMD64)
    assert base.id == image.manifest().config.digest
    assert base.manifest == image.manifest().digest
    assert [layer.blob for layer in base.layers] == list(image.manifest().layers)
    assert store.blobs.read(base.id) == image.blobs[base.id]
    assert store.blobs.read(base.manifest) == image.manifest().raw
    stack = bases.fetch(base, ignore, "s0.0")
    assert stack == tuple("c" + chain[7:] for chain in chain_ids(image.config().diff_ids))
    first, second = (Path(path) for path in store.snapshots.paths(stack))
    assert (first / "etc/one").read_bytes() == b"1"
    assert (second / "etc/two").read_bytes() == b"2"
    assert store.blobs.read(image.manifest().layers[1].digest) == image.blobs[image.manifest().layers[1].digest]


def test_what_is_unpacked_is_not_read_again_and_sizes_are_known(tmp_path: Path, store: Store, bases: Bases) -> None:
    path = _layout(tmp_path / "l", (memory_image(*TWO_LAYERS), "app:1"))
    base = bases.resolve(f"oci-layout://{path}", AMD64)
    stack = bases.fetch(base, ignore, "")
    for blob in (path / "blobs/sha256").iterdir():
        blob.unlink()
    assert bases.fetch(base, ignore, "") == stack
    assert all(layer.size_bytes > 0 and layer.size_bytes % 512 == 0 for layer in bases.layers(base))


def test_two_images_with_the_same_first_layer_share_it(tmp_path: Path, store: Store, bases: Bases) -> None:
    first = bases.resolve(f"oci-layout://{_layout(tmp_path / 'a', (memory_image(TWO_LAYERS[0]), 'a:1'))}", AMD64)
    second = bases.resolve(f"oci-layout://{_layout(tmp_path / 'b', (memory_image(*TWO_LAYERS), 'b:1'))}", AMD64)
    assert bases.fetch(first, ignore, "")[0] == bases.fetch(second, ignore, "")[0]
    assert len(list(store.snapshots.list())) == 2


def test_a_layer_that_an_image_has_twice_is_read_once(tmp_path: Path, store: Store, bases: Bases) -> None:
    events: list[Event] = []
    image = memory_image(TWO_LAYERS[0], TWO_LAYERS[0])
    base = bases.resolve(f"oci-layout://{_layout(tmp_path / 'l', (image, 'a:1'))}", AMD64)
    stack = bases.fetch(base, events.append, "s0.0")
    assert len(set(stack)) == 2
    (event,) = events
    assert isinstance(event, TransferProgress)
    assert event.done_bytes == image.manifest().layers[0].size


@pytest.mark.parametrize("is_docker", [True, False])
def test_archives_are_bases(tmp_path: Path, store: Store, bases: Bases, is_docker: bool) -> None:
    image = memory_image(*TWO_LAYERS)
    path = _archive(tmp_path / "a.tar", image, "app:1", is_docker=is_docker)
    kind = "docker-archive" if is_docker else "oci-archive"
    base = bases.resolve(f"{kind}:{path}:app:1", AMD64)
    assert base.id == image.manifest().config.digest
    (_, second) = (Path(path) for path in store.snapshots.paths(bases.fetch(base, ignore, "")))
    assert (second / "etc/two").read_bytes() == b"2"


def test_relative_paths_are_of_the_working_directory(
    tmp_path: Path, bases: Bases, monkeypatch: pytest.MonkeyPatch
) -> None:
    _layout(tmp_path / "l", (memory_image(), "a:1"))
    monkeypatch.chdir(tmp_path)
    assert bases.resolve("oci-layout://l:1", AMD64).reference == "oci-layout://l:1"


def test_of_several_images_the_latest_is_meant_and_without_one_none(tmp_path: Path, bases: Bases) -> None:
    one, two = memory_image({"a": b"1"}), memory_image({"a": b"2"})
    both = _layout(tmp_path / "both", (one, "x:1"), (two, "x:latest"))
    assert bases.resolve(f"oci-layout://{both}", AMD64).id == two.manifest().config.digest
    assert bases.resolve(f"oci-layout://{both}:1", AMD64).id == one.manifest().config.digest
    assert bases.resolve(f"oci-layout://{both}@{one.manifest().digest}", AMD64).id == one.manifest().config.digest
    neither = _layout(tmp_path / "neither", (one, "x:1"), (two, "x:2"))
    with pytest.raises(FormatError) as caught:
        bases.resolve(f"oci-layout://{neither}", AMD64)
    assert caught.value.code == "ambiguous-image"


def test_an_unknown_tag_is_told_the_tags_there_are(tmp_path: Path, bases: Bases) -> None:
    path = _layout(tmp_path / "l", (memory_image(), "app:1.20"))
    with pytest.raises(FormatError) as caught:
        bases.resolve(f"oci-layout://{path}:1.21", AMD64)
    assert "1.20" in str(caught.value)


def test_a_path_that_is_not_there_is_told_the_near_one(tmp_path: Path, bases: Bases) -> None:
    _layout(tmp_path / "busybox", (memory_image(), "a:1"))
    for reference in (f"oci-layout://{tmp_path}/busibox", f"docker-archive:{tmp_path}/busibox"):
        with pytest.raises(PlanError) as caught:
            bases.resolve(reference, AMD64)
        assert caught.value.code == "base-not-found"
        assert caught.value.hint == 'did you mean "busybox"?'


def test_nothing_of_a_file_base_is_kept_under_a_name(tmp_path: Path, store: Store, bases: Bases) -> None:
    base = bases.resolve(f"oci-layout://{_layout(tmp_path / 'l', (memory_image(), 'a:1'))}", AMD64)
    bases.fetch(base, ignore, "")
    assert store.images.list() == []


# What lies -----------------------------------------------------------------------------------------------------------


def _swap_blob(path: Path, digest: str, data: bytes) -> None:
    place = path / "blobs/sha256" / digest[7:]
    place.chmod(0o644)
    place.write_bytes(data)


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b"x" * len(data)])
def test_a_layer_with_other_bytes_than_its_digest_leaves_nothing(
    tmp_path: Path, store: Store, bases: Bases, change: object
) -> None:
    image = memory_image()
    path = _layout(tmp_path / "l", (image, "a:1"))
    (layer,) = image.manifest().layers
    assert callable(change)
    _swap_blob(path, layer.digest, change(image.blobs[layer.digest]))
    base = bases.resolve(f"oci-layout://{path}", AMD64)
    with pytest.raises(SlimstageError, match="want"):
        bases.fetch(base, ignore, "")
    assert not store.blobs.has(layer.digest)
    assert list(store.snapshots.list()) == []


def test_a_layer_with_another_diff_id_than_the_config_says_leaves_nothing(
    tmp_path: Path, store: Store, bases: Bases
) -> None:
    image = memory_image()
    lie = ImageConfig("amd64", "linux", diff_ids=(DIGEST,))
    liar = MemoryImage(lie, [])
    liar.blobs.update(image.blobs)
    config = digest_bytes(to_json(lie))
    manifest = build_manifest(Descriptor(OCI_CONFIG, config, len(to_json(lie))), image.manifest().layers)
    liar.blobs[manifest.digest] = manifest.raw
    liar._manifest = manifest
    base = bases.resolve(f"oci-layout://{_layout(tmp_path / 'l', (liar, 'a:1'))}", AMD64)
    with pytest.raises(FormatError) as caught:
        bases.fetch(base, ignore, "")
    assert caught.value.code == "diff-id-mismatch"
    assert list(store.snapshots.list()) == []


def test_a_config_with_fewer_layers_than_the_manifest_is_refused(tmp_path: Path, bases: Bases) -> None:
    image = memory_image()
    config = to_json(ImageConfig("amd64", "linux"))
    liar = MemoryImage(ImageConfig("amd64", "linux"), [])
    manifest = build_manifest(Descriptor(OCI_CONFIG, digest_bytes(config), len(config)), image.manifest().layers)
    liar.blobs.update(image.blobs | {manifest.digest: manifest.raw})
    liar._manifest = manifest
    with pytest.raises(SlimstageError, match="layers"):
        bases.resolve(f"oci-layout://{_layout(tmp_path / 'l', (liar, 'a:1'))}", AMD64)


def test_an_image_for_another_platform_is_refused_even_when_the_index_denies_it(tmp_path: Path, bases: Bases) -> None:
    image = memory_image(architecture="arm64")
    path = tmp_path / "l"
    LayoutSink(str(path)).write([Export(image, ("a:1",))])
    entry = image.manifest().descriptor(AMD64, {"org.opencontainers.image.ref.name": "1"})
    (path / "index.json").write_bytes(build_index([entry]).raw)
    with pytest.raises(FormatError) as caught:
        bases.resolve(f"oci-layout://{path}", AMD64)
    assert caught.value.code == "platform-mismatch"
    assert 'got "linux/arm64"' in caught.value.message


@pytest.mark.parametrize("name", ["index.json", "config", "layer"])
@pytest.mark.parametrize("is_fifo", [False, True])
def test_links_and_pipes_in_a_layout_are_refused(
    tmp_path: Path, store: Store, bases: Bases, name: str, is_fifo: bool
) -> None:
    image = memory_image()
    path = _layout(tmp_path / "l", (image, "a:1"))
    digests = {"config": image.manifest().config.digest, "layer": image.manifest().layers[0].digest}
    place = path / "index.json" if name == "index.json" else path / "blobs/sha256" / digests[name][7:]
    outside = tmp_path / "outside"
    place.rename(outside)
    if is_fifo:
        os.mkfifo(place)
    else:
        place.symlink_to(outside)
    with pytest.raises(FormatError) as caught:
        bases.fetch(bases.resolve(f"oci-layout://{path}", AMD64), ignore, "")
    assert caught.value.code == "not-regular"


def _docker_archive(path: Path, layers: list[str], *members: tarfile.TarInfo) -> Path:
    config = to_json(memory_image().config())
    with tarfile.open(path, "w") as tar:
        for name, data in (
            ("manifest.json", json.dumps([{"Config": "c.json", "RepoTags": ["a:1"], "Layers": layers}]).encode()),
            ("c.json", config),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for member in members:
            tar.addfile(member)
    return path


def test_names_in_a_docker_archive_are_looked_up_in_the_archive_only(tmp_path: Path, bases: Bases) -> None:
    (tmp_path / "outside").write_bytes(b"secret")
    for name in ("../../../../../../etc/passwd", "/etc/passwd", f"{tmp_path}/outside", "../outside"):
        path = _docker_archive(tmp_path / "a.tar", [name])
        with pytest.raises(FormatError) as caught:
            bases.resolve(f"docker-archive:{path}", AMD64)
        assert caught.value.code == "member-missing"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_a_layer_that_is_a_link_in_a_docker_archive_is_refused(tmp_path: Path, bases: Bases, kind: bytes) -> None:
    link = tarfile.TarInfo("layer.tar")
    link.type, link.linkname = kind, "/etc/passwd"
    path = _docker_archive(tmp_path / "a.tar", ["layer.tar"], link)
    with pytest.raises(FormatError) as caught:
        bases.resolve(f"docker-archive:{path}", AMD64)
    assert caught.value.code == "not-regular"


def test_a_named_pipe_is_no_archive_and_nobody_waits_for_it(tmp_path: Path, bases: Bases) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SlimstageError):
        bases.resolve(f"oci-archive:{tmp_path / 'pipe'}", AMD64)
