"""Bases from Debian's docker-registry: two processes at once, a mirror, and an image that others can read again."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimstage.bases.resolve import Bases
from slimstage.events import ignore
from slimstage.oci.descriptor import Platform
from slimstage.store.layout_sink import LayoutSink
from slimstage.store.source import Export, StoreSource
from slimstage.store.store import Store
from support.images import MemoryImage, memory_image
from support.registry import copy_image, needs_registry, running_registry

pytestmark = needs_registry

AMD64 = Platform("linux", "amd64")

_PULL = """
import sys
from pathlib import Path
from slimstage.bases.resolve import Bases
from slimstage.events import ignore
from slimstage.oci.descriptor import Platform
from slimstage.store.store import Store

root, name = sys.argv[1:]
with Store.open(Path(root)) as store:
    bases = Bases(store)
    base = bases.resolve(name, Platform("linux", "amd64"))
    sys.stdin.readline()
    print(*bases.fetch(base, ignore, ""))
"""


@pytest.fixture(scope="module")
def image() -> MemoryImage:
    return memory_image(
        {"etc/": b"", "etc/one": b"1" * 3_000_000}, {"etc/two": bytes(range(256)) * 8000}, {"three": b"3"}
    )


@pytest.fixture(scope="module")
def served(image: MemoryImage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """(host, its log) of a registry with the image as team/app:1."""
    directory = tmp_path_factory.mktemp("bases-registry")
    LayoutSink(str(directory / "layout")).write([Export(image, ("app:1",), platform=AMD64)])
    with running_registry(directory / "registry") as host:
        copy_image(f"oci:{directory / 'layout'}:1", f"docker://{host}/team/app:1")
        yield host, directory / "registry"


def test_two_processes_pull_one_image_at_once(tmp_path: Path, served: tuple[str, Path], image: MemoryImage) -> None:
    root, (host, _) = tmp_path / "store", served
    with Store.open(root):
        pass
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _PULL, str(root), f"{host}/team/app:1"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    outputs = []
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        outputs.append(process.communicate(timeout=120)[0])
        assert process.returncode == 0
    assert len(set(outputs)) == 1
    with Store.open(root) as store:
        (stored,) = store.images.list()
        assert stored.id == image.manifest().config.digest
        assert len(list(store.snapshots.list())) == 3
        assert not [name for name in (root / "locks").iterdir() if re.match(r"step-(blob|layer)-", name.name)]


def test_an_image_that_was_pulled_leaves_with_its_own_bytes(
    tmp_path: Path, served: tuple[str, Path], image: MemoryImage
) -> None:
    host, _ = served
    with Store.open(tmp_path / "store") as store:
        bases = Bases(store)
        base = bases.resolve(f"{host}/team/app:1", AMD64)
        bases.fetch(base, ignore, "")
        source = StoreSource(store.blobs, base.manifest)
        LayoutSink(str(tmp_path / "out")).write([Export(source, ("out:1",), platform=AMD64)])
    inspected = subprocess.run(
        ["skopeo", "inspect", "--raw", f"oci:{tmp_path / 'out'}:1"], check=True, capture_output=True, timeout=60
    ).stdout
    there = subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{host}/team/app:1"],
        check=True,
        capture_output=True,
        timeout=60,
    ).stdout
    assert inspected == there
    assert [layer["digest"] for layer in json.loads(there)["layers"]] == [
        layer.digest for layer in image.manifest().layers
    ]


def test_a_mirror_of_the_settings_serves_an_image_of_another_registry(
    tmp_path: Path, served: tuple[str, Path], image: MemoryImage
) -> None:
    host, _ = served
    # The registry itself is nowhere: only the mirror can have answered.
    settings = {"registry.invalid": {"mirrors": [f"http://{host}"]}}
    with Store.open(tmp_path / "store") as store:
        bases = Bases(store, settings)
        base = bases.resolve("registry.invalid/team/app:1", AMD64)
        assert base.id == image.manifest().config.digest
        (_, second, _) = store.snapshots.paths(bases.fetch(base, ignore, ""))
        assert (Path(second) / "etc/two").stat().st_size == 256 * 8000
        (stored,) = store.images.list()
        assert stored.names == ("registry.invalid/team/app:1",)
