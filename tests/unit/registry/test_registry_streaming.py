"""A blob that goes to a registry while it is made: streamed, cut, refused, found there after all, called off."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimstage.digest import digest_bytes
from slimstage.errors import Interrupted, RegistryError, StoreError
from slimstage.registry.faults import HttpError
from slimstage.registry.pieces import Pieces
from slimstage.registry.push import PushedBlob, Pusher
from slimstage.registry.upload import BLOCK_BYTES
from slimstage.store.growing import OtherLayer
from slimstage.store.store import Store
from support.fake_registry import Answer, FakeRegistry, Request, error_body
from support.fake_uploads import Cut
from support.uploading import KIB, PATCH, POST, PUT, AfterBytes, Growing, name, quick_pusher

LARGE = random.Random(12).randbytes(4 * BLOCK_BYTES + 77)
PIECES = Pieces(at_once=1 * KIB, whole=32 * KIB, careful=BLOCK_BYTES, smallest=8 * KIB, worth=8 * KIB)


@pytest.fixture
def pusher() -> Iterator[Pusher]:
    made = quick_pusher(pieces=PIECES)
    yield made
    made.close()


@pytest.fixture
def growing(tmp_path: Path) -> Iterator[Growing]:
    with Store.open(tmp_path / "store") as store:
        made = Growing(store, LARGE)
        yield made
        made.close()


def push_with_a_maker(pusher: Pusher, registry: FakeRegistry, growing: Growing) -> PushedBlob:
    """As `push`, where it may be that nothing goes at first: another thread makes the rest a moment later."""
    growing.write(2 * BLOCK_BYTES)
    maker = threading.Timer(0.02, growing.finish)
    maker.start()
    pushed = pusher.put_growing(name(registry), growing.blob)
    maker.join()
    assert pushed.outcome == "sent"
    assert registry.uploads.blobs["team/app", growing.digest] == LARGE
    return pushed


def push(pusher: Pusher, registry: FakeRegistry, growing: Growing, first: int = 2 * BLOCK_BYTES) -> PushedBlob:
    """Makes the rest of the blob once its first bytes have gone, and pushes it."""
    growing.write(first)
    told = AfterBytes(first, growing.finish)
    pushed = pusher.put_growing(name(registry), growing.blob, progress=told)
    assert told.done == len(growing.data)
    assert pushed.descriptor.digest == growing.digest
    assert registry.uploads.has("team/app", growing.digest)
    if pushed.outcome == "sent":
        assert registry.uploads.blobs["team/app", growing.digest] == growing.data
        assert registry.uploads.sessions == {}
    return pushed


def test_it_goes_in_one_request_while_it_is_made(registry: FakeRegistry, pusher: Pusher, growing: Growing) -> None:
    assert push(pusher, registry, growing).outcome == "sent"
    assert registry.uploads.received == [("PATCH", len(LARGE))]
    (patch,) = registry.seen("/uploads/session", "PATCH")
    assert patch.headers["transfer-encoding"] == "chunked"
    assert "content-range" not in patch.headers
    assert len(registry.seen("/blobs/sha256", "HEAD")) == 1  # once the digest was known and much was left
    assert pusher.put_blob(name(registry), growing.blob.whole(), growing.blob.open_at) == "there"


def test_what_is_made_before_it_is_worth_a_stream_is_asked_for(
    registry: FakeRegistry, pusher: Pusher, growing: Growing
) -> None:
    growing.finish()
    registry.uploads.blobs["team/app", growing.digest] = LARGE
    assert pusher.put_growing(name(registry), growing.blob).outcome == "there"
    assert [request.method for request in registry.requests] == ["HEAD"]


def test_what_is_made_before_that_is_mounted(registry: FakeRegistry, pusher: Pusher, growing: Growing) -> None:
    growing.finish()
    registry.uploads.blobs["library/base", growing.digest] = LARGE
    pushed = pusher.put_growing(name(registry), growing.blob, mounts=lambda _: [name(registry, "library/base")])
    assert pushed.outcome == "mounted"


def test_nothing_more_goes_once_it_turns_out_to_be_there(
    registry: FakeRegistry, pusher: Pusher, growing: Growing
) -> None:
    registry.uploads.blobs["team/app", growing.digest] = LARGE
    assert push(pusher, registry, growing).outcome == "there"
    ((method, sent),) = registry.uploads.received
    assert (method, sent) == ("PATCH", 2 * BLOCK_BYTES)
    assert registry.uploads.ended == ["session-1"]


def test_a_stream_is_cut_where_one_request_may_carry_no_more(registry: FakeRegistry, growing: Growing) -> None:
    pusher = quick_pusher(pieces=Pieces(whole=32 * KIB, chunk=BLOCK_BYTES))
    assert push(pusher, registry, growing, BLOCK_BYTES).outcome == "sent"
    assert registry.uploads.received == [("PATCH", BLOCK_BYTES)] * 4 + [("PATCH", 77)]


@pytest.mark.parametrize("after", [0, 1, 100 * KIB, 3 * BLOCK_BYTES, len(LARGE) - 1, None])
@pytest.mark.parametrize("keeps", [True, False])
def test_a_cut_anywhere_in_the_stream_is_survived(
    registry: FakeRegistry, pusher: Pusher, growing: Growing, after: int | None, keeps: bool
) -> None:
    registry.uploads.cuts = [Cut(*PATCH, after=after, keeps=keeps)]
    push_with_a_maker(pusher, registry, growing)
    if keeps and after != 1:  # of one byte a registry says what it says of none
        assert sum(size for _, size in registry.uploads.received) == len(LARGE)  # nothing goes twice
        assert registry.uploads.made == 1


@pytest.mark.parametrize("status", [400, 404, 411, 413, 416, 429, 500, 501, 503])
def test_what_takes_no_stream_gets_the_blob_in_pieces(
    registry: FakeRegistry, pusher: Pusher, growing: Growing, status: int
) -> None:
    def refuses(request: Request) -> Answer | None:
        return Answer(status) if "content-range" not in request.headers else None

    registry.on("PATCH", "/uploads/", refuses)
    push_with_a_maker(pusher, registry, growing)


@pytest.mark.parametrize("where", [POST, PUT])
@pytest.mark.parametrize("status", [429, 503])
def test_what_passes_is_tried_again(
    registry: FakeRegistry, pusher: Pusher, growing: Growing, status: int, where: tuple[str, str]
) -> None:
    registry.on(*where, Answer(status, headers={"Retry-After": "1"}), times=2)
    assert push(pusher, registry, growing).outcome == "sent"
    assert registry.uploads.received == [("PATCH", len(LARGE))]


def test_a_refusal_is_heard_before_the_blob_is_made(registry: FakeRegistry, pusher: Pusher, growing: Growing) -> None:
    registry.on("POST", "/uploads/", Answer(403, error_body("DENIED", "no")))
    growing.write(2 * BLOCK_BYTES)
    with pytest.raises(HttpError, match="may not push there"):
        pusher.put_growing(name(registry), growing.blob)
    assert growing.blob.descriptor is None


@pytest.mark.parametrize("said", ["0-3", "0-99999999", "nonsense", "bytes=0-17"])
def test_a_registry_that_says_it_has_something_else_gets_the_rest_or_all_again(
    registry: FakeRegistry, pusher: Pusher, growing: Growing, said: str
) -> None:
    lies = [said]

    def lie(request: Request) -> Answer | None:
        answer = registry.ordinary(request)
        if lies:
            answer.headers["Range"] = lies.pop()
        return answer

    registry.on("PATCH", "/uploads/", lie)
    assert push(pusher, registry, growing).outcome == "sent"


def test_a_registry_that_doubts_the_digest_gets_it_once_more(
    registry: FakeRegistry, pusher: Pusher, growing: Growing
) -> None:
    registry.on("PUT", "digest=", Answer(400, error_body("DIGEST_INVALID", "no")), times=1)
    assert push(pusher, registry, growing).outcome == "sent"
    assert registry.uploads.made == 2


def test_a_blob_that_cannot_be_made_leaves_no_session(registry: FakeRegistry, pusher: Pusher, growing: Growing) -> None:
    growing.write(2 * BLOCK_BYTES)
    full = StoreError("the disk is full")
    with pytest.raises(StoreError) as caught:
        pusher.put_growing(
            name(registry), growing.blob, progress=AfterBytes(BLOCK_BYTES, lambda: growing.blob.fail(full))
        )
    assert caught.value is full
    assert registry.uploads.sessions == {}


def test_another_layer_than_was_wanted_is_never_ended(registry: FakeRegistry, pusher: Pusher, tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        other = Growing(store, LARGE, digest_bytes(b"another one"))
        other.write(2 * BLOCK_BYTES)
        with pytest.raises(OtherLayer):
            pusher.put_growing(name(registry), other.blob, progress=AfterBytes(BLOCK_BYTES, other.finish))
        other.close()
    assert registry.uploads.blobs == {}


def test_a_push_that_is_called_off_ends_while_it_waits_for_bytes(
    registry: FakeRegistry, pusher: Pusher, growing: Growing
) -> None:
    growing.write(2 * BLOCK_BYTES)
    with pytest.raises(Interrupted):
        pusher.put_growing(name(registry), growing.blob, progress=AfterBytes(2 * BLOCK_BYTES, pusher.close))


def test_who_makes_it_stops_once_it_is_called_off(growing: Growing) -> None:
    growing.write(10)
    growing.blob.call_off()
    with pytest.raises(Interrupted):
        growing.write(10)


def test_a_registry_that_is_away_is_said_to_be(pusher: Pusher, growing: Growing) -> None:
    from slimstage.oci.reference import parse_reference

    growing.write(2 * BLOCK_BYTES)
    with pytest.raises(RegistryError, match="cannot connect"):
        pusher.put_growing(parse_reference("127.0.0.1:1/team/app"), growing.blob)
