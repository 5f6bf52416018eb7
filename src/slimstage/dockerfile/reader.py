"""Text → logical lines: comments dropped, continuations joined, each character's place in the file remembered.

Heredoc bodies are read by the caller (`syntax.py` knows which lines have them) through `LineReader.body`.
Source: BuildKit frontend/dockerfile/parser/parser.go; dockerfile.md §1.1 and §4 (1 to 4).
"""

from __future__ import annotations

from bisect import bisect_right

from slimstage.diagnostics import Diagnostic, Source, Span
from slimstage.dockerfile.directives import DirectiveBlock
from slimstage.dockerfile.faults import Faults
from slimstage.dockerfile.instructions import Directive
from slimstage.dockerfile.words import SPACE
from slimstage.values import dataclass

LONGEST_LINE = 65535
"""Bytes of one line, without its end. BuildKit's limit (bufio.MaxScanTokenSize - 1)."""

LARGEST_TEXT = 16 * 1024 * 1024
"""Characters of a Dockerfile. Ours: far above any real file, small enough to be refused at once."""


class LogicalLine:
    """One instruction's text on one line, and where each part of it stands in the file."""

    __slots__ = ("_columns", "_fixed", "_lines", "_starts", "comments", "end_line", "source", "text")

    def __init__(self, source: Source, text: str, line: int, column: int, *, fixed: Span | None = None) -> None:
        self.source, self.text, self.end_line = source, text, line
        self.comments: tuple[str, ...] = ()
        self._starts, self._lines, self._columns = [0], [line], [column]
        self._fixed = fixed

    def join(self, parts: list[tuple[str, int]], end_line: int) -> None:
        """Append the parts of continuation lines, each with its line number."""
        length = len(self.text)
        for part, number in parts:
            self._starts.append(length)
            self._lines.append(number)
            self._columns.append(1)
            length += len(part)
        self.text += "".join(part for part, _ in parts)
        self.end_line = end_line

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column (from 1) of the character at `offset`."""
        index = max(0, bisect_right(self._starts, offset) - 1)
        return self._lines[index], self._columns[index] + offset - self._starts[index]

    def span(self, start: int, end: int) -> Span:
        """The place of text[start:end]; at least one character wide."""
        if self._fixed:
            return self._fixed
        line, column = self.place(start)
        end_line, end_column = self.place(max(end, start + 1) - 1)
        return Span(self.source, line, column, end_line, end_column + 1)

    def whole(self) -> Span:
        """From the first character to the end of the last line, heredocs included."""
        if self._fixed:
            return self._fixed
        line, column = self.place(len(self.text) - len(self.text.lstrip(SPACE)))
        return Span(self.source, line, column, self.end_line, len(self.source.line(self.end_line) or "") + 1)


@dataclass(frozen=True, slots=True)
class Body:
    """The lines of a heredoc as they stand in the file, each with its end; `is_closed`: its terminator was found."""

    text: str
    is_closed: bool
    near_miss: int | None = None
    """The first line that only differs from the terminator by blanks around it."""


class LineReader:
    """Gives the logical lines of a file in order. Faults and warnings are collected; reading always goes on."""

    def __init__(self, source: Source, faults: Faults, *, fixed: Span | None = None) -> None:
        self._source, self._faults, self._fixed = source, faults, fixed
        self._lines = source.text.split("\n")
        if self._lines[-1] == "":
            self._lines.pop()
        self._next = 0
        self._block = DirectiveBlock()
        self.escape = "\\"
        self.directives: list[tuple[Directive, str, Span]] = []
        self.warnings: list[Diagnostic] = []

    def next(self) -> LogicalLine | None:
        """The next logical line; None at the end of the file."""
        comments: list[str] = []
        while self._next < len(self._lines):
            raw = self._take()
            number = self._next
            stripped = raw.lstrip(SPACE)
            if self._directive(stripped, number):
                continue
            if stripped.startswith("#"):
                comment = stripped[1:].strip(SPACE)
                if comment:
                    comments.append(comment)
                else:
                    comments.clear()
                continue
            text, is_continued = self._continuation(stripped)
            if not text and not is_continued:
                continue
            line = LogicalLine(self._source, text, number, len(raw) - len(stripped) + 1, fixed=self._fixed)
            line.comments = tuple(comments)
            if is_continued:
                self._join(line)
            return line
        return None

    def _join(self, line: LogicalLine) -> None:
        parts: list[tuple[str, int]] = []
        empty = 0
        is_continued = True
        while is_continued and self._next < len(self._lines):
            raw = self._take()
            stripped = raw.lstrip(SPACE)
            if stripped.startswith("#"):
                continue
            if not stripped:
                empty = empty or self._next
                continue
            text, is_continued = self._continuation(raw)
            parts.append((text, self._next))
        line.join(parts, self._next)
        if empty:
            span = line.span(0, 1) if self._fixed else Span(self._source, empty, 1, empty, 2)
            message = "empty line inside a continued instruction"
            hint = "remove the empty line, or make it a comment"
            self.warnings.append(Diagnostic("no-empty-continuation", message, span, (), hint, "warning"))

    def body(self, terminator: str, *, strips_tabs: bool) -> Body:
        """The lines up to a line that is `terminator` (behind tabs, with `strips_tabs`), which is consumed too."""
        start = self._next
        near_miss = None
        bare = terminator.strip()
        for index in range(start, len(self._lines)):
            raw = self._lines[index].rstrip("\r")
            if (raw.lstrip("\t") if strips_tabs else raw) == terminator:
                self._next = index + 1
                text = "".join(f"{line}\n" for line in self._lines[start:index])
                for line in range(start, index):
                    self._check_length(line)
                return Body(text, True)
            if near_miss is None and raw.strip() == bare:
                near_miss = index + 1
        self._next = len(self._lines)
        return Body("".join(f"{line}\n" for line in self._lines[start:]), False, near_miss)

    @property
    def last_line(self) -> int:
        """The number of the line that was read last."""
        return self._next

    def _take(self) -> str:
        self._check_length(self._next)
        line = self._lines[self._next].rstrip("\r")
        self._next += 1
        return line

    def _check_length(self, index: int) -> None:
        line = self._lines[index]
        if len(line) * 4 <= LONGEST_LINE or len(line.encode("utf-8", "surrogatepass")) <= LONGEST_LINE:
            return
        span = self._fixed or Span(self._source, index + 1, 1, index + 1, 2)
        hint = "split it with a line continuation"
        self._faults.add("line-too-long", f"a line has more than {LONGEST_LINE} bytes", span, hint=hint)

    def _continuation(self, line: str) -> tuple[str, bool]:
        text = line.rstrip(" \t")
        if text.endswith(self.escape) and text[-2:-1] != self.escape:
            return text[:-1], True
        return line, False

    def _directive(self, line: str, number: int) -> bool:
        found = self._block.read(line) if not self._block.is_over else None
        if found is None:
            return False
        name, value = found
        start = len(self._lines[number - 1].rstrip("\r")) - len(line) + 1
        span = self._fixed or Span(self._source, number, start, number, start + len(line.rstrip(SPACE)))
        if name in self._block.seen:
            first = next((span.line for seen, _, span in self.directives if seen == name), number)
            note = f"the first is on line {first}"
            self._faults.add("duplicate-directive", f'only one "{name}" directive can be used', span, note)
            return True
        self._block.seen.add(name)
        if name == "escape":
            if value not in ("\\", "`"):
                hint = "the escape character is a backslash or a backtick"
                self._faults.add("bad-escape", f'"{value}" cannot be the escape character', span, hint=hint)
                return True
            self.escape = value
            self.directives.append(("escape", value, span))
        elif name == "syntax":
            self.directives.append(("syntax", value.partition(" ")[0], span))
        else:
            self.directives.append(("check", value.partition(" ")[0], span))
        return True
