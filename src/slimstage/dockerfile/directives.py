"""Parser directives: `# syntax=`, `# escape=`, `# check=` in the first lines of a file.

Source: BuildKit frontend/dockerfile/parser/directives.go; dockerfile.md §1.1 and §4 (4, 8).
"""

from __future__ import annotations

import json
from typing import get_args

from slimstage.dockerfile.instructions import Directive
from slimstage.dockerfile.words import SPACE
from slimstage.regex import pattern
from slimstage.values import dataclass, field

NAMES: frozenset[str] = frozenset(get_args(Directive))
_KEY = pattern(r"([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=")
_BLANK = "\t\n\f\r "


@dataclass(slots=True)
class DirectiveBlock:
    """Reads the block line by line: it ends at the first line that is not a known directive."""

    comment: str = "#"
    is_over: bool = False
    seen: set[str] = field(default_factory=set)

    def read(self, line: str) -> tuple[str, str] | None:
        """(name in lower case, value) when `line` is a directive; None, and the block is over, when it is not.

        A name that was seen before is given again: the caller decides that this is a fault.
        """
        if self.is_over:
            return None
        found = _parse(line, self.comment)
        if found is None or found[0] not in NAMES:
            self.is_over = True
            return None
        return found


def _parse(line: str, comment: str) -> tuple[str, str] | None:
    if not line.startswith(comment):
        return None
    text = line[len(comment) :].lstrip(SPACE)
    key = _KEY.match(text)
    if not key or key.end() == len(text):
        return None
    # A value of blanks only is one blank: it is a value, though never a valid one.
    return key.group(1).lower(), text[key.end() :].strip(_BLANK) or " "


def find_directive(name: str, text: str) -> tuple[str, int] | None:
    """The first word of directive `name` and its line (from 1), wherever a tool may look for it; None without it.

    Unlike the parser's own reading this skips a byte order mark and a `#!` line; `syntax` is also found written as
    `//syntax=` and in a JSON document (there the line is 0).
    """
    text = text.removeprefix("\ufeff")
    skipped = 0
    if text.startswith("#!"):
        text, skipped = text.partition("\n")[2], 1
    for comment in ("#", "//") if name == "syntax" else ("#",):
        block = DirectiveBlock(comment)
        for number, line in enumerate(_lines(text), skipped + 1):
            found = block.read(line)
            if found is None or found[0] in block.seen:
                break
            block.seen.add(found[0])
            if found[0] == name:
                return found[1].partition(" ")[0], number
    if name == "syntax" and text.lstrip(_BLANK).startswith("{"):
        return _from_json(text)
    return None


def _lines(text: str) -> list[str]:
    # A block has at most one line for each name: no need to split a large file.
    return [line.removesuffix("\r") for line in text.split("\n", len(NAMES) + 1)]


def _from_json(text: str) -> tuple[str, int] | None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    value = document.get("syntax") if isinstance(document, dict) else None
    return (value, 0) if isinstance(value, str) else None
