"""What an interrupted transfer brought is used by the next one, in this process or another, and never trusted."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimstage.digest import digest_bytes
from slimstage.errors import Interrupted, RegistryError, StoreError
from slimstage.oci.descriptor import OCI_LAYER, Descriptor
from slimstage.oci.reference import parse_reference
from slimstage.registry.client import RegistryClient
from slimstage.registry.pull import Puller
from slimstage.registry.retry import Backoff, Pauses
from slimstage.store.blobs import BlobWriter
from slimstage.store.collect import prune
from slimstage.store.doctor import examine
from slimstage.store.partial import KEPT_S, partial_bytes, partials
from slimstage.store.store import Store
from support.fake_registry import Answer, FakeRegistry, Request, fake_registry

MIB = 1 << 20
DATA = random.Random(11).randbytes(3 * MIB + 77)
BLOB = Descriptor(OCI_LAYER, digest_bytes(DATA), len(DATA))
CUT = 2 * MIB + 5


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with fake_registry() as made:
        made.blobs[BLOB.digest] = DATA
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "s") as opened:
        yield opened


def fetch(registry: FakeRegistry, store: Store, settings: dict[str, dict[str, object]] | None = None) -> list[int]:
    """One command's worth: nothing is shared with the one before but the store."""
    client = RegistryClient(
        settings or {}, environ={"HOME": "/nonexistent"}, pauses=Pauses(Backoff(1), wait=lambda _: None)
    )
    puller = Puller({}, client=client)
    told: list[int] = []
    try:
        puller.fetch_blob(parse_reference(f"{registry.host}/team/app:1"), BLOB, store.blobs, told.append)
    finally:
        puller.close()
    return told


def interrupted(registry: FakeRegistry, store: Store) -> None:
    registry.on("GET", "blobs/", Answer(body=DATA, cut_after=CUT), times=1)
    with pytest.raises(RegistryError):
        fetch(registry, store)


def ranges(registry: FakeRegistry) -> list[str | None]:
    return [request.headers.get("range") for request in registry.seen("blobs/")]


def test_the_next_command_asks_for_the_rest_only(registry: FakeRegistry, store: Store) -> None:
    interrupted(registry, store)
    assert partial_bytes(store.blobs, BLOB.digest) == CUT
    told = fetch(registry, store)
    assert ranges(registry) == [None, f"bytes={CUT}-"]
    assert (told[0], sum(told)) == (CUT, len(DATA))
    assert store.blobs.read(BLOB.digest) == DATA
    assert partials(store.blobs) == []
    assert examine(store) == []


def test_a_blob_that_was_whole_when_its_process_was_killed_is_not_asked_for(
    registry: FakeRegistry, store: Store
) -> None:
    interrupted(registry, store)
    ((path, _),) = partials(store.blobs)
    Path(path).write_bytes(DATA)
    fetch(registry, store)
    assert ranges(registry) == [None]
    assert store.blobs.read(BLOB.digest) == DATA


@pytest.mark.parametrize(
    "spoilt",
    [b"\0" * CUT, DATA[:MIB] + b"!" + DATA[MIB + 1 : CUT], DATA + b"more", b"z" * len(DATA)],
    ids=["zeros", "one-byte", "longer", "whole-and-wrong"],
)
def test_bytes_that_were_spoilt_meanwhile_cost_a_transfer_and_nothing_else(
    registry: FakeRegistry, store: Store, spoilt: bytes
) -> None:
    """A power cut may leave zeros in place of what was not on the disk yet."""
    interrupted(registry, store)
    ((path, _),) = partials(store.blobs)
    Path(path).write_bytes(spoilt)
    told = fetch(registry, store)
    assert sum(told) == len(DATA)
    assert store.blobs.read(BLOB.digest) == DATA
    assert ranges(registry)[-1] is None
    assert partials(store.blobs) == []


def test_what_one_server_sent_is_not_continued_from_another(registry: FakeRegistry, store: Store) -> None:
    with fake_registry() as mirror:
        mirror.on("GET", "blobs/", Answer(body=b"!" * len(DATA), cut_after=CUT))
        fetch(registry, store, {registry.host: {"mirrors": [mirror.host]}})
    assert ranges(registry) == [None]
    assert partials(store.blobs) == []  # the mirror's part is of no use any more


def test_bytes_that_are_not_the_digests_are_not_kept(registry: FakeRegistry, store: Store) -> None:
    registry.on("GET", "blobs/", Answer(body=DATA[:-1] + b"!"))
    with pytest.raises(RegistryError, match="sends other bytes"):
        fetch(registry, store)
    assert partials(store.blobs) == []


