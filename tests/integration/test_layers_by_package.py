"""`--layers by-package`: a COPY as one layer for each big thing, with the same files."""

from __future__ import annotations

import io
import json
import random
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from slimstage.oci.validate import LAYER_TYPES
from support.building import Image, Project

SITE = "venv/lib/python3.11/site-packages"
BY_PACKAGE = ("--layers", "by-package", "--reproducible")


def package(project: Project, name: str, version: str, size: int, seed: int) -> None:
    project.write(f"{SITE}/{name}/__init__.py", f"version = {version!r}\n")
    project.write(f"{SITE}/{name}/core.so", random.Random(f"{name} {version} {seed}").randbytes(size))
    record = f"{name}/__init__.py,,\n{name}/core.so,,\n{name}-{version}.dist-info/METADATA,,\n"
    project.write(f"{SITE}/{name}-{version}.dist-info/METADATA", f"Name: {name}\nVersion: {version}\n")
    project.write(f"{SITE}/{name}-{version}.dist-info/RECORD", record)


@pytest.fixture
def service(project: Project) -> Project:
    """An environment with two heavy packages and two light ones, a model and own code."""
    for name, size in (("numpy", 6_000_000), ("scipy", 5_000_000), ("idna", 20_000), ("six", 10_000)):
        package(project, name, "1.0", size, 0)
    project.write("models/model.safetensors", random.Random(9).randbytes(2_000_000))
    project.write("app/main.py", "print('one')\n")
    project.dockerfile(
        "FROM scratch AS build\nCOPY venv /opt/venv\nCOPY models /opt/models\nCOPY app /opt/app\n"
        'FROM scratch\nENV A=b\nCOPY --from=build /opt /opt\nCOPY app/main.py /main.py\nCMD ["/main.py"]\n'
    )
    return project


def layers(image: Image) -> dict[str, tuple[str, int]]:
    """What each layer holds, by the history → (digest, bytes)."""
    entries = [entry for entry in image.config["history"] if not entry.get("empty_layer")]
    assert len(entries) == len(image.manifest["layers"])
    comments = [entry["comment"].partition(": ")[2] or entry["created_by"] for entry in entries]
    return {
        comment: (layer["digest"], layer["size"])
        for comment, layer in zip(comments, image.manifest["layers"], strict=True)
    }


def fetched(before: Image, after: Image) -> set[str]:
    """What the layers hold that someone who has `before` fetches for `after`."""
    known = {layer["digest"] for layer in before.manifest["layers"]}
    return {title for title, (digest, _) in layers(after).items() if digest not in known}


def tree(project: Project, name: str, *args: str) -> dict[str, tuple[Any, ...]]:
    """All files of the image that the store keeps, as its layers say together."""
    image = project.layout(name, *args)
    found: dict[str, tuple[Any, ...]] = {}
    for members, data in zip(image.layers(), image.layer_bytes(), strict=True):
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for path, member in members.items():
                stream = tar.extractfile(member) if member.isreg() else None
                content = stream.read() if stream else member.linkname
                found[path] = (member.type, member.mode, member.uid, member.gid, member.mtime, content)
    return found


def test_each_big_thing_has_a_layer_and_the_history_says_which(service: Project) -> None:
    image = service.layout("image", *BY_PACKAGE)
    assert list(layers(image)) == [
        "numpy 1.0",
        "scipy 1.0",
        "2 Python packages: idna 1.0, six 1.0",
        "/opt/models/model.safetensors",
        "everything else",
        "directories that several layers share",
        "COPY app/main.py /main.py # buildkit",
    ]
    split = [entry for entry in image.config["history"] if "slimstage: " in entry.get("comment", "")]
    assert {entry["created_by"] for entry in split} == {"COPY /opt /opt # buildkit"}
    assert all(layer["mediaType"] in LAYER_TYPES for layer in image.manifest["layers"])


