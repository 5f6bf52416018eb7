"""Words of an instruction's arguments: blanks, quoting, the JSON form. No expansion here: quotes stay.

Source: BuildKit frontend/dockerfile/parser/line_parsers.go (which blanks separate, what a backslash protects, when an
array is an array).
"""

from __future__ import annotations

import json
import math
import re

from slimstage.regex import pattern
from slimstage.values import dataclass

SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""Go's unicode.IsSpace, for `str.strip`: Python's own set has four control characters more."""

_SPACE_CLASS = re.escape(SPACE)
_BLANKS = pattern(r"[\t\v\f\r ]+")
_NOT_BLANKS = pattern(r"[^\t\v\f\r ]+")
_SURROGATE = pattern("[\ud800-\udfff]")

# A quoted part runs to its end or to the end of the text; an escape character at the very end belongs to no word.
# Every alternative starts with another character and all repeats are possessive: the scan is linear.
_WORD = {
    escape: pattern(
        rf"""(?: [^{_SPACE_CLASS}'"{re.escape(escape)}]++
             | '[^']*+'?+
             | "(?:[^"{re.escape(escape)}]++|{re.escape(escape)}.)*+"?+
             | {re.escape(escape)}. )++""",
        re.VERBOSE | re.DOTALL,
    )
    for escape in ("\\", "`")
}


@dataclass(frozen=True, slots=True)
class Word:
    """One word and where it stands in its logical line; `text` may differ from the line's text (quotes removed)."""

    text: str
    start: int
    end: int


def split_words(text: str, escape: str = "\\", offset: int = 0) -> list[Word]:
    """Words between blanks, where quotes and the escape character protect blanks; both stay in the words.

    offset: where `text` starts in its line; added to the positions.
    Source: parseWords in line_parsers.go.
    """
    return [Word(m.group(), m.start() + offset, m.end() + offset) for m in _WORD[escape].finditer(text)]


def split_blanks(text: str, offset: int = 0) -> list[Word]:
    """Words between blanks; quotes mean nothing here.

    Source: parseStringsWhitespaceDelimited in line_parsers.go.
    """
    return [Word(m.group(), m.start() + offset, m.end() + offset) for m in _NOT_BLANKS.finditer(text)]


def cut_at_blanks(text: str) -> tuple[str, int]:
    """The part before the first blanks and where the part behind them starts; (text, -1) without blanks."""
    found = _BLANKS.search(text)
    return (text[: found.start()], found.end()) if found else (text, -1)


class NotStrings(ValueError):
    """A JSON array, but not of strings only. `position` is where in the text the first other element starts."""

    def __init__(self, position: int) -> None:
        super().__init__("a JSON array must hold strings only")
        self.position = position


_STRING = r'"(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*+"'
_WS = r"[ \t\r\n]*+"
_STRINGS = pattern(rf"\[{_WS}(?:{_STRING}{_WS}(?:,{_WS}{_STRING}{_WS})*+)?+\]{_WS}")
_ELEMENT_BEFORE = pattern(rf"{_WS}{_STRING}{_WS},{_WS}")


def json_strings(text: str) -> list[str] | None:
    """The strings when all of `text` is a JSON array of strings; None when it is no JSON array (then: shell form).

    A lone surrogate, escaped or raw, becomes U+FFFD, as encoding/json has it.
    Raises: NotStrings when it is a JSON array that holds something else.
    Source: parseJSON in line_parsers.go.
    """
    body = text.lstrip(SPACE)
    if not body.startswith("["):
        return None
    if _STRINGS.fullmatch(body):
        values: list[str] = json.loads(body)
        return [_SURROGATE.sub("\ufffd", value) for value in values] if _has_surrogate(body) else values
    if _is_array(body):
        raise NotStrings(len(text) - len(body) + _first_other(body))
    return None


def _has_surrogate(body: str) -> bool:
    return "\\u" in body or not body.isascii()


def _is_array(body: str) -> bool:
    try:
        json.loads(body, parse_constant=_refuse, parse_int=_number, parse_float=_number)
    except RecursionError:
        return True  # nested deeper than Python reads: certainly no array of strings
    except ValueError:
        return False
    return True


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _number(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):  # encoding/json refuses a number that no float64 holds
        raise ValueError("number out of range")
    return value


def _first_other(body: str) -> int:
    position = 1
    while found := _ELEMENT_BEFORE.match(body, position):
        position = found.end()
    return position + len(body[position:]) - len(body[position:].lstrip(" \t\r\n"))