def test_a_full_disk_gets_its_room_back(registry: FakeRegistry, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    write = BlobWriter.write

    def full(self: BlobWriter, data: bytes) -> int:
        if self.size_bytes > MIB:
            raise StoreError("the disk is full", code="disk-full")
        return write(self, data)

    monkeypatch.setattr(BlobWriter, "write", full)
    with pytest.raises(StoreError, match="disk is full"):
        fetch(registry, store)
    assert partials(store.blobs) == []


def test_a_transfer_that_is_called_off_keeps_what_came(registry: FakeRegistry, store: Store) -> None:
    client = RegistryClient({}, environ={"HOME": "/nonexistent"})
    puller = Puller({}, client=client)
    with pytest.raises(Interrupted):
        puller.fetch_blob(parse_reference(f"{registry.host}/team/app:1"), BLOB, store.blobs, lambda _: puller.close())
    kept = partial_bytes(store.blobs, BLOB.digest)
    assert kept >= MIB
    fetch(registry, store)
    assert ranges(registry)[-1] == f"bytes={kept}-"


_PULL = """
import sys
from pathlib import Path
from slimstage.oci.descriptor import OCI_LAYER, Descriptor
from slimstage.oci.reference import parse_reference
from slimstage.registry.pull import Puller
from slimstage.store.store import Store

root, host, digest, size = sys.argv[1:]
with Store.open(Path(root)) as store:
    Puller({}).fetch_blob(parse_reference(f"{host}/team/app:1"), Descriptor(OCI_LAYER, digest, int(size)), store.blobs)
"""


def test_a_process_that_was_killed_leaves_what_came(registry: FakeRegistry, store: Store) -> None:
    """kill -9 in the middle: the store is sound, and the next command goes on from the last byte that was written."""
    sent, goes_on = threading.Event(), threading.Event()

    def halt() -> None:
        sent.set()
        goes_on.wait(60)

    registry.on("GET", "blobs/", Answer(body=DATA, cut_after=CUT, before_cut=halt), times=1)
    command = [sys.executable, "-c", _PULL, str(store.root), registry.host, BLOB.digest, str(BLOB.size)]
    with subprocess.Popen(command) as process:
        assert sent.wait(60)
        while partial_bytes(store.blobs, BLOB.digest) < 2 * MIB:
            assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        goes_on.set()
    kept = partial_bytes(store.blobs, BLOB.digest)
    assert kept >= 2 * MIB
    assert examine(store) == []
    fetch(registry, store)
    assert ranges(registry)[-1] == f"bytes={kept}-"
    assert store.blobs.read(BLOB.digest) == DATA


def test_two_at_once_do_not_write_into_one_file(registry: FakeRegistry, store: Store) -> None:
    """The second one finds the first one's part locked, and gets along without."""
    gate = threading.Barrier(2, timeout=60)

    def together(request: Request) -> None:
        gate.wait()

    registry.on("GET", "blobs/", together, times=2)
    threads = [threading.Thread(target=fetch, args=(registry, store)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ranges(registry) == [None, None]
    assert store.blobs.read(BLOB.digest) == DATA
    assert partials(store.blobs) == []


def test_prune_removes_parts_that_nobody_goes_on_with(registry: FakeRegistry, store: Store) -> None:
    interrupted(registry, store)
    would = prune(store, dry_run=True)
    assert [(thing.kind, thing.size_bytes) for thing in would.removed] == [("temporary", CUT)]
    assert len(partials(store.blobs)) == 1
    report = prune(store)
    assert [(thing.kind, thing.size_bytes) for thing in report.removed] == [("temporary", CUT)]
    assert partials(store.blobs) == []


def test_old_parts_go_when_another_transfer_begins(registry: FakeRegistry, store: Store) -> None:
    interrupted(registry, store)
    ((path, _),) = partials(store.blobs)
    other = Path(path).parent / ("sha256-" + "0" * 64 + ".0123456789abcdef")
    for place in (other, other.with_suffix(".fedcba9876543210")):
        place.write_bytes(b"x" * 10)
    old = os.stat(path).st_mtime - KEPT_S - 60
    os.utime(other, (old, old))
    fetch(registry, store)
    assert [os.path.basename(path) for path, _ in partials(store.blobs)] == [
        other.with_suffix(".fedcba9876543210").name
    ]


def test_a_link_in_place_of_a_part_is_not_followed(registry: FakeRegistry, store: Store, tmp_path: Path) -> None:
    interrupted(registry, store)
    ((path, _),) = partials(store.blobs)
    (tmp_path / "victim").write_bytes(b"mine")
    os.unlink(path)
    os.symlink(tmp_path / "victim", path)
    with pytest.raises(StoreError):
        fetch(registry, store)
    assert (tmp_path / "victim").read_bytes() == b"mine"