@pytest.mark.parametrize("more", [(), ("--reproducible",)])
def test_the_files_are_exactly_the_same_as_without(service: Project, more: tuple[str, ...]) -> None:
    assert tree(service, "split", "--layers", "by-package", *more) == tree(service, "whole", *more)


def test_an_update_costs_the_layer_of_what_changed(service: Project) -> None:
    first = service.layout("first", *BY_PACKAGE)
    package(service, "scipy", "1.0", 5_000_000, 1)
    second = service.layout("second", *BY_PACKAGE)
    assert fetched(first, second) == {"scipy 1.0"}
    service.write("app/main.py", "print('two')\n")
    third = service.layout("third", *BY_PACKAGE)
    assert fetched(second, third) == {"everything else", "COPY app/main.py /main.py # buildkit"}
    service.write("models/model.safetensors", random.Random(10).randbytes(2_000_000))
    assert fetched(third, service.layout("fourth", *BY_PACKAGE)) == {"/opt/models/model.safetensors"}


def test_the_cache_knows_nothing_of_it_and_the_same_build_gives_the_same_image(service: Project) -> None:
    plain = service.document("-o", f"type=oci,dest={service.path.parent / 'plain.tar'}", "--reproducible")
    again = service.document("-o", f"type=oci,dest={service.path.parent / 'split.tar'}", *BY_PACKAGE)
    assert {step["status"] for step in again["steps"]} == {"cached"}
    assert plain["image_id"] != again["image_id"]
    once, twice = service.layout("once", *BY_PACKAGE), service.layout("twice", *BY_PACKAGE)
    assert once.digest == twice.digest
    other = Project(service.path, service.root.parent / "other", service.base)
    assert other.layout("elsewhere", *BY_PACKAGE).digest == once.digest


def test_settings_can_ask_for_it(service: Project) -> None:
    service.write("slimstage.toml", '[build]\nlayers = "by-package"\n')
    assert len(service.layout("image").manifest["layers"]) == 7
    service.write("slimstage.toml", '[build]\nlayers = "by-wish"\n')
    done = service.build(status=2)
    assert "slimstage.toml" in done.err
    assert "by-package" in done.err


def test_an_image_of_the_store_is_split_as_well_and_survives_prune_and_save(service: Project) -> None:
    service.build("-t", "split:1", "--layers", "by-package")
    service.run("prune", "--all", "--force")
    archive = service.path.parent / "split.tar"
    service.run("save", "-o", archive, "split:1")
    with tarfile.open(archive) as tar:
        stream = tar.extractfile("manifest.json")
        assert stream is not None
        assert len(json.load(stream)[0]["Layers"]) == 7
    rows = service.run("history", "--json", "split:1").json()
    assert any("numpy 1.0" in json.dumps(row) for row in rows)


def test_an_image_never_has_more_than_127_layers(project: Project) -> None:
    for number in range(150):
        project.write(f"data/m{number:03d}.safetensors", bytes([number % 251]) * (1_100_000 + number))
    project.dockerfile("FROM scratch\n" + "".join(f"COPY one /f{n}\n" for n in range(10)) + "COPY data /data\n")
    project.write("one", "1")
    image = project.layout("image", "--layers", "by-package")
    assert len(image.manifest["layers"]) == 127
    (joined,) = (title for title in layers(image) if title.endswith("large files"))
    kept = [title for title in layers(image) if title.startswith("/data/")]
    assert len(kept) + int(joined.split()[0]) == 150
    assert "/data/m149.safetensors" in kept


def test_other_tools_unpack_it_to_the_same_files(service: Project, tmp_path: Path) -> None:
    image = service.layout("image", "--layers", "by-package", options=",name=split:1")
    bundle = tmp_path / "bundle"
    subprocess.run(
        ["umoci", "unpack", "--rootless", "--image", f"{image.path}:1", str(bundle)], check=True, capture_output=True
    )
    for path in service.path.rglob("*"):
        name = path.relative_to(service.path)
        if path.is_file() and name.parts[0] in ("venv", "models"):
            assert (bundle / "rootfs/opt" / name).read_bytes() == path.read_bytes()
