"""Blobs of a registry, read as they come: every byte once, however often the connection breaks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from slimstage.digest import digest_bytes
from slimstage.errors import DigestMismatch, Interrupted, RegistryError
from slimstage.oci.descriptor import Descriptor
from slimstage.oci.reference import Reference
from slimstage.registry.client import RegistryClient
from slimstage.registry.retry import Backoff, Pauses
from slimstage.registry.stream import blob_stream
from slimstage.store.source import checked
from support.fake_registry import Answer, FakeRegistry, fake_registry

DATA = bytes(range(256)) * 20_000
BLOB = Descriptor("application/octet-stream", digest_bytes(DATA), len(DATA))
PATH = f"/blobs/{BLOB.digest}"


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with fake_registry() as made:
        made.blobs[BLOB.digest] = DATA
        yield made


@pytest.fixture
def client() -> Iterator[RegistryClient]:
    pauses = Pauses(Backoff(attempts=3), wait=lambda _: None)
    made = RegistryClient({}, environ={"HOME": "/nonexistent"}, pauses=pauses)
    yield made
    made.close()


def read(client: RegistryClient, registry: FakeRegistry, offset: int = 0, blob: Descriptor = BLOB) -> bytes:
    with blob_stream(client, Reference(registry.host, "team/app"), blob, offset) as stream:
        parts = []
        while block := stream.read(100_000):
            parts.append(block)
        return b"".join(parts)


@pytest.mark.parametrize("offset", [0, 1, 3_000_000, len(DATA) - 1, len(DATA)])
def test_all_is_read_from_any_offset(client: RegistryClient, registry: FakeRegistry, offset: int) -> None:
    assert read(client, registry, offset) == DATA[offset:]
    assert len(registry.seen(PATH)) == (offset < len(DATA))


def test_reading_goes_on_where_the_connection_broke(client: RegistryClient, registry: FakeRegistry) -> None:
    registry.on("GET", PATH, Answer(body=DATA, cut_after=1_500_000), times=1)
    assert read(client, registry) == DATA
    first, second = registry.seen(PATH)
    assert "range" not in first.headers
    assert second.headers["range"] == "bytes=1500000-"


def test_a_server_that_sends_all_again_doubles_nothing(client: RegistryClient, registry: FakeRegistry) -> None:
    registry.on("GET", PATH, Answer(body=DATA, cut_after=1_500_000), times=1)
    registry.on("GET", PATH, Answer(body=DATA), times=1)
    assert read(client, registry) == DATA


def test_another_range_than_asked_is_refused(client: RegistryClient, registry: FakeRegistry) -> None:
    registry.on("GET", PATH, Answer(body=DATA, cut_after=1_000), times=1)
    registry.on("GET", PATH, Answer(206, DATA[2_000:], {"Content-Range": f"bytes 2000-{len(DATA) - 1}/{len(DATA)}"}))
    with pytest.raises(RegistryError, match="another range"):
        read(client, registry)


def test_a_blob_longer_than_said_ends_at_once(client: RegistryClient, registry: FakeRegistry) -> None:
    with pytest.raises(RegistryError, match="larger than its descriptor says"):
        read(client, registry, blob=Descriptor(BLOB.media_type, BLOB.digest, 1_000))


def test_failures_end_after_some_attempts_that_brought_little(client: RegistryClient, registry: FakeRegistry) -> None:
    registry.on("GET", PATH, Answer(503))
    with pytest.raises(RegistryError, match="503"):
        read(client, registry)
    assert len(registry.seen(PATH)) == 3


def test_other_bytes_are_seen_by_whoever_checks(client: RegistryClient, registry: FakeRegistry) -> None:
    registry.blobs[BLOB.digest] = b"x" + DATA[1:]
    with blob_stream(client, Reference(registry.host, "team/app"), BLOB) as stream:
        reader = checked(stream, BLOB)
        with pytest.raises(DigestMismatch):
            list(iter(lambda: reader.read(1 << 20), b""))


def test_closing_the_client_ends_a_stream(client: RegistryClient, registry: FakeRegistry) -> None:
    with blob_stream(client, Reference(registry.host, "team/app"), BLOB) as stream:
        assert stream.read(10) == DATA[:10]
        client.close()
        with pytest.raises(Interrupted):
            list(iter(lambda: stream.read(1 << 20), b""))
