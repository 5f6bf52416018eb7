"""Other tools read what we write, and we read what they write: skopeo and umoci."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from slimstage.oci.descriptor import Platform
from slimstage.store.archive import Archive
from slimstage.store.layout import Layout
from slimstage.store.layout_sink import LayoutSink
from slimstage.store.save import ArchiveSink
from slimstage.store.source import Export, ImageSource
from slimstage.store.verify import verify_image
from support.images import memory_image

AMD = Platform("linux", "amd64")
NAMES = ("localhost/app:1",)

needs_skopeo = pytest.mark.skipif(shutil.which("skopeo") is None, reason="needs skopeo")
needs_umoci = pytest.mark.skipif(shutil.which("umoci") is None, reason="needs umoci")


def run(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def check(image: ImageSource) -> None:
    assert verify_image(image) == []
    assert image.config() == memory_image().config()


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    LayoutSink(str(tmp_path / "layout")).write([Export(memory_image(), NAMES, platform=AMD)])
    return tmp_path / "layout"


@needs_skopeo
def test_skopeo_reads_our_layout_and_archives(tmp_path: Path, layout: Path) -> None:
    ArchiveSink(str(tmp_path / "oci.tar"), is_docker=False).write([Export(memory_image(), NAMES, platform=AMD)])
    ArchiveSink(str(tmp_path / "docker.tar"), is_docker=True).write([Export(memory_image(), NAMES, platform=AMD)])
    want = json.loads(memory_image().manifest().raw)
    for where in (f"oci:{layout}:1", f"oci-archive:{tmp_path}/oci.tar:1"):
        assert json.loads(run("skopeo", "inspect", "--raw", where)) == want
    for where in (f"docker-archive:{tmp_path}/docker.tar:localhost/app:1", f"docker-archive:{tmp_path}/docker.tar"):
        config = json.loads(run("skopeo", "inspect", "--config", "--raw", where))
        assert config["config"]["Cmd"] == ["/bin/sh"]


@needs_skopeo
def test_we_read_what_skopeo_writes(tmp_path: Path, layout: Path) -> None:
    source = f"oci:{layout}:1"
    run("skopeo", "copy", source, f"oci:{tmp_path}/copy:tag")
    run("skopeo", "copy", source, f"oci-archive:{tmp_path}/oci.tar:tag")
    run("skopeo", "copy", source, f"docker-archive:{tmp_path}/docker.tar:localhost/app:2")
    with Layout(str(tmp_path / "copy")) as copy:
        check(copy.image(AMD, name="tag"))
        assert copy.image(AMD).manifest().config == memory_image().manifest().config
    with Archive(str(tmp_path / "oci.tar")) as archive:
        check(archive.image(AMD, name="tag"))
    with Archive(str(tmp_path / "docker.tar")) as archive:
        image = archive.image(AMD, name="localhost/app:2")
        assert verify_image(image) == []
        assert image.config().diff_ids == memory_image().config().diff_ids


@needs_umoci
def test_umoci_unpacks_our_layout_and_we_read_what_it_repacks(tmp_path: Path, layout: Path) -> None:
    bundle = tmp_path / "bundle"
    run("umoci", "unpack", "--rootless", "--image", f"{layout}:1", bundle)
    assert (bundle / "rootfs" / "etc" / "motd").read_text() == "hello\n"
    (bundle / "rootfs" / "added").write_text("x")
    run("umoci", "repack", "--image", f"{layout}:2", bundle)
    with Layout(str(layout)) as opened:
        check(opened.image(AMD, name="1"))
        image = opened.image(AMD, name="2")
        assert verify_image(image) == []
        assert len(image.manifest().layers) == 2
