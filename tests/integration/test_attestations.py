"""`build --sbom --provenance`: what belongs to the image in the store, in a layout, in a registry; beside syft's answer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.command import slimstage
from support.registry import needs_registry, running_registry

pytestmark = pytest.mark.root

STATUS = """\
Package: libexample1
Status: install ok installed
Maintainer: Someone <someone@example.org>
Architecture: amd64
Source: example (1:2.0-1)
Version: 1:2.0-1
Description: an example

Package: base-files
Status: install ok installed
Maintainer: Someone <someone@example.org>
Architecture: all
Version: 12.4
Description: base
"""
SITE = "opt/venv/lib/python3.11/site-packages"
DOCKERFILE = f"""\
FROM scratch AS train
ARG TOKEN
ARG EPOCHS
COPY model.onnx /model/
FROM scratch AS serve
COPY root /
COPY --from=train /model/model.onnx /model/
ENV PATH=/opt/venv/bin
# {SITE}
"""
FLASK = "Metadata-Version: 2.1\nName: Flask\nVersion: 3.0.0\nRequires-Dist: click\n\n"
TOKEN = "tok-3f9a-secret-value"


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("attested")
    root = top / "root"
    files = {
        "etc/os-release": 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
        "var/lib/dpkg/status": STATUS,
        f"{SITE}/flask-3.0.0.dist-info/METADATA": FLASK,
        f"{SITE}/flask-3.0.0.dist-info/RECORD": "flask/__init__.py,,\nflask-3.0.0.dist-info/METADATA,,\n",
        f"{SITE}/click-8.1.7.dist-info/METADATA": "Metadata-Version: 2.1\nName: click\nVersion: 8.1.7\n\n",
        f"{SITE}/click-8.1.7.dist-info/RECORD": "click/__init__.py,,\nclick-8.1.7.dist-info/METADATA,,\n",
        f"{SITE}/flask/__init__.py": "",
        f"{SITE}/click/__init__.py": "",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (top / "model.onnx").write_bytes(b"weights" * 100)
    (top / "Dockerfile").write_text(DOCKERFILE)
    return top


@pytest.fixture(scope="module")
def root(context: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the image `app`, attested."""
    root = tmp_path_factory.mktemp("store")
    words = ["--build-arg", f"TOKEN={TOKEN}", "--build-arg", "EPOCHS=7", "--sbom", "--provenance=mode=max"]
    slimstage("build", "-t", "app", *words, context, root=root)
    return root


def shown(root: Path, *words: str) -> Any:
    return slimstage("inspect", *words, "app", root=root).json()


def packages(document: Any) -> set[tuple[str, str]]:
    """(name, version) of every package of a CycloneDX document, names as they are compared."""
    return {
        (each["name"].lower(), each["version"])
        for each in document["components"]
        if each["type"] == "library" and each["purl"].startswith(("pkg:deb/", "pkg:pypi/"))
    }


def test_the_bill_names_what_is_in_the_image(root: Path) -> None:
    found = packages(shown(root, "--sbom=cyclonedx"))
    assert found == {("libexample1", "1:2.0-1"), ("base-files", "12.4"), ("flask", "3.0.0"), ("click", "8.1.7")}
    names = {each["name"] for each in shown(root, "--sbom")["packages"]}
    assert {"flask", "libexample1", "model.onnx", "docker.io/library/app:latest"} <= names


def test_the_bill_is_of_the_very_manifest(root: Path) -> None:
    (inspected,) = slimstage("inspect", "app", root=root).json()
    digest = shown(root, "--sbom=cyclonedx")["metadata"]["component"]["version"]
    assert digest == inspected["Descriptor"]["digest"]
    subject = shown(root, "--provenance")["subject"]
    assert subject == [{"name": "docker.io/library/app:latest", "digest": {"sha256": digest[7:]}}]


