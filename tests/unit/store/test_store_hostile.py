"""Layouts and archives made by someone who means harm, or by a broken disk."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from slimstage.digest import Digest
from slimstage.errors import BlobMissing, FormatError, SlimstageError, StoreError
from slimstage.oci.config import to_json
from slimstage.oci.descriptor import Platform
from slimstage.store.archive import Archive
from slimstage.store.layout import Layout, open_layout
from slimstage.store.layout_sink import LayoutSink
from slimstage.store.save import ArchiveSink
from slimstage.store.source import Export
from slimstage.store.verify import verify_image
from support.images import memory_image

AMD = Platform("linux", "amd64")


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    LayoutSink(str(tmp_path / "l")).write([Export(memory_image(), ("app:1",))])
    return tmp_path / "l"


def swap(path: Path, kind: str) -> None:
    secret = path.parent / "secret"
    path.rename(secret)
    if kind == "symlink":
        path.symlink_to(secret)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()


@pytest.mark.parametrize("kind", ["symlink", "fifo", "directory"])
@pytest.mark.parametrize("name", ["oci-layout", "index.json"])
def test_documents_of_a_layout_are_regular_files(layout: Path, name: str, kind: str) -> None:
    swap(layout / name, kind)
    with pytest.raises(FormatError) as caught, Layout(str(layout)) as opened:
        opened.image(AMD)
    assert caught.value.code == "not-regular"


@pytest.mark.parametrize("kind", ["symlink", "fifo", "directory"])
def test_blobs_of_a_layout_are_regular_files(layout: Path, kind: str) -> None:
    blob = layout / "blobs" / "sha256" / memory_image().manifest().digest.partition(":")[2]
    swap(blob, kind)
    with pytest.raises(FormatError, match="regular"), Layout(str(layout)) as opened:
        opened.image(AMD)


def test_blob_directory_that_is_a_symlink_is_not_followed(layout: Path) -> None:
    (layout / "blobs").rename(layout.parent / "elsewhere")
    (layout / "blobs").symlink_to(layout.parent / "elsewhere")
    with pytest.raises(SlimstageError), Layout(str(layout)) as opened:
        opened.image(AMD)


def test_blob_with_another_content_is_refused(layout: Path) -> None:
    image = memory_image()
    config = layout / "blobs" / "sha256" / image.manifest().config.digest.partition(":")[2]
    config.write_bytes(config.read_bytes().replace(b"amd64", b"arm64"))
    with pytest.raises(FormatError, match="want") as caught, Layout(str(layout)) as opened:
        opened.image(AMD)
    assert caught.value.code == "digest-mismatch"


def test_missing_blob_is_named(layout: Path) -> None:
    digest = memory_image().manifest().config.digest
    (layout / "blobs" / "sha256" / digest.partition(":")[2]).unlink()
    with pytest.raises(BlobMissing, match=digest), Layout(str(layout)) as opened:
        opened.image(AMD)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("oci-layout", "{}"),
        ("oci-layout", '{"imageLayoutVersion":"2.0.0"}'),
        ("index.json", "[]"),
        ("index.json", '{"schemaVersion":2,"manifests":[{"mediaType":"x","digest":"sha256:../../x","size":1}]}'),
        ("index.json", '{"schemaVersion":2,"manifests":[]}'),
        ("index.json", '{"schemaVersion":2,"schemaVersion":2,"manifests":[]}'),
    ],
)
def test_malformed_layout_is_refused(layout: Path, name: str, text: str) -> None:
    (layout / name).write_text(text)
    with pytest.raises(FormatError), Layout(str(layout)) as opened:
        opened.image(AMD)


def test_what_is_no_layout_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="not an OCI image layout"):
        open_layout(str(tmp_path))
    with pytest.raises(StoreError, match="no directory"):
        open_layout(str(tmp_path / "none"))


def docker_tar(path: Path, manifest: object, *members: tuple[tarfile.TarInfo, bytes]) -> None:
    image = memory_image()
    with tarfile.open(path, "w") as tar:

        def add(name: str, data: bytes) -> None:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))

        add("config.json", to_json(image.config()))
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        add("manifest.json", json.dumps(manifest).encode())


def file(name: str, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(name), data


def layer_bytes() -> bytes:
    image = memory_image()
    return gzip.decompress(image.blobs[image.manifest().layers[0].digest])


@pytest.mark.parametrize("prefix", ["", "./"])
def test_docker_archive_without_index_is_read(tmp_path: Path, prefix: str) -> None:
    entry = {"Config": "config.json", "RepoTags": ["app:1"], "Layers": ["x/layer.tar"]}
    docker_tar(tmp_path / "a.tar", [entry], file(prefix + "x/layer.tar", layer_bytes()))
    with Archive(str(tmp_path / "a.tar")) as archive:
        image = archive.image(AMD, name="app:1")
        assert image.config() == memory_image().config()
        assert verify_image(image) == []


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "x/../../../etc/passwd", ""])
def test_layers_are_looked_up_only_in_the_archive(tmp_path: Path, name: str) -> None:
    docker_tar(tmp_path / "a.tar", [{"Config": "config.json", "Layers": [name]}])
    with pytest.raises(FormatError, match="no member"), Archive(str(tmp_path / "a.tar")) as archive:
        archive.image(AMD)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_layer_that_is_a_link_is_refused(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("layer.tar")
    info.type, info.linkname = kind, "/etc/passwd"
    docker_tar(tmp_path / "a.tar", [{"Config": "config.json", "Layers": ["layer.tar"]}], (info, b""))
    with pytest.raises(FormatError) as caught, Archive(str(tmp_path / "a.tar")) as archive:
        archive.image(AMD)
    assert caught.value.code == "not-regular"


@pytest.mark.parametrize(
    "manifest",
    [
        {},
        [{}],
        [{"Config": "none.json", "Layers": []}],
        [{"Config": "config.json", "Layers": []}],
        [{"Config": "config.json", "Layers": "x"}],
        [{"Config": "config.json", "Layers": ["config.json"], "RepoTags": ["A B"]}],
        [1],
    ],
)
def test_malformed_docker_manifest_is_refused(tmp_path: Path, manifest: object) -> None:
    docker_tar(tmp_path / "a.tar", manifest)
    with pytest.raises(FormatError), Archive(str(tmp_path / "a.tar")) as archive:
        archive.image(AMD)


def test_truncated_archive_is_refused_at_every_length(tmp_path: Path) -> None:
    ArchiveSink(str(tmp_path / "a.tar"), is_docker=True).write([Export(memory_image(), ("a:1",))])
    data = (tmp_path / "a.tar").read_bytes()
    for length in range(0, len(data) - 1024 - 512, 256):  # but for the padding of the last member
        (tmp_path / "b.tar").write_bytes(data[:length])
        try:
            with Archive(str(tmp_path / "b.tar")) as archive:
                assert verify_image(archive.image(AMD)) != []
        except (FormatError, BlobMissing):
            pass


def test_size_that_lies_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("big")
    info.size = 1 << 40
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    with pytest.raises(FormatError, match="lie"):
        Archive(str(tmp_path / "a.tar"))


def test_huge_extension_header_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 2 << 20
    (tmp_path / "a.tar").write_bytes(info.tobuf() + bytes(3 << 20))
    with pytest.raises(FormatError, match="too large"):
        Archive(str(tmp_path / "a.tar"))


@pytest.mark.parametrize("data", [b"", b"hello", bytes(10240), b"\x1f\x8b\x08garbage", b"PK\x03\x04" * 500])
def test_what_is_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(FormatError):
        Archive(str(tmp_path / "a.tar"))


def test_fifo_and_missing_file_do_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(StoreError):
        Archive(str(tmp_path / "fifo"))
    with pytest.raises(StoreError, match="no file"):
        Archive(str(tmp_path / "none"))


def test_compressed_archive_is_read(tmp_path: Path) -> None:
    ArchiveSink(str(tmp_path / "a.tar"), is_docker=True).write([Export(memory_image(), ("a:1",))])
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress((tmp_path / "a.tar").read_bytes()))
    with Archive(str(tmp_path / "a.tar.gz"), spool=str(tmp_path)) as archive:
        assert verify_image(archive.image(AMD, name="a:1")) == []
    assert sorted(os.listdir(tmp_path)) == ["a.tar", "a.tar.gz"]


def test_image_for_another_platform_is_never_taken_silently(tmp_path: Path) -> None:
    LayoutSink(str(tmp_path / "l")).write([Export(memory_image(architecture="arm64"), platform=AMD)])
    with pytest.raises(FormatError, match="another platform"), Layout(str(tmp_path / "l")) as layout:
        layout.image(AMD)


def test_blob_of_an_unknown_digest_is_missing(layout: Path) -> None:
    with Layout(str(layout)) as opened:
        with pytest.raises(BlobMissing):
            opened.open_blob(Digest("sha256:" + "0" * 64))
        with pytest.raises(FormatError, match="not a digest"):
            opened.open_blob(Digest("sha256:../../../etc/passwd"))
