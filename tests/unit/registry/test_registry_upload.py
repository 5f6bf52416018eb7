"""One blob on its way to a registry: found, mounted, sent at once, whole or in chunks; cut, refused, lied to."""

from __future__ import annotations

import io

import pytest

from slimstage.digest import digest_bytes
from slimstage.errors import DigestMismatch, Interrupted, RegistryError, StoreError
from slimstage.oci.descriptor import OCI_LAYER, Descriptor
from slimstage.oci.reference import parse_reference
from slimstage.registry.faults import HttpError
from slimstage.registry.pieces import Pieces
from slimstage.registry.push import Pusher
from support.fake_registry import Answer, FakeRegistry, Request, error_body
from support.fake_uploads import Cut
from support.uploading import DATA, KIB, PATCH, POST, PUT, Source, name, push, quick_pusher

# Without faults -----------------------------------------------------------------------------------------------


def test_a_large_blob_goes_in_one_chunk_and_is_ended(registry: FakeRegistry, pusher: Pusher) -> None:
    assert push(pusher, registry)[0] == "sent"
    assert registry.uploads.received == [("PATCH", len(DATA))]
    (patch,) = registry.seen("/uploads/session", "PATCH")
    assert patch.headers["content-range"] == f"0-{len(DATA) - 1}"
    (put,) = registry.seen("/uploads/session", "PUT")
    assert put.body == b""


def test_a_small_blob_goes_with_the_request_that_ends_the_upload(registry: FakeRegistry, pusher: Pusher) -> None:
    push(pusher, registry, DATA[: 20 * KIB])
    assert registry.uploads.received == [("PUT", 20 * KIB)]


def test_a_tiny_blob_goes_at_once_where_the_registry_takes_it(registry: FakeRegistry, pusher: Pusher) -> None:
    registry.uploads.takes_at_once = True
    push(pusher, registry, DATA[:500])
    assert registry.uploads.received == [("POST", 500)]
    assert [request.method for request in registry.requests] == ["HEAD", "POST"]


def test_where_it_does_not_that_is_tried_once(registry: FakeRegistry, pusher: Pusher) -> None:
    push(pusher, registry, DATA[:500])
    push(pusher, registry, DATA[:400])
    assert registry.uploads.received == [("PUT", 500), ("PUT", 400)]
    assert [len(request.body) for request in registry.seen("/uploads/", "POST")] == [500, 0]


def test_a_registry_that_refuses_it_at_once_gets_it_in_steps(registry: FakeRegistry, pusher: Pusher) -> None:
    registry.on("POST", r"digest=", Answer(400, error_body("UNSUPPORTED", "no")))
    push(pusher, registry, DATA[:500])
    assert registry.uploads.received == [("PUT", 500)]


def test_an_empty_blob_is_pushed(registry: FakeRegistry, pusher: Pusher) -> None:
    push(pusher, registry, b"")
    assert registry.uploads.blobs["team/app", digest_bytes(b"")] == b""


def test_a_blob_that_is_there_is_not_sent(registry: FakeRegistry, pusher: Pusher) -> None:
    push(pusher, registry)
    before = len(registry.requests)
    assert push(quick_pusher(), registry)[0] == "there"
    assert [request.method for request in registry.requests[before:]] == ["HEAD"]


def test_a_blob_of_another_size_under_the_digest_is_not_taken_for_it(registry: FakeRegistry, pusher: Pusher) -> None:
    registry.on("HEAD", "/blobs/", Answer(200, b"short"))
    assert push(pusher, registry)[0] == "sent"


def test_a_blob_goes_once_however_often_it_is_asked_for(registry: FakeRegistry, pusher: Pusher) -> None:
    assert push(pusher, registry)[0] == "sent"
    before = len(registry.requests)
    assert push(pusher, registry)[0] == "there"
    assert registry.requests[before:] == []


