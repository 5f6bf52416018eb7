"""Which variables a word looks up, and which of them are not there. BuildKit's rules about variables ask this.

Source: BuildKit frontend/dockerfile/shell/lex.go (ProcessWordWithMatches); util/suggest/error.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from slimstage.dockerfile.expand import Lexer
from slimstage.errors import SlimstageError
from slimstage.values import dataclass

_NEAR = 3
"""Fewer changes than this make another name a guess."""
_LONGEST_GUESS = 100
"""Characters of a name that is guessed at: comparing costs the product of the lengths."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """text: the word expanded; None: it cannot be. used, unset: the names that have a value, and those that have none.

    `${NAME:-word}` looks up NAME as well. Of a word that cannot be expanded: what was looked up in front of the fault.
    """

    text: str | None
    used: frozenset[str] = frozenset()
    unset: frozenset[str] = frozenset()


def look_up(word: str, env: Mapping[str, str], escape: str, *, reads_quotes: bool = True) -> Lookup:
    """reads_quotes: False for the body of a heredoc. Raises: nothing."""
    if "$" not in word and "'" not in word and '"' not in word and escape not in word:
        return Lookup(word)
    lexer = Lexer(word, env, escape, reads_quotes=reads_quotes)
    text: str | None = None
    try:
        text = lexer.run()[0]
    except SlimstageError:
        pass
    return Lookup(text, frozenset(lexer.used), frozenset(lexer.unset))


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that takes at most two changes of a character to get to; None when there is none."""
    if len(name) > _LONGEST_GUESS:
        return None
    best, found = _NEAR, None
    for each in sorted(known):
        distance = _distance(name, each, best)
        if distance < best:
            best, found = distance, each
    return found


def _distance(one: str, other: str, limit: int) -> int:
    """Characters to insert, delete or replace (Levenshtein); `limit` or more counts as `limit`."""
    if abs(len(one) - len(other)) >= limit:
        return limit
    row = list(range(len(other) + 1))
    for number, left in enumerate(one, 1):
        above, row[0] = row[0], number
        for index, right in enumerate(other, 1):
            above, row[index] = row[index], min(row[index] + 1, row[index - 1] + 1, above + (left != right))
        if min(row) >= limit:
            return limit
    return row[-1]


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """What a message says behind a name that is not known: ` (did you mean NAME?)`, or nothing."""
    found = nearest(name, known)
    return f" (did you mean {prefix}{found}?)" if found else ""
