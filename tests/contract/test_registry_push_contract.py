"""What a push promises, over real registries and the project's own: Debian's docker-registry, it behind TLS and a login."""

from __future__ import annotations

import io
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pytest

from slimstage.digest import digest_bytes
from slimstage.errors import Interrupted, RegistryError
from slimstage.oci.descriptor import OCI_LAYER, Descriptor, Platform
from slimstage.oci.manifest import build_index
from slimstage.oci.reference import Reference, parse_reference
from slimstage.registry.client import RegistryClient
from slimstage.registry.faults import HttpError
from slimstage.registry.pieces import Pieces
from slimstage.registry.pull import Puller
from slimstage.registry.push import Pusher
from slimstage.registry.retry import Backoff, Pauses
from slimstage.store.store import Store
from support.fake_registry import fake_registry
from support.images import memory_image
from support.registry import needs_registry
from support.registry_process import RegistryProcess, docker_login
from support.uploading import AfterBytes, Growing

HTPASSWD = "me:$2b$04$abcdefghijklmnopqrstuujV0zJ3tj1V5vPQQ5i8Bd/sbbeTbZTaC\n"
"""bcrypt of "secret-word", made once: no tool that makes it is sure to be here."""

KIB = 1 << 10
SMALL = Pieces(at_once=0, whole=0, chunk=100 * KIB, careful=100 * KIB, smallest=10 * KIB)
IMAGE = memory_image({"etc/": b"", "etc/motd": b"hello\n"}, {"model": random.Random(3).randbytes(300_000)})
AMD64 = Platform("linux", "amd64")


@dataclass
class Served:
    """A registry, how it is spoken with, and the home directory whose login it knows."""

    host: str
    settings: dict[str, dict[str, object]]
    home: Path

    def client(self) -> RegistryClient:
        pauses = Pauses(Backoff(), wait=lambda _: None)
        return RegistryClient(self.settings, environ={"HOME": str(self.home)}, pauses=pauses)

    def pusher(self, pieces: Pieces | None = None) -> Pusher:
        return Pusher(self.settings, client=self.client(), pieces=pieces)

    def name(self, rest: str) -> Reference:
        return parse_reference(f"{self.host}/{rest}")


def _fake(directory: Path) -> Iterator[Served]:
    with fake_registry() as made:
        yield Served(made.host, {}, directory)


def _plain(directory: Path) -> Iterator[Served]:
    made = RegistryProcess(directory / "plain")
    yield Served(made.host, {}, directory)
    made.close()


def _guarded(directory: Path) -> Iterator[Served]:
    made = RegistryProcess(directory / "guarded", has_tls=True, htpasswd=HTPASSWD)
    docker_login(directory, made.host, "me", "secret-word")
    yield Served(made.host, {made.host: {"ca": f"{made.directory}/cert.pem"}}, directory)
    made.close()


KINDS: dict[str, Callable[[Path], Iterator[Served]]] = {
    "project": _fake,
    "docker": _plain,
    "docker-tls-login": _guarded,
}


@pytest.fixture(scope="module", params=[
    pytest.param(kind, marks=() if kind == "project" else needs_registry) for kind in KINDS
])  # fmt: skip
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from KINDS[request.param](tmp_path_factory.mktemp("registry"))


@pytest.fixture
def process(tmp_path: Path) -> Iterator[RegistryProcess]:
    made = RegistryProcess(tmp_path / "registry")
    yield made
    made.close()


def to(process: RegistryProcess, tmp_path: Path) -> Served:
    return Served(process.host, {}, tmp_path)


