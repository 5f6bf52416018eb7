"""Layers that are read in parts, by tools that do it: podman fetches what changed, umoci and skopeo see plain layers.

The registry is Debian's, and a proxy before it counts the bytes of every blob.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slimstage.oci.descriptor import Descriptor
from slimstage.store.verify import layer_check
from slimstage.tree.partial import TOC_NAME
from slimstage.tree.partread import FileSource, check_contents, read_contents
from support.building import Image, Project
from support.counting import Counted, counting
from support.registry import copy_image, needs_registry, running_registry

needs_podman = pytest.mark.skipif(shutil.which("podman") is None, reason="needs podman")
needs_umoci = pytest.mark.skipif(shutil.which("umoci") is None, reason="needs umoci")
FORMS = ("estargz", "zstd:chunked")
EXTRA = {TOC_NAME, ".no.prefetch.landmark"}

pytestmark = [needs_registry]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counted]:
    with running_registry(tmp_path_factory.mktemp("registry")) as host, counting(host) as counted:
        yield counted


@pytest.fixture
def large(project: Project) -> Project:
    """400 files, 12 MB that hardly compress, one of them of several pieces, and a small one."""
    rng = random.Random(5)
    for number in range(400):
        project.write(f"data/d{number % 7}/f{number:03d}", rng.randbytes(rng.randrange(1, 24_000)))
    project.write("data/weights.bin", rng.randbytes(7_000_000))
    project.write("data/small.txt", "one\n")
    os.link(project.path / "data/small.txt", project.path / "data/link.txt")
    os.symlink("small.txt", project.path / "data/pointer")
    project.write("data/empty", b"")
    project.dockerfile("FROM scratch\nCOPY data /data\n")
    return project


def run(*command: object, env: dict[str, str] | None = None) -> str:
    done = subprocess.run([str(part) for part in command], check=False, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def layer_of(image: Image) -> dict[str, Any]:
    layer: dict[str, Any] = image.manifest["layers"][-1]
    return layer


class Podman:
    """podman on a storage of its own that pulls layers in parts."""

    def __init__(self, place: Path) -> None:
        place.mkdir()
        self._root, self._run, self._config = place / "root", place / "run", place / "storage.conf"
        self._config.write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{self._root}"\nrunroot = "{self._run}"\n'
            '[storage.options]\npull_options = {enable_partial_images = "true", use_hard_links = "false",'
            ' ostree_repos = ""}\n'
        )

    def __call__(self, *args: object) -> str:
        environment = {**os.environ, "CONTAINERS_STORAGE_CONF": str(self._config)}
        return run("podman", "--log-level=error", *args, env=environment)

    def tree(self, image: str) -> dict[str, tuple[int, bytes]]:
        """Mode and content of each file of the image, by its path."""
        mounted = Path(self("image", "mount", image).strip())
        try:
            return tree_of(mounted)
        finally:
            self("image", "umount", image)


def tree_of(root: Path) -> dict[str, tuple[int, bytes]]:
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if name in EXTRA:
            continue
        data = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[name] = (path.lstat().st_mode, data)
    return found


@pytest.mark.root
@needs_podman
@pytest.mark.parametrize("form", FORMS)
def test_podman_fetches_less_than_a_fiftieth_when_one_small_file_changed(
    large: Project, registry: Counted, tmp_path: Path, form: str
) -> None:
    name = f"parts-{form.replace(':', '-')}"
    first = large.layout("first", options=f",compression={form},name=parts:1")
    large.write("data/small.txt", "two\n")
    second = large.layout("second", options=f",compression={form},name=parts:2")
    assert layer_of(first)["digest"] != layer_of(second)["digest"]
    for number, image in enumerate((first, second), 1):
        copy_image(f"oci:{image.path}:{number}", f"docker://{registry.registry}/{name}:{number}")
    podman = Podman(tmp_path / "podman")
    try:
        podman("pull", "-q", "--tls-verify=false", f"{registry.host}/{name}:1")
        registry.clear()
        podman("pull", "-q", "--tls-verify=false", f"{registry.host}/{name}:2")
        layer = layer_of(second)
        fetched = registry.blobs[layer["digest"]]
        assert 0 < fetched < layer["size"] * 0.02, f"{fetched} of {layer['size']} bytes"
        seen = podman.tree(f"{registry.host}/{name}:2")
    finally:
        podman("rmi", "-a", "-f")
    assert seen == {name: node for name, node in tree_of(large.path).items() if name.startswith("data")}


@needs_umoci
@pytest.mark.parametrize("form", FORMS)
def test_other_tools_see_a_plain_layer(large: Project, registry: Counted, tmp_path: Path, form: str) -> None:
    image = large.layout("image", options=f",compression={form},name=plain:1")
    target = f"docker://{registry.registry}/plain-{form.replace(':', '-')}:1"
    copy_image(f"oci:{image.path}:1", target)
    assert json.loads(run("skopeo", "inspect", "--raw", "--tls-verify=false", target)) == image.manifest
    back = tmp_path / "back"
    copy_image(target, f"oci:{back}:1")
    assert Image.of(back).digest == image.digest
    # umoci 0.4 reads no zstd: skopeo unpacks and packs it again for it.
    unpacked = tmp_path / "unpacked"
    kind = ("--dest-compress-format=gzip", "--dest-compress") if form != "estargz" else ()
    source = f"oci:{image.path}:1"
    if kind:
        run("skopeo", "copy", "-q", "--insecure-policy", source, f"dir:{tmp_path / 'dir'}", "--dest-decompress")
        source = f"dir:{tmp_path / 'dir'}"
        run("skopeo", "copy", "-q", "--insecure-policy", source, f"oci:{tmp_path / 'gzip'}:1")
        source = f"oci:{tmp_path / 'gzip'}:1"
    run("umoci", "unpack", "--rootless", "--image", source.removeprefix("oci:"), unpacked)
    assert tree_of(unpacked / "rootfs") == {
        name: node for name, node in tree_of(large.path).items() if name.startswith("data")
    }


@pytest.mark.parametrize("form", FORMS)
def test_every_piece_is_what_the_table_says(large: Project, form: str) -> None:
    image = large.layout("image", options=f",compression={form}")
    layer = layer_of(image)
    blob = image.path / "blobs" / layer["digest"].replace(":", "/")
    with open(blob, "rb") as stream:
        source = FileSource(stream.fileno())
        contents = read_contents(source, layer["size"], layer["annotations"])
        assert list(check_contents(source, contents)) == []
    sizes = {file.name: file.size for file in contents.files if file.kind == "reg" and file.name not in EXTRA}
    assert sizes["data/weights.bin"] == 7_000_000
    assert len(sizes) == 404 - 1  # the second name of a file is a link
    (weights,) = (file for file in contents.files if file.name == "data/weights.bin")
    assert [chunk.size for chunk in weights.chunks] == [4 << 20, 7_000_000 - (4 << 20)]


@pytest.mark.parametrize("form", FORMS)
def test_verifying_an_image_finds_a_piece_that_its_table_lies_about(project: Project, form: str) -> None:
    project.write("f", "data\n")
    project.dockerfile("FROM scratch\nCOPY f /f\n")
    image = project.layout("image", options=f",compression={form}")
    layer = layer_of(image)
    other = "sha256:" + "0" * 64
    key = "containerd.io/snapshot/stargz/toc.digest"
    key = key if form == "estargz" else "io.github.containers.zstd-chunked.manifest-checksum"
    annotations = {**layer["annotations"], key: other}
    with open(image.path / "blobs" / layer["digest"].replace(":", "/"), "rb") as stream:
        descriptor = Descriptor(layer["mediaType"], layer["digest"], layer["size"], annotations=annotations)
        facts = layer_check(lambda digest: open(stream.fileno(), "rb", closefd=False))(descriptor)
    assert [fault for fault in facts.faults if "not the one of the annotations" in fault]


def test_save_recompresses_and_the_store_keeps_its_own(project: Project) -> None:
    project.write("f", "data\n" * 5000)
    project.dockerfile("FROM scratch\nCOPY f /f\n")
    project.build("-t", "own:1")
    places = {kind: project.path.parent / kind.replace(":", "-") for kind in ("gzip", *FORMS)}
    for kind, place in places.items():
        project.run("save", "--recompress", kind, "--format", "oci-dir", "-o", place, "own:1")
    images = {kind: Image.of(place) for kind, place in places.items()}
    assert all(image.read("f") == b"data\n" * 5000 for image in images.values() if "zstd" not in str(image.path))
    assert images["gzip"].config == images["zstd:chunked"].config
    assert "containerd.io/snapshot/stargz/toc.digest" in layer_of(images["estargz"])["annotations"]
    (document,) = project.run("inspect", "own:1").json()
    assert document["Id"] == images["gzip"].manifest["config"]["digest"]
    done = project.run("save", "--recompress", "best", "-o", project.path.parent / "x", "own:1", status=2)
    assert "zstd:chunked" in done.err