def test_chunks_are_not_smaller_than_the_registry_says(registry: FakeRegistry) -> None:
    registry.uploads.smallest_chunk = 50 * KIB
    push(quick_pusher(pieces=Pieces(at_once=0, whole=0, chunk=10 * KIB, smallest=KIB)), registry)
    assert registry.uploads.received == [("PATCH", 50 * KIB)] * 4 + [("PATCH", 77)]


@pytest.mark.parametrize(
    "location",
    [
        "/v2/{repository}/blobs/uploads/{session}",
        "/v2/{repository}/blobs/uploads/{session}?a=b%2Fc&d=e%20f",
        "{session}?x=1",
    ],
)
def test_a_location_is_followed_as_it_is(registry: FakeRegistry, pusher: Pusher, location: str) -> None:
    registry.uploads.location = location
    push(pusher, registry)
    query = location.partition("?")[2]
    (put,) = registry.seen("/uploads/session", "PUT")
    assert put.path.partition("?")[2] == (f"{query}&" if query else "") + f"digest={digest_bytes(DATA)}"


def test_an_absolute_location_is_followed(registry: FakeRegistry, pusher: Pusher) -> None:
    registry.uploads.location = registry.base + "/v2/{repository}/blobs/uploads/{session}?s=1"
    assert push(pusher, registry)[0] == "sent"


def test_each_answer_says_where_it_goes_on(registry: FakeRegistry) -> None:
    pusher = quick_pusher(pieces=Pieces(at_once=0, whole=0, chunk=50 * KIB, smallest=KIB))

    def moved(request: Request) -> Answer | None:
        registry.uploads.location = f"/v2/{{repository}}/blobs/uploads/{{session}}?n={len(registry.requests)}"
        return None

    registry.on("PATCH", "/uploads/", moved)
    push(pusher, registry)
    paths = [request.path for request in registry.requests if request.method in ("PATCH", "PUT")]
    assert len({path.partition("&digest")[0] for path in paths}) == len(paths)


def test_a_sha512_digest_is_kept(registry: FakeRegistry, pusher: Pusher) -> None:
    import hashlib

    from slimstage.digest import parse_digest

    source = Source(DATA)
    blob = Descriptor(OCI_LAYER, parse_digest("sha512:" + hashlib.sha512(DATA).hexdigest()), len(DATA))
    assert pusher.put_blob(name(registry), blob, source.open_at) == "sent"
    assert registry.uploads.has("team/app", blob.digest)


# Mounts -------------------------------------------------------------------------------------------------------


def test_a_blob_of_another_repository_is_mounted(registry: FakeRegistry, pusher: Pusher) -> None:
    registry.uploads.blobs["library/base", digest_bytes(DATA)] = DATA
    assert push(pusher, registry, DATA, "library/base")[0] == "mounted"
    assert registry.uploads.received == []


def test_mounts_from_other_registries_are_not_asked_for(registry: FakeRegistry, pusher: Pusher) -> None:
    source = Source(DATA)
    elsewhere = parse_reference("registry.example/library/base")
    assert pusher.put_blob(name(registry), source.blob, source.open_at, mounts=[elsewhere]) == "sent"
    assert registry.seen("mount=", "POST") == []


def test_a_session_in_place_of_a_mount_is_used(registry: FakeRegistry, pusher: Pusher) -> None:
    assert push(pusher, registry, DATA, "library/base")[0] == "sent"
    assert registry.uploads.made == 1
    assert registry.uploads.sessions == {}


def test_a_mount_that_is_a_lie_is_found_out(registry: FakeRegistry, pusher: Pusher) -> None:
    registry.on("POST", "mount=", Answer(201, headers={"Location": "/v2/team/app/blobs/none"}))
    assert push(pusher, registry, DATA, "library/base")[0] == "sent"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
def test_a_source_that_may_not_be_read_is_no_failure(registry: FakeRegistry, pusher: Pusher, status: int) -> None:
    registry.on("POST", "mount=", Answer(status, error_body("DENIED", "not yours")))
    assert push(pusher, registry, DATA, "library/base")[0] == "sent"


