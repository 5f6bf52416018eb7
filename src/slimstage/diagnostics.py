"""Positions in the user's files, and remarks about them.

A `Source` is one text file the user wrote, a `Span` a place in it, a `Diagnostic` one remark about a place: an error,
a warning or advice. Everything that speaks about a Dockerfile, a `.dockerignore` or a settings file speaks in
diagnostics; only `cli/` prints them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from slimstage.values import dataclass, field

Severity = Literal["error", "warning", "info"]

_WIDEST = 160
"""Columns of an excerpt line that are shown; a longer line is cut around the place that matters."""

_MOST_LINES = 8
"""Lines of a place that are shown; of a longer one the first, and how many follow."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """One text file: the name it is shown under, and its whole text."""

    name: str
    text: str
    _lines: list[str] = field(default_factory=list, repr=False)

    def line(self, number: int) -> str | None:
        """Line `number`, counted from 1, without its end; None when there is no such line."""
        if not self._lines:
            self._lines.extend(self.text.split("\n"))
        return self._lines[number - 1].rstrip("\r") if 1 <= number <= len(self._lines) else None


@dataclass(frozen=True, slots=True)
class Span:
    """A place in a source: lines and columns count from 1, the end column is the first one behind it."""

    source: Source = field(compare=False, repr=False)
    line: int
    column: int
    end_line: int
    end_column: int

    @property
    def file(self) -> str:
        return self.source.name

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One remark: a stable kebab-case code, one sentence (lower case, no full stop), where, and what to do."""

    code: str
    message: str
    span: Span | None = None
    notes: tuple[str, ...] = ()
    hint: str | None = None
    severity: Severity = "error"

    def __str__(self) -> str:
        return render(self)


def render(diagnostic: Diagnostic) -> str:
    """The remark as plain text: `file:line:column: code: message`, the excerpt with a caret, notes, hint.

    All lines of a place of several lines are shown, the first with carets.
    """
    place = f"{diagnostic.span}: " if diagnostic.span else ""
    severity = "" if diagnostic.severity == "error" else f"{diagnostic.severity}: "
    lines = [f"{shown(place)}{severity}{diagnostic.code}: {shown(diagnostic.message)}"]
    if diagnostic.span:
        lines += _excerpt(diagnostic.span)
    lines += [f"  note: {shown(note)}" for note in diagnostic.notes]
    if diagnostic.hint:
        lines.append(f"  hint: {shown(diagnostic.hint)}")
    return "\n".join(lines)


def _excerpt(span: Span) -> list[str]:
    text = span.source.line(span.line)
    if text is None:
        return []
    end = span.end_column if span.end_line == span.line else len(text) + 1
    start, end = span.column - 1, max(end - 1, span.column)
    if len(text) > _WIDEST:
        left = max(0, start - 40)
        text, start, end = text[left : left + _WIDEST], start - left, min(end - left, _WIDEST)
    number = f"{span.line:>5} | "
    before = "".join("\t" if c == "\t" else " " for c in text[:start])
    margin = " " * (len(number) - 2) + "| "
    return [number + shown(text, tabs=True), margin + before + "^" * max(1, end - start), *_further(span, margin)]


def _further(span: Span, margin: str) -> list[str]:
    """The lines of a place behind its first."""
    last = min(span.end_line, span.line + _MOST_LINES - 1)
    lines: list[str] = []
    for number in range(span.line + 1, last + 1):
        text = span.source.line(number)
        if text is None:
            return lines
        cut = text if len(text) <= _WIDEST else text[:_WIDEST] + " …"
        lines.append(f"{number:>5} | {shown(cut, tabs=True)}".rstrip())
    if last < span.end_line:
        lines.append(f"{margin}… and {span.end_line - last} more lines")
    return lines


def shown(text: str, *, tabs: bool = False) -> str:
    """The text with control, bidi and undecodable characters escaped: safe to print on a terminal (CWE-150)."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown_character(c, tabs) for c in text)


_HARMFUL = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C}


def _shown_character(character: str, tabs: bool) -> str:
    if character == "\t" and tabs:
        return character
    point = ord(character)
    if 0xDC80 <= point <= 0xDCFF:
        return f"\\x{point - 0xDC00:02x}"
    if point in _HARMFUL:
        return f"\\u{point:04x}"
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def near(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` was probably meant to be, or None."""
    import difflib  # only for a fault

    candidates: Sequence[str] = sorted(known)
    by_case = {candidate.lower(): candidate for candidate in candidates}
    found = difflib.get_close_matches(word.lower(), list(by_case), n=1, cutoff=0.6)
    return by_case[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint sentence naming the nearest known word, or None when none is near."""
    found = near(word, known)
    return f'did you mean "{found}"?' if found else None
