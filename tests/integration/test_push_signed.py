"""`push` of images with something beside them: artifacts of the store go along, `--sign-key` signs what is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from slimstage.cli.main import main
from slimstage.oci.manifest import parse_manifest
from slimstage.signing.keys import new_private_key
from slimstage.signing.signature import cosign_tag, signature_layers
from slimstage.store.store import Store
from support.copies import World, copy, quick_copier
from support.fake_referrers import FakeReferrers
from support.fake_registry import Answer, FakeRegistry, error_body


class Command:
    """The command in this process."""

    def __init__(self, root: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.root, self._capture = root, capture

    def __call__(self, *args: str, status: int = 0) -> str:
        self._capture.readouterr()
        got = main([*args, "--root", str(self.root)])
        said = self._capture.readouterr()
        assert got == status, said.err
        return said.out

    def said(self, *args: str, status: int = 0) -> str:
        """What it says on stderr."""
        self._capture.readouterr()
        got = main([*args, "--root", str(self.root)])
        said = self._capture.readouterr().err
        assert got == status, said
        return said

    def json(self, *args: str) -> Any:
        return json.loads(self(*args, "--json"))


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COSIGN_PASSWORD", "hunter2")
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    monkeypatch.chdir(tmp_path)
    return Command(tmp_path / "store", capsys)


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def fill(run: Command, source: str, name: str) -> None:
    with Store.open(run.root) as store:
        copier = quick_copier(store)
        copy(copier, source, f"store:{name}", has_referrers=True)
        copier.close()


@pytest.mark.parametrize("has_api", [True, False])
def test_what_belongs_to_an_index_and_its_images_goes_along(
    tmp_path: Path, registry: FakeRegistry, run: Command, world: World, has_api: bool
) -> None:
    if has_api:
        FakeReferrers(registry)
    name = f"{registry.host}/team/app:1"
    fill(run, world.write(tmp_path / "l"), name)
    (pushed,) = run.json("push", name)
    assert pushed["digest"] == world.index.digest
    copier = quick_copier()
    done = copy(copier, name, f"oci:{tmp_path / 'back'}", has_referrers=True)
    copier.close()
    assert {each.digest for each in done.referrers} == {each.manifest().digest for each in world.artifacts}


def test_what_was_pushed_is_signed_in_every_repository_and_once(
    tmp_path: Path, registry: FakeRegistry, run: Command, world: World
) -> None:
    run("generate-key-pair")
    name = f"{registry.host}/team/app:1"
    fill(run, world.write(tmp_path / "l"), name)
    run("tag", name, f"{registry.host}/team/app:2")
    pushed = run.json("push", "--sign-key", "cosign.key", "-a", f"{registry.host}/team/app")
    assert [each["signatures"][0]["is_new"] for each in pushed] == [True, True]  # one signature, under both names
    assert "signed" in run.said("push", "--sign-key", "cosign.key", name)
    tag = cosign_tag(world.index.digest)
    assert len(signature_layers(parse_manifest(registry.manifests[tag][1]))) == 1
    for each in (name, f"{registry.host}/team/app:2"):
        assert run("verify", "--key", "cosign.pub", each) == f"{world.index.digest}\n"


def test_a_signature_of_the_store_comes_under_cosigns_tag(
    tmp_path: Path, registry: FakeRegistry, run: Command, world: World
) -> None:
    run("generate-key-pair")
    name = f"{registry.host}/team/app:1"
    fill(run, world.write(tmp_path / "l"), name)
    run("sign", "--key", "cosign.key", f"store:{name}")
    run("push", name)
    tag = cosign_tag(world.index.digest)
    assert len(signature_layers(parse_manifest(registry.manifests[tag][1]))) == 1
    # Copied to where another signature of the same image is: both are there afterwards.
    run("generate-key-pair", "--output-key-prefix", "other")
    run("sign", "--key", "other.key", name)
    registry.manifests.pop(tag)
    run("copy", "--referrers", f"store:{name}", f"{registry.host}/more/app:1")
    run("sign", "--key", "other.key", f"{registry.host}/more/app:1")
    run("copy", "--referrers", f"store:{name}", f"{registry.host}/more/app:2")
    assert len(signature_layers(parse_manifest(registry.manifests[tag][1]))) == 2


def test_an_answer_that_nobody_explains_ends_the_push_with_the_registrys_words(
    tmp_path: Path, registry: FakeRegistry, run: Command, world: World
) -> None:
    name = f"{registry.host}/team/app:1"
    fill(run, world.write(tmp_path / "l"), name)
    registry.on("PUT", "/manifests/", Answer(400, error_body("MANIFEST_INVALID", "no such thing")))
    assert "no such thing" in run.said("push", name, status=3)


def test_a_bad_key_is_known_before_anything_goes(
    tmp_path: Path, registry: FakeRegistry, run: Command, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("generate-key-pair")
    name = f"{registry.host}/team/app:1"
    fill(run, world.write(tmp_path / "l"), name)
    monkeypatch.setenv("COSIGN_PASSWORD", "wrong")
    assert "wrong-password" in run.said("push", "--sign-key", "cosign.key", name, status=2)
    (tmp_path / "pub").write_bytes(new_private_key().public().pem())
    assert "bad-key" in run.said("push", "--sign-key", "pub", name, status=2)
    assert registry.requests == []


def test_an_artifact_that_cannot_be_listed_fails_the_push_with_its_reason(
    tmp_path: Path, registry: FakeRegistry, run: Command, world: World
) -> None:
    name = f"{registry.host}/team/app:1"
    fill(run, world.write(tmp_path / "l"), name)
    registry.put_manifest("application/vnd.oci.image.index.v1+json", b"nonsense", world.index.digest.replace(":", "-"))
    assert "bad-referrers-tag" in run.said("push", name, status=2)
    assert registry.manifests["1"][1] == world.index.raw


def test_two_copies_of_one_signature_are_merged_not_replaced(
    tmp_path: Path, registry: FakeRegistry, run: Command, world: World
) -> None:
    run("generate-key-pair")
    run("generate-key-pair", "--output-key-prefix", "other")
    source = world.write(tmp_path / "l")
    place = f"{registry.host}/team/app:1"
    run("copy", source, place)
    run("sign", "--registry-referrers-mode", "legacy", "--key", "cosign.key", place)
    run("copy", "--referrers", place, f"oci:{tmp_path / 'kept'}")
    tag = cosign_tag(world.index.digest)
    registry.manifests.pop(tag)
    run("sign", "--registry-referrers-mode", "legacy", "--key", "other.key", place)
    run("copy", "--referrers", f"oci:{tmp_path / 'kept'}", place)
    assert len(signature_layers(parse_manifest(registry.manifests[tag][1]))) == 2
    for key in ("cosign.pub", "other.pub"):
        assert run("verify", "--key", key, place) == f"{world.index.digest}\n"
