"""Blobs on their way into the store: cut connections, ranges, lies, several threads."""

from __future__ import annotations

import gc
import random
import re
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimstage.digest import digest_bytes
from slimstage.errors import FormatError, Interrupted, RegistryError, StoreError
from slimstage.oci.descriptor import OCI_LAYER, Descriptor, host_platform
from slimstage.oci.reference import Reference, parse_reference
from slimstage.registry.client import RegistryClient
from slimstage.registry.pull import Puller
from slimstage.registry.retry import Backoff, Pauses
from slimstage.store.blobs import Blobs, BlobWriter
from slimstage.store.store import Store
from support.fake_registry import Answer, FakeRegistry, Request, error_body, fake_registry

MIB = 1 << 20
DATA = random.Random(7).randbytes(3 * MIB + 77)
BLOB = Descriptor(OCI_LAYER, digest_bytes(DATA), len(DATA))


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with fake_registry() as made:
        made.blobs[BLOB.digest] = DATA
        yield made


@pytest.fixture
def blobs(tmp_path: Path) -> Iterator[Blobs]:
    with Store.open(tmp_path / "s") as store:
        yield store.blobs
        assert not list((tmp_path / "s" / "tmp").rglob("blob-*"))  # however it ended, nothing half is left


@pytest.fixture
def puller() -> Iterator[Puller]:
    made = quick_puller({})
    yield made
    made.close()


def quick_puller(settings: dict[str, dict[str, object]], attempts: int = 5) -> Puller:
    pauses = Pauses(Backoff(attempts), wait=lambda _: None)
    return Puller(settings, client=RegistryClient(settings, environ={"HOME": "/nonexistent"}, pauses=pauses))


def name(registry: FakeRegistry) -> Reference:
    return parse_reference(f"{registry.host}/team/app:1")


def ranges(registry: FakeRegistry) -> list[str | None]:
    return [request.headers.get("range") for request in registry.seen("blobs/")]


def test_a_blob_arrives_and_is_told_of(registry: FakeRegistry, blobs: Blobs, puller: Puller) -> None:
    told: list[int] = []
    puller.fetch_blob(name(registry), BLOB, blobs, told.append)
    assert blobs.read(BLOB.digest) == DATA
    assert sum(told) == len(DATA)
    assert ranges(registry) == [None]


def test_a_blob_that_is_here_is_not_asked_for(registry: FakeRegistry, blobs: Blobs, puller: Puller) -> None:
    blobs.put(DATA)
    told: list[int] = []
    puller.fetch_blob(name(registry), BLOB, blobs, told.append)
    puller.fetch_blob(name(registry), BLOB, blobs)
    assert told == [len(DATA)]
    assert registry.requests == []


def test_a_manifest_that_lies_about_the_size_of_what_is_here(
    registry: FakeRegistry, blobs: Blobs, puller: Puller
) -> None:
    blobs.put(DATA)
    with pytest.raises(FormatError, match=f"want 5 bytes, got {len(DATA)}"):
        puller.fetch_blob(name(registry), Descriptor(OCI_LAYER, BLOB.digest, 5), blobs)


def test_an_empty_blob(registry: FakeRegistry, blobs: Blobs, puller: Puller) -> None:
    empty = Descriptor(OCI_LAYER, digest_bytes(b""), 0)
    registry.blobs[empty.digest] = b""
    puller.fetch_blob(name(registry), empty, blobs)
    assert blobs.read(empty.digest) == b""


def test_a_cut_connection_is_taken_up_where_it_broke(registry: FakeRegistry, blobs: Blobs, puller: Puller) -> None:
    registry.on("GET", "blobs/", Answer(body=DATA, cut_after=2 * MIB + 5), times=1)
    told: list[int] = []
    puller.fetch_blob(name(registry), BLOB, blobs, told.append)
    assert blobs.read(BLOB.digest) == DATA
    first, second = ranges(registry)
    assert first is None
    # What was on its way in the block that broke may be lost, nothing before it.
    assert second is not None
    assert 2 * MIB <= int(second.removeprefix("bytes=").rstrip("-")) <= 2 * MIB + 5
    assert sum(told) == len(DATA)
    assert min(told) > 0


