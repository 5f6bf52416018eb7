"""What every way of writing images out promises, each read back by our own reader: layout, oci-archive, docker-archive."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from slimstage.digest import Digest
from slimstage.errors import DigestMismatch, FormatError, UsageError
from slimstage.oci.descriptor import Platform
from slimstage.store.archive import Archive
from slimstage.store.layout import Layout
from slimstage.store.layout_sink import LayoutSink
from slimstage.store.save import ArchiveSink
from slimstage.store.source import Export, ImageSink
from slimstage.store.verify import verify_image
from support.images import MemoryImage, memory_image

AMD = Platform("linux", "amd64")
ARM = Platform("linux", "arm64")
Reader = Layout | Archive


class Way:
    """One form on disk: how it is written and how it is read."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path

    def sink(self) -> ImageSink:
        if self.name == "layout":
            return LayoutSink(str(self.path))
        return ArchiveSink(str(self.path), is_docker=self.name == "docker")

    def reader(self) -> Reader:
        return Layout(str(self.path)) if self.name == "layout" else Archive(str(self.path))


@pytest.fixture(params=["layout", "oci", "docker"])
def way(tmp_path: Path, request: pytest.FixtureRequest) -> Way:
    (tmp_path / "out").mkdir()
    return Way(request.param, tmp_path / "out" / "image")


def test_image_is_read_back_byte_for_byte(way: Way) -> None:
    image = memory_image({"a": b"1" * 3000}, {"b": b"2"})
    digest = way.sink().write([Export(image, ("app:1",), platform=AMD)])
    with way.reader() as reader:
        assert reader.index().digest == digest
        assert reader.names() == ["1", "docker.io/library/app:1"]
        read = reader.image(AMD, name="app:1")
        assert read.manifest() == image.manifest()
        assert read.config() == image.config()
        assert verify_image(read) == []
        assert reader.image(AMD).manifest() == image.manifest()
        assert reader.image(AMD, digest=image.manifest().digest).manifest() == image.manifest()


def test_image_without_a_name_can_be_written(way: Way) -> None:
    image = memory_image()
    way.sink().write([Export(image)])
    with way.reader() as reader:
        assert reader.names() == []
        assert reader.image(AMD).manifest() == image.manifest()


def test_several_images_share_blobs_and_are_told_apart(way: Way) -> None:
    amd, arm = memory_image({"a": b"x"}), memory_image({"a": b"x"}, architecture="arm64")
    way.sink().write([Export(amd, ("app:1", "app:2"), platform=AMD), Export(arm, ("app:1",), platform=ARM)])
    with way.reader() as reader:
        assert reader.image(AMD, name="1").manifest() == amd.manifest()
        assert reader.image(ARM, name="1").manifest() == arm.manifest()
        assert reader.image(AMD, name="2").manifest() == amd.manifest()
        with pytest.raises(FormatError, match="another platform"):
            reader.image(ARM, name="2")
        with pytest.raises(FormatError, match="linux/s390x") as caught:
            reader.image(Platform("linux", "s390x"), name="app:1")
        assert "linux/amd64, linux/arm64" in str(caught.value)
        with pytest.raises(FormatError, match='no image "aap"') as caught:
            reader.image(AMD, name="aap")
        assert "app:1" in str(caught.value)
        with pytest.raises(FormatError, match="no image"):
            reader.image(AMD, digest=Digest("sha256:" + "0" * 64))


def test_which_of_several_images_is_never_guessed(way: Way) -> None:
    one, two = memory_image({"1": b""}), memory_image({"2": b""})
    way.sink().write([Export(one, ("a:1",), platform=AMD), Export(two, ("b:1",), platform=AMD)])
    with way.reader() as reader:
        for name in (None, "1"):
            with pytest.raises(FormatError, match="several images") as caught:
                reader.image(AMD, name=name)
            assert "docker.io/library/a:1, docker.io/library/b:1" in str(caught.value)
        assert reader.image(AMD, name="b:1").manifest() == two.manifest()
        assert reader.image(AMD, digest=one.manifest().digest).manifest() == one.manifest()


def test_same_images_give_the_same_bytes(way: Way, tmp_path: Path) -> None:
    image = memory_image()
    again = Way(way.name, tmp_path / "again")
    assert way.sink().write([Export(image, ("a:1",))]) == again.sink().write([Export(image, ("a:1",))])
    if way.path.is_file():
        assert way.path.read_bytes() == again.path.read_bytes()


