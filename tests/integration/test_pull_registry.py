"""Pulling from Debian's docker-registry, filled by skopeo: a registry that others wrote and others filled."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from slimstage.digest import digest_bytes
from slimstage.errors import FormatError, PlanError, RegistryError
from slimstage.oci.descriptor import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Platform
from slimstage.oci.manifest import build_index
from slimstage.oci.reference import Reference, parse_reference
from slimstage.registry.pull import PulledImage, Puller
from slimstage.store.store import Store
from support.command import slimstage
from support.images import MemoryImage, memory_image
from support.registry import copy_image, needs_registry, running_registry

pytestmark = needs_registry

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")


def write_layout(directory: Path, *images: MemoryImage) -> None:
    """An OCI layout with an index of the images, tagged `multi`, and the first one alone, tagged `one`."""
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    entries = []
    for image in images:
        for digest, data in image.blobs.items():
            (blobs / digest.removeprefix("sha256:")).write_bytes(data)
        config = image.config()
        entries.append(image.manifest().descriptor(config.platform))
    index = build_index(entries)
    (blobs / index.digest.removeprefix("sha256:")).write_bytes(index.raw)
    names = [
        index.descriptor({"org.opencontainers.image.ref.name": "multi"}),
        images[0].manifest().descriptor(annotations={"org.opencontainers.image.ref.name": "one"}),
    ]
    (directory / "index.json").write_bytes(build_index(names).raw)
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


@dataclass(frozen=True)
class Served:
    host: str
    directory: Path
    images: tuple[MemoryImage, MemoryImage]

    def name(self, rest: str) -> Reference:
        return parse_reference(f"{self.host}/{rest}")

    def raw(self, rest: str) -> bytes:
        """The manifest as skopeo reads it."""
        command = ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{self.host}/{rest}"]
        return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    directory = tmp_path_factory.mktemp("pull")
    images = (
        memory_image({"etc/": b"", "etc/motd": b"hello\n"}, {"big": bytes(range(256)) * 20_000}),
        memory_image({"arm": b"arm\n"}, architecture="arm64"),
    )
    write_layout(directory / "layout", *images)
    with running_registry(directory / "registry") as host:
        layout = f"oci:{directory / 'layout'}"
        copy_image(f"{layout}:one", f"docker://{host}/team/app:1.0")
        copy_image(f"{layout}:one", f"docker://{host}/team/app:1.1")
        command = ["skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false"]
        multi = f"docker://{host}/team/multi:latest"
        subprocess.run([*command, "--all", f"{layout}:multi", multi], check=True, timeout=120)
        docker = f"docker://{host}/team/docker:1"
        subprocess.run([*command, "--format", "v2s2", f"{layout}:one", docker], check=True, timeout=120)
        yield Served(host, directory, images)


@pytest.fixture
def puller() -> Iterator[Puller]:
    made = Puller({})
    yield made
    made.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as store:
        yield store


def fetch_all(puller: Puller, reference: Reference, pulled: PulledImage, store: Store) -> None:
    for layer in pulled.manifest.layers:
        puller.fetch_blob(reference, layer, store.blobs)
        assert digest_bytes(store.blobs.read(layer.digest)) == layer.digest


def test_an_image_arrives_byte_for_byte(served: Served, puller: Puller, store: Store) -> None:
    reference = served.name("team/app:1.0")
    pulled = puller.resolve(reference, AMD64)
    assert pulled.manifest.raw == served.raw("team/app:1.0") == served.images[0].manifest().raw
    assert pulled.manifest.media_type == OCI_MANIFEST
    assert digest_bytes(pulled.config_bytes) == pulled.manifest.config.digest
    fetch_all(puller, reference, pulled, store)


def test_an_image_by_digest(served: Served, puller: Puller) -> None:
    digest = served.images[0].manifest().digest
    assert puller.resolve(served.name(f"team/app@{digest}"), AMD64).manifest.digest == digest


@pytest.mark.parametrize(("platform", "number"), [(AMD64, 0), (ARM64, 1)])
def test_a_list_of_platforms_is_resolved(
    served: Served, puller: Puller, store: Store, platform: Platform, number: int
) -> None:
    assert json.loads(served.raw("team/multi:latest"))["mediaType"] == OCI_INDEX
    reference = served.name("team/multi")
    pulled = puller.resolve(reference, platform)
    assert pulled.manifest.digest == served.images[number].manifest().digest
    fetch_all(puller, reference, pulled, store)


def test_a_platform_that_is_not_there(served: Served, puller: Puller) -> None:
    with pytest.raises(FormatError, match="s390x") as caught:
        puller.resolve(served.name("team/multi"), Platform("linux", "s390x"))
    assert caught.value.code == "no-matching-platform"
    assert "linux/amd64, linux/arm64" in str(caught.value)


def test_an_image_of_dockers_media_types(served: Served, puller: Puller, store: Store) -> None:
    reference = served.name("team/docker:1")
    pulled = puller.resolve(reference, AMD64)
    assert pulled.manifest.media_type == DOCKER_MANIFEST
    assert pulled.manifest.raw == served.raw("team/docker:1")
    assert pulled.manifest.media_type != DOCKER_INDEX
    fetch_all(puller, reference, pulled, store)


def test_a_tag_that_is_not_there_has_near_names(served: Served, puller: Puller) -> None:
    assert sorted(puller.tags(served.name("team/app"))) == ["1.0", "1.1"]
    with pytest.raises(PlanError, match=r'has no tag "1\.2"') as caught:
        puller.resolve(served.name("team/app:1.2"), AMD64)
    assert caught.value.code == "base-not-found"
    assert caught.value.hint is not None
    assert "did you mean" in caught.value.hint


def test_a_repository_that_is_not_there(served: Served, puller: Puller) -> None:
    with pytest.raises(PlanError, match="there is no repository") as caught:
        puller.resolve(served.name("team/nothing:1"), AMD64)
    assert caught.value.code == "base-not-found"


def test_many_threads_pull_at_once(served: Served, puller: Puller, store: Store) -> None:
    failures: list[BaseException] = []

    def work(rest: str, platform: Platform) -> None:
        try:
            reference = served.name(rest)
            fetch_all(puller, reference, puller.resolve(reference, platform), store)
        except BaseException as error:
            failures.append(error)

    wanted = [("team/app:1.0", AMD64), ("team/multi", ARM64), ("team/multi", AMD64), ("team/docker:1", AMD64)] * 2
    threads = [threading.Thread(target=work, args=each) for each in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_registry_that_is_a_cache_serves_as_a_mirror(served: Served, store: Store, tmp_path: Path) -> None:
    """The name's own registry does not exist: everything comes by the mirror, a pull-through cache of the other one."""
    with running_registry(tmp_path / "cache", mirror_of=f"http://{served.host}") as cache:
        puller = Puller({"registry.invalid": {"mirrors": [cache]}})
        reference = parse_reference("registry.invalid/team/app:1.0")
        pulled = puller.resolve(reference, AMD64)
        assert pulled.manifest.raw == served.images[0].manifest().raw
        fetch_all(puller, reference, pulled, store)
        puller.close()


