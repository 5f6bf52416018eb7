"""What we push is pulled and run by Docker's daemon and podman, and unpacked by umoci; we pull and run what they push.

Over Debian's docker-registry. Digests are equal on every way round.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from slimstage.digest import digest_bytes
from slimstage.oci.descriptor import DOCKER_MANIFEST, OCI_MANIFEST
from support.building import Project
from support.engines import Engine, own_podman, running_docker
from support.registry import copy_image, needs_registry, running_registry

pytestmark = [
    needs_registry,
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="runs containers as root"),
    pytest.mark.xdist_group("registry-peers"),  # one daemon for all of them
]

DOCKERFILE = """\
FROM base
COPY greeting /srv/greeting
RUN ln -s greeting /srv/soft && rm /etc/group && mkdir /srv/own && echo mine > /srv/own/file \\
 && ln /srv/own/file /srv/hard && chown -R app /srv/own && chmod 2750 /srv/own
ENV WHO=world
USER app
WORKDIR /srv
ENTRYPOINT ["sh", "-c"]
CMD ["cat soft; echo $WHO; id -un; pwd; stat -c '%a %h' own hard; cat own/file; [ -e /etc/group ] || echo gone"]
"""
SAYS = "hello\nworld\napp\n/srv\n2750 2\n644 2\nmine\ngone\n"

CHANGE = "echo made > /srv/new; rm /srv/greeting; chmod 700 /srv/own"
MADE_CMD = 'CMD ["cat /srv/new; ls /srv; stat -c %a /srv/own"]'
MADE_SAYS = "made\nhard\nnew\nown\nsoft\n700\n"


@dataclass(frozen=True)
class World:
    """`here` built and pushed the image `name`; `there` is another machine's store."""

    host: str
    here: Project
    there: Project
    name: str
    digest: str
    image_id: str

    def manifest(self, repository: str) -> tuple[str, bytes]:
        """Media type and bytes of what the registry has there under the tag 1."""
        accept = {"Accept": f"{OCI_MANIFEST}, {DOCKER_MANIFEST}"}
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        request = urllib.request.Request(f"http://{self.host}/v2/{repository}/manifests/1", headers=accept)
        with opener.open(request, timeout=30) as answer:
            return answer.headers["Content-Type"], answer.read()

    def pulled(self, name: str) -> dict[str, Any]:
        """What slimstage says of the image that it pulled to the other machine."""
        self.there.run("pull", "-q", name)
        (document,) = self.there.run("inspect", name).json()
        return dict(document)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, busybox: Path) -> Iterator[World]:
    top = tmp_path_factory.mktemp("peers")
    here = Project.new(top, busybox)
    here.dockerfile(DOCKERFILE)
    here.write("greeting", "hello\n", 0o644)
    with running_registry(top / "registry") as host:
        name = f"{host}/team/app:1"
        built = here.document("-t", name)
        (pushed,) = here.run("push", "--json", name).json()
        yield World(host, here, here.on(top / "there"), name, pushed["digest"], built["image_id"])


@pytest.fixture(scope="module", params=["docker", "podman"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with running_docker() if request.param == "docker" else own_podman() as made:
        yield made


def test_an_engine_pulls_and_runs_what_we_pushed(engine: Engine, world: World) -> None:
    document = engine.pull(world.name)
    repository = world.name.removesuffix(":1")
    assert document["RepoDigests"] == [f"{repository}@{world.digest}"]
    assert document["Id"].removeprefix("sha256:") == world.image_id.removeprefix("sha256:")
    assert world.here.run("run", "--rm", world.name).out == SAYS
    assert engine.run("--rm", world.name) == SAYS


def test_we_pull_and_run_what_an_engine_made_and_pushed(engine: Engine, world: World) -> None:
    program = engine.words[0]
    theirs, again = f"{world.host}/{program}/made:1", f"{world.host}/{program}/again:1"
    engine.pull(world.name)
    engine.run("--name", "made", "--user", "0", world.name, CHANGE)
    engine("commit", "--change", MADE_CMD, "made", theirs)
    engine.push(theirs)
    media_type, raw = world.manifest(f"{program}/made")
    assert media_type == (DOCKER_MANIFEST if program == "docker" else OCI_MANIFEST)

    document = world.pulled(theirs)
    assert document["RepoDigests"] == [f"{theirs.removesuffix(':1')}@{digest_bytes(raw)}"]
    assert document["Id"] == json.loads(raw)["config"]["digest"]
    assert world.there.run("run", "--rm", theirs).out == MADE_SAYS

    # And back: what came from the engine goes on from us, byte for byte, and the engine runs it.
    world.there.run("tag", theirs, again)
    world.there.run("push", "-q", again)
    assert world.manifest(f"{program}/again") == (media_type, raw)
    back = engine.pull(f"{again.removesuffix(':1')}@{digest_bytes(raw)}")
    assert back["Id"].removeprefix("sha256:") == document["Id"].removeprefix("sha256:")
    assert engine.run("--rm", f"{again.removesuffix(':1')}@{digest_bytes(raw)}") == MADE_SAYS


@pytest.mark.skipif(shutil.which("umoci") is None, reason="needs umoci")
def test_umoci_unpacks_what_skopeo_copied_of_our_push(world: World, tmp_path: Path) -> None:
    layout, bundle, want = tmp_path / "layout", tmp_path / "bundle", tmp_path / "want"
    copy_image(f"docker://{world.name}", f"oci:{layout}:1")
    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
    assert entry["digest"] == world.digest
    umoci("unpack", "--image", f"{layout}:1", bundle)
    archive = tmp_path / "want.tar"
    world.here.build("-o", f"type=tar,dest={archive}")
    with tarfile.open(archive) as tar:
        tar.extractall(want, filter="fully_trusted")
    assert tree(bundle / "rootfs") == tree(want)

    (bundle / "rootfs/srv/new").write_text("made\n")
    (bundle / "rootfs/srv/greeting").unlink()
    (bundle / "rootfs/srv/own").chmod(0o700)
    umoci("repack", "--image", f"{layout}:2", bundle)
    umoci("config", "--image", f"{layout}:2", "--config.cmd", json.loads(MADE_CMD.removeprefix("CMD "))[0],
          "--config.user", "0")  # fmt: skip
    theirs = f"{world.host}/umoci/made:1"
    copy_image(f"oci:{layout}:2", f"docker://{theirs}")
    digest = digest_bytes(world.manifest("umoci/made")[1])
    assert world.pulled(theirs)["RepoDigests"] == [f"{theirs.removesuffix(':1')}@{digest}"]
    assert world.there.run("run", "--rm", theirs).out == MADE_SAYS


def umoci(*args: object) -> None:
    subprocess.run(["umoci", *map(str, args)], check=True, capture_output=True, timeout=120)


def tree(root: Path) -> dict[str, tuple[object, ...]]:
    """Of each path: kind and mode, owner, number of links and content."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        facts = path.lstat()
        data = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        links = 0 if path.is_dir() else facts.st_nlink
        found[str(path.relative_to(root))] = (facts.st_mode, facts.st_uid, facts.st_gid, links, data)
    return found