def test_the_second_repository_mounts_what_the_first_got(registry: FakeRegistry, pusher: Pusher) -> None:
    push(pusher, registry)
    source = Source(DATA)
    assert pusher.put_blob(name(registry, "team/other"), source.blob, source.open_at) == "mounted"
    assert registry.uploads.received == [("PATCH", len(DATA))]


# Statuses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
@pytest.mark.parametrize("where", [POST, PATCH, PUT, ("HEAD", "/blobs/")])
def test_what_passes_is_tried_again(
    registry: FakeRegistry, pusher: Pusher, status: int, where: tuple[str, str]
) -> None:
    registry.on(*where, Answer(status, error_body("UNKNOWN", "not now")), times=2)
    assert push(pusher, registry)[0] == "sent"
    assert registry.uploads.received[-1] == ("PATCH", len(DATA)) or len(registry.uploads.received) == 7


def test_the_wait_that_a_registry_asks_for_is_kept(registry: FakeRegistry, pusher: Pusher, waits: list[float]) -> None:
    registry.on("PATCH", "/uploads/", Answer(429, headers={"Retry-After": "7"}), times=1)
    push(pusher, registry)
    assert waits == [7.0]


def test_a_416_asks_what_is_there(registry: FakeRegistry, pusher: Pusher) -> None:
    refused = iter([None, Answer(416)])
    registry.on("PATCH", "/uploads/", lambda _: next(refused, None))
    assert push(quick_pusher(pieces=Pieces(at_once=0, whole=0, chunk=100 * KIB, smallest=KIB)), registry)[0] == "sent"
    assert len(registry.seen("/uploads/session", "GET")) == 1
    assert sum(size for _, size in registry.uploads.received) == len(DATA)


def test_416_without_end_ends(registry: FakeRegistry, pusher: Pusher) -> None:
    registry.on("PATCH", "/uploads/", Answer(416))
    with pytest.raises(HttpError):
        push(pusher, registry)
    assert registry.uploads.sessions == {}


def test_a_request_too_large_is_cut_smaller(registry: FakeRegistry, pusher: Pusher) -> None:
    def limit(request: Request) -> Answer | None:
        return Answer(413, b"<html>") if len(request.body) > 20 * KIB else None

    for method in ("PATCH", "PUT"):
        registry.on(method, "/uploads/", limit)
    assert push(pusher, registry)[0] == "sent"
    assert max(size for _, size in registry.uploads.received) <= 20 * KIB


def test_a_registry_that_takes_nothing_says_how_to_help(registry: FakeRegistry, pusher: Pusher) -> None:
    registry.on("PATCH", "/uploads/", Answer(413, b"<html>"))
    with pytest.raises(HttpError, match="takes no request of this size") as caught:
        push(pusher, registry)
    assert caught.value.code == "too-large"
    assert "client_max_body_size" in (caught.value.hint or "")
    assert registry.uploads.sessions == {}


# Lies ---------------------------------------------------------------------------------------------------------


def answering(registry: FakeRegistry, said: str | None, method: str = "PATCH", times: int = 1) -> None:
    """The next requests are worked upon, and answered with another range."""

    def reply(request: Request) -> Answer | None:
        answer = registry.uploads.answer(request, {}, {})
        assert answer is not None
        answer.headers.pop("Range", None)
        if said is not None:
            answer.headers["Range"] = said
        return answer

    registry.on(method, "/uploads/session", reply, times)


@pytest.mark.parametrize("said", ["0-1000", "0-0", "0-99999999", "bytes=5-9", "0--4", "lots", "0-1e3", "", None])
def test_a_range_that_lies_never_makes_a_wrong_blob(registry: FakeRegistry, pusher: Pusher, said: str | None) -> None:
    answering(registry, said)
    assert push(pusher, registry)[0] == "sent"