HTPASSWD = "me:$2b$04$abcdefghijklmnopqrstuujV0zJ3tj1V5vPQQ5i8Bd/sbbeTbZTaC\n"
"""bcrypt of "secret-word", made once: no tool that makes it is sure to be here."""


def test_a_registry_behind_a_password(
    served: Served, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password is in the file that skopeo itself writes when it logs in."""
    auth = tmp_path / "auth.json"
    with running_registry(tmp_path / "guarded", htpasswd=HTPASSWD) as host:
        skopeo = [
            "skopeo",
            "login",
            "--tls-verify=false",
            "--authfile",
            str(auth),
            "-u",
            "me",
            "--password-stdin",
            host,
        ]
        subprocess.run(skopeo, input=b"secret-word", check=True, capture_output=True, timeout=60)
        source = f"docker://{served.host}/team/app:1.0"
        command = ["skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false"]
        copy = [*command, "--dest-authfile", str(auth), source, f"docker://{host}/private/app:1"]
        subprocess.run(copy, check=True, capture_output=True, timeout=120)
        reference = parse_reference(f"{host}/private/app:1")

        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(auth))
        puller = Puller({})
        pulled = puller.resolve(reference, AMD64)
        assert pulled.manifest.raw == served.images[0].manifest().raw
        fetch_all(puller, reference, pulled, store)
        puller.close()

        auth.write_text(auth.read_text().replace(host, "elsewhere.example"))
        stranger = Puller({})
        with pytest.raises(RegistryError, match="answered 401") as caught:
            stranger.resolve(reference, AMD64)
        stranger.close()
        assert caught.value.code == "denied"
        assert f"there is no login for {host}" in str(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="unpacks layers as root")
@pytest.mark.root
def test_from_a_registry_image_builds(served: Served, tmp_path: Path) -> None:
    """The whole way: FROM a name of the registry, fetched, unpacked, and in the store for the next time."""
    (tmp_path / "context").mkdir()
    dockerfile = f"FROM {served.host}/team/app:1.0 AS base\nFROM scratch\nCOPY --from=base /etc/motd /motd\n"
    (tmp_path / "context/Dockerfile").write_text(dockerfile)
    root = tmp_path / "store"
    done = slimstage("build", "--json", "-o", tmp_path / "out", tmp_path / "context", root=root)
    assert json.loads(done.out)["platform"] == "linux/amd64"
    assert (tmp_path / "out/motd").read_text() == "hello\n"


def test_from_a_tag_that_is_not_there_is_an_error_of_the_dockerfile(served: Served, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {served.host}/team/app:1.O\n")
    done = slimstage("build", tmp_path, root=tmp_path / "store", status=2)
    assert "Dockerfile:1:" in done.err
    assert "base-not-found" in done.err
    assert f'did you mean "{served.host}/team/app:1.' in done.err
