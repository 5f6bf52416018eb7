"""Where in a TOML text each key stands: tomllib gives values without places, an error needs one.

Pure, and as forgiving as it can be: a key that this scan does not find gets the place of its table, or line 1.
Source: TOML 1.0.0, "Keys", "Table".
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping

from slimstage.diagnostics import Source, Span
from slimstage.regex import pattern

_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_KEY = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_TABLE = pattern(rf"[ \t]*\[\[?[ \t]*({_KEY})[ \t]*\]")
_PAIR = pattern(rf"[ \t]*({_KEY})[ \t]*=[ \t]*")
_INLINE = pattern(rf"[{{,][ \t]*({_KEY})[ \t]*=")
_AT = pattern(r"\(at line (\d+), column (\d+)\)\Z")

Path = tuple[str, ...]


def places_of(source: Source) -> Mapping[Path, Span]:
    """The span of each table header's and pair's key, by its full path from the document's root."""
    found: dict[Path, Span] = {}
    table: Path = ()
    closing: str | None = None
    for number, line in enumerate(source.text.split("\n"), 1):
        if closing is not None:  # inside a string of several lines
            if closing in line:
                closing = None
            continue
        header = _TABLE.match(line)
        if header:
            table = _path(header[1])
            found.setdefault(table, _span(source, number, header.start(1), header.end(1)))
            continue
        pair = _PAIR.match(line)
        if not pair:
            continue
        path = table + _path(pair[1])
        span = _span(source, number, pair.start(1), pair.end(1))
        for length in range(len(table) + 1, len(path)):
            found.setdefault(path[:length], span)
        found.setdefault(path, span)
        value = line[pair.end() :]
        for mark in ('"""', "'''"):
            if value.startswith(mark) and mark not in value[3:]:
                closing = mark
        if value.startswith("{"):
            for inner in _INLINE.finditer(line, pair.end()):
                found.setdefault(path + _path(inner[1]), _span(source, number, inner.start(1), inner.end(1)))
    return found


def place_of(places: Mapping[Path, Span], source: Source, path: Path) -> Span:
    """The span of the path, else of the nearest table around it, else the start of the text."""
    for length in range(len(path), 0, -1):
        if path[:length] in places:
            return places[path[:length]]
    return Span(source, 1, 1, 1, 2)


def place_of_fault(error: tomllib.TOMLDecodeError, source: Source) -> tuple[str, Span]:
    """(message, span) of what tomllib could not read."""
    message = str(error)
    at = _AT.search(message)
    if at:
        line, column = int(at[1]), int(at[2])
        return message[: at.start()].strip().lower(), Span(source, line, column, line, column + 1)
    last = source.text.rstrip("\n").count("\n") + 1
    column = len(source.line(last) or "") + 1
    return message.partition(" (at ")[0].lower(), Span(source, last, column, last, column + 1)


def _path(text: str) -> Path:
    return tuple(_unquoted(part) for part in re.findall(_PART, text))


def _unquoted(part: str) -> str:
    if part.startswith("'"):
        return part[1:-1]
    if part.startswith('"'):
        try:
            return str(json.loads(part))
        except ValueError:
            return part[1:-1]
    return part


def _span(source: Source, line: int, start: int, end: int) -> Span:
    return Span(source, line, start + 1, line, end + 1)
