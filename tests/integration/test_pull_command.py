"""`slimstage pull`: what it fetches, what it says, and what the store has afterwards."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slimstage.cli.main import main
from slimstage.oci.descriptor import host_platform
from slimstage.oci.manifest import build_index
from slimstage.store.store import Store
from support.fake_registry import Answer, FakeRegistry, fake_registry
from support.images import memory_image

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="unpacks layers as root"),
    pytest.mark.root,
    pytest.mark.skipif(host_platform().architecture != "amd64", reason="the images are for amd64"),
]

IMAGE = memory_image({"etc/": b"", "etc/motd": b"hello\n"}, {"big": bytes(range(256)) * 9_000})
ARM = memory_image({"arm": b"arm\n"}, architecture="arm64")


class Pulls:
    """The command in this process, on a store of its own, with a home that holds nothing."""

    def __init__(self, root: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.root, self._capture = root, capture

    def __call__(self, *args: str, status: int = 0) -> tuple[str, str]:
        self._capture.readouterr()
        got = main([*args, "--root", str(self.root)])
        said = self._capture.readouterr()
        assert got == status, said.err
        return said.out, said.err

    def json(self, *args: str) -> Any:
        return json.loads(self(*args, "--json")[0])


@pytest.fixture
def pull(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Pulls:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "SLIMSTAGE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return Pulls(tmp_path / "store", capsys)


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with fake_registry() as made:
        made.add(IMAGE)
        yield made


def blobs_asked(registry: FakeRegistry) -> list[str]:
    return [request.path.rpartition("/")[2] for request in registry.seen("/blobs/")]


def test_an_image_is_in_the_store_under_its_name_with_its_own_bytes(
    registry: FakeRegistry, pull: Pulls, tmp_path: Path
) -> None:
    name = f"{registry.host}/team/app:1"
    out, err = pull("pull", name)
    assert out == f"{name}\n"
    assert f"Digest: {IMAGE.manifest().digest}" in err
    assert f"Status: Downloaded newer image for {name}" in err
    with Store.open(pull.root) as store:
        stored = store.images.find(name)
        assert stored is not None
        assert stored.id == IMAGE.manifest().config.digest
        assert store.blobs.read(stored.manifest) == IMAGE.manifest().raw
        layers = [layer.layer for layer in stored.layers if layer.layer]
        assert (Path(store.snapshots.paths(tuple(layers))[0]) / "etc/motd").read_bytes() == b"hello\n"
    pull("save", "--format", "oci-dir", "-o", str(tmp_path / "layout"), name)
    raw = subprocess.run(
        ["skopeo", "inspect", "--raw", f"oci:{tmp_path / 'layout'}"], check=True, capture_output=True, timeout=60
    ).stdout
    assert raw == IMAGE.manifest().raw


def test_what_is_here_is_not_fetched_again(registry: FakeRegistry, pull: Pulls) -> None:
    name = f"{registry.host}/team/app:1"
    (first,) = pull.json("pull", name)
    assert (first["is_new"], first["here_bytes"], first["fetched_bytes"]) == (True, 0, first["size_bytes"])
    seen = blobs_asked(registry)
    (second,) = pull.json("pull", name)
    assert (second["is_new"], second["fetched_bytes"]) == (False, 0)
    # The config is asked for each time: it is small, and read before anything is known.
    assert blobs_asked(registry)[len(seen) :] == [IMAGE.manifest().config.digest]
    assert f"Status: Image is up to date for {name}" in pull("pull", name)[1]
    more = memory_image({"etc/": b"", "etc/motd": b"hello\n"}, {"other": b"other"})
    registry.add(more, "2")
    (third,) = pull.json("pull", f"{registry.host}/team/app:2")
    assert third["here_bytes"] == IMAGE.manifest().layers[0].size
    assert third["fetched_bytes"] == more.manifest().layers[1].size


def test_a_second_tag_of_an_image_that_is_here_gets_its_name(registry: FakeRegistry, pull: Pulls) -> None:
    registry.add(IMAGE, "2")
    pull("pull", f"{registry.host}/team/app:1")
    pull("pull", f"{registry.host}/team/app:2")
    (shown,) = pull.json("images")
    assert shown["names"] == [f"{registry.host}/team/app:1", f"{registry.host}/team/app:2"]


def test_a_tag_that_moved_moves_here_too(registry: FakeRegistry, pull: Pulls) -> None:
    name = f"{registry.host}/team/app:1"
    pull("pull", name)
    newer = memory_image({"new": b"new"})
    registry.add(newer)
    (told,) = pull.json("pull", name)
    assert told["is_new"]
    assert told["id"] == newer.manifest().config.digest
    assert pull.json("inspect", name)[0]["Id"] == newer.manifest().config.digest


def test_quiet_prints_the_name_and_nothing_else(registry: FakeRegistry, pull: Pulls) -> None:
    registry.add(IMAGE, "latest")
    assert pull("pull", "-q", f"{registry.host}/team/app") == (f"{registry.host}/team/app:latest\n", "")
    assert "Using default tag: latest" in pull("pull", f"{registry.host}/team/app")[1]


def test_an_image_pulled_by_digest_is_found_by_it_and_is_not_pruned(registry: FakeRegistry, pull: Pulls) -> None:
    """An index's digest, too: it leads to the image for this host, without a network."""
    index = build_index([image.manifest().descriptor(image.config().platform) for image in (IMAGE, ARM)])
    registry.add(ARM, "arm")
    digest = registry.put_manifest(index.media_type, index.raw)
    for name in (f"{registry.host}/team/app@{digest}", f"{registry.host}/team/app@{IMAGE.manifest().digest}"):
        assert pull("pull", name)[0] == f"{name}\n"
        pull("prune")
        assert pull.json("inspect", name)[0]["Id"] == IMAGE.manifest().config.digest
    assert "no image or container" in pull("inspect", f"{registry.host}/team/other@{digest}", status=2)[1]
    pull("prune", "--all")
    assert "no image or container" in pull("inspect", f"{registry.host}/team/app@{digest}", status=2)[1]