def test_many_cuts_are_survived_as_long_as_bytes_come(registry: FakeRegistry, blobs: Blobs, puller: Puller) -> None:
    big = random.Random(8).randbytes(14 * MIB)
    blob = Descriptor(OCI_LAYER, digest_bytes(big), len(big))

    def cutting(request: Request) -> Answer:
        at = int(re.sub(r"\D", "", request.headers.get("range", "")) or 0)
        headers = {"Content-Range": f"bytes {at}-{len(big) - 1}/{len(big)}"} if at else {}
        return Answer(206 if at else 200, big[at:], headers, cut_after=MIB + 9)

    registry.on("GET", "blobs/", cutting)
    puller.fetch_blob(name(registry), blob, blobs)
    assert len(registry.requests) > 10
    assert blobs.size_bytes(blob.digest) == len(big)


def test_cuts_that_bring_next_to_nothing_end(registry: FakeRegistry, blobs: Blobs, puller: Puller) -> None:
    registry.on("GET", "blobs/", Answer(body=DATA, cut_after=10))
    told: list[int] = []
    with pytest.raises(RegistryError) as caught:
        puller.fetch_blob(name(registry), BLOB, blobs, told.append)
    assert caught.value.code == "connection-lost"
    assert len(registry.requests) == 5
    assert sum(told) == 0
    assert not blobs.has(BLOB.digest)


def test_a_body_that_ends_early_without_an_error_is_continued(
    registry: FakeRegistry, blobs: Blobs, puller: Puller
) -> None:
    registry.on("GET", "blobs/", Answer(body=DATA[: 2 * MIB], chunked=True), times=1)
    puller.fetch_blob(name(registry), BLOB, blobs)
    assert blobs.read(BLOB.digest) == DATA
    assert ranges(registry) == [None, f"bytes={2 * MIB}-"]


# Ranges that lie --------------------------------------------------------------------------------------------------


def after_a_cut(registry: FakeRegistry, *answers: Answer) -> None:
    registry.on("GET", "blobs/", Answer(body=DATA, cut_after=2 * MIB), times=1)
    for answer in answers:
        registry.on("GET", "blobs/", answer, times=1)


def test_the_whole_blob_instead_of_a_range_is_not_written_twice(
    registry: FakeRegistry, blobs: Blobs, puller: Puller
) -> None:
    """Conformance: security/range-lies."""
    after_a_cut(registry, Answer(200, DATA))
    told: list[int] = []
    puller.fetch_blob(name(registry), BLOB, blobs, told.append)
    assert blobs.read(BLOB.digest) == DATA
    assert len(registry.requests) == 2
    assert sum(told) == len(DATA)