class Counted:
    """A blob that counts what is read of it, and calls `at_byte` once when a read passes that byte."""

    def __init__(self, data: bytes, at: int = -1, then: Callable[[], object] = lambda: None) -> None:
        self.data, self.read_bytes, self._at, self._then = data, 0, at, then
        self.blob = Descriptor(OCI_LAYER, digest_bytes(data), len(data))

    def open_at(self, offset: int) -> BinaryIO:
        counted = self

        class Stream(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                if 0 <= counted._at <= self.tell():
                    counted._at = -1
                    counted._then()
                block = super().read(size)
                counted.read_bytes += len(block)
                return block

        stream = Stream(self.data)
        stream.seek(offset)
        return stream


# Over every registry ------------------------------------------------------------------------------------------


def test_what_is_pulled_is_what_was_pushed(served: Served, tmp_path: Path) -> None:
    name = served.name("team/round:1")
    served.pusher().push(name, [IMAGE], tags=["2"])
    puller = Puller(served.settings, client=served.client())
    for tag in ("1", "2", f"1@{IMAGE.manifest().digest}"):
        pulled = puller.resolve(served.name(f"team/round:{tag}"), AMD64)
        assert pulled.manifest.raw == IMAGE.manifest().raw
    with Store.open(tmp_path / "s") as store:
        for layer in IMAGE.manifest().layers:
            puller.fetch_blob(name, layer, store.blobs)
            assert store.blobs.read(layer.digest) == IMAGE.blobs[layer.digest]


def test_a_second_push_finds_all_and_a_second_repository_mounts_it(served: Served) -> None:
    first = served.pusher()
    first.push(served.name("team/first:1"), [IMAGE])
    assert {blob.outcome for blob in served.pusher().push(served.name("team/first:1"), [IMAGE]).blobs} == {"there"}
    assert {blob.outcome for blob in first.push(served.name("team/second:1"), [IMAGE]).blobs} == {"mounted"}
    source = served.name("team/first")
    mounts = {blob.digest: [source] for blob in (IMAGE.manifest().config, *IMAGE.manifest().layers)}
    mounted = served.pusher().push(served.name("team/third:1"), [IMAGE], mounts=mounts)
    assert {blob.outcome for blob in mounted.blobs} == {"mounted"}


def test_a_mount_of_what_is_not_there_becomes_an_upload(served: Served) -> None:
    blob = Counted(b"nobody has this\n" * 5000)
    assert served.pusher(SMALL).put_blob(
        served.name("team/new"), blob.blob, blob.open_at, mounts=[served.name("team/nowhere")]
    ) == "sent"  # fmt: skip


@pytest.mark.parametrize("size", [0, 1, 5_000, 100 * KIB, 100 * KIB + 1, 400_000])
@pytest.mark.parametrize("pieces", [SMALL, Pieces(at_once=0, whole=1 << 20), Pieces(at_once=1 << 20)])
def test_blobs_of_every_size_arrive_in_every_way(served: Served, tmp_path: Path, size: int, pieces: Pieces) -> None:
    data = random.Random(f"{size}{pieces}").randbytes(size)
    blob = Counted(data)
    assert served.pusher(pieces).put_blob(served.name("team/sizes"), blob.blob, blob.open_at) in ("sent", "there")
    with Store.open(tmp_path / "s") as store:
        Puller(served.settings, client=served.client()).fetch_blob(served.name("team/sizes"), blob.blob, store.blobs)
        assert store.blobs.read(blob.blob.digest) == data


def test_an_index_leads_to_its_images(served: Served) -> None:
    arm = memory_image({"arm": b"arm\n"}, architecture="arm64")
    index = build_index(image.manifest().descriptor(image.config().platform) for image in (IMAGE, arm))
    assert served.pusher().push(served.name("team/multi:1"), [IMAGE, arm], index=index).digest == index.digest
    puller = Puller(served.settings, client=served.client())
    pulled = puller.resolve(served.name(f"team/multi@{index.digest}"), Platform("linux", "arm64"))
    assert pulled.manifest.raw == arm.manifest().raw


def test_an_upload_that_is_called_off_can_be_made_again(served: Served) -> None:
    pusher = served.pusher(SMALL)
    data = random.Random(5).randbytes(400_000)
    stopped = Counted(data, 150_000, pusher.close)
    with pytest.raises(Interrupted):
        pusher.put_blob(served.name("team/off"), stopped.blob, stopped.open_at)
    again = Counted(data)
    assert served.pusher(SMALL).put_blob(served.name("team/off"), again.blob, again.open_at) == "sent"


@pytest.mark.parametrize("pieces", [SMALL, Pieces()])
def test_a_blob_goes_while_it_is_made(served: Served, tmp_path: Path, pieces: Pieces) -> None:
    data = random.Random(f"{served.host}{pieces}").randbytes(1_000_000)
    with Store.open(tmp_path / "s") as store:
        growing = Growing(store, data)
        growing.write(600_000)
        maker = threading.Timer(0.02, growing.finish)
        maker.start()
        pushed = served.pusher(pieces).put_growing(served.name("team/grown"), growing.blob)
        maker.join()
        assert (pushed.outcome, pushed.descriptor.digest) == ("sent", growing.digest)
        assert served.pusher().put_blob(served.name("team/grown"), pushed.descriptor, growing.blob.open_at) == "there"
        growing.close()
    with Store.open(tmp_path / "other") as store:
        puller = Puller(served.settings, client=served.client())
        puller.fetch_blob(served.name("team/grown"), pushed.descriptor, store.blobs)
        assert store.blobs.read(growing.digest) == data


# Docker's registry: ends, restarts, refusals ------------------------------------------------------------------


@needs_registry
def test_a_registry_killed_between_two_chunks_goes_on_where_it_was(process: RegistryProcess, tmp_path: Path) -> None:
    served = to(process, tmp_path)

    def restart() -> None:
        process.kill()
        process.start()

    blob = Counted(random.Random(6).randbytes(1_000_000), 500 * KIB, restart)
    assert served.pusher(SMALL).put_blob(served.name("team/app"), blob.blob, blob.open_at) == "sent"
    assert process.has_blob(blob.blob.digest)
    assert blob.read_bytes <= 1_000_000 + 100 * KIB  # at most the chunk that was on its way goes twice
    assert process.uploads() == []


@needs_registry
def test_a_registry_killed_in_a_chunk_gets_that_blob_again_and_no_other(
    process: RegistryProcess, tmp_path: Path
) -> None:
    """Its version 2.8 drops a session whose connection broke within a request; what arrived before stays."""
    served = to(process, tmp_path)
    pusher = served.pusher(Pieces(at_once=0, whole=0, careful=4 << 20))
    before = [Counted(random.Random(number).randbytes(300_000)) for number in range(2)]
    for each in before:
        assert pusher.put_blob(served.name("team/app"), each.blob, each.open_at) == "sent"

    def restart() -> None:
        process.kill()
        process.start()

    broken = Counted(random.Random(8).randbytes(3_000_000), 2_000_000, restart)
    assert pusher.put_blob(served.name("team/app"), broken.blob, broken.open_at) == "sent"
    assert process.has_blob(broken.blob.digest)
    assert broken.read_bytes <= 2 * 3_000_000
    for each in before:
        assert served.pusher().put_blob(served.name("team/app"), each.blob, each.open_at) == "there"
        assert each.read_bytes == len(each.data)


@needs_registry
@pytest.mark.parametrize("keeps_running", [True, False])
def test_a_registry_killed_in_a_stream_has_the_blob_in_the_end(
    process: RegistryProcess, tmp_path: Path, keeps_running: bool
) -> None:
    """keeps_running: it is there again before the blob is made to its end; else it is not for a moment."""

    def break_off() -> None:
        process.kill()
        if keeps_running:
            process.start()
        growing.finish()
        if not keeps_running:
            process.start()

    with Store.open(tmp_path / "s") as store:
        growing = Growing(store, random.Random(13).randbytes(2_000_000))
        growing.write(1_000_000)
        pusher = to(process, tmp_path).pusher(Pieces(whole=0, careful=512 * KIB))
        name = parse_reference(f"{process.host}/team/app")
        assert pusher.put_growing(name, growing.blob, progress=AfterBytes(900_000, break_off)).outcome == "sent"
        growing.close()
    assert process.has_blob(growing.digest)


@needs_registry
def test_a_push_that_failed_is_run_again_and_sends_what_is_missing(process: RegistryProcess, tmp_path: Path) -> None:
    served = to(process, tmp_path)
    layers = [Counted(random.Random(number).randbytes(200_000)) for number in range(3)]
    last = Counted(random.Random(9).randbytes(200_000), 100_000, process.kill)
    pusher = served.pusher(SMALL)
    for each in layers:
        pusher.put_blob(served.name("team/app"), each.blob, each.open_at)
    with pytest.raises(RegistryError, match="connect"):
        pusher.put_blob(served.name("team/app"), last.blob, last.open_at)
    process.start()
    again = served.pusher(SMALL)
    outcomes = [again.put_blob(served.name("team/app"), each.blob, each.open_at) for each in [*layers, last]]
    assert outcomes == ["there", "there", "there", "sent"]
    assert [each.read_bytes for each in layers] == [200_000] * 3


@needs_registry
def test_what_is_given_up_leaves_no_session_behind(process: RegistryProcess, tmp_path: Path) -> None:
    served = to(process, tmp_path)
    pusher = served.pusher(SMALL)
    stopped = Counted(random.Random(5).randbytes(400_000), 200 * KIB, pusher.close)
    with pytest.raises(Interrupted):
        pusher.put_blob(served.name("team/off"), stopped.blob, stopped.open_at)
    damaged = Counted(random.Random(5).randbytes(50_000))
    blob = Descriptor(OCI_LAYER, digest_bytes(b"something else"), 50_000)
    with pytest.raises(Exception, match="digest"):
        served.pusher(SMALL).put_blob(served.name("team/off"), blob, damaged.open_at)
    assert not process.has_blob(blob.digest)


@needs_registry
def test_a_registry_that_is_read_only_says_so(tmp_path: Path) -> None:
    made = RegistryProcess(tmp_path / "registry", is_read_only=True)
    try:
        with pytest.raises(HttpError, match="takes no pushes") as caught:
            to(made, tmp_path).pusher().push(parse_reference(f"{made.host}/team/app:1"), [IMAGE])
        assert caught.value.code == "read-only"
    finally:
        made.close()


@needs_registry
def test_a_wrong_login_says_what_to_do(tmp_path: Path) -> None:
    made = RegistryProcess(tmp_path / "registry", htpasswd=HTPASSWD)
    try:
        docker_login(tmp_path, made.host, "me", "wrong-word")
        with pytest.raises(HttpError, match="wants a login") as caught:
            to(made, tmp_path).pusher().push(parse_reference(f"{made.host}/team/app:1"), [IMAGE])
        assert caught.value.hint == f"slimstage login {made.host}"
        assert "wrong-word" not in str(caught.value)
    finally:
        made.close()


# Other programs -----------------------------------------------------------------------------------------------


@needs_registry
def test_skopeo_finds_the_digests_that_were_pushed(process: RegistryProcess, tmp_path: Path) -> None:
    name = f"{process.host}/team/app"
    to(process, tmp_path).pusher().push(parse_reference(f"{name}:1"), [IMAGE])
    raw = subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{name}:1"], check=True, capture_output=True
    ).stdout
    assert raw == IMAGE.manifest().raw
    layout = tmp_path / "layout"
    source = f"docker://{name}@{IMAGE.manifest().digest}"
    command = ["skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false", source, f"oci:{layout}:1"]
    subprocess.run(command, check=True, capture_output=True)
    for digest, data in IMAGE.blobs.items():
        assert (layout / "blobs" / digest.replace(":", "/")).read_bytes() == data


