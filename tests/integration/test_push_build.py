"""`build --push`, `type=registry`, `type=image,push=true`: what goes to which registry, and what the store has then."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from slimstage.oci.descriptor import OCI_LAYER_GZIP, OCI_LAYER_ZSTD
from slimstage.oci.manifest import Manifest, parse_index, parse_manifest
from support.fake_registry import Answer, FakeRegistry, Request, error_body
from support.in_process import InProcess

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="builds as root"), pytest.mark.root]


def manifest_of(registry: FakeRegistry, name: str) -> Manifest:
    media_type, raw = registry.manifests[name]
    return parse_manifest(raw, media_type)


def test_push_sends_what_was_built_and_keeps_it(registry: FakeRegistry, run: InProcess) -> None:
    name = f"{registry.host}/team/app:1"
    built = run.build(name, "scratch", "--push")
    manifest = manifest_of(registry, "1")
    assert manifest.digest == built["manifest_digest"]
    assert manifest.config.digest == built["image_id"]
    assert [layer.media_type for layer in manifest.layers] == [OCI_LAYER_GZIP] * 2
    (output,) = built["outputs"]
    (pushed,) = output["pushed"]
    assert (pushed["name"], pushed["digest"], pushed["sent"]["count"]) == (name, manifest.digest, 3)
    (shown,) = run.json("inspect", name)
    assert shown["RepoDigests"] == [f"{registry.host}/team/app@{manifest.digest}"]
    out, err = run("push", name)
    assert out == f"1: digest: {manifest.digest} size: {len(manifest.raw)}\n"
    assert "Already there" in err


def test_several_platforms_are_pushed_as_an_index_that_the_store_has(registry: FakeRegistry, run: InProcess) -> None:
    name = f"{registry.host}/team/app:1"
    built = run.build(name, "scratch", "--push", "--platform", "linux/amd64,linux/arm/v6")
    media_type, raw = registry.manifests["1"]
    index = parse_index(raw, media_type)
    assert index.digest == built["manifest_digest"] == built["image_id"]
    assert [str(entry.platform) for entry in index.manifests] == ["linux/amd64", "linux/arm/v6"]
    for entry, part in zip(index.manifests, built["platforms"], strict=True):
        manifest = manifest_of(registry, entry.digest)
        assert (manifest.digest, manifest.config.digest) == (part["manifest_digest"], part["image_id"])
        assert all(("team/app", layer.digest) in registry.uploads.blobs for layer in manifest.layers)
    (listed,) = run.json("images")
    assert (listed["id"], [each["platform"] for each in listed["platforms"]]) == (
        index.digest,
        ["linux/amd64", "linux/arm/v6"],
    )


def test_every_name_is_pushed_to_its_own_registry(registry: FakeRegistry, other: FakeRegistry, run: InProcess) -> None:
    names = [f"{registry.host}/team/app:1", f"{registry.host}/team/app:latest", f"{registry.host}/copy/app:1"]
    names.append(f"{other.host}/app:7")
    built = run.build(names[0], "scratch", "--output", f'type=image,"name={",".join(names)}",push=true')
    assert [each["name"] for each in built["outputs"][0]["pushed"]] == names
    assert set(registry.manifests) >= {"1", "latest"}
    assert registry.manifests["1"] == other.manifests["7"]
    assert len(registry.uploads.received) == 3  # the second repository mounts
    assert len(other.uploads.received) == 3


def test_a_push_by_digest_sets_no_tag(registry: FakeRegistry, run: InProcess) -> None:
    name = f"{registry.host}/team/app"
    built = run.build(name, "scratch", "-o", f"type=registry,name={name},push-by-digest=true,name-canonical=true")
    digest = built["manifest_digest"]
    assert list(registry.manifests) == [digest]
    assert built["outputs"][0]["pushed"][0]["name"] == f"{name}@{digest}"


def test_layers_go_in_the_compression_that_was_asked_for(registry: FakeRegistry, run: InProcess) -> None:
    name = f"{registry.host}/team/app:1"
    run.build(name, "scratch", "-o", f"type=registry,name={name},compression=zstd,compression-level=3")
    assert [layer.media_type for layer in manifest_of(registry, "1").layers] == [OCI_LAYER_ZSTD] * 2
    assert run.json("push", name)[0]["there"]["count"] == 3


def test_push_goes_with_other_outputs(registry: FakeRegistry, run: InProcess) -> None:
    layout = run.context.parent / "layout"
    built = run.build(f"{registry.host}/app:1", "scratch", "--push", "-o", f"type=oci,tar=false,dest={layout}")
    digests = {output["type"]: output["digest"] for output in built["outputs"]}
    assert digests["image"] == digests["oci"] == manifest_of(registry, "1").digest


def test_files_say_what_was_pushed(registry: FakeRegistry, run: InProcess) -> None:
    files = {flag: run.context.parent / flag for flag in ("iidfile", "metadata-file")}
    name = f"{registry.host}/team/app:1"
    run.build(name, "scratch", "--push", *(f"--{flag}={path}" for flag, path in files.items()))
    manifest = manifest_of(registry, "1")
    assert files["iidfile"].read_text() == manifest.config.digest
    metadata = json.loads(files["metadata-file"].read_text())
    assert metadata["containerimage.digest"] == manifest.digest
    assert metadata["containerimage.config.digest"] == manifest.config.digest
    assert metadata["image.name"] == name
    assert metadata["containerimage.descriptor"] == {
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": len(manifest.raw),
    }


def test_the_summary_and_the_log_name_what_was_pushed(registry: FakeRegistry, run: InProcess) -> None:
    name = f"{registry.host}/team/app:1"
    run.build(name)
    err = run("build", "--push", "-t", name, str(run.context))[1]
    assert f"pushed {name} ({manifest_of(registry, '1').digest})" in err
    assert "Pushed" in err


def test_a_build_whose_push_is_refused_is_in_the_store(registry: FakeRegistry, run: InProcess) -> None:
    name = f"{registry.host}/team/app:1"
    (run.context / "Dockerfile").write_text("FROM scratch\nCOPY notes /\n")
    refuses = [True]
    registry.on("POST", "/uploads/", lambda _: Answer(403, error_body("DENIED", "no")) if refuses else None)
    err = run("build", "-t", name, "--push", str(run.context), status=3)[1]
    assert "this account may not push there" in err
    refuses.clear()
    run("push", name)
    assert "1" in registry.manifests


def test_a_push_without_a_name_is_refused_before_anything_is_built(registry: FakeRegistry, run: InProcess) -> None:
    (run.context / "Dockerfile").write_text("FROM scratch\nCOPY none /\n")
    assert "needs a name" in run("build", "--push", str(run.context), status=2)[1]
    assert "needs a name" in run("build", "-o", "type=registry", str(run.context), status=2)[1]


def test_what_a_build_pushes_is_signed(registry: FakeRegistry, run: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSIGN_PASSWORD", "hunter2")
    run("generate-key-pair")
    name, other = f"{registry.host}/team/app:1", f"{registry.host}/team/app:2"
    built = run.build(name, "scratch", "--push", "-t", other, "--sign-key", "cosign.key")
    (output,) = built["outputs"]
    assert [each["signatures"][0]["digest"] for each in output["pushed"]] == [built["manifest_digest"]] * 2
    assert run("verify", "--key", "cosign.pub", name)[0].strip() == built["manifest_digest"]
    err = run("build", "--push", "-t", name, "--sign-key", "cosign.key", str(run.context))[1]
    assert f"{name}: signed" in err


def test_a_key_that_cannot_sign_is_found_before_anything_is_built(registry: FakeRegistry, run: InProcess) -> None:
    (run.context / "Dockerfile").write_text("FROM scratch\nCOPY none /\n")
    name = f"{registry.host}/team/app:1"
    args = ("build", "-t", name, "--sign-key", "nowhere.key", str(run.context))
    assert "nowhere.key" in run(*args, "--push", status=2)[1]
    assert "add --push" in run(*args, status=2)[1]


def test_logins_of_one_command_are_in_the_file_that_it_names(
    registry: FakeRegistry, run: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = "Basic " + base64.b64encode(b"me:secret-word").decode()

    def guard(request: Request) -> Answer | None:
        if request.headers.get("authorization") == wanted:
            return None
        return Answer(401, headers={"WWW-Authenticate": 'Basic realm="tests"'})

    for method in ("GET", "HEAD", "POST", "PATCH", "PUT"):
        registry.on(method, "/v2/", guard)
    auth = base64.b64encode(b"me:secret-word").decode()
    Path("auth.json").write_text(json.dumps({"auths": {registry.host: {"auth": auth}}}))
    name = f"{registry.host}/team/app:1"
    run.build(name, "scratch", "--push", "--authfile", "auth.json")
    assert "wants a login" in run("push", name, status=3)[1]
    for args in (("push", name), ("pull", name), ("copy", name, "oci:layout")):
        run(*args, "--authfile", "auth.json")
    assert "REGISTRY_AUTH_FILE" not in os.environ
    err = run("pull", name, "--authfile", "nothing.json", status=2)[1]
    assert "slimstage login --authfile nothing.json" in err
