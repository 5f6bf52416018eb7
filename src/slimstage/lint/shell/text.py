"""Shell text whose every character has its place in the Dockerfile, through continuations, heredocs and quotes."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

from slimstage.diagnostics import Source, Span
from slimstage.dockerfile.instructions import Heredoc
from slimstage.dockerfile.syntax import Node
from slimstage.regex import pattern
from slimstage.values import dataclass

_JSON_STRING = pattern(r'"(?:[^"\\]|\\.)*+"')
_JSON_CHARACTER = pattern(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|[^\\]", 16)


class ShellText:
    """A text, and where each of its characters stands.

    is_exact: what the file has at the span of a part is that part, continuations aside.
    """

    __slots__ = ("_fixed", "_place", "_source", "is_exact", "text")

    def __init__(
        self,
        text: str,
        source: Source,
        place: Callable[[int], tuple[int, int]],
        *,
        fixed: Span | None = None,
        is_exact: bool = True,
    ) -> None:
        """place: offset → line and column, from 1. fixed: the place of all of it, for text that is not the user's file."""
        self.text, self._source, self._place, self._fixed = text, source, place, fixed
        self.is_exact = is_exact and fixed is None

    def span(self, start: int, end: int) -> Span:
        """The place of text[start:end], at least one character wide."""
        if self._fixed:
            return self._fixed
        line, column = self._place(start)
        end_line, end_column = self._place(max(end, start + 1) - 1)
        if (end_line, end_column) < (line, column):
            end_line, end_column = line, column
        return Span(self._source, line, column, end_line, end_column + 1)

    def derived(self, text: str, origins: Sequence[int], *, is_exact: bool) -> ShellText:
        """A text made of this one. origins: the offset in this text of each of its characters."""
        kept = [*origins] or [0]

        def place(offset: int) -> tuple[int, int]:
            return self._place(kept[min(offset, len(kept) - 1)])

        return ShellText(text, self._source, place, fixed=self._fixed, is_exact=self.is_exact and is_exact)


class Written:
    """What the file has for a RUN: its line behind the flags, and the bodies of its heredocs."""

    def __init__(self, node: Node, heredocs: tuple[Heredoc, ...], source: Source, fixed: Span | None) -> None:
        self._node, self._source, self._fixed = node, source, fixed
        self._bodies = [each.content if each.as_written is None else each.as_written for each in heredocs]
        self._names = [each.name for each in heredocs]
        counts = [body.count("\n") + 1 for body in self._bodies]
        first = node.line.end_line - sum(counts) + 1
        self._lines = [first + sum(counts[:index]) for index in range(len(counts))]

    def line(self) -> ShellText:
        """The text behind the flags, without bodies."""
        return ShellText(self._node.rest.text, self._source, self._in_line, fixed=self._fixed)

    def body(self, index: int) -> ShellText:
        """A heredoc's body as it stands in the file."""
        return _without_returns(self._body(self._bodies[index], self._lines[index]))

    def whole(self) -> ShellText:
        """The line and all bodies with their ends, as a shell is given them."""
        head = self._node.rest.text + "\n"
        tail = "".join(f"{body}{name}\n" for body, name in zip(self._bodies, self._names, strict=True))
        below = self._body(tail, self._lines[0] if self._lines else 1)

        def place(offset: int) -> tuple[int, int]:
            return self._in_line(offset) if offset < len(head) else below._place(offset - len(head))

        return _without_returns(ShellText(head + tail, self._source, place, fixed=self._fixed))

    def strings(self) -> Iterator[tuple[str, list[int], int, int]]:
        """The strings of the JSON form: value, origins of its characters, and where it stands in the line, quotes inside."""
        for found in _JSON_STRING.finditer(self._node.rest.text):
            value: list[str] = []
            origins: list[int] = []
            for each in _JSON_CHARACTER.finditer(found.group()[1:-1]):
                letters = json.loads(f'"{each.group()}"') if each.group()[0] == "\\" else each.group()
                value.append(letters)
                origins += [found.start() + 1 + each.start()] * len(letters)
            yield "".join(value), origins, found.start() + 1, found.end() - 1

    def _in_line(self, offset: int) -> tuple[int, int]:
        line, start = self._node.line, self._node.rest.start
        return line.place(min(start + offset, max(len(line.text) - 1, 0)))

    def _body(self, text: str, first: int) -> ShellText:
        starts = [0]
        for line in text.split("\n"):
            starts.append(starts[-1] + len(line) + 1)

        def place(offset: int) -> tuple[int, int]:
            index = bisect_right(starts, offset) - 1
            return first + index, offset - starts[index] + 1

        return ShellText(text, self._source, place, fixed=self._fixed)


def _without_returns(given: ShellText) -> ShellText:
    """Carriage returns of CRLF files become blanks: no word ends with one."""
    given.text = given.text.replace("\\\r\n", " \\\n").replace("\r\n", " \n")
    return given


@dataclass(frozen=True, slots=True)
class Joined:
    """A text without its continuations, and the offset each character had."""

    text: str
    origins: tuple[int, ...]


def joined(text: str) -> Joined:
    """The text as a shell reads it: each backslash with a newline behind it is gone, but those in single quotes."""
    if "\\\n" not in text:
        return Joined(text, tuple(range(len(text))))
    kept: list[int] = []
    state = ""
    position, end = 0, len(text)
    while position < end:
        character = text[position]
        if character == "\\" and state not in ("'", "#"):
            if text.startswith("\\\n", position):
                position += 2
                continue
            kept.append(position)
            position += 1
        elif state == "#":
            state = "" if character == "\n" else state
        elif state:
            state = "" if character == state else state
        elif character in "'\"":
            state = character
        elif character == "#" and (position == 0 or text[position - 1] in " \t\n;&|()"):
            state = "#"
        if position < end:
            kept.append(position)
        position += 1
    return Joined("".join(text[each] for each in kept), tuple(kept))