def test_syft_finds_the_same_packages(root: Path, tmp_path: Path) -> None:
    syft = Path(sys.executable).parent / "syft"
    if not syft.exists():
        pytest.skip("needs syft")
    slimstage("save", "-o", tmp_path / "app.tar", "app", root=root)
    done = subprocess.run(
        [syft, "scan", f"docker-archive:{tmp_path}/app.tar", "-o", "cyclonedx-json", "-q"],
        check=True, capture_output=True, text=True, env={**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"},
    )  # fmt: skip
    assert packages(json.loads(done.stdout)) == packages(shown(root, "--sbom=cyclonedx"))


def test_provenance_says_what_was_built_and_no_secret(root: Path) -> None:
    document = shown(root, "--provenance")
    assert document["predicateType"] == "https://slsa.dev/provenance/v1"
    definition = document["predicate"]["buildDefinition"]
    args = definition["externalParameters"]["request"]["args"]
    assert args["build-arg:EPOCHS"] == "7"
    assert TOKEN not in json.dumps(document)
    assert args["build-arg:TOKEN"] != TOKEN
    assert [stage["name"] for stage in definition["internalParameters"]["stages"]] == ["train", "serve"]
    assert (
        document["predicate"]["runDetails"]["metadata"]["startedOn"]
        <= document["predicate"]["runDetails"]["metadata"]["finishedOn"]
    )


def test_the_shorter_statement_has_no_values_of_arguments(context: Path, tmp_path: Path) -> None:
    words = ["--build-arg", "EPOCHS=nine-nine", "--attest", "type=provenance"]
    slimstage("build", "-t", "app", *words, context, root=tmp_path)
    document = shown(tmp_path, "--provenance")
    assert "nine-nine" not in json.dumps(document)
    assert "instructions" not in json.dumps(document["predicate"]["buildDefinition"]["internalParameters"])


def test_nothing_is_attested_unless_asked(context: Path, tmp_path: Path) -> None:
    slimstage("build", "-t", "app", "--provenance=false", context, root=tmp_path)
    refused = slimstage("inspect", "--sbom", "app", root=tmp_path, status=2)
    assert "not-attested" in refused.err
    assert "--sbom" in refused.err


def test_the_same_inputs_give_the_same_artifacts_anywhere(context: Path, tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        out = tmp_path / name
        words = ["--reproducible", "--sbom", "--provenance", "-o", f"type=oci,dest={out},tar=false", "-t", "app"]
        slimstage("build", *words, context, root=tmp_path / f"root-{name}")
        digests.append(sorted(path.name for path in (out / "blobs/sha256").iterdir()))
    assert digests[0] == digests[1]
    index = json.loads((tmp_path / "one/index.json").read_text())
    kinds = {each.get("artifactType") for each in index["manifests"]}
    assert {"application/spdx+json", "application/vnd.cyclonedx+json", "application/vnd.in-toto+json"} <= kinds


@needs_registry
def test_a_push_attaches_it_to_the_image_in_the_registry(context: Path, tmp_path: Path) -> None:
    with running_registry(tmp_path / "registry") as registry:
        slimstage("build", "--push", "-t", f"{registry}/app:1", "--sbom", context, root=tmp_path / "root")
        copied = ["copy", "--referrers", f"docker://{registry}/app:1", f"oci:{tmp_path}/layout:1"]
        slimstage(*copied, root=tmp_path / "other")
        if shutil.which("skopeo"):
            digest = subprocess.run(
                ["skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", f"docker://{registry}/app:1"],
                check=True, capture_output=True, text=True,
            ).stdout.strip()  # fmt: skip
            tag = digest.replace(":", "-")
            listed = subprocess.run(
                ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{registry}/app:{tag}"],
                check=True, capture_output=True, text=True,
            ).stdout  # fmt: skip
            kinds = {each["artifactType"] for each in json.loads(listed)["manifests"]}
            assert kinds == {"application/spdx+json", "application/vnd.cyclonedx+json"}
    blobs = [path.read_bytes() for path in (tmp_path / "layout/blobs/sha256").iterdir()]
    assert any(b'"spdxVersion": "SPDX-2.3"' in blob for blob in blobs)


def test_the_context_is_what_follows_a_flag_without_a_value(context: Path, tmp_path: Path) -> None:
    """`--sbom .` builds the directory; and so do the flags of docker that we take and do not need."""
    slimstage("build", "--sbom", ".", root=tmp_path, cwd=context)
    slimstage("build", "--rm", ".", root=tmp_path, cwd=context)


def test_a_generator_of_others_is_not_offered(context: Path, tmp_path: Path) -> None:
    refused = slimstage("build", "--sbom=generator=image", context, root=tmp_path, status=2)
    assert "generator" in refused.err
    refused = slimstage("build", "--attest", "type=nothing", context, root=tmp_path, status=2)
    assert "sbom" in refused.err