@pytest.mark.parametrize("said", ["0-1000", "0-0", "0-99999999", "bytes 5-9", "lots", None])
def test_a_status_that_lies_never_makes_a_wrong_blob(registry: FakeRegistry, pusher: Pusher, said: str | None) -> None:
    registry.uploads.cuts = [Cut(*PATCH, after=64 * KIB)]
    answering(registry, said, "GET")
    assert push(pusher, registry)[0] == "sent"


def test_a_registry_that_lies_always_is_left(registry: FakeRegistry, pusher: Pusher) -> None:
    answering(registry, "0-99999999", times=1000)
    with pytest.raises(RegistryError, match="says that it has 0-99999999"):
        push(pusher, registry)
    assert registry.uploads.sessions == {}


def test_a_range_in_another_spelling_is_read(registry: FakeRegistry, pusher: Pusher) -> None:
    answering(registry, f"bytes=0-{len(DATA) - 1}")
    push(pusher, registry)
    assert registry.uploads.received == [("PATCH", len(DATA))]


def test_bytes_that_changed_on_the_way_go_again(registry: FakeRegistry, pusher: Pusher) -> None:
    def damage(request: Request) -> Answer | None:
        request.body = b"x" + request.body[1:]
        return None

    registry.on("PATCH", "/uploads/", damage, times=1)
    assert push(pusher, registry)[0] == "sent"
    assert len(registry.uploads.received) == 2


def test_a_registry_that_doubts_the_digest_twice_is_believed(registry: FakeRegistry, pusher: Pusher) -> None:
    registry.on("PUT", "/uploads/", Answer(400, error_body("DIGEST_INVALID", "no")))
    with pytest.raises(HttpError, match="no"):
        push(pusher, registry)
    assert len(registry.uploads.received) == 2
    assert registry.uploads.sessions == {}


def test_bytes_that_are_not_the_digests_are_not_pushed(registry: FakeRegistry, pusher: Pusher) -> None:
    blob = Source(DATA).blob
    with pytest.raises(DigestMismatch):
        pusher.put_blob(name(registry), blob, Source(b"x" * len(DATA)).open_at)
    assert registry.uploads.blobs == {}
    assert registry.uploads.sessions == {}


def test_bytes_that_end_early_are_not_pushed(registry: FakeRegistry, pusher: Pusher) -> None:
    blob = Source(DATA).blob
    with pytest.raises(DigestMismatch):
        pusher.put_blob(name(registry), blob, Source(DATA[:-1]).open_at)
    assert registry.uploads.blobs == {}


def test_bytes_that_cannot_be_read_are_no_failure_of_the_registry(registry: FakeRegistry, pusher: Pusher) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(StoreError, match="the disk failed"):
        pusher.put_blob(name(registry), Source(DATA).blob, lambda _: Broken())
    assert registry.uploads.ended == ["session-1"]


# Ends ---------------------------------------------------------------------------------------------------------


def test_a_push_that_is_called_off_gives_its_session_up(registry: FakeRegistry) -> None:
    pusher = quick_pusher()

    def stop(request: Request) -> Answer | None:
        pusher.close()
        return None

    registry.on("PATCH", "/uploads/", stop)
    with pytest.raises(Interrupted):
        push(pusher, registry)
    assert registry.uploads.ended == ["session-1"]


def test_a_digest_is_checked_before_an_address_is_made_of_it(registry: FakeRegistry, pusher: Pusher) -> None:
    from slimstage.errors import FormatError

    source = Source(DATA)
    for digest in ("sha256:../../etc/passwd", "sha256:" + "A" * 64, "md5:" + "0" * 32, "sha256:" + "0" * 64 + "?x"):
        blob = Descriptor(OCI_LAYER, digest, len(DATA))  # type: ignore[arg-type]  # what a hostile document would say
        with pytest.raises(FormatError):
            pusher.put_blob(name(registry), blob, source.open_at)
    assert registry.requests == []
