"""Builds for several platforms: what is shared, what comes out, and that each image is the one of a build of its own."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest

from slimstage.oci.descriptor import OCI_INDEX, parse_platform
from slimstage.store.layout import Layout
from slimstage.store.verify import verify_image
from support.building import Project, statuses

PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7")
ALL = ",".join(PLATFORMS)
CROSS = """\
FROM --platform=$BUILDPLATFORM base AS build
RUN echo tools > /tools && echo said-once
ARG TARGETPLATFORM TARGETARCH TARGETVARIANT
RUN echo "$TARGETPLATFORM $TARGETARCH $TARGETVARIANT" > /out
FROM scratch
ARG TARGETARCH
LABEL arch=$TARGETARCH
COPY --from=build /tools /out /app/
COPY file /app/
WORKDIR /app/work
"""
pytestmark = pytest.mark.root


@pytest.fixture
def cross(project: Project) -> Project:
    project.dockerfile(CROSS)
    project.write("file", "content\n")
    project.more = ("--reproducible",)
    return project


def documents(layout: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """index.json, and the index that its only entry leads to."""
    outer = json.loads((layout / "index.json").read_text())
    (entry,) = outer["manifests"]
    return outer, json.loads(blob(layout, entry["digest"]))


def stage_lines(text: str) -> set[str]:
    """What stands in brackets in plain progress: stage and number."""
    return set(re.findall(r"^#[0-9]+ \[([^\]]+ [0-9]+/[0-9]+)\]", text, re.M))


def blob(layout: Path, digest: str) -> bytes:
    return (layout / "blobs" / digest.replace(":", "/")).read_bytes()


def test_an_index_of_all_platforms_each_as_built_alone(cross: Project, tmp_path: Path) -> None:
    document = cross.document("--platform", ALL, "-o", f"type=oci,tar=false,dest={tmp_path}/all", "-t", "app:1")
    outer, index = documents(tmp_path / "all")
    (entry,) = outer["manifests"]
    assert (entry["mediaType"], entry["digest"]) == (OCI_INDEX, document["manifest_digest"])
    assert "platform" not in entry
    assert entry["annotations"]["io.containerd.image.name"] == "docker.io/library/app:1"
    assert (index["schemaVersion"], index["mediaType"]) == (2, OCI_INDEX)
    assert [each["platform"] for each in index["manifests"]] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux"},
        {"architecture": "arm", "os": "linux", "variant": "v7"},
    ]
    for platform, listed, part in zip(PLATFORMS, index["manifests"], document["platforms"], strict=True):
        name = platform.replace("/", "-")
        alone = cross.document("--platform", platform, "-o", f"type=oci,tar=false,dest={tmp_path}/{name}")
        assert listed["digest"] == alone["manifest_digest"], platform
        assert part["image_id"] == alone["image_id"]
        assert (part["platform"], part["size_bytes"]) == (platform, alone["size_bytes"])
        config = json.loads(blob(tmp_path / "all", part["image_id"]))
        assert "/".join(filter(None, (config["os"], config["architecture"], config.get("variant")))) == platform
        with Layout(str(tmp_path / "all")) as layout:
            assert verify_image(layout.image(parse_platform(platform))) == []
    assert document["image_id"] == document["manifest_digest"]
    assert document["platform"] == ALL


def test_what_platforms_share_runs_once(cross: Project) -> None:
    done = cross.build("--progress", "plain", "--platform", ALL)
    assert len(re.findall(r"^#[0-9]+ [0-9.]+ said-once$", done.err, re.M)) == 1
    assert stage_lines(done.err) == {
        "linux/amd64 build 1/3",
        "linux/amd64 build 2/3",
        "linux/amd64 build 3/3",
        "linux/amd64->arm64 build 3/3",
        "linux/amd64->arm/v7 build 3/3",
        *(f"{platform} stage-1 {number}/3" for platform in PLATFORMS for number in (1, 2, 3)),
    }


def test_the_second_build_finds_all_cached_and_a_single_platform_too(cross: Project) -> None:
    first = cross.document("--platform", ALL, "-t", "app:1")
    assert set(statuses(first).values()) == {"run"}
    again = cross.document("--platform", ALL, "-t", "app:1")
    assert {step["status"] for step in again["steps"]} == {"cached"}
    assert again["image_id"] == first["image_id"]
    alone = cross.document("--platform", "linux/arm64")
    assert set(statuses(alone).values()) == {"cached"}
    assert alone["image_id"] == first["platforms"][1]["image_id"]


def test_one_changed_file_runs_what_copies_it_for_each_platform(cross: Project) -> None:
    cross.document("--platform", ALL)
    cross.write("file", "changed\n")
    done = cross.build("--platform", ALL, "--explain")
    assert "linux/arm64 stage-1, line 9: COPY file /app/" in done.err
    assert done.err.count("because file file changed") == 3
    assert "RUN" not in done.err.split("linux/", 1)[0]


def test_the_store_shows_the_index_and_commands_choose_from_it(cross: Project, tmp_path: Path) -> None:
    document = cross.document("--platform", ALL, "-t", "app:1")
    (listed,) = cross.run("images", "--json").json()
    assert (listed["id"], listed["names"]) == (document["image_id"], ["app:1"])
    assert [each["platform"] for each in listed["platforms"]] == list(PLATFORMS)
    table = cross.run("images").out.splitlines()
    assert [line.split()[0] for line in table[1:]] == ["app", *PLATFORMS]
    assert "app:1: valid" in cross.run("inspect", "--verify", "app:1").err
    for platform, part in zip(PLATFORMS, document["platforms"], strict=True):
        (shown,) = cross.run("inspect", "--platform", platform, "app:1").json()
        assert (shown["Id"], shown["RepoTags"]) == (part["image_id"], ["app:1"])
        assert shown["Descriptor"]["digest"] == document["image_id"]
        assert [each["ID"] for each in shown["Manifests"]] == [p["manifest_digest"] for p in document["platforms"]]
    assert cross.run("history", "--platform", "linux/arm/v7", "--json", "app:1").json()
    refused = cross.run("inspect", "--platform", "linux/s390x", "app:1", status=2)
    assert 'is not for "linux/s390x"' in refused.err
    assert "linux/amd64, linux/arm64, linux/arm/v7" in refused.err


def test_save_writes_the_index_or_one_of_its_images(cross: Project, tmp_path: Path) -> None:
    document = cross.document("--platform", ALL, "-t", "app:1")
    cross.run("save", "--format", "oci-dir", "-o", tmp_path / "whole", "app:1")
    outer, index = documents(tmp_path / "whole")
    assert outer["manifests"][0]["digest"] == document["image_id"]
    assert [each["digest"] for each in index["manifests"]] == [p["manifest_digest"] for p in document["platforms"]]
    cross.run("save", "--platform", "linux/arm64", "--format", "oci-dir", "-o", tmp_path / "one", "app:1")
    (entry,) = json.loads((tmp_path / "one/index.json").read_text())["manifests"]
    assert entry["digest"] == document["platforms"][1]["manifest_digest"]
    cross.run("save", "-o", tmp_path / "docker.tar", "app:1")
    with tarfile.open(tmp_path / "docker.tar") as tar:
        stream = tar.extractfile("manifest.json")
        assert stream
        (named,) = json.load(stream)
        assert named["RepoTags"] == ["app:1"]
        assert named["Config"].endswith(document["platforms"][0]["image_id"].partition(":")[2])


def test_what_was_saved_is_loaded_whole(cross: Project, tmp_path: Path) -> None:
    document = cross.document("--platform", ALL, "-t", "app:1")
    for form in ("docker", "oci", "oci-dir"):
        cross.run("save", "--format", form, "-o", tmp_path / form, "app:1")
        (loaded,) = cross.run("load", "-i", tmp_path / form, "--json", root=tmp_path / f"root-{form}").json()
        assert (loaded["id"], loaded["names"]) == (document["image_id"], ["app:1"])
        (listed,) = cross.run("images", "--json", root=tmp_path / f"root-{form}").json()
        assert [each["id"] for each in listed["platforms"]] == [p["image_id"] for p in document["platforms"]]
    assert cross.run("inspect", "--verify", "app:1", root=tmp_path / "root-oci").status == 0


def test_names_of_an_index_are_given_and_taken(cross: Project) -> None:
    document = cross.document("--platform", ALL, "-t", "app:1")
    part = document["platforms"][1]["image_id"]
    assert cross.run("tag", "app:1", "other:2", "--json").json()["image_id"] == document["image_id"]
    assert "untagged image app:1" in cross.run("rmi", "app:1").out
    refused = cross.run("rmi", part, status=2)
    assert 'is the one for "linux/arm64" of "other:2"' in refused.err
    cross.run("prune", "--all")
    assert "other:2: valid" in cross.run("inspect", "--verify", "other:2").err
    assert "removed image other:2" in cross.run("rmi", "other:2").out
    assert cross.run("images", "-q").out == ""


def test_an_image_with_a_name_of_its_own_outlives_its_index(cross: Project) -> None:
    document = cross.document("--platform", ALL, "-t", "app:1")
    part = document["platforms"][1]["image_id"]
    cross.run("tag", part, "mine:1")
    cross.run("rmi", "app:1")
    (left,) = cross.run("images", "--json").json()
    assert (left["id"], left["names"]) == (part, ["mine:1"])


def test_the_index_is_a_base_for_each_platform(cross: Project, tmp_path: Path) -> None:
    cross.document("--platform", ALL, "-t", "app:1")
    cross.dockerfile("FROM app:1\nCOPY file /more\n")
    document = cross.document("--platform", "linux/arm64,linux/arm/v7", "-t", "next:1")
    assert [each["platform"] for each in document["platforms"]] == ["linux/arm64", "linux/arm/v7"]
    for part in document["platforms"]:
        (shown,) = cross.run("inspect", part["image_id"]).json()
        assert shown["Config"]["Labels"] == {"arch": part["platform"].split("/")[1]}
    layout = f"oci-layout://{tmp_path}/whole:1"
    cross.run("save", "--format", "oci-dir", "-o", tmp_path / "whole", "app:1")
    cross.dockerfile("FROM whole\nCOPY file /more\n")
    again = cross.document("--platform", "linux/arm64,linux/arm/v7", "--build-context", f"whole={layout}")
    for part, before in zip(again["platforms"], document["platforms"], strict=True):
        assert [layer["diff_id"] for layer in part["layers"]] == [layer["diff_id"] for layer in before["layers"]]


def test_files_of_platforms_have_a_directory_each(cross: Project, tmp_path: Path) -> None:
    cross.build("--platform", ALL, "-o", tmp_path / "out", "-o", f"type=tar,dest={tmp_path}/out.tar")
    for platform in PLATFORMS:
        directory = tmp_path / "out" / platform.replace("/", "_")
        assert (directory / "app/out").read_text().split()[0] == platform
        assert (directory / "app/work").is_dir()
    with tarfile.open(tmp_path / "out.tar") as tar:
        names = tar.getnames()
        stream = tar.extractfile("linux_arm_v7/app/out")
        assert stream
        assert stream.read().split()[0] == b"linux/arm/v7"
    assert {name.split("/")[0] for name in names} == {"linux_amd64", "linux_arm64", "linux_arm_v7"}
    assert len(names) == len(set(names))
    cross.build("--platform", "linux/arm64", "-o", f"type=local,dest={tmp_path}/one,platform-split=true")
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["linux_arm64"]


def test_files_of_platforms_laid_over_each_other_must_not_meet(cross: Project, tmp_path: Path) -> None:
    together = f"type=local,dest={tmp_path}/out,platform-split=false"
    refused = cross.build("--platform", ALL, "-o", together, status=2)
    assert "cannot overwrite app/file from linux/amd64 with linux/arm64 when split option is disabled" in refused.err
    assert not (tmp_path / "out").exists()
    cross.dockerfile("FROM base AS b\nFROM scratch\nARG TARGETARCH\nCOPY file /bin/app-$TARGETARCH\n")
    cross.build("--platform", "linux/amd64,linux/arm64", "-o", together)
    assert sorted(path.name for path in (tmp_path / "out/bin").iterdir()) == ["app-amd64", "app-arm64"]


def test_annotations_are_where_they_were_asked_for(cross: Project, tmp_path: Path) -> None:
    cross.build(
        "--platform", "linux/amd64,linux/arm64",
        "--annotation", "index:of=index",
        "--annotation", "index-descriptor:of=index-descriptor",
        "--annotation", "of=manifest",
        "--annotation", "manifest[linux/arm64]:of=arm-manifest",
        "--annotation", "manifest-descriptor:of=manifest-descriptor",
        "-o", f"type=oci,tar=false,dest={tmp_path}/o,annotation-index.also=index",
    )  # fmt: skip
    outer, index = documents(tmp_path / "o")
    assert outer["manifests"][0]["annotations"]["of"] == "index-descriptor"
    assert index["annotations"] == {"of": "index", "also": "index"}
    assert [each["annotations"] for each in index["manifests"]] == [{"of": "manifest-descriptor"}] * 2
    manifests = [json.loads(blob(tmp_path / "o", each["digest"])) for each in index["manifests"]]
    assert [each["annotations"]["of"] for each in manifests] == ["manifest", "arm-manifest"]


def test_what_one_platform_cannot_have_is_refused_before_anything_runs(cross: Project, tmp_path: Path) -> None:
    single = cross.build("--annotation", "index:a=b", status=2)
    assert "index annotations not supported for single platform export" in single.err
    docker = cross.build("--platform", ALL, "-o", f"type=docker,dest={tmp_path}/d.tar", status=2)
    assert "docker exporter does not currently support exporting manifest lists" in docker.err
    for words in ("linux/amd64,li nux", "linux/arm64,a/b/c/d", "linux/"):
        bad = cross.build("--platform", words, status=2)
        assert "is not a platform" in bad.err
        assert 'this host is "linux/' in bad.err
    cross.write("slimstage.toml", '[build]\nplatform = ["linux/amd64", "linux arm"]\n')
    placed = cross.build(status=2)
    assert "slimstage.toml:2:" in placed.err
    assert not cross.run("images", "-q").out


def test_platforms_may_stand_in_the_settings(cross: Project) -> None:
    cross.write("slimstage.toml", '[build]\nplatform = ["linux/amd64", "linux/arm64"]\n')
    assert cross.document()["platform"] == "linux/amd64,linux/arm64"
    assert cross.document("--platform", "linux/arm64")["platform"] == "linux/arm64"


def test_the_plan_shows_all_platforms_in_every_form(cross: Project) -> None:
    plan = cross.build("--plan", "--json", "--platform", ALL).json()
    assert [each["platform"] for each in plan["platforms"]] == list(PLATFORMS)
    assert [each["target"]["name"] for each in plan["platforms"]] == [f"{each} stage-1" for each in PLATFORMS]
    assert len({stage["index"] for stage in plan["stages"]}) == len(plan["stages"]) == 6
    assert len([step for step in plan["steps"] if step["kind"] == "run"]) == 4
    assert "target linux/amd64 stage-1, linux/arm64 stage-1" in cross.build("--plan", "--platform", ALL).out
    mermaid = cross.build("--plan", "--format", "mermaid", "--platform", ALL).out
    assert "linux_arm64_s0_2[" in mermaid
    assert "(target)" in cross.build("--plan", "--format", "dot", "--platform", ALL).out


def test_other_tools_read_the_layout(cross: Project, tmp_path: Path) -> None:
    document = cross.document("--platform", ALL, "-o", f"type=oci,dest={tmp_path}/app.tar", "-t", "app:1")
    place = f"oci-archive:{tmp_path}/app.tar:docker.io/library/app:1"
    cross.build("--platform", ALL, "-o", f"type=oci,tar=false,dest={tmp_path}/app", "-t", "app:1")
    raw = json.loads(output("skopeo", "inspect", "--raw", f"oci:{tmp_path}/app:1"))
    assert [each["digest"] for each in raw["manifests"]] == [p["manifest_digest"] for p in document["platforms"]]
    for architecture, part in (("arm64", document["platforms"][1]), ("amd64", document["platforms"][0])):
        words = ("skopeo", f"--override-arch={architecture}", "inspect", "--format", "{{.Architecture}} {{.Digest}}")
        assert output(*words, f"oci:{tmp_path}/app:1").split()[0] == architecture
        copied = tmp_path / f"copied-{architecture}"
        output("skopeo", f"--override-arch={architecture}", "copy", "-q", f"oci:{tmp_path}/app:1", f"oci:{copied}:1")
        (entry,) = json.loads((copied / "index.json").read_text())["manifests"]
        assert entry["digest"] == part["manifest_digest"]
    output("skopeo", "copy", "-q", "--all", place.rpartition(":docker")[0], f"dir:{tmp_path}/dir")
    assert json.loads((tmp_path / "dir/manifest.json").read_text()) == raw
    assert "1" in output("umoci", "list", "--layout", tmp_path / "app")
    with tempfile.TemporaryDirectory(prefix="pr", dir="/var/tmp") as runroot:  # podman wants its name short
        podman = ["podman", "--root", tmp_path / "pod", "--runroot", runroot, "--storage-driver", "vfs"]
        pulled = output(*podman, "pull", "-q", "--arch", "arm64", f"oci:{tmp_path}/app:1").strip()
    assert f"sha256:{pulled}" == document["platforms"][1]["image_id"]


def output(*words: object) -> str:
    done = subprocess.run([str(word) for word in words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
