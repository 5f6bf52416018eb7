"""Blobs that tests push, in small pieces and without waiting, and what a test asks about each push."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import BinaryIO

import pytest

from slimstage.digest import Digest, digest_bytes
from slimstage.oci.descriptor import OCI_LAYER, Descriptor
from slimstage.oci.reference import Reference, parse_reference
from slimstage.registry.client import RegistryClient
from slimstage.registry.pieces import Pieces
from slimstage.registry.push import Pusher
from slimstage.registry.retry import Backoff, Pauses
from slimstage.registry.upload import Outcome
from slimstage.store.growing import GrowingBlob
from slimstage.store.store import Store
from support.fake_registry import FakeRegistry

KIB = 1 << 10
SMALL = Pieces(at_once=1 * KIB, whole=32 * KIB, chunk=256 * KIB, careful=32 * KIB, smallest=8 * KIB, worth=8 * KIB)
DATA = random.Random(11).randbytes(200 * KIB + 77)
PATCH, PUT, POST = ("PATCH", r"/uploads/session"), ("PUT", r"/uploads/session"), ("POST", r"/uploads/")


def quick_pusher(wait: Callable[[float], object] = lambda _: None, pieces: Pieces = SMALL, attempts: int = 5) -> Pusher:
    pauses = Pauses(Backoff(attempts), wait=wait, chance=lambda: 0.0)
    client = RegistryClient({}, environ={"HOME": "/nonexistent"}, pauses=pauses)
    return Pusher({}, client=client, pieces=pieces)


@pytest.fixture
def waits() -> list[float]:
    """How long the pusher would have waited, each time."""
    return []


@pytest.fixture
def pusher(waits: list[float]) -> Iterator[Pusher]:
    made = quick_pusher(waits.append)
    yield made
    made.close()


def name(registry: FakeRegistry, repository: str = "team/app") -> Reference:
    return parse_reference(f"{registry.host}/{repository}")


class Source:
    """A blob's bytes, and from where they were read."""

    def __init__(self, data: bytes) -> None:
        self.data, self.opened = data, list[int]()
        self.blob = Descriptor(OCI_LAYER, digest_bytes(data), len(data))

    def open_at(self, offset: int) -> BinaryIO:
        self.opened.append(offset)
        stream = io.BytesIO(self.data)
        stream.seek(offset)
        return stream


def push(pusher: Pusher, registry: FakeRegistry, data: bytes = DATA, *mounts: str) -> tuple[Outcome, list[int]]:
    """How it went, and what was told; asserts that the registry has just these bytes when it is said so."""
    source, told = Source(data), list[int]()
    outcome = pusher.put_blob(
        name(registry),
        source.blob,
        source.open_at,
        mounts=[name(registry, each) for each in mounts],
        progress=told.append,
    )
    if outcome != "there":
        assert registry.uploads.blobs["team/app", source.blob.digest] == data
    assert sum(told) == len(data)
    return outcome, told


class Growing:
    """A blob that is being made in a store: `write` and `finish` make it, in whatever thread the test has."""

    def __init__(self, store: Store, data: bytes = DATA, diff_id: Digest | None = None) -> None:
        self.data, self.digest = data, digest_bytes(data)
        self.blob = GrowingBlob(diff_id or self.digest)
        self._stack = ExitStack()
        self._writer = self._stack.enter_context(store.blobs.writer())
        self._written = 0
        self.blob.begin(self._writer)

    def write(self, count: int | None = None) -> None:
        """The next so many bytes, or all that are left."""
        end = len(self.data) if count is None else self._written + count
        self._writer.write(self.data[self._written : end])
        self._written = end

    def finish(self) -> None:
        self.write()
        self.blob.end(Descriptor(OCI_LAYER, self.digest, len(self.data)), self.digest)
        self._writer.commit(self.digest)

    def close(self) -> None:
        self._stack.close()
        self.blob.close()


class AfterBytes:
    """Told what moved as a push's `progress`; calls once when so many bytes have gone."""

    def __init__(self, count: int, then: Callable[[], object]) -> None:
        self.done, self._count, self._then = 0, count, then

    def __call__(self, count: int) -> None:
        self.done += count
        if self._count <= self.done:
            self._count, then = 1 << 60, self._then
            then()
