"""A cache that travels: a second machine is a second store."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from support.building import Project
from support.registry import copy_image, needs_registry, running_registry
from support.traveling import DOCKERFILE, other, runs, sources

pytestmark = [pytest.mark.root]


@pytest.fixture
def stages(project: Project) -> Project:
    project.dockerfile(DOCKERFILE)
    project.write("lib.txt", "b\na\n")
    project.write("own.txt", "own\n")
    return project


def test_with_mode_max_another_machine_runs_nothing_and_makes_the_same_image(stages: Project, tmp_path: Path) -> None:
    place = tmp_path / "cache"
    first = stages.document("-t", "x", "--cache-to", f"type=local,dest={place},mode=max")
    assert first["caches"][0]["records"] == 9
    second = stages.document("-t", "x", "--cache-from", f"type=local,src={place}", **other(stages))
    assert runs(second) == []
    assert sources(second) == {str(place)}
    assert second["image_id"] == first["image_id"]
    said = stages.run("run", "--rm", "x", **other(stages))
    assert said.out == "2\nown\n"


def test_with_mode_min_only_the_images_own_layers_travel_and_an_unchanged_build_runs_nothing(
    stages: Project, tmp_path: Path
) -> None:
    place = tmp_path / "cache"
    first = stages.document("--cache-to", f"type=local,dest={place}")
    assert (first["caches"][0]["records"], first["caches"][0]["layers"]) == (9, 3)
    same = stages.document("--cache-from", f"type=local,src={place}", **other(stages))
    assert runs(same) == []
    # A changed step of the last stage needs nothing that is not there; one that reads a stage anew has that stage run.
    stages.write("own.txt", "other\n")
    changed = stages.document("--cache-from", f"type=local,src={place}", **other(stages, "third"))
    assert runs(changed) == ["COPY own.txt /", "RUN cat /tool/count /own.txt > /result"]


def test_a_changed_stage_in_the_middle_runs_and_all_that_does_not_depend_on_it_comes_from_the_cache(
    stages: Project, tmp_path: Path
) -> None:
    place = tmp_path / "cache"
    stages.document("--cache-to", f"type=local,dest={place},mode=max")
    stages.dockerfile(DOCKERFILE.replace("echo tool", "echo hammer"))
    changed = stages.document("-t", "x", "--cache-from", f"type=local,src={place}", **other(stages))
    assert runs(changed) == [
        "RUN mkdir /tool && echo hammer > /tool/name && rm -f /etc/motd",
        "COPY --from=lib /lib/sorted.txt /tool/",
        "RUN wc -l < /tool/sorted.txt > /tool/count",
        "COPY --from=tool /tool /tool",
        "COPY own.txt /",
        "RUN cat /tool/count /own.txt > /result",
    ]
    assert stages.run("run", "--rm", "x", **other(stages)).out == "2\nown\n"


def test_output_of_a_changed_stage_that_is_equal_leaves_what_reads_it_cached(stages: Project, tmp_path: Path) -> None:
    place = tmp_path / "cache"
    stages.document("--cache-to", f"type=local,dest={place},mode=max")
    stages.write("lib.txt", "a\nb\n")
    changed = stages.document("--cache-from", f"type=local,src={place}", **other(stages))
    assert runs(changed) == ["COPY lib.txt .", "RUN sort lib.txt > sorted.txt && ln sorted.txt again.txt"]


def test_a_cache_that_lost_a_blob_or_lies_about_one_is_a_miss_with_one_warning(stages: Project, tmp_path: Path) -> None:
    place = tmp_path / "cache"
    first = stages.document("--cache-to", f"type=local,dest={place},mode=max")
    manifest = json.loads((place / "blobs" / first["caches"][0]["digest"].replace(":", "/")).read_text())
    blobs = [place / "blobs" / layer["digest"].replace(":", "/") for layer in manifest["layers"]]
    blobs[-1].unlink()
    blobs[-2].write_bytes(blobs[-2].read_bytes()[:-1] + b"x")
    again = stages.document("-t", "x", "--cache-from", f"type=local,src={place}", **other(stages))
    assert [warning["code"] for warning in again["warnings"]] == ["cache-broken"]
    assert runs(again) == ["COPY own.txt /", "RUN cat /tool/count /own.txt > /result"]
    assert stages.run("run", "--rm", "x", **other(stages)).out == "2\nown\n"
    shutil.rmtree(place / "blobs")
    none = stages.document("--cache-from", f"type=local,src={place}", **other(stages, "third"))
    assert [warning["code"] for warning in none["warnings"]] == ["cache-broken"]
    assert len(runs(none)) == 9


@needs_registry
def test_an_inline_cache_travels_in_the_image_and_only_what_is_read_is_fetched(stages: Project, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    stages.document("-o", f"type=oci,dest={archive}", "--cache-to", "type=inline")
    plain = stages.document("-o", f"type=oci,dest={tmp_path / 'plain.tar'}")
    with running_registry(tmp_path / "registry") as host:
        copy_image(f"oci-archive:{archive}", f"docker://{host}/app:1")
        copy_image(f"oci-archive:{tmp_path / 'plain.tar'}", f"docker://{host}/plain:1")
        places = [
            "--cache-from",
            f"{host}/app:none",
            "--cache-from",
            f"{host}/plain:1",
            "--cache-from",
            f"{host}/app:1",
        ]
        same = stages.document("-t", "x", *places, **other(stages))
        assert runs(same) == []
        assert same["warnings"] == []
        assert same["image_id"] == plain["image_id"]
    assert stages.run("run", "--rm", "x", **other(stages)).out == "2\nown\n"


def test_no_secret_variable_or_command_is_in_what_a_cache_says(stages: Project, tmp_path: Path) -> None:
    stages.dockerfile(
        "FROM base\nARG LEVEL\nENV TOKEN=hidden-variable\n"
        "RUN --mount=type=secret,id=key cat /run/secrets/key > /dev/null && echo $LEVEL > /dev/null\n"
    )
    key = stages.write("../key", "hidden-secret")
    arguments = ["--secret", f"id=key,src={key}", "--build-arg", "LEVEL=hidden-argument"]
    place = tmp_path / "cache"
    stages.document(*arguments, "--cache-to", f"type=local,dest={place},mode=max")
    said = b"".join(path.read_bytes() for path in place.rglob("*") if path.is_file())
    assert b'"content"' in said
    for word in (b"hidden", b"TOKEN", b"/dev/null", b"LEVEL"):
        assert word not in said


def test_lies_about_diff_ids_sizes_and_places_are_misses(stages: Project, tmp_path: Path) -> None:
    place = tmp_path / "cache"
    digest = stages.document("--cache-to", f"type=local,dest={place},mode=max")["caches"][0]["digest"]
    manifest = json.loads((place / "blobs" / digest.replace(":", "/")).read_text())
    document = json.loads((place / "blobs" / manifest["config"]["digest"].replace(":", "/")).read_text())

    def put(value: object) -> tuple[str, int]:
        data = json.dumps(value).encode()
        name = hashlib.sha256(data).hexdigest()
        (place / "blobs/sha256" / name).write_bytes(data)
        return f"sha256:{name}", len(data)

    def changed(**fields: object) -> dict[str, Any]:
        """The build with a cache that says this of the layers of the last stage."""
        layers = [*document["layers"][:-3], *({**layer, **fields} for layer in document["layers"][-3:])]
        config, size = put({**document, "layers": layers})
        told = {**manifest, "config": {**manifest["config"], "digest": config, "size": size}}
        entry, size = put(told)
        index = json.loads((place / "index.json").read_text())
        index["manifests"][0] |= {"digest": entry, "size": size}
        (place / "index.json").write_text(json.dumps(index))
        name = f"m{len(list(tmp_path.iterdir()))}"
        return stages.document("-t", "x", "--cache-from", f"type=local,src={place}", **other(stages, name))

    for fields in ({"diffID": "sha256:" + "0" * 64}, {"size": 10}):
        built = changed(**fields)
        assert [warning["code"] for warning in built["warnings"]] == ["cache-broken"]
        assert runs(built) == [
            "COPY --from=tool /tool /tool",
            "COPY own.txt /",
            "RUN cat /tool/count /own.txt > /result",
        ]
    built = changed(blob=99)
    assert [warning["code"] for warning in built["warnings"]] == ["cache-broken"]
    assert len(runs(built)) == 9


MOUNTED = """\
FROM base
ARG TURN
RUN --mount=type=cache,id=tool,target=/c,mode=0750,uid=1000 --mount=type=secret,id=key,target=/c/key \\
    cat /c/key > /dev/null; ls /c > /was; echo $TURN > /c/turn$TURN && chown 12:34 /c/turn$TURN && rm -f /c/gone
