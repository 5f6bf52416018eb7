"""`compression=zstd` in every output that has layers: other tools read it, and so do we."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.building import Image, Project

needs_skopeo = pytest.mark.skipif(shutil.which("skopeo") is None, reason="needs skopeo")
needs_podman = pytest.mark.skipif(shutil.which("podman") is None, reason="needs podman")
CONTENT = b"data\n" * 30_000


@pytest.fixture
def image(project: Project) -> Project:
    project.write("f", CONTENT)
    project.dockerfile("FROM base\nCOPY f /f\n")
    return project


def run(*command: object, env: dict[str, str] | None = None) -> str:
    done = subprocess.run([str(part) for part in command], check=False, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_skopeo
@pytest.mark.parametrize("options", ["type=oci", "type=docker", "type=docker,oci-mediatypes=false"])
def test_skopeo_reads_it_and_so_do_we(image: Project, tmp_path: Path, options: str) -> None:
    archive = tmp_path / "image.tar"
    image.build("-o", f"{options},dest={archive},compression=zstd,force-compression=true,name=localhost/app:1")
    form = "oci-archive" if options == "type=oci" else "docker-archive"
    layout = tmp_path / "layout"
    run("skopeo", "copy", "-q", "--insecure-policy", f"{form}:{archive}", f"oci:{layout}:1", "--format", "oci")
    assert Image.of(layout).read("f") == CONTENT
    other = Project(image.path, tmp_path / "other", image.base)
    other.run("load", "-i", archive)
    other.run("save", "--format", "oci-dir", "-o", tmp_path / "saved", "localhost/app:1")
    saved = Image.of(tmp_path / "saved")
    assert saved.read("f") == CONTENT
    assert all(layer["mediaType"].endswith("zstd") for layer in saved.manifest["layers"])


def test_an_image_of_the_store_has_it_and_is_a_base(image: Project) -> None:
    image.build("-o", "type=image,compression=zstd,force-compression=true,name=app:1")
    image.write("Dockerfile.next", "FROM app:1\nRUN cat /f > /g\n")
    layers = image.layout("next", "-f", "Dockerfile.next", options=",compression=gzip").manifest["layers"]
    assert [layer["mediaType"].rpartition("+")[2] for layer in layers][-2:] == ["zstd", "gzip"]
    forced = image.layout("forced", "-f", "Dockerfile.next", options=",compression=gzip,force-compression=true")
    assert {layer["mediaType"].rpartition("+")[2] for layer in forced.manifest["layers"]} == {"gzip"}
    assert forced.read("g") == CONTENT


@pytest.mark.root
@needs_podman
def test_podman_loads_it_and_shows_its_files(image: Project, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    image.build("-o", f"type=oci,dest={archive},compression=zstd,force-compression=true,name=localhost/app:1")
    config = tmp_path / "storage.conf"
    config.write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{tmp_path}/root"\nrunroot = "{tmp_path}/run"\n')
    environment = {**os.environ, "CONTAINERS_STORAGE_CONF": str(config)}
    run("podman", "load", "-q", "-i", archive, env=environment)
    (document,) = json.loads(run("podman", "image", "inspect", "localhost/app:1", env=environment))
    mounted = Path(run("podman", "image", "mount", document["Id"], env=environment).strip())
    assert (mounted / "f").read_bytes() == CONTENT
    run("podman", "image", "umount", document["Id"], env=environment)
