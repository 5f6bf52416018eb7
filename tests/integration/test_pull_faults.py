"""A pull from Debian's docker-registry that is killed and restarted, over TLS with certificates, and while layers come."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from slimstage.bases.resolve import Bases
from slimstage.cli.main import main
from slimstage.digest import digest_bytes
from slimstage.events import ignore
from slimstage.oci.descriptor import Platform
from slimstage.store.doctor import examine
from slimstage.store.layout_sink import LayoutSink
from slimstage.store.partial import partials
from slimstage.store.source import Export
from slimstage.store.store import Store
from support.certificates import authority
from support.fake_registry import Answer, FakeRegistry, fake_registry
from support.images import MemoryImage, memory_image
from support.registry import copy_image, needs_registry, running_registry
from support.relay import relay

pytestmark = [pytest.mark.skipif(os.geteuid() != 0, reason="unpacks layers as root"), pytest.mark.root]

MIB = 1 << 20
AMD64 = Platform("linux", "amd64")
BIG = memory_image({"first": b"1" * MIB, "noise": random.Random(3).randbytes(5 * MIB)}, {"second": b"2"})
LAYER = BIG.manifest().layers[0]


@pytest.fixture(autouse=True)
def _nobodys_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SLIMSTAGE_CONFIG", "")
    for name in ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with fake_registry() as made:
        made.add(BIG)
        yield made


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BIG as an OCI layout."""
    directory = tmp_path_factory.mktemp("big") / "layout"
    LayoutSink(str(directory)).write([Export(BIG, ("app:1",), platform=AMD64)])
    return directory


# The registry goes away ---------------------------------------------------------------------------------------------------


class Restarting:
    """A real registry with BIG as app:1, which can be killed, and started again on its port and directory."""

    def __init__(self, directory: Path, layout: Path, stack: ExitStack) -> None:
        self._directory, self._stack = directory, stack
        self._running = ExitStack()
        self.host = self._running.enter_context(running_registry(directory))
        stack.callback(self.kill)
        copy_image(f"oci:{layout}:1", f"docker://{self.host}/app:1")

    def kill(self) -> None:
        self._running.close()

    def start(self) -> None:
        port = int(self.host.rpartition(":")[2])
        self._running.enter_context(running_registry(self._directory, port=port))

    def restart(self) -> None:
        self.kill()
        self.start()


@pytest.fixture
def restarting(tmp_path: Path, layout: Path) -> Iterator[Restarting]:
    with ExitStack() as stack:
        yield Restarting(tmp_path / "registry", layout, stack)


@needs_registry
def test_a_registry_that_is_restarted_in_mid_pull_is_gone_on_with(restarting: Restarting, tmp_path: Path) -> None:
    with relay(restarting.host) as between:
        between.cut_after, between.before_cut = 3 * MIB, restarting.restart
        assert main(["pull", "-q", f"{between.host}/app:1", "--root", str(tmp_path / "store")]) == 0
        # No byte came twice but what was on its way when the connection broke.
        assert between.down_bytes < LAYER.size + MIB
    with Store.open(tmp_path / "store") as store:
        assert examine(store) == []
        assert partials(store.blobs) == []


