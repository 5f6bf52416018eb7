"""Copying, signing and verifying with Debian's docker-registry, which has no referrers API; skopeo and openssl look on."""

from __future__ import annotations

import base64
import json
import subprocess
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from slimstage.oci.descriptor import OCI_INDEX, OCI_MANIFEST
from support.command import Done, slimstage
from support.copies import World, layout_blobs
from support.registry import copy_image, needs_registry, running_registry

pytestmark = needs_registry

ENV = {"COSIGN_PASSWORD": "hunter2", "HOME": "/nonexistent"}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry")) as made:
        yield made


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture
def run(tmp_path: Path) -> Any:
    def call(*arguments: object, status: int | None = 0) -> Done:
        return slimstage(*arguments, root=tmp_path / "store", env=ENV, cwd=tmp_path, status=status)

    return call


def get(url: str, accept: str = "*/*") -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, headers={"Accept": accept}), timeout=30) as answer:
        data: bytes = answer.read()
        return data


def inspected(place: str) -> dict[str, Any]:
    command = ["skopeo", "inspect", "--raw", "--tls-verify=false", place]
    document: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)
    return document


def test_digests_are_equal_on_every_way_round_and_skopeo_agrees(
    tmp_path: Path, host: str, world: World, run: Any
) -> None:
    stations = [
        world.write(tmp_path / "first"), f"docker://{host}/round/a:1", f"oci:{tmp_path / 'l'}",
        f"oci-archive:{tmp_path / 'a.tar'}", "store:app:1", f"{host}/round/b:1", f"{host}/round/c:1",
        f"oci:{tmp_path / 'last'}:app",
    ]  # fmt: skip
    for source, target in pairwise(stations):
        done = run("copy", "--json", "--referrers", source, target).json()
        assert done["digest"] == world.index.digest
        assert (len(done["referrers"]), done["warnings"]) == (3, [])
    assert layout_blobs(tmp_path / "last") == {str(digest): data for digest, data in world.blobs().items()}
    assert inspected(f"docker://{host}/round/c:1") == json.loads(world.index.raw)
    # What we copied skopeo copies: all of it from the registry, one platform from the archive and the layout.
    command = ["skopeo", "copy", "-q", "--all", "--insecure-policy", "--src-tls-verify=false"]
    target = f"oci:{tmp_path / 'skopeo'}:1"
    subprocess.run([*command, f"docker://{host}/round/c:1", target], check=True, capture_output=True, timeout=120)
    entries = json.loads((tmp_path / "skopeo" / "index.json").read_bytes())["manifests"]
    assert [entry["digest"] for entry in entries] == [world.index.digest]
    archive = f"oci-archive:{tmp_path / 'a.tar'}:1"
    subprocess.run([*command, archive, f"dir:{tmp_path / 'dir'}"], check=True, capture_output=True, timeout=120)
    copy_image(f"oci:{tmp_path / 'last'}:app", f"docker://{host}/round/skopeo:1")
    # And what skopeo made of it goes back.
    done = run(
        "copy", "--json", "--platform", "linux/amd64", target, f"docker-archive:{tmp_path / 'd.tar'}:app:2"
    ).json()
    assert done["digest"] == world.amd.manifest().digest
    copy_image(f"docker-archive:{tmp_path / 'd.tar'}:app:2", f"dir:{tmp_path / 'loaded'}")


def test_the_fallback_tag_lists_what_belongs_to_an_image(host: str, tmp_path: Path, world: World, run: Any) -> None:
    run("copy", "--referrers", world.write(tmp_path / "l"), f"{host}/fallback/app:1")
    tags = json.loads(get(f"http://{host}/v2/fallback/app/tags/list"))["tags"]
    subjects = [world.amd.manifest().digest, world.sbom.manifest().digest, world.index.digest]
    assert sorted(tags) == sorted(["1", *(subject.replace(":", "-") for subject in subjects)])
    tag = world.amd.manifest().digest.replace(":", "-")
    (entry,) = json.loads(get(f"http://{host}/v2/fallback/app/manifests/{tag}", OCI_INDEX))["manifests"]
    assert (entry["digest"], entry["annotations"]) == (world.sbom.manifest().digest, {"k": "v"})
    assert entry["artifactType"] == "application/vnd.example.sbom.v1"


def test_blobs_are_mounted_and_every_tag_goes_along(host: str, tmp_path: Path, world: World, run: Any) -> None:
    source = world.write(tmp_path / "l")
    for tag in ("1", "2"):
        run("copy", "--referrers", source, f"{host}/tags/a:{tag}")
    done = run("copy", "--json", "--all-tags", f"{host}/tags/a", f"{host}/tags/b").json()
    assert [each["target"] for each in done] == [f"docker://{host}/tags/b:{tag}" for tag in ("1", "2")]
    assert done[0]["blobs"]["sent"] == 0
    assert done[0]["blobs"]["mounted"] > 0
    assert sorted(json.loads(get(f"http://{host}/v2/tags/b/tags/list"))["tags"]) == ["1", "2"]
    run("copy", "--all-tags", f"{host}/tags/b", f"oci:{tmp_path / 'all'}")
    entries = json.loads((tmp_path / "all" / "index.json").read_bytes())["manifests"]
    names = [entry["annotations"]["org.opencontainers.image.ref.name"] for entry in entries]
    assert names == ["1", "2"]
    wrong = run("copy", "--all-tags", f"{host}/tags/b:1", f"{host}/tags/c", status=2)
    assert "without a tag" in wrong.err


