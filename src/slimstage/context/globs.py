"""One wildcard pattern, compiled to something that cannot run away: Go's `filepath.Match` and moby's `**`.

Few wildcards become one regular expression; more become a set of states moved on character by character, so that time
is bounded by path length times pattern length, whatever the two are.
Source: Go path/filepath Match; moby/patternmatcher Pattern.compile.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

from slimstage.values import dataclass

Kind = Literal["one", "star", "tree", "rest"]
Matcher = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Token:
    """`one`: one character that `regex` accepts. `star`: any characters but `/`. `tree`: nothing, or anything up to a
    `/`. `rest`: anything."""

    kind: Kind
    regex: str
    literal: str | None = None


_STAR = Token("star", "[^/]*")
_TREE = Token("tree", "(?:.*/)?")
_REST = Token("rest", ".*")
_ANY = Token("one", "[^/]")


def parse_tokens(pattern: str, *, has_trees: bool) -> list[Token]:
    """The tokens of a pattern.

    has_trees: `**` spans directories (moby); without, it is `*` written twice (Go).
    Raises: ValueError for a class that is empty, not closed or backwards, and for a backslash at the end.
    """
    tokens: list[Token] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*" and has_trees and pattern[position : position + 1] == "*":
            position += 1
            position += pattern[position : position + 1] == "/"
            token = _TREE if position < len(pattern) else _REST
        elif character == "*":
            token = _STAR
        elif character == "?":
            token = _ANY
        elif character == "[":
            token, position = _parse_class(pattern, position)
        else:
            if character == "\\":
                character = _character(pattern, position)
                position += 1
            token = Token("one", re.escape(character), character)
        # Repeating a wildcard adds nothing to what it matches, only to the work.
        if not (tokens and token.kind != "one" and tokens[-1] is token):
            tokens.append(token)
    return tokens


def _character(pattern: str, position: int) -> str:
    if position >= len(pattern):
        raise ValueError("a backslash at the end")
    return pattern[position]


def _parse_class(pattern: str, position: int) -> tuple[Token, int]:
    negates = pattern.startswith("^", position)
    position += negates
    ranges: list[str] = []
    while not ranges or not pattern.startswith("]", position):
        low, position = _class_character(pattern, position)
        high = low
        if pattern.startswith("-", position):
            high, position = _class_character(pattern, position + 1)
        if high < low:
            raise ValueError(f'the range "{low}-{high}" is backwards')
        ranges.append(re.escape(low) if low == high else f"{re.escape(low)}-{re.escape(high)}")
    # A negated class accepts "/", in Go and in moby alike.
    return Token("one", f"[{'^' if negates else ''}{''.join(ranges)}]"), position + 1


def _class_character(pattern: str, position: int) -> tuple[str, int]:
    if position >= len(pattern) or pattern[position] in "-]":
        raise ValueError(
            "a bracket that is not closed, or holds nothing" if position >= len(pattern) else "a bad bracket"
        )
    if pattern[position] == "\\":
        position += 1
        character = _character(pattern, position)
    else:
        character = pattern[position]
    if position + 1 >= len(pattern):
        raise ValueError("a bracket that is not closed")
    return character, position + 1


_MOST_WILDCARDS = 2
"""Stars and trees that a regular expression may have: it tries every place for each, so the work multiplies."""


def matcher_of(tokens: list[Token]) -> Matcher:
    """A function that tells whether a whole path matches the tokens."""
    if all(token.literal is not None for token in tokens):
        text = "".join(token.literal or "" for token in tokens)
        return text.__eq__
    trees = sum(token.kind == "tree" for token in tokens)
    stars = sum(token.kind == "star" for token in tokens)
    if trees <= 1 and stars + trees <= _MOST_WILDCARDS:
        compiled = re.compile("".join(token.regex for token in tokens), re.DOTALL)
        return lambda path: compiled.fullmatch(path) is not None
    return _States(tokens).matches


class _States:
    """All states a pattern can be in, as the bits of one number, moved on together."""

    def __init__(self, tokens: list[Token]) -> None:
        self._ones: list[tuple[int, re.Pattern[str]]] = []
        self._stays_in_name = self._stays = self._leaves_at_slash = 0
        self._skips_one = self._skips_two = 0
        self._accepting: dict[str, int] = {}
        bit = 1
        for token in tokens:
            if token.kind == "one":
                self._ones.append((bit, re.compile(token.regex, re.DOTALL)))
            elif token.kind == "tree":
                # Two states: the first may skip the whole, the second eats up to a slash.
                self._skips_one |= bit
                self._skips_two |= bit
                bit <<= 1
                self._stays |= bit
                self._leaves_at_slash |= bit
            else:
                self._skips_one |= bit
                if token.kind == "star":
                    self._stays_in_name |= bit
                else:
                    self._stays |= bit
            bit <<= 1
        self._end = bit
        self._start = self._skipped(1)

    def _skipped(self, states: int) -> int:
        while True:
            further = states | (states & self._skips_one) << 1 | (states & self._skips_two) << 2
            if further == states:
                return states
            states = further

    def matches(self, path: str) -> bool:
        """True when the pattern matches all of `path`."""
        states = self._start
        for character in path:
            moved = (states & self._accepts(character)) << 1 | states & self._stays
            if character == "/":
                moved |= (states & self._leaves_at_slash) << 1
            else:
                moved |= states & self._stays_in_name
            if not moved:
                return False
            states = self._skipped(moved)
        return bool(states & self._end)

    def _accepts(self, character: str) -> int:
        known = self._accepting.get(character)
        if known is None:
            known = 0
            for bit, one in self._ones:
                if one.match(character):
                    known |= bit
            self._accepting[character] = known
        return known


def has_wildcards(text: str) -> bool:
    """True when a COPY source is a pattern: an unescaped `*`, `?` or `[`.

    Source: tonistiigi/fsutil copy, containsWildcards.
    """
    return re.search(r"(?:^|[^\\])(?:\\\\)*+[*?\[]", text) is not None


def match_segment(pattern: str, name: str) -> bool:
    """True when the pattern matches all of one path component.

    Raises: ValueError for a bad pattern.
    Source: Go path/filepath Match.
    """
    return _segment_matcher(pattern)(name)


@lru_cache(maxsize=256)
def _segment_matcher(pattern: str) -> Matcher:
    return matcher_of(parse_tokens(pattern, has_trees=False))