@needs_registry
@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("podman") is None, reason="needs root and podman")
def test_podman_pulls_what_was_pushed(process: RegistryProcess, tmp_path: Path) -> None:
    name = f"{process.host}/team/app:1"
    to(process, tmp_path).pusher().push(parse_reference(name), [IMAGE])
    # Its directories may not have long names.
    with tempfile.TemporaryDirectory(prefix="podman-", ignore_cleanup_errors=True) as place:
        podman = ["podman", "--root", f"{place}/r", "--runroot", f"{place}/rr", "--storage-driver", "vfs"]
        subprocess.run(
            [*podman, "pull", "-q", "--tls-verify=false", name], check=True, capture_output=True, timeout=120
        )
        inspect = [*podman, "image", "inspect", "--format", "{{.Digest}} {{.Id}}", name]
        told = subprocess.run(inspect, check=True, capture_output=True, text=True).stdout.split()
    assert told == [IMAGE.manifest().digest, IMAGE.manifest().config.digest.partition(":")[2]]


# Memory -------------------------------------------------------------------------------------------------------

_PUSH_LARGE = """\
import sys
from slimstage.digest import Digest
from slimstage.oci.descriptor import OCI_LAYER, Descriptor
from slimstage.oci.reference import parse_reference
from slimstage.registry.push import Pusher
name, path, digest, size = sys.argv[1:]
def open_at(offset):
    stream = open(path, "rb")
    stream.seek(offset)
    return stream
pusher = Pusher({})
assert pusher.put_blob(parse_reference(name), Descriptor(OCI_LAYER, Digest(digest), int(size)), open_at) == "sent"
# Not getrusage: its value is what the process that started this one had, when that was more.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@needs_registry
def test_a_large_layer_is_pushed_in_little_memory(process: RegistryProcess, tmp_path: Path) -> None:
    import hashlib

    size, path = 300 << 20, tmp_path / "large"
    with open(path, "wb") as file:
        file.truncate(size)
    with open(path, "rb") as file:
        digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    command = [sys.executable, "-c", _PUSH_LARGE, f"{process.host}/team/large", str(path), digest, str(size)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    assert process.has_blob(digest)
    assert int(done.stdout) << 10 < 200 << 20