def test_an_image_is_signed_and_openssl_verifies_what_cosign_would(
    host: str, tmp_path: Path, world: World, run: Any
) -> None:
    run("copy", world.write(tmp_path / "l"), f"{host}/signed/app:1")
    keys = run("generate-key-pair", "--json").json()
    assert keys == {"private_key": "cosign.key", "public_key": "cosign.pub"}
    assert (tmp_path / "cosign.key").stat().st_mode & 0o777 == 0o600
    assert "there already" in run("generate-key-pair", status=2).err
    (done,) = run("sign", "--json", "--key", "cosign.key", "-a", "env=prod", f"{host}/signed/app:1").json()
    assert (done["digest"], done["is_new"]) == (world.index.digest, True)
    # As cosign reads it: the tag, its layer, the annotation, the payload's digest, the signature over its bytes.
    tag = world.index.digest.replace(":", "-") + ".sig"
    (layer,) = json.loads(get(f"http://{host}/v2/signed/app/manifests/{tag}", OCI_MANIFEST))["layers"]
    payload = get(f"http://{host}/v2/signed/app/blobs/{layer['digest']}")
    assert json.loads(payload)["critical"]["image"] == {"docker-manifest-digest": world.index.digest}
    assert json.loads(payload)["optional"] == {"env": "prod"}
    (tmp_path / "payload").write_bytes(payload)
    (tmp_path / "sig").write_bytes(base64.b64decode(layer["annotations"]["dev.cosignproject.cosign/signature"]))
    command = ["openssl", "dgst", "-sha256", "-verify", "cosign.pub", "-signature", "sig", "payload"]
    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, timeout=60)
    assert checked.stdout == b"Verified OK\n"
    # And as the artifact that belongs to the image.
    listed = json.loads(get(f"http://{host}/v2/signed/app/manifests/{tag.removesuffix('.sig')}", OCI_INDEX))
    assert [entry["digest"] for entry in listed["manifests"]] == [done["artifact"]]

    good = run("verify", "--key", "cosign.pub", "-a", "env=prod", f"{host}/signed/app:1")
    assert good.out == f"{world.index.digest}\n"
    assert f'signed as "{host}/signed/app", env=prod' in good.err
    assert "env=test" in run("verify", "--key", "cosign.pub", "-a", "env=test", f"{host}/signed/app:1", status=1).err


def test_verify_fails_with_the_reason(host: str, tmp_path: Path, world: World, run: Any) -> None:
    name = f"{host}/refused/app:1"
    run("copy", world.write(tmp_path / "l"), name)
    run("generate-key-pair")
    run("generate-key-pair", "--output-key-prefix", "other")
    assert "is not signed" in run("verify", "--key", "cosign.pub", name, status=1).err
    run("sign", "--key", "other.key", name)
    refused = run("verify", "--key", "cosign.pub", name, status=1)
    assert "not-verified" in refused.err
    assert "another key" in refused.err
    assert refused.out == ""
    document = run("verify", "--json", "--key", "cosign.pub", name, status=1).json()
    assert [each["is_verified"] for each in document] == [False]
    # Another image under the same name: the old signature is for the old digest.
    run("copy", "--platform", "linux/arm64", f"oci:{tmp_path / 'l'}", name)
    assert "is not signed" in run("verify", "--key", "other.pub", name, status=1).err
    assert run("verify", "--key", "other.pub", f"{host}/refused/app@{world.index.digest}").out
    assert "public key" in run("verify", "--key", "cosign.key", name, status=2).err
    assert "no-key" in run("verify", "--key", "nothing.pub", name, status=2).err


def test_a_signature_is_copied_with_the_image_and_holds_there(
    host: str, tmp_path: Path, world: World, run: Any
) -> None:
    run("copy", world.write(tmp_path / "l"), "store:app:1")
    run("generate-key-pair")
    run("sign", "--key", "cosign.key", "store:app:1")
    run("copy", "--referrers", "store:app:1", f"{host}/kept/app:1")
    run("copy", "store:app:1", f"{host}/lost/app:1")
    run("copy", "--referrers", f"{host}/kept/app:1", f"oci-archive:{tmp_path / 'a.tar'}")
    for place in ("store:app:1", f"{host}/kept/app:1", f"oci-archive:{tmp_path / 'a.tar'}"):
        assert run("verify", "--key", "cosign.pub", place).out == f"{world.index.digest}\n"
    run("verify", "--key", "cosign.pub", f"{host}/lost/app:1", status=1)
    assert "is not changed" in run("sign", "--key", "cosign.key", f"oci-archive:{tmp_path / 'a.tar'}", status=2).err
    wrong = slimstage(
        "sign", "--key", "cosign.key", "store:app:1", root=tmp_path / "store", env={"COSIGN_PASSWORD": "x"},
        cwd=tmp_path, status=2,
    )  # fmt: skip
    assert "wrong-password" in wrong.err
    assert "hunter2" not in wrong.err