@pytest.mark.parametrize("start", [0, 1, MIB, 2 * MIB - 1])
def test_a_range_from_earlier_on_is_not_written_twice(
    registry: FakeRegistry, blobs: Blobs, puller: Puller, start: int
) -> None:
    """Conformance: security/range-lies."""
    headers = {"Content-Range": f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"}
    after_a_cut(registry, Answer(206, DATA[start:], headers))
    puller.fetch_blob(name(registry), BLOB, blobs)
    assert blobs.read(BLOB.digest) == DATA
    assert len(registry.requests) == 2


@pytest.mark.parametrize(
    "answer",
    [
        Answer(206, DATA[3 * MIB :], {"Content-Range": f"bytes {3 * MIB}-{len(DATA) - 1}/{len(DATA)}"}),
        Answer(206, DATA[2 * MIB :], {"Content-Range": "bytes x-y/z"}),
        Answer(206, DATA[2 * MIB :], {"Content-Range": "items 0-1/2"}),
        Answer(206, DATA[2 * MIB :]),
        Answer(416),
        Answer(206, b"z" * (len(DATA) - 2 * MIB), {"Content-Range": f"bytes {2 * MIB}-{len(DATA) - 1}/{len(DATA)}"}),
        Answer(206, DATA, {"Content-Range": f"bytes {2 * MIB}-{len(DATA) - 1}/{len(DATA)}"}),
    ],
    ids=["later", "malformed", "unit", "silent", "416", "other-bytes", "longer"],
)
def test_a_range_that_is_no_continuation_begins_the_blob_again(
    registry: FakeRegistry, blobs: Blobs, puller: Puller, answer: Answer
) -> None:
    """Conformance: security/range-lies."""
    after_a_cut(registry, answer)
    told: list[int] = []
    puller.fetch_blob(name(registry), BLOB, blobs, told.append)
    assert blobs.read(BLOB.digest) == DATA
    assert ranges(registry)[2] is None
    assert len(registry.requests) == 3
    assert sum(told) == len(DATA)


# Other lies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body", [DATA[:-1] + b"!", DATA + b"x", b"", DATA[:-1]], ids=["other", "longer", "empty", "shorter"]
)
@pytest.mark.parametrize("chunked", [True, False])
def test_bytes_that_are_not_the_digests_are_refused_and_not_kept(
    registry: FakeRegistry, blobs: Blobs, body: bytes, chunked: bool
) -> None:
    puller = quick_puller({}, attempts=2)
    registry.on("GET", "blobs/", Answer(body=body, chunked=chunked))
    told: list[int] = []
    with pytest.raises(RegistryError) as caught:
        puller.fetch_blob(name(registry), BLOB, blobs, told.append)
    puller.close()
    assert caught.value.code == ("connection-lost" if len(body) < len(DATA) else "digest-mismatch")
    assert sum(told) == 0
    assert not blobs.has(BLOB.digest)


def test_an_endless_body_is_left_as_soon_as_it_is_too_long(
    registry: FakeRegistry, blobs: Blobs, puller: Puller
) -> None:
    small = Descriptor(OCI_LAYER, digest_bytes(b"small"), 5)
    registry.on("GET", "blobs/", Answer(body=b"small" * 8 * MIB))
    told: list[int] = []
    with pytest.raises(RegistryError, match="want 5 bytes, got more than 5 bytes"):
        puller.fetch_blob(name(registry), small, blobs, told.append)
    assert told == []


def test_a_blob_that_is_not_there(registry: FakeRegistry, blobs: Blobs, puller: Puller) -> None:
    registry.on("GET", "blobs/", Answer(404, error_body("BLOB_UNKNOWN", "blob unknown to registry")))
    with pytest.raises(RegistryError, match="blob unknown to registry") as caught:
        puller.fetch_blob(name(registry), BLOB, blobs)
    assert caught.value.status == 404
    assert len(registry.requests) == 1


def test_a_full_disk_is_not_blamed_on_the_registry(
    registry: FakeRegistry, blobs: Blobs, puller: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: BlobWriter, data: bytes) -> int:
        raise StoreError("the disk is full", code="disk-full")

    monkeypatch.setattr(BlobWriter, "write", full)
    with pytest.raises(StoreError, match="disk is full"):
        puller.fetch_blob(name(registry), BLOB, blobs)
    assert len(registry.requests) == 1