@needs_registry
def test_a_registry_that_was_killed_in_mid_pull_costs_the_next_pull_only_the_rest(
    restarting: Restarting, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = ["--root", str(tmp_path / "store")]
    with relay(restarting.host) as between:
        name = f"{between.host}/app:1"
        between.cut_after, between.before_cut = 3 * MIB, restarting.kill
        assert main(["pull", "-q", name, *root]) == 3
        restarting.start()
        capsys.readouterr()
        assert main(["pull", "--explain", "--json", name, *root]) == 0
        (plan,) = json.loads(capsys.readouterr().out)
        first = plan["layers"][0]
        assert first["place"] == "partly"
        assert first["here_bytes"] > MIB
        assert first["here_bytes"] + first["fetch_bytes"] == LAYER.size
        before = between.down_bytes
        assert main(["pull", "--json", name, *root]) == 0
        (done,) = json.loads(capsys.readouterr().out)
        assert done["fetched_bytes"] == plan["fetch_bytes"]
        assert between.down_bytes - before < first["fetch_bytes"] + MIB // 2
    with Store.open(tmp_path / "store") as store:
        assert examine(store) == []


# TLS ------------------------------------------------------------------------------------------------------------------------


@needs_registry
def test_a_registry_that_wants_certificates_is_shown_those_of_docker_and_podman(
    layout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One directory of certificates serves skopeo, which fills the registry, and us."""
    servers, clients = authority("servers"), authority("clients")
    me = clients.issue("me.example")
    with running_registry(tmp_path / "r", tls=servers.issue("127.0.0.1"), clients=clients) as host:
        certificates = tmp_path / "home/.config/containers/certs.d" / host
        certificates.mkdir(parents=True)
        (certificates / "ca.crt").write_bytes(servers.certificate)
        (certificates / "client.cert").write_bytes(me.certificate)
        (certificates / "client.key").write_bytes(me.key)
        command = ["skopeo", "copy", "-q", "--insecure-policy", "--dest-cert-dir", str(certificates)]
        subprocess.run(
            [*command, f"oci:{layout}:1", f"docker://{host}/app:1"], check=True, capture_output=True, timeout=120
        )
        root = ["--root", str(tmp_path / "store")]
        assert main(["pull", "-q", f"{host}/app:1", *root]) == 0
        (certificates / "client.key").rename(certificates / "kept.key")
        (certificates / "client.cert").rename(certificates / "kept.bak")
        (certificates / "kept.key").rename(certificates / "kept2.bak")
        assert main(["pull", "-q", f"{host}/app:1", *root]) == 3
        assert "error: tls" in capsys.readouterr().err
        (certificates / "ca.crt").unlink()
        (tmp_path / "slimstage.toml").write_text(f'[registry."{host}"]\nplain-http = false\n')
        assert main(["pull", "-q", f"{host}/app:1", *root]) == 3
        assert "authority is not known here" in capsys.readouterr().err


def test_an_interrupt_ends_a_pull_at_once_and_keeps_what_came(tmp_path: Path) -> None:
    """The server is silent, and would be for a minute; nobody waits for that."""
    blob, is_silent, is_over = BIG.blobs[LAYER.digest], threading.Event(), threading.Event()

    def be_silent() -> None:
        is_silent.set()
        is_over.wait(60)

    with fake_registry() as registry:
        registry.add(BIG)
        registry.on("GET", LAYER.digest, Answer(body=blob, cut_after=3 * MIB, before_cut=be_silent), times=1)
        command = [
            sys.executable,
            "-m",
            "slimstage",
            "pull",
            f"{registry.host}/app:1",
            "--root",
            str(tmp_path / "store"),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert is_silent.wait(60)
            while not any(path.stat().st_size >= MIB for path in (tmp_path / "store/partial").iterdir()):
                assert process.poll() is None
                time.sleep(0.01)  # until it has read what was sent
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=50)
            is_over.set()
        assert (process.returncode, out) == (130, b""), err
        assert b"Traceback" not in err
        with Store.open(tmp_path / "store") as store:
            ((_, kept),) = partials(store.blobs)
            assert kept >= MIB
            assert examine(store) == []
            assert_whole(pull(registry, store))
        assert registry.seen(LAYER.digest)[-1].headers["range"] == f"bytes={kept}-"


# While it comes -------------------------------------------------------------------------------------------------------------


def pull(registry: FakeRegistry, store: Store, settings: dict[str, dict[str, object]] | None = None) -> list[Path]:
    """The unpacked layers."""
    bases = Bases(store, settings)
    base = bases.resolve(f"{registry.host}/app:1", AMD64)
    stack = bases.fetch(base, ignore, "")
    assert examine(store) == []
    return [Path(path) for path in store.snapshots.paths(stack)]


def assert_whole(layers: list[Path]) -> None:
    assert (layers[0] / "first").read_bytes() == b"1" * MIB
    assert digest_bytes((layers[0] / "noise").read_bytes()) == digest_bytes(random.Random(3).randbytes(5 * MIB))
    assert (layers[1] / "second").read_bytes() == b"2"


def test_a_layer_is_unpacked_while_its_blob_comes(registry: FakeRegistry, tmp_path: Path) -> None:
    """The server stops in the middle until the files of the first half are there."""
    blob, seen = BIG.blobs[LAYER.digest], threading.Event()
    store = Store.open(tmp_path / "store")

    def until_seen() -> None:
        for _ in range(3000):
            if any(path.stat().st_size == MIB for path in (tmp_path / "store/tmp").glob("**/first")):
                seen.set()
                return
            time.sleep(0.01)  # until the other threads have written the file

    registry.on("GET", LAYER.digest, Answer(body=blob, cut_after=3 * MIB, before_cut=until_seen), times=1)
    with store:
        assert_whole(pull(registry, store))
    assert seen.is_set()
    assert registry.seen(LAYER.digest)[1].headers["range"].startswith("bytes=")


def lies() -> list[Answer]:
    data = BIG.blobs[LAYER.digest]
    wrong_end = data[: 4 * MIB] + bytes(len(data) - 4 * MIB)
    other = memory_image({"first": b"!" * 6 * MIB}, is_gzip=False).blobs
    whole = max(other.values(), key=len)
    return [
        Answer(body=b"no gzip at all" + data[14:]),
        Answer(body=wrong_end),
        Answer(body=whole[: len(data)].ljust(len(data), b"\0")),
        Answer(body=wrong_end, cut_after=5 * MIB),
    ]


@pytest.mark.parametrize("number", range(4), ids=["no-layer", "wrong-end", "another-layer", "cut"])
def test_a_mirror_that_lies_while_its_layer_is_unpacked_leaves_nothing(
    registry: FakeRegistry, tmp_path: Path, number: int
) -> None:
    with fake_registry() as mirror, Store.open(tmp_path / "store") as store:
        mirror.on("GET", LAYER.digest, lies()[number])
        layers = pull(registry, store, {registry.host: {"mirrors": [f"http://{mirror.host}"]}})
        assert mirror.seen(LAYER.digest)
        assert_whole(layers)
        assert sorted(path.name for path in layers[0].iterdir()) == ["first", "noise"]


def test_a_layer_that_is_malformed_is_the_images_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its digest is right: no server can do better, and the error says what is wrong with the layer."""
    image: MemoryImage = memory_image({"a": b"x" * 2 * MIB})
    with fake_registry() as registry:
        registry.add(image)
        layer = image.manifest().layers[0]
        config = image.blobs[image.manifest().config.digest]
        wrong = config.replace(image.config().diff_ids[0].encode(), b"sha256:" + b"0" * 64)
        manifest = image.manifest().raw.replace(image.manifest().config.digest.encode(), digest_bytes(wrong).encode())
        registry.blobs[digest_bytes(wrong)] = wrong
        registry.put_manifest(image.manifest().media_type, manifest, "1")
        assert main(["pull", f"{registry.host}/app:1", "--root", str(tmp_path / "store")]) == 2
        assert "does not unpack to its diff ID" in capsys.readouterr().err
        assert len(registry.seen(layer.digest)) == 1