def test_another_platform_is_pulled_when_it_is_asked_for(registry: FakeRegistry, pull: Pulls) -> None:
    index = build_index([image.manifest().descriptor(image.config().platform) for image in (IMAGE, ARM)])
    registry.add(ARM, "arm")
    registry.put_manifest(index.media_type, index.raw, "multi")
    name = f"{registry.host}/team/app:multi"
    (here,) = pull.json("pull", name)
    (arm,) = pull.json("pull", "--platform", "linux/arm64", name)
    assert (here["platform"], arm["platform"]) == ("linux/amd64", "linux/arm64")
    assert arm["manifest_digest"] == ARM.manifest().digest
    assert "no image for" in pull("pull", "--platform", "linux/s390x", name, status=2)[1]
    assert "--platform" in pull("pull", "--platform", "a/b/c/d", name, status=2)[1]


def test_all_tags_are_pulled(registry: FakeRegistry, pull: Pulls) -> None:
    registry.manifests.clear()
    registry.add(IMAGE, "1")
    registry.add(memory_image({"x": b"x"}), "2")
    out, _ = pull("pull", "-a", "-q", f"{registry.host}/team/app")
    assert out.splitlines() == [f"{registry.host}/team/app:1", f"{registry.host}/team/app:2"]
    assert len(pull.json("images")) == 2
    assert "cannot be used" in pull("pull", "-a", f"{registry.host}/team/app:1", status=2)[1]


# --explain ----------------------------------------------------------------------------------------------------------


def test_explain_says_what_is_here_and_what_would_come_and_fetches_no_layer(
    registry: FakeRegistry, pull: Pulls
) -> None:
    name = f"{registry.host}/team/app:1"
    (plan,) = pull.json("pull", "--explain", name)
    sizes = [layer.size for layer in IMAGE.manifest().layers]
    assert [layer["place"] for layer in plan["layers"]] == ["registry", "registry"]
    assert [layer["from"] for layer in plan["layers"]] == [registry.base, registry.base]
    assert (plan["here_bytes"], plan["fetch_bytes"], plan["size_bytes"]) == (0, sum(sizes), sum(sizes))
    assert blobs_asked(registry) == [IMAGE.manifest().config.digest]
    assert len(registry.seen("/blobs/", "HEAD")) == 2
    assert pull.json("images") == []
    registry.add(memory_image({"etc/": b"", "etc/motd": b"hello\n"}), "base")
    pull("pull", "-q", f"{registry.host}/team/app:base")
    (plan,) = pull.json("pull", "--explain", name)
    assert [layer["place"] for layer in plan["layers"]] == ["unpacked", "registry"]
    assert (plan["here_bytes"], plan["fetch_bytes"]) == (sizes[0], sizes[1])
    out, _ = pull("pull", "--explain", name)
    first, header, *rows = out.splitlines()
    assert IMAGE.manifest().digest in first
    assert header.split() == ["LAYER", "SIZE", "HERE", "TO", "FETCH", "FROM"]
    assert rows[0].endswith("local, unpacked")
    assert rows[1].endswith(registry.base)
    assert rows[2].split()[0] == "total"