RUN cat /was
"""


def test_cache_directories_travel_when_asked_and_what_is_broken_leaves_them_empty(
    project: Project, tmp_path: Path
) -> None:
    project.dockerfile(MOUNTED)
    key = project.write("../key", "hidden-secret")
    place = tmp_path / "cache"
    reads, writes = f"type=local,src={place}", f"type=local,dest={place}"

    def listing(turn: int, root: str, *args: str) -> list[str]:
        """What a step found in the directory."""
        out = tmp_path / f"out{turn}{root}"
        arguments = ["--build-arg", f"TURN={turn}", "--secret", f"id=key,src={key}", *args]
        project.document("-o", out, *arguments, **other(project, root))
        return (out / "was").read_text().split()

    assert listing(1, "one", "--cache-mounts", "--cache-to", writes) == ["key"]
    assert listing(2, "two", "--cache-from", reads) == ["key"]
    assert listing(2, "three", "--cache-mounts", "--cache-from", reads, "--cache-to", writes) == ["key", "turn1"]
    # A machine on which no step mounts it passes on what it was given.
    listing(2, "four", "--cache-mounts", "--cache-from", reads, "--cache-to", writes)
    assert listing(3, "five", "--cache-mounts", "--cache-from", reads) == ["key", "turn1", "turn2"]
    (home,) = project.root.with_name("five").glob("caches/*/0/fs")
    assert ((home / "turn1").stat().st_uid, (home / "turn1").stat().st_gid) == (12, 34)
    assert (home.stat().st_mode & 0o7777, home.stat().st_uid) == (0o750, 1000)
    assert not any(b"hidden-secret" in path.read_bytes() for path in place.rglob("*") if path.is_file())
    for path in (place / "blobs/sha256").iterdir():
        if path.stat().st_size < 200:  # the packs: layers and documents are larger
            path.write_bytes(b"junk")
    document = project.document(
        "--build-arg", "TURN=4", "--secret", f"id=key,src={key}", "--cache-mounts", "--cache-from", reads,
        **other(project, "six"),
    )  # fmt: skip
    assert [warning["code"] for warning in document["warnings"]] == ["cache-broken"]


@needs_registry
def test_an_inline_cache_offers_no_layer_that_is_not_what_its_step_made(stages: Project, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    options = f"type=oci,dest={archive},compression=estargz"
    stages.write("own.txt", "own\n")
    stages.document("-o", options, "--layers", "by-package", "--cache-to", "type=inline")
    plain = stages.document("-o", f"type=oci,dest={tmp_path / 'plain.tar'}")
    with running_registry(tmp_path / "registry") as host:
        copy_image(f"oci-archive:{archive}", f"docker://{host}/app:1")
        again = stages.document("-t", "x", "--cache-from", f"{host}/app:1", **other(stages))
    assert again["warnings"] == []
    assert len(again["layers"]) == len(plain["layers"])
    names = stages.run("run", "--rm", "--entrypoint", "/bin/ls", "x", "-a", "/", **other(stages)).out.split()
    assert "stargz.index.json" not in names
    assert stages.run("run", "--rm", "x", **other(stages)).out == "2\nown\n"
