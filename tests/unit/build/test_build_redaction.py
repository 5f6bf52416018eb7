"""Secrets in a step's output, wherever the pieces of the output begin and end."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimstage.build.lines import Lines
from slimstage.build.run import redactor

SECRET = b"s3cr3t-value-of-a-token"


def seen_of(pieces: list[bytes], *secrets: bytes) -> str:
    """All that is shown of output that comes in these pieces."""
    seen: list[str] = []
    lines = Lines(lambda _, text: seen.append(text), redactor({str(n): each for n, each in enumerate(secrets)}))
    for piece in pieces:
        lines(1, piece)
    lines.flush()
    return "".join(seen)


@pytest.mark.parametrize("before", range((64 << 10) - 30, (64 << 10) + 60, 7))
def test_a_secret_across_the_pieces_of_an_endless_line_does_not_show(before: int) -> None:
    whole = b"x" * before + SECRET + b"y" * (80 << 10)
    shown = seen_of([whole[at : at + 4096] for at in range(0, len(whole), 4096)], SECRET)
    assert shown == "x" * before + "***" + "y" * (80 << 10)


@given(st.lists(st.integers(0, 60), max_size=12), st.booleans())
def test_no_cut_of_the_output_shows_a_part_of_a_secret(cuts: list[int], ends: bool) -> None:
    whole = b"before " + SECRET + b" between " + SECRET + (b"\n" if ends else b"")
    places = [0, *sorted(cuts), len(whole)]
    shown = seen_of([whole[a:b] for a, b in itertools.pairwise(places)], SECRET)
    assert shown == "before *** between ***"


def test_each_line_of_a_secret_of_several_lines_is_hidden() -> None:
    key = b"-----BEGIN KEY-----\nMIIEvQIBADANBgkq\r\nhkiG9w0BAQEFAASC\n-----END KEY-----\n"
    shown = seen_of([b"got:\n", key, b"\nand MIIEvQIBADANBgkq alone\n"], key)
    assert shown == "got:***" + "***" * 3 + "and *** alone"


def test_a_secret_within_another_leaves_no_rest_of_it() -> None:
    assert seen_of([b"abcd-long-tail abcd\n"], b"abcd", b"abcd-long-tail") == "*** ***"
