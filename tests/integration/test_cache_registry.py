"""A cache in a real registry and in a bucket: what is sent, what is fetched, and what the servers were asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.building import Project
from support.registry import needs_registry, running_registry
from support.traveling import DOCKERFILE, other, runs, sources

pytestmark = [pytest.mark.root]


@pytest.fixture
def stages(project: Project) -> Project:
    project.dockerfile(DOCKERFILE)
    project.write("lib.txt", "b\na\n")
    project.write("own.txt", "own\n")
    return project


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    with running_registry(tmp_path / "registry") as host:
        yield host


def fetched(tmp_path: Path) -> list[str]:
    """Digests of the blobs that the registry was asked to give, by its own log."""
    log = (tmp_path / "registry/log").read_text()
    return re.findall(r'"GET /v2/[^ ]+/blobs/(sha256:[0-9a-f]{64})', log)


def layers(document: dict[str, Any]) -> int:
    return int(document["caches"][0]["layers"])


@needs_registry
def test_a_cold_machine_runs_nothing_and_fetches_only_what_its_image_is_made_of(
    stages: Project, registry: str, tmp_path: Path
) -> None:
    place = f"{registry}/app/cache:main"
    first = stages.document("-t", "x", "--cache-to", f"type=registry,ref={place},mode=max")
    (written,) = first["caches"]
    assert (written["type"], written["records"], written["layers"]) == ("registry", 9, 9)
    again = stages.document("--cache-to", f"type=registry,ref={place},mode=max")
    assert again["caches"] == [{**written, "sent_bytes": 0}]
    assert fetched(tmp_path) == []
    second = stages.document("-t", "x", "--cache-from", place, **other(stages))
    assert (runs(second), sources(second), second["image_id"]) == ([], {place}, first["image_id"])
    # The document, and the three layers of the last stage.
    assert len(fetched(tmp_path)) == 4
    assert stages.run("run", "--rm", "x", **other(stages)).out == "2\nown\n"


@needs_registry
def test_a_cached_push_fetches_no_layer_where_the_registry_can_mount_them(
    stages: Project, registry: str, tmp_path: Path
) -> None:
    place, image = f"{registry}/cache:main", f"{registry}/app:1"
    first = stages.document("-t", image, "--push", "--cache-to", f"type=registry,ref={place},mode=max")
    assert fetched(tmp_path) == []
    second = stages.document("-t", f"{registry}/other:1", "--push", "--cache-from", place, **other(stages))
    assert (runs(second), second["manifest_digest"]) == ([], first["manifest_digest"])
    assert len(fetched(tmp_path)) == 1  # the document of the cache
    assert stages.run("images", "-q", **other(stages)).out == ""
    loaded = stages.document("-t", f"{registry}/other:1", "--push", "--load", "--cache-from", place, **other(stages))
    assert loaded["image_id"] == first["image_id"]
    assert stages.run("run", "--rm", f"{registry}/other:1", **other(stages)).out == "2\nown\n"


@needs_registry
def test_what_is_said_while_building(stages: Project, registry: str) -> None:
    place = f"{registry}/cache"
    told = stages.build("--cache-from", place, "--cache-to", place).err
    assert f"cache from {place}: nothing there yet" in told
    assert re.search(rf"cache to {re.escape(place)}: 9 steps, 3 layers, [0-9.]+ ?k?B sent", told)
    told = stages.build("--cache-from", place, **other(stages)).err
    assert f"cache from {place}: 9 steps" in told
    assert f"CACHED from {place}" in told


@needs_registry
def test_a_registry_that_is_gone_is_a_warning_for_reading_and_an_error_for_writing(stages: Project) -> None:
    document = stages.document("--cache-from", "127.0.0.1:9/cache")
    assert [warning["code"] for warning in document["warnings"]] == ["cache-broken"]
    failed = stages.build("--cache-to", "type=registry,ref=127.0.0.1:9/cache", status=3)
    assert "127.0.0.1:9" in failed.err
    document = stages.document("--cache-to", "type=registry,ref=127.0.0.1:9/cache,ignore-error=true")
    assert [warning["code"] for warning in document["warnings"]] == ["cache-not-written"]


SECRETS = ("AKIDHIDDEN", "SECRETHIDDEN", "TOKENHIDDEN")


@pytest.fixture
def bucket() -> Iterator[str]:
    """The address of a server of S3's protocol with a bucket `caches`."""
    server_module = pytest.importorskip("moto.server", reason="needs moto")
    boto3 = pytest.importorskip("boto3")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        address = f"http://{host}:{port}"
        client = boto3.client(
            "s3", endpoint_url=address, region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="y"
        )
        client.create_bucket(Bucket="caches", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        yield address
    finally:
        server.stop()


def test_a_bucket_holds_a_cache_and_no_key_of_it_is_shown(stages: Project, bucket: str) -> None:
    keys = ",".join(
        f"{name}={value}"
        for name, value in zip(("access_key_id", "secret_access_key", "session_token"), SECRETS, strict=True)
    )
    place = (
        f"type=s3,bucket=caches,region=eu-west-1,endpoint_url={bucket},use_path_style=true,prefix=p/,name=main,{keys}"
    )
    first = stages.build("--json", "-t", "x", "--cache-from", place, "--cache-to", f"{place},mode=max")
    again = stages.build("--json", "--cache-to", f"{place},mode=max")
    assert again.json()["caches"][0]["sent_bytes"] == 0 < first.json()["caches"][0]["sent_bytes"]
    second = stages.build("--json", "-t", "x", "--cache-from", place, **other(stages))
    assert (runs(second.json()), sources(second.json())) == ([], {"s3://caches/p/main"})
    assert stages.run("run", "--rm", "x", **other(stages)).out == "2\nown\n"
    broken = stages.build("--json", "--cache-to", place.replace("bucket=caches", "bucket=nowhere"), status=3)
    assert "NoSuchBucket" in broken.err
    said = "".join(done.out + done.err for done in (first, again, second, broken))
    assert not any(secret in said for secret in SECRETS)