def test_explain_names_the_mirror_that_has_a_blob(registry: FakeRegistry, pull: Pulls, tmp_path: Path) -> None:
    first, second = IMAGE.manifest().layers
    with fake_registry() as mirror:
        mirror.blobs[first.digest] = IMAGE.blobs[first.digest]
        (tmp_path / "slimstage.toml").write_text(f'[registry."{registry.host}"]\nmirrors = ["http://{mirror.host}"]\n')
        (plan,) = pull.json("pull", "--explain", f"{registry.host}/team/app:1")
        assert [layer["place"] for layer in plan["layers"]] == ["mirror", "registry"]
        assert [layer["from"] for layer in plan["layers"]] == [mirror.base, registry.base]
        (done,) = pull.json("pull", f"{registry.host}/team/app:1")
    assert second.digest in blobs_asked(registry)
    assert first.digest not in blobs_asked(registry)
    assert done["fetched_bytes"] == first.size + second.size


def test_explain_fails_where_no_server_has_a_blob(registry: FakeRegistry, pull: Pulls) -> None:
    registry.on("HEAD", "/blobs/", Answer(404))
    assert "look for blob" in pull("pull", "--explain", f"{registry.host}/team/app:1", status=3)[1]


# What goes wrong ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "name", "status", "words"),
    [
        (lambda _: None, "team/app:2", 2, 'has no tag "2"'),
        (lambda _: None, "UPPER/app:1", 2, "is not an image name"),
        (lambda r: r.on("GET", "/manifests/", Answer(403)), "team/app:1", 3, "answered 403"),
        (lambda r: r.on("GET", "/blobs/", Answer(body=b"!")), "team/app:1", 3, "want"),
    ],
    ids=["no-tag", "no-name", "denied", "lies"],
)
def test_a_pull_that_fails_leaves_no_image(
    registry: FakeRegistry, pull: Pulls, change: Callable[[FakeRegistry], None], name: str, status: int, words: str
) -> None:
    change(registry)
    out, err = pull("pull", f"{registry.host}/{name}", status=status)
    assert out == ""
    assert words in err
    assert "slimstage.toml" not in err  # that is for Dockerfiles
    assert pull.json("images") == []


# Settings beyond the project --------------------------------------------------------------------------------------------


def test_registries_of_the_users_own_settings_count_for_every_project(
    registry: FakeRegistry, pull: Pulls, tmp_path: Path
) -> None:
    user = tmp_path / "home/.config/slimstage/slimstage.toml"
    user.parent.mkdir(parents=True)
    user.write_text(f'[registry."registry.invalid"]\nmirrors = ["http://{registry.host}"]\n')
    assert pull("pull", "-q", "registry.invalid/team/app:1")[0] == "registry.invalid/team/app:1\n"
    (tmp_path / "Dockerfile").write_text(
        "FROM registry.invalid/team/app:1 AS base\nFROM scratch\nCOPY --from=base /etc /\n"
    )
    pull("build", "--pull", "-q", "-o", str(tmp_path / "out"), str(tmp_path))
    assert (tmp_path / "out/motd").read_bytes() == b"hello\n"


def test_a_projects_settings_go_before_the_users(registry: FakeRegistry, pull: Pulls, tmp_path: Path) -> None:
    user = tmp_path / "home/.config/slimstage/slimstage.toml"
    user.parent.mkdir(parents=True)
    user.write_text('[registry."registry.invalid"]\nmirrors = ["127.0.0.1:1"]\nca = "a.pem"\n')
    (tmp_path / "slimstage.toml").write_text(f'[registry."registry.invalid"]\nmirrors = ["http://{registry.host}"]\n')
    pull("pull", "-q", "registry.invalid/team/app:1")


def test_settings_of_a_user_hold_registries_only(
    registry: FakeRegistry, pull: Pulls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.toml").write_text("[build]\njobs = 2\n")
    monkeypatch.setenv("SLIMSTAGE_CONFIG", str(tmp_path / "mine.toml"))
    _, err = pull("pull", f"{registry.host}/team/app:1", status=2)
    assert "mine.toml:2:" in err
    assert "one project only" in err
    monkeypatch.setenv("SLIMSTAGE_CONFIG", str(tmp_path / "missing.toml"))
    assert "cannot read" in pull("pull", f"{registry.host}/team/app:1", status=2)[1]
    monkeypatch.setenv("SLIMSTAGE_CONFIG", "")
    pull("pull", "-q", f"{registry.host}/team/app:1")