def test_the_login_does_not_follow_the_blob_to_its_storage(
    registry: FakeRegistry, blobs: Blobs, tmp_path: Path
) -> None:
    """Conformance: security/authorization-cross-redirect."""
    (tmp_path / "containers").mkdir()
    (tmp_path / "containers/auth.json").write_text(
        f'{{"auths": {{"{registry.host}": {{"username": "me", "password": "hunter22"}}}}}}'
    )
    client = RegistryClient({}, environ={"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)})
    with fake_registry() as storage:
        storage.on("GET", "/bucket", Answer(body=DATA, cut_after=MIB), times=1)
        cut = {"Content-Range": f"bytes {MIB}-{len(DATA) - 1}/{len(DATA)}"}
        storage.on("GET", "/bucket", Answer(206, DATA[MIB:], cut))

        def guarded(request: Request) -> Answer:
            if "authorization" not in request.headers:
                return Answer(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
            return Answer(307, headers={"Location": f"{storage.base}/bucket?X-Signature=s3cret"})

        registry.on("GET", "blobs/", guarded)
        puller = Puller({}, client=client)
        puller.fetch_blob(name(registry), BLOB, blobs)
        puller.close()
        assert [request.headers.get("range") for request in storage.requests] == [None, f"bytes={MIB}-"]
        assert all("authorization" not in request.headers for request in storage.requests)
    assert blobs.read(BLOB.digest) == DATA


# Mirrors, threads -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [Answer(404), Answer(503), Answer(body=DATA, cut_after=MIB + 1), Answer(body=b"!" * len(DATA))],
    ids=["missing", "failing", "cutting", "lying"],
)
def test_a_blob_comes_from_the_registry_when_the_mirror_fails(
    registry: FakeRegistry, blobs: Blobs, answer: Answer
) -> None:
    told: list[int] = []
    with fake_registry() as mirror:
        mirror.on("GET", "blobs/", answer)
        puller = quick_puller({registry.host: {"mirrors": [mirror.host]}})
        puller.fetch_blob(name(registry), BLOB, blobs, told.append)
        puller.close()
        assert mirror.requests
    assert ranges(registry) == [None]
    assert blobs.read(BLOB.digest) == DATA
    assert sum(told) == len(DATA)


def test_threads_that_want_one_blob_fetch_it_once(registry: FakeRegistry, blobs: Blobs, puller: Puller) -> None:
    gate = threading.Barrier(5)
    told: list[int] = []

    def work() -> None:
        gate.wait()
        puller.fetch_blob(name(registry), BLOB, blobs, told.append)

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(registry.requests) == 1
    assert sum(told) == 5 * len(DATA)


def test_several_blobs_come_at_once(registry: FakeRegistry, blobs: Blobs, puller: Puller) -> None:
    contents = [random.Random(seed).randbytes(MIB + seed) for seed in range(8)]
    registry.blobs |= {str(digest_bytes(data)): data for data in contents}
    arrived = threading.Barrier(4, timeout=60)

    def together(request: Request) -> None:
        arrived.wait()

    registry.on("GET", "blobs/", together, times=4)

    def work(part: list[bytes]) -> None:
        for data in part:
            puller.fetch_blob(name(registry), Descriptor(OCI_LAYER, digest_bytes(data), len(data)), blobs)

    threads = [threading.Thread(target=work, args=(contents[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not arrived.broken
    assert all(blobs.read(digest_bytes(data)) == data for data in contents)


def test_closing_ends_a_transfer_of_another_thread(registry: FakeRegistry, blobs: Blobs) -> None:
    client = RegistryClient({}, environ={"HOME": "/nonexistent"})
    puller = Puller({}, client=client)
    raised: list[BaseException] = []

    def work() -> None:
        try:
            puller.fetch_blob(name(registry), BLOB, blobs, lambda _: puller.close())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert isinstance(raised[0], Interrupted)
    assert not blobs.has(BLOB.digest)
    with pytest.raises(Interrupted):
        puller.resolve(name(registry), host_platform())


def test_memory_stays_small_whatever_the_size_of_the_blob(registry: FakeRegistry, blobs: Blobs, puller: Puller) -> None:
    big = bytes(48 * MIB)
    blob = Descriptor(OCI_LAYER, digest_bytes(big), len(big))
    registry.blobs[blob.digest] = big
    puller.fetch_blob(name(registry), BLOB, blobs)  # urllib3 is loaded
    gc.collect()
    tracemalloc.start()
    try:
        puller.fetch_blob(name(registry), blob, blobs)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * MIB