def damage(image: MemoryImage) -> None:
    layer = image.manifest().layers[0].digest
    image.blobs[layer] = image.blobs[layer][:-1] + b"!"


def shorten(image: MemoryImage) -> None:
    layer = image.manifest().layers[0].digest
    image.blobs[layer] = image.blobs[layer][:-1]


@pytest.mark.parametrize("fault", [damage, shorten])
def test_blob_that_lies_leaves_nothing(way: Way, fault: Callable[[MemoryImage], None]) -> None:
    image = memory_image()
    fault(image)
    with pytest.raises(DigestMismatch):
        way.sink().write([Export(image, ("a:1",))])
    assert os.listdir(way.path.parent) == []


def test_failure_keeps_what_was_there(way: Way) -> None:
    old, new = memory_image({"old": b"1"}), memory_image({"new": b"1"})
    way.sink().write([Export(old, ("a:1",))])
    before = sorted(str(p) for p in way.path.parent.rglob("*"))
    damage(new)
    with pytest.raises(DigestMismatch):
        way.sink().write([Export(new, ("a:1",))])
    assert sorted(str(p) for p in way.path.parent.rglob("*")) == before
    with way.reader() as reader:
        assert reader.image(AMD, name="1").manifest() == old.manifest()


def test_something_else_in_the_way_is_an_error(way: Way) -> None:
    if way.name == "layout":
        way.path.write_text("file")
    else:
        way.path.mkdir()
    with pytest.raises(UsageError) as caught:
        way.sink().write([Export(memory_image())])
    assert caught.value.exit_status == 2
    assert caught.value.hint
    assert len(os.listdir(way.path.parent)) == 1


def test_layout_gets_images_added_and_names_moved(tmp_path: Path) -> None:
    path = str(tmp_path / "l")
    one, two, three = (memory_image({name: b"x"}) for name in "123")
    LayoutSink(path).write([Export(one, ("a:1",), platform=AMD), Export(one, ("b:1",), platform=AMD)])
    LayoutSink(path).write([Export(two, ("a:1",), platform=AMD)])
    LayoutSink(path).write([Export(three, (), platform=AMD)])
    with Layout(path) as layout:
        assert layout.image(AMD, name="a:1").manifest() == two.manifest()
        assert layout.image(AMD, name="b:1").manifest() == one.manifest()
        assert layout.image(AMD, digest=three.manifest().digest).manifest() == three.manifest()
        assert len(layout.index().manifests) == 3


def test_layout_is_not_written_into_another_directory(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="not an OCI image layout"):
        LayoutSink(str(tmp_path)).write([Export(memory_image())])
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_empty_directory_becomes_a_layout(tmp_path: Path) -> None:
    LayoutSink(str(tmp_path)).write([Export(memory_image(), ("a:1",))])
    with Layout(str(tmp_path)) as layout:
        assert layout.names() == ["1", "docker.io/library/a:1"]


@pytest.mark.parametrize("kind", ["symlink", "fifo", "file"])
def test_archive_replaces_what_is_there_without_following_it(tmp_path: Path, kind: str) -> None:
    victim, path = tmp_path / "victim", tmp_path / "image.tar"
    victim.write_text("precious")
    if kind == "symlink":
        path.symlink_to(victim)
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.write_text("old")
    ArchiveSink(str(path), is_docker=False).write([Export(memory_image())])
    assert victim.read_text() == "precious"
    assert path.is_file()
    assert not path.is_symlink()
    assert sorted(os.listdir(tmp_path)) == ["image.tar", "victim"]


def test_archive_is_written_to_a_device_and_leaves_it(tmp_path: Path) -> None:
    null = tmp_path / "null"
    try:
        os.mknod(null, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")
    ArchiveSink(str(null), is_docker=False).write([Export(memory_image())])
    assert stat.S_ISCHR(null.lstat().st_mode)
    assert os.listdir(tmp_path) == ["null"]


def test_archive_does_not_replace_a_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    try:
        os.mknod(disk, 0o600 | stat.S_IFBLK, os.makedev(7, 250))
    except PermissionError:
        pytest.skip("only root makes devices")
    with pytest.raises(UsageError, match="device"):
        ArchiveSink(str(disk), is_docker=False).write([Export(memory_image())])
