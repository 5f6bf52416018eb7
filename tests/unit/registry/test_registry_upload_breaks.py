"""Connections that break in an upload, at every byte of every request: it goes on, and nothing goes twice without need."""

from __future__ import annotations

import pytest

from slimstage.errors import RegistryError
from slimstage.registry.pieces import Pieces
from slimstage.registry.push import Pusher
from support.fake_registry import Answer, FakeRegistry, error_body
from support.fake_uploads import Cut
from support.uploading import DATA, KIB, PATCH, POST, PUT, push, quick_pusher


def test_it_goes_on_at_the_byte_that_arrived(registry: FakeRegistry, pusher: Pusher) -> None:
    registry.uploads.cuts = [Cut(*PATCH, after=100 * KIB + 3)]
    assert push(pusher, registry)[0] == "sent"
    sizes = [size for _, size in registry.uploads.received]
    assert sizes[0] == 100 * KIB + 3
    assert sum(sizes) == len(DATA)  # nothing goes twice
    assert registry.uploads.made == 1


@pytest.mark.parametrize("after", [0, 1, 64 * KIB, len(DATA) - 1, len(DATA), None])
@pytest.mark.parametrize("keeps", [True, False])
def test_a_cut_anywhere_in_a_chunk_is_survived(
    registry: FakeRegistry, pusher: Pusher, after: int | None, keeps: bool
) -> None:
    registry.uploads.cuts = [Cut(*PATCH, after=after, keeps=keeps)]
    assert push(pusher, registry)[0] == "sent"


@pytest.mark.parametrize("where", [POST, PUT, ("HEAD", "/blobs/"), ("GET", "/uploads/")])
@pytest.mark.parametrize("after", [0, None])
@pytest.mark.parametrize("size", [500, 20 * KIB, len(DATA)])
def test_a_cut_of_any_request_is_survived(
    registry: FakeRegistry, pusher: Pusher, where: tuple[str, str], after: int | None, size: int
) -> None:
    registry.uploads.cuts = [Cut(*where, after=after), Cut(*PATCH, after=3)]
    assert push(pusher, registry, DATA[:size])[0] == "sent"


def test_an_answer_that_was_lost_at_the_end_sends_nothing_again(registry: FakeRegistry, pusher: Pusher) -> None:
    registry.uploads.cuts = [Cut(*PUT, after=None)]
    assert push(pusher, registry)[0] == "sent"
    assert registry.uploads.received == [("PATCH", len(DATA))]


def test_after_a_break_chunks_are_small(registry: FakeRegistry, pusher: Pusher) -> None:
    registry.uploads.cuts = [Cut(*PATCH, after=100 * KIB, keeps=False)]
    push(pusher, registry)
    assert [size for _, size in registry.uploads.received][1:] == [32 * KIB] * 6 + [8 * KIB + 77]


def test_a_session_that_is_gone_is_begun_again(registry: FakeRegistry, pusher: Pusher) -> None:
    registry.uploads.cuts = [Cut(*PATCH, after=64 * KIB)]
    registry.on("GET", "/uploads/", Answer(404, error_body("BLOB_UPLOAD_INVALID", "gone")), times=1)
    assert push(pusher, registry)[0] == "sent"
    assert registry.uploads.made == 2


def test_many_breaks_are_survived_while_something_arrives(registry: FakeRegistry, pusher: Pusher) -> None:
    registry.uploads.cuts = [Cut(*PATCH, after=10 * KIB, times=15)]
    assert push(pusher, registry)[0] == "sent"
    assert sum(size for _, size in registry.uploads.received) == len(DATA)


def test_breaks_without_anything_arriving_end(registry: FakeRegistry, pusher: Pusher, waits: list[float]) -> None:
    registry.uploads.cuts = [Cut(*PATCH, after=10 * KIB, keeps=False, times=100)]
    with pytest.raises(RegistryError, match="the connection was lost"):
        push(pusher, registry)
    assert len(waits) == 4


def test_a_registry_that_forgets_every_session_is_not_asked_for_ever(registry: FakeRegistry, pusher: Pusher) -> None:
    registry.uploads.cuts = [Cut(*PATCH, after=150 * KIB, times=100)]
    registry.on("GET", "/uploads/", Answer(404, error_body("BLOB_UPLOAD_INVALID", "gone")))
    with pytest.raises(RegistryError, match="the connection was lost"):
        push(quick_pusher(pieces=Pieces(at_once=0, whole=0, careful=256 * KIB, smallest=256 * KIB)), registry)
    assert registry.uploads.made == 5
