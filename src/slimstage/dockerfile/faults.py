"""Collecting the faults of a file, so that all of them are reported together.

Every reading step takes a `Faults` and goes on after a fault as well as it can; `parse.py` raises what was collected.
"""

from __future__ import annotations

from collections.abc import Iterable

from slimstage.diagnostics import Diagnostic, Span, did_you_mean
from slimstage.errors import SlimstageError

MOST_FAULTS = 50
"""Faults that are reported of one file; reading stops there, so a file of garbage costs no more than a sane one."""

_LONGEST_GUESS = 40
"""Characters of a word that a did-you-mean is tried for: comparing words costs the product of their lengths."""


class Faults:
    """A list of diagnostics that grows while a file is read."""

    def __init__(self) -> None:
        self.found: list[Diagnostic] = []

    @property
    def is_full(self) -> bool:
        """True when reading on makes no sense: nobody reads more faults than `MOST_FAULTS`."""
        return len(self.found) >= MOST_FAULTS

    def add(self, code: str, message: str, span: Span, *notes: str, hint: str | None = None) -> None:
        """Remember one fault; silently dropped when the list is full."""
        if not self.is_full:
            self.found.append(Diagnostic(code, message, span, tuple(note for note in notes if note), hint))

    def take(self, error: SlimstageError, span: Span) -> None:
        """Remember what `error` says, with `span` where it has no place of its own."""
        for diagnostic in error.at(span).diagnostics:
            if not self.is_full:
                self.found.append(diagnostic)


def guess(word: str, known: Iterable[str]) -> str | None:
    """A did-you-mean sentence, or None when no known word is near or `word` is too long to be a misspelling."""
    return did_you_mean(word, known) if 0 < len(word) <= _LONGEST_GUESS else None


def quoted(text: str, most: int = 80) -> str:
    """The text in double quotes for a message, cut in the middle of nowhere when it is long."""
    return f'"{text}"' if len(text) <= most else f'"{text[:most]}…"'
