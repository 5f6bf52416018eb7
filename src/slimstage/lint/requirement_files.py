"""Requirement files of the build context: which distributions they name, and where.

Source: pip, "Requirements File Format"; PEP 508 for the lines, of which only the name and the pin are read.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from slimstage.diagnostics import Source, Span
from slimstage.lint.subject import ContextView
from slimstage.regex import pattern
from slimstage.values import dataclass

MOST_FILES = 20
"""Files that one includes another of: more are not read."""
_NAME = pattern(r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)\s*(\[[^\]]*\])?\s*([^;#]*)")
_INCLUDE = pattern(r"(?:-r|--requirement)[\s=]*(\S+)|(?:-c|--constraint)[\s=]*(\S+)")
_SEPARATORS = pattern(r"[-_.]+")


@dataclass(frozen=True, slots=True)
class Required:
    """One line: the distribution's name in its normal form, what follows it (`==1.2`, `@ https://…`), and its place.

    name: "" for a line that names a path, an address or a project in a repository.
    """

    name: str
    rest: str
    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class Requirements:
    """All lines of a file and of those it includes. is_whole: every file was there and could be read.

    options: lines that set something (`--index-url …`, `--extra-index-url …`). files: paths in the context, the first first.
    constraints: files that are named with `-c`; what they pin is not among the lines.
    """

    lines: tuple[Required, ...]
    options: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    is_whole: bool = True


def normal(name: str) -> str:
    """The name as PEP 503 compares it: `Scikit_Learn` → `scikit-learn`."""
    return _SEPARATORS.sub("-", name).lower()


def read_requirements(context: ContextView | None, path: str) -> Requirements:
    """The lines of a requirement file of the context. path: from the context's root."""
    reading = _Reading(context)
    reading.file(posixpath.normpath(path))
    constraints = tuple(dict.fromkeys(reading.constraints))
    return Requirements(
        tuple(reading.lines), tuple(reading.options), tuple(reading.files), constraints, reading.is_whole
    )


class _Reading:
    def __init__(self, context: ContextView | None) -> None:
        self._context = context
        self.lines: list[Required] = []
        self.options: list[str] = []
        self.files: list[str] = []
        self.constraints: list[str] = []
        self.is_whole = True

    def file(self, path: str) -> None:
        if path in self.files:
            return
        text = self._context.read(path) if self._context and len(self.files) < MOST_FILES else None
        if text is None:
            self.is_whole = False
            return
        self.files.append(path)
        source = Source(path, text)
        for number, line in _logical(text):
            self._line(line, Span(source, number, 1, number, len(source.line(number) or "") + 1), path)

    def _line(self, line: str, span: Span, path: str) -> None:
        if included := _INCLUDE.match(line):
            other = posixpath.normpath(posixpath.join(posixpath.dirname(path), included.group(1) or included.group(2)))
            if included.group(1):
                self.file(other)
            else:
                self.constraints.append(other)
            return
        if line.startswith("-") and not line.startswith(("-e", "--editable")):
            self.options.append(line)
            return
        found = _NAME.match(line)
        is_place = (
            found is None or line.startswith(("-", ".", "/")) or re.match(r"[\w+]+:", line) or "/" in found.group(1)
        )
        if is_place or found is None:
            self.lines.append(Required("", line, line, span))
            return
        rest = found.group(3).strip()
        if rest.startswith("/") or (rest and rest[0] not in "<>=!~@(-"):
            self.lines.append(Required("", line, line, span))
            return
        self.lines.append(Required(normal(found.group(1)), rest.partition(" --hash")[0].strip(), line, span))


def _logical(text: str) -> Iterator[tuple[int, str]]:
    """Lines with continuations joined and comments dropped, and the number of the first of each."""
    held, first = "", 0
    for number, raw in enumerate(text.split("\n"), 1):
        line = re.sub(r"(?:^|\s)#.*", "", raw).rstrip("\r")
        first = first if held else number
        if line.rstrip().endswith("\\"):
            held += line.rstrip()[:-1] + " "
            continue
        if (whole := (held + line).strip()) != "":
            yield first, whole
        held = ""
    if held.strip():
        yield first, held.strip()
