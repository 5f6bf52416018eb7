"""What refusals say, how long a retry waits, and where a list goes on."""

from __future__ import annotations

import email.utils
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimstage.errors import Interrupted, RegistryError
from slimstage.registry.faults import HttpError, Secrets, http_error, read_errors, retry_after_s
from slimstage.registry.hosts import Endpoint, Origin
from slimstage.registry.paging import next_path, read_tags
from slimstage.registry.retry import Backoff, Pauses

ENDPOINT = Endpoint("a.example", Origin("https", "a.example", 443))


def test_the_registrys_own_words_are_told_without_secrets() -> None:
    secrets = Secrets()
    secrets.add("token-123", "abc", None, "")
    body = json.dumps({"errors": [{"code": "DENIED", "message": "token-123 may not\n read"}, {"code": "X"}]}).encode()
    error = http_error('get "a"', 403, body, None, secrets)
    assert error.message == 'get "a": the registry answered 403: xxxxx may not read; X'
    assert (error.code, error.codes, error.status, error.is_temporary) == ("denied", ("DENIED", "X"), 403, False)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_some_statuses_are_worth_another_try(status: int) -> None:
    error = http_error("get", status, b"", "7", Secrets())
    assert error.is_temporary
    assert error.retry_after_s == 7


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>long page</html>", ""),
        (b"no such host", "no such host"),
        (b"[1]", ""),
        (b'{"errors": 3}', ""),
        (b'{"errors": [3, {"code": 4, "message": ["x"]}]}', ""),
        (b'{"details": "incorrect username"}', "incorrect username"),
        (b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_bodies_of_other_kinds_do_no_harm(body: bytes, said: str) -> None:
    assert read_errors(body)[1] == said


@given(st.binary(max_size=300))
def test_no_body_makes_reading_fail(body: bytes) -> None:
    assert len(read_errors(body)[1]) <= 300


def test_retry_after_in_both_forms() -> None:
    assert retry_after_s("120") == 120
    later = retry_after_s(email.utils.formatdate(time.time() + 1000, usegmt=True))
    assert later is not None
    assert 900 < later <= 1000
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert [retry_after_s(text) for text in (None, "", "soon", "-1", "1.5", "٣")] == [None] * 6


@given(st.integers(1, 10_000), st.none() | st.floats(0, 1e9), st.floats(0, 1))
def test_a_wait_is_never_longer_than_the_limit(failures: int, asked: float | None, chance: float) -> None:
    assert 0 <= Backoff(longest_s=30).wait_s(failures, asked, chance) <= 30


def test_waits_grow_and_heed_the_server() -> None:
    backoff = Backoff(first_s=1, longest_s=30)
    assert [backoff.wait_s(n, None, 1.0) for n in (1, 2, 3, 9)] == [1, 2, 4, 30]
    assert backoff.wait_s(1, None, 0.0) == 0.5
    assert backoff.wait_s(1, 5.0, 0.0) == 5
    assert backoff.wait_s(1, 1e9, 1.0) == 30


def failing(times: int) -> tuple[list[int], Pauses, list[float]]:
    waits: list[float] = []
    return [times], Pauses(Backoff(4, 1, 30), wait=waits.append, chance=lambda: 1.0), waits


def run(left: list[int], pauses: Pauses, error: RegistryError) -> str:
    def do() -> str:
        if left[0]:
            left[0] -= 1
            raise error
        return "done"

    return pauses.repeat(do)


def test_temporary_failures_are_repeated_and_then_told() -> None:
    error = RegistryError("lost", code="connection-lost", is_temporary=True)
    left, pauses, waits = failing(3)
    assert run(left, pauses, error) == "done"
    assert waits == [1, 2, 4]
    left, pauses, waits = failing(4)
    with pytest.raises(RegistryError, match="lost"):
        run(left, pauses, error)
    assert len(waits) == 3


@pytest.mark.parametrize(
    ("error", "count"),
    [
        (RegistryError("no", code="denied"), 0),
        (RegistryError("no", code="unknown-host", is_temporary=True), 1),
        (RegistryError("no", code="unreachable", is_temporary=True), 2),
        (HttpError("no", status=429, code="rate-limited", retry_after_s=9), 3),
    ],
)
def test_patience_depends_on_the_failure(error: RegistryError, count: int) -> None:
    left, pauses, waits = failing(100)
    with pytest.raises(RegistryError):
        run(left, pauses, error)
    assert len(waits) == count
    if isinstance(error, HttpError):
        assert set(waits) == {10}


def test_an_end_interrupts_a_wait_at_once() -> None:
    error = RegistryError("lost", is_temporary=True)
    pauses = Pauses(Backoff(first_s=1_000, longest_s=1_000))
    pauses.end()
    with pytest.raises(Interrupted):
        pauses.after(1, error)
    with pytest.raises(Interrupted):
        pauses.repeat(lambda: "done")


@pytest.mark.parametrize(
    ("link", "path"),
    [
        (None, None),
        ("", None),
        ('</v2/a/b/tags/list?n=2&last=x>; rel="next"', "tags/list?n=2&last=x"),
        ("<https://a.example/v2/a/b/tags/list?last=y>; rel=next", "tags/list?last=y"),
        ("<https://a.example:443/v2/a/b/tags/list?last=y>; rel=prev", None),
        ("<list?last=z>; title=x; rel=next, </other>; rel=prev", "list?last=z"),
        ("nonsense", None),
    ],
)
def test_the_next_page_is_found(link: str | None, path: str | None) -> None:
    if path == "list?last=z":
        path = "tags/list?last=z"
    assert next_path(ENDPOINT, "a/b", "tags/list", link) == path


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/v2/a/b/tags/list",
        "http://a.example/v2/a/b/tags/list",
        "/v2/other/tags/list",
        "file:///etc/x",
    ],
)
def test_the_next_page_is_in_the_same_repository_of_the_same_origin(target: str) -> None:
    """Conformance: security/pagination-link."""
    with pytest.raises(RegistryError):
        next_path(ENDPOINT, "a/b", "tags/list", f'<{target}>; rel="next"')


def test_tags_of_a_page() -> None:
    assert read_tags(b'{"name": "a", "tags": ["1", 2, "3"]}') == ["1", "3"]
    assert read_tags(b'{"name": "a", "tags": null}') == []
    for body in (b"", b"[]", b"{}", b"<html>", b"[" * 100_000):
        with pytest.raises(RegistryError, match="cannot be read"):
            read_tags(body)
